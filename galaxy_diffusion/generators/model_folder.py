"""A trained generator's folder: pipeline, record, card and the images it saw; complete once model_index.json exists."""

import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import DiffusionPipeline, SchedulerMixin, UNet2DModel

from galaxy_diffusion.generators.conditioning import VoteTable, class_rows_from_votes
from galaxy_diffusion.generators.fine_tuning import ADAPTER
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline, ImageFormat
from galaxy_diffusion.sampling.schedulers import DEFAULT, make_scheduler
from galaxy_diffusion.sampling.schedulers import FOLDER as SAMPLER_FOLDER
from galaxy_diffusion.shared.seen_images import FILE as SEEN_FILE
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.aside import as_umask_says
from gz2_dataset.reading import read_json

INDEX, RECORD = "model_index.json", "run.json"
SHARD_SIZE = "10MB"
"""Largest file of weights of a model in half precision, so that it can be kept in a repository."""
RECORDS = (RECORD, "settings.json", "metrics.jsonl", SEEN_FILE, "README.md")


def is_finished(folder: Path, images_seen: int) -> bool:
    """Whether the folder holds the complete model of a run that has seen this many images."""
    if not (folder / INDEX).exists() or not (folder / RECORD).exists():
        return False
    try:
        return read_json(folder / RECORD, "").get("images_seen") == images_seen
    except UserError:  # damaged: it is written again
        return False


def make_pipeline(
    unet: UNet2DModel, scheduler: SchedulerMixin, image_format: ImageFormat, galaxies: GalaxyArrays
) -> ClassConditionalDDPMPipeline:
    """A pipeline around ``unet``, which from then on takes classes, even if it was trained on votes."""
    if isinstance(unet.class_embedding, VoteTable):
        class_rows_from_votes(unet, galaxies)
    class_names = dict(enumerate(galaxies.class_names))
    return ClassConditionalDDPMPipeline(unet, scheduler, class_names, **asdict(image_format))


def begin_saving(folder: Path) -> None:
    """Remove the index of an earlier model, so that nobody reads a mixture of two."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)


def save_pipeline(pipeline: DiffusionPipeline, folder: Path, **options: object) -> None:
    """Save each file aside and rename it, the index last: where the index exists, the model is complete."""
    aside = folder / ".pipeline"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        pipeline.save_pretrained(aside, **options)
        if isinstance(pipeline, ClassConditionalDDPMPipeline):
            make_scheduler(DEFAULT, pipeline.scheduler).save_pretrained(aside / SAMPLER_FOLDER)
        as_umask_says(aside)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    for entry in sorted(aside.iterdir(), key=lambda entry: entry.name == INDEX):
        if (folder / entry.name).is_dir():
            shutil.rmtree(folder / entry.name)
        entry.replace(folder / entry.name)
    aside.rmdir()


def save_in_half_precision(model: Path, folder: Path) -> None:
    """A smaller copy of a trained diffusion model: weights as float16, records, card and the newest sample grid.

    Every command loads it in full precision; its weights then equal those of the model to 3 digits.

    Parameters
    ----------
    model : Path
        Output folder of train_ddpm.py.
    folder : Path
        Becomes a model folder.

    Raises
    ------
    UserError
        If there is no finished model.
    """
    if not (model / INDEX).is_file():
        raise UserError(f"{model}: no finished model; run train_ddpm.py to its end")
    pipeline = ClassConditionalDDPMPipeline.from_pretrained(model, dtype=torch.float16, use_safetensors=True)
    for part in (pipeline, pipeline.unet):
        part.register_to_config(_name_or_path=folder.name)  # else the path of ``model`` would be shipped
    begin_saving(folder)
    for name in (*RECORDS, *(f"samples/{grid.name}" for grid in sorted((model / "samples").glob("*.png"))[-1:])):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(model / name, folder / name)
    save_pipeline(pipeline, folder, max_shard_size=SHARD_SIZE)


def files_of_model(folder: Path) -> list[str]:
    """Patterns of what belongs to a finished model: weights, card, samples and records."""
    parts = [
        name for name, value in read_json(folder / INDEX, "train the model again").items() if isinstance(value, list)
    ]
    return [
        INDEX,
        "pipeline.py",
        *RECORDS,
        "samples/*.png",
        *(f"{part}/[!.]*" for part in (*parts, SAMPLER_FOLDER, ADAPTER)),
    ]
