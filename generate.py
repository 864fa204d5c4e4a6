"""Generate labelled galaxies. To go on after an interruption, run the same command again."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from PIL import Image
from tqdm.auto import tqdm

from galaxy_diffusion.generation import file_of_model, generate_batch, generate_trajectory, load_pipeline, weights_hash
from galaxy_diffusion.run_state import same_run, write_json
from gz2_dataset import UserError
from gz2_dataset.arrays import encode_jpeg
from gz2_dataset.command_line import provenance, run


@dataclass
class Config:
    """Settings of a generation.

    Attributes
    ----------
    model : str
        Output folder of train_ddpm.py or Hub id.
    num_images : str
        How many of which class, such as cigar_shaped_smooth=5163,spiral=10; a bare number means so many of every class.
    output_dir : Path
        Becomes an image folder with metadata.jsonl.
    seed : int
        Image i of a class depends on seed + i, the class, the model and the sampler alone.
    scheduler : str
        ddpm, ddim, dpmsolver++, sde-dpmsolver++, unipc, euler or heun; ddpm and sde-dpmsolver++ add noise on the way,
        which mends errors of a net that has not seen many images.
    num_inference_steps : int
        Denoising steps.
    guidance_scale : float
        1 follows the class as trained, more follows it more closely at the cost of variety.
    batch_size : int
        Images at a time; has no influence on them.
    trajectory : bool
        Also write trajectory.npz: one image a class from noise to galaxy, every 100 timesteps.
    """

    model: str
    num_images: str
    output_dir: Path
    seed: int = 0
    scheduler: str = "dpmsolver++"
    num_inference_steps: int = 25
    guidance_scale: float = 2.0
    batch_size: int = 64
    trajectory: bool = False


def main(config: Config) -> None:
    state = PartialState()
    pipeline = load_pipeline(config.model, config.scheduler, state.device)
    wanted = parse_num_images(config.num_images, pipeline.class_names)
    sampler = {
        "scheduler": config.scheduler,
        "steps": config.num_inference_steps,
        "guidance_scale": config.guidance_scale,
        "checkpoint": weights_hash(pipeline),
    }
    if state.is_main_process:
        same_run(config.output_dir / "settings.json", {**sampler, "seed": config.seed})
    state.wait_for_everyone()

    images = [(name, config.seed + i) for name, count in wanted.items() for i in range(count)]
    missing = [image for image in images if not file_of(config.output_dir, *image).exists()]
    mine = missing[state.process_index :: state.num_processes]
    bar = tqdm(total=len(mine), desc="generate", unit="image", disable=not state.is_main_process)
    for start in range(0, len(mine), config.batch_size):
        batch = mine[start : start + config.batch_size]
        labels, seeds = [pipeline.label_of(name) for name, _ in batch], [seed for _, seed in batch]
        pixels = generate_batch(pipeline, labels, seeds, config.guidance_scale, config.num_inference_steps)
        for (name, seed), image in zip(batch, pixels, strict=True):
            save_image(file_of(config.output_dir, name, seed), image)
        bar.update(len(batch))
    bar.close()
    state.wait_for_everyone()
    if not state.is_main_process:
        return

    if config.trajectory:
        frames, timesteps = generate_trajectory(
            pipeline, config.seed, config.guidance_scale, config.num_inference_steps, every=100
        )
        aside = config.output_dir / ".trajectory.npz"
        np.savez_compressed(aside, frames=frames, timesteps=timesteps)
        aside.replace(config.output_dir / "trajectory.npz")
    if (seen := file_of_model(config.model, "seen_images.csv")) is not None:
        shutil.copyfile(seen, config.output_dir / "seen_images.csv")
    write_metadata(config.output_dir, sampler)
    write_json(config.output_dir / "run.json", {**provenance(config), "checkpoint": sampler["checkpoint"]})
    print(f"images: {config.output_dir}")


def parse_num_images(text: str, class_names: list[str]) -> dict[str, int]:
    """``"spiral=3,edge_on=2"`` or ``"8"`` as a number of images a class."""
    pairs = (
        [pair.partition("=") for pair in text.split(",")]
        if "=" in text
        else [(name, "=", text) for name in class_names]
    )
    wanted = {name.strip(): count.strip() for name, _, count in pairs}
    for name, count in wanted.items():
        if name not in class_names:
            raise UserError(f"num_images {text!r}: no class {name!r} in this model; it knows {', '.join(class_names)}")
        if not count.isdecimal():
            raise UserError(f"num_images {text!r}: {count!r} is no number; write for instance {class_names[0]}=100")
    return {name: int(count) for name, count in wanted.items()}


def file_of(folder: Path, name: str, seed: int) -> Path:
    return folder / name / f"{seed:08d}.jpg"


def save_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(encode_jpeg(Image.fromarray(pixels)))
    aside.replace(path)


def write_metadata(folder: Path, sampler: dict) -> None:
    """List every image of the folder, those of earlier calls included."""
    lines = [
        json.dumps(
            {
                "file_name": f"{path.parent.name}/{path.name}",
                "label": path.parent.name,
                "seed": int(path.stem),
                **sampler,
            }
        )
        for path in sorted(folder.glob("*/*.jpg"))
        if not path.name.startswith(".")
    ]
    aside = folder / ".metadata.jsonl"
    aside.write_text("".join(f"{line}\n" for line in lines))
    aside.replace(folder / "metadata.jsonl")


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__)
