"""A trained generator's folder: pipeline, record, card and the images it saw; whole where model_index.json is."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

from diffusers import DiffusionPipeline, SchedulerMixin, UNet2DModel
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from galaxy_diffusion.generators.unet import VoteEmbedding, class_rows_from_votes
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline, ImageFormat
from galaxy_diffusion.sampling.schedulers import DEFAULT, make_scheduler
from galaxy_diffusion.sampling.schedulers import FOLDER as SAMPLER_FOLDER
from gz2_dataset import GalaxyArrays, UserError

INDEX, RECORD = "model_index.json", "run.json"


def is_finished(folder: Path, images_seen: int) -> bool:
    """Whether the folder holds the whole model of a run that has seen so many images."""
    if not (folder / INDEX).exists() or not (folder / RECORD).exists():
        return False
    return json.loads((folder / RECORD).read_text())["images_seen"] == images_seen


def make_pipeline(
    unet: UNet2DModel, scheduler: SchedulerMixin, image_format: ImageFormat, galaxies: GalaxyArrays
) -> ClassConditionalDDPMPipeline:
    """A pipeline around ``unet``, which from then on takes classes, also where it has learned votes."""
    if isinstance(unet.class_embedding, VoteEmbedding):
        class_rows_from_votes(unet, galaxies)
    class_names = dict(enumerate(galaxies.class_names))
    return ClassConditionalDDPMPipeline(unet, scheduler, class_names, **asdict(image_format))


def begin_saving(folder: Path) -> None:
    """Take the index of an earlier model away, so that nobody reads a mixture of two."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)


def save_pipeline(pipeline: DiffusionPipeline, folder: Path) -> None:
    """Save aside and rename, the index last: where it is, the model is whole."""
    aside = folder / ".pipeline"
    shutil.rmtree(aside, ignore_errors=True)
    pipeline.save_pretrained(aside)
    if isinstance(pipeline, ClassConditionalDDPMPipeline):
        make_scheduler(DEFAULT, pipeline.scheduler).save_pretrained(aside / SAMPLER_FOLDER)
    for entry in sorted(aside.iterdir(), key=lambda entry: entry.name == INDEX):
        if (folder / entry.name).is_dir():
            shutil.rmtree(folder / entry.name)
        entry.replace(folder / entry.name)
    aside.rmdir()


def push(folder: Path, repo_id: str) -> str:
    """Upload the model, its card, samples and records, but no checkpoints; returns the address of the upload."""
    api = HfApi()
    try:
        api.create_repo(repo_id, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, ignore_patterns=["checkpoints/*", ".*"]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UserError(
            f"push_to_hub {repo_id}: {str(error).splitlines()[0]}; log in with hf auth login, then run the same command"
        ) from None
