"""Images from seeds: each depends only on its seed, class, model and sampler, not on how they are batched."""

import hashlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from diffusers import DiffusionPipeline
from huggingface_hub import snapshot_download

from galaxy_diffusion.sampling.autoregressive_pipeline import ConditionalAutoregressivePipeline
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.sagan_pipeline import ConditionalSAGANPipeline
from galaxy_diffusion.sampling.schedulers import make_scheduler
from galaxy_diffusion.sampling.settings import Sampling
from galaxy_diffusion.sampling.vae_pipeline import ConditionalVAEPipeline
from galaxy_diffusion.shared.foreign_config import check_sizes
from galaxy_diffusion.shared.shipped import find_model
from gz2_dataset import UserError
from gz2_dataset.class_names import check_class_names
from gz2_dataset.user_error import in_short

GeneratorPipeline = (
    ClassConditionalDDPMPipeline | ConditionalSAGANPipeline | ConditionalVAEPipeline | ConditionalAutoregressivePipeline
)
PIPELINES = {kind.__name__: kind for kind in get_args(GeneratorPipeline)}


def generate_batch(
    pipeline: GeneratorPipeline, labels: list[int] | None, seeds: list[int], **options: Any
) -> np.ndarray:
    """Generate one image per seed.

    Parameters
    ----------
    pipeline : GeneratorPipeline
    labels, seeds : list of int, length B
        Labels may be None if ``options`` say what to draw in another way.
    **options
        More arguments of the pipeline, such as those of `Sampling.kwargs`.

    Returns
    -------
    ndarray of uint8, shape (B, H, W, 3)

    Raises
    ------
    UserError
        If a pixel is not a number.
    """
    generators = [seeded(seed) for seed in seeds]
    images = pipeline(labels, generator=generators, output_type="np", **options).images  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    if not np.isfinite(images).all():
        raise UserError(
            "the net draws pixels that are not numbers; take a whole model or an earlier checkpoint, and not fp16"
        )
    return to_uint8(images)


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1] as uint8 grey levels."""
    return (images * 255).round().astype(np.uint8)


def load_pipeline(
    model: str, scheduler: str, device: torch.device, mixed_precision: str = "no", compiled: bool = False
) -> GeneratorPipeline:
    """A saved pipeline with the named sampler, ready to generate on ``device``; no code from its folder is run.

    Parameters
    ----------
    model : str
        Pipeline folder, Hub id, or the name of a shipped model.
    scheduler : str
        A key of `schedulers.SCHEDULERS`, for a diffusion model.
    device : torch.device
    mixed_precision : {"no", "bf16", "fp16"}
        Precision inside the nets; weights, noise and the scheduler's arithmetic stay in float32.
    compiled : bool
        Compile the nets when they are first called.

    Raises
    ------
    UserError
        If ``model`` is not a pipeline folder or a Hub id that can be reached.
    """
    folder = Path(model := find_model(model))
    if folder.is_dir() and not (folder / "model_index.json").exists():
        raise UserError(
            f"{model}: has no model_index.json; train it to the end with its training script and --output_dir {model}"
        )
    if not folder.is_dir() and (model.count("/") != 1 or model.startswith((".", "/"))):
        raise UserError(f"{model}: no such model folder; give the output_dir of a training or a Hub id")
    try:
        configs = folder if folder.is_dir() else Path(snapshot_download(model, allow_patterns="*.json"))
    except Exception as error:  # of the network, in many kinds
        raise UserError(f"{model}: cannot be loaded as a pipeline ({in_short(error)})") from None
    check_sizes(configs)
    try:
        named = DiffusionPipeline.load_config(model)["_class_name"]  # a folder may hold anything here
        kind = str(named[-1] if isinstance(named, list) and named else named)
        pipeline = PIPELINES.get(kind, ClassConditionalDDPMPipeline).from_pretrained(model, use_safetensors=True)
    except Exception as error:
        raise UserError(f"{model}: cannot be loaded as a pipeline ({in_short(error)})") from None
    check_model_classes(pipeline, model)
    if isinstance(pipeline, ClassConditionalDDPMPipeline):
        pipeline.scheduler = make_scheduler(scheduler, pipeline.scheduler)
    pipeline.set_progress_bar_config(disable=True)
    for net in nets_of(pipeline):
        net.eval().to(memory_format=torch.channels_last)
        if mixed_precision != "no":
            dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[mixed_precision]
            for name in {"forward", "decode"} & set(dir(net)):
                setattr(net, name, torch.autocast(device.type, dtype)(getattr(net, name)))
        if compiled:
            net.compile()
    return pipeline.to(device)


def check_model_classes(pipeline: GeneratorPipeline, model: str) -> None:
    """Raise a `UserError` if the classes that a model names are none: they become folders."""
    try:
        names = pipeline.class_names
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{model}: id2label does not number its classes from 0; take another model") from None
    check_class_names(names, model)


def check_sampler(pipeline: ClassConditionalDDPMPipeline, sampling: Sampling) -> None:
    """Raise a `UserError` if the pipeline cannot sample like this, before hours are spent or anything is written."""
    try:
        pipeline.set_timesteps(sampling.num_inference_steps, 1.0 if sampling.strength is None else sampling.strength)  # pyright: ignore[reportArgumentType]
    except ValueError as error:
        raise UserError(f"{type(pipeline.scheduler).__name__}: {error}") from None
    interval = sampling.guidance_interval
    if interval is not None and not 0 <= interval[0] < interval[1]:
        raise UserError(f"guidance_interval {list(interval)}: is not from a lower to a higher noise level")


def nets_of(pipeline: GeneratorPipeline) -> list[torch.nn.Module]:
    """The nets of a pipeline."""
    return [part for _, part in sorted(pipeline.components.items()) if isinstance(part, torch.nn.Module)]


def weights_hash(pipeline: GeneratorPipeline) -> str:
    """The first 16 digits of the SHA-256 of the nets' weights: which checkpoint an image came from."""
    digest = hashlib.sha256()
    for name, tensor in (entry for net in nets_of(pipeline) for entry in sorted(net.state_dict().items())):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def seeded(seed: int) -> torch.Generator:
    """A generator on the CPU, so that every device starts from the same noise."""
    return torch.Generator("cpu").manual_seed(seed)
