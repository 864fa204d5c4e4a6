"""Images from seeds: each depends on its seed, class, model and sampler alone, however they are batched."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from tqdm.auto import tqdm

from gz2_dataset import UserError

from .pipeline import ClassConditionalDDPMPipeline
from .schedulers import make_scheduler


def generate_batch(
    pipeline: ClassConditionalDDPMPipeline,
    labels: list[int],
    seeds: list[int],
    guidance_scale: float,
    num_inference_steps: int,
    on_step: Callable | None = None,
) -> np.ndarray:
    """Generate one image a seed.

    Parameters
    ----------
    pipeline : ClassConditionalDDPMPipeline
    labels, seeds : list of int, length B
    guidance_scale : float
    num_inference_steps : int
    on_step : callable, optional
        The pipeline's ``callback_on_step_end``.

    Returns
    -------
    ndarray of uint8, shape (B, H, W, 3)
    """
    images = pipeline(
        labels,
        guidance_scale=guidance_scale,
        num_inference_steps=num_inference_steps,
        generator=[seeded(seed) for seed in seeds],
        output_type="np",
        callback_on_step_end=on_step,
    ).images
    return (images * 255).round().astype(np.uint8)


def load_pipeline(model: str, scheduler: str, device: torch.device) -> ClassConditionalDDPMPipeline:
    """A saved pipeline with the named sampler, ready to generate on ``device``.

    Raises
    ------
    UserError
        If ``model`` is no pipeline folder or Hub id that can be reached.
    """
    folder = Path(model)
    if folder.is_dir() and not (folder / "model_index.json").exists():
        raise UserError(
            f"{model}: has no model_index.json; train it to the end with train_ddpm.py --output_dir {model}"
        )
    if not folder.is_dir() and (model.count("/") != 1 or model.startswith((".", "/"))):
        raise UserError(f"{model}: no such model folder; give the output_dir of train_ddpm.py or a Hub id")
    try:
        pipeline = ClassConditionalDDPMPipeline.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise UserError(f"{model}: cannot be loaded as a pipeline ({str(error).splitlines()[0]})") from None
    pipeline.scheduler = make_scheduler(scheduler, pipeline.scheduler)
    pipeline.unet.eval().to(memory_format=torch.channels_last)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def weights_hash(pipeline: ClassConditionalDDPMPipeline) -> str:
    """The first 16 digits of the SHA-256 of the UNet's weights: which checkpoint an image came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(pipeline.unet.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def generate_trajectory(
    pipeline: ClassConditionalDDPMPipeline, seed: int, guidance_scale: float, num_inference_steps: int, every: int
) -> tuple[np.ndarray, np.ndarray]:
    """One image a class on its way from noise to galaxy (the paper's Fig. 4).

    Returns
    -------
    frames : ndarray of uint8, shape (classes, F, H, W, 3)
    timesteps : ndarray of int64, shape (F,)
        Multiples of ``every`` from T down to 0; a frame is the first state at or below its timestep.
    """
    labels = list(range(len(pipeline.class_names)))
    config = pipeline.unet.config
    noise = torch.randn(1, config.in_channels, config.sample_size, config.sample_size, generator=seeded(seed))
    end = pipeline.scheduler.config.num_train_timesteps
    frames, wanted = [noise.expand(len(labels), -1, -1, -1)], list(range(end - every, -1, -every))
    bar = tqdm(total=num_inference_steps, desc="trajectory", unit="step")

    def record(_, step: int, timestep: torch.Tensor, state: dict[str, torch.Tensor]) -> None:
        bar.update()
        remaining = pipeline.scheduler.timesteps[step + 1 :]
        reached = float(remaining[0]) if len(remaining) else 0.0
        while len(frames) <= len(wanted) and reached <= wanted[len(frames) - 1]:
            frames.append(state["latents"].float().cpu())

    generate_batch(pipeline, labels, [seed] * len(labels), guidance_scale, num_inference_steps, record)
    bar.close()
    pixels = ((torch.stack(frames, dim=1).permute(0, 1, 3, 4, 2) / 2 + 0.5).clamp(0, 1) * 255).round()
    return pixels.to(torch.uint8).numpy(), np.array([end, *wanted])


def seeded(seed: int) -> torch.Generator:
    """A generator on the CPU, so that every device starts from the same noise."""
    return torch.Generator("cpu").manual_seed(seed)


def file_of_model(model: str, name: str) -> Path | None:
    """A file beside a saved pipeline, local or on the Hub; None where there is none."""
    if Path(model).is_dir():
        return Path(model) / name if (Path(model) / name).exists() else None
    try:
        return Path(hf_hub_download(model, name))
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None
