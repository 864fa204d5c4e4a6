"""What every generator's training does besides learning: begin or resume, count, log, write checkpoints and save."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from accelerate.utils import set_seed
from diffusers import DiffusionPipeline
from PIL import Image
from tqdm.auto import tqdm

from galaxy_diffusion.generators.batches import Batch, BatchSource, ahead
from galaxy_diffusion.generators.model_folder import begin_saving, files_of_model, is_finished, save_pipeline
from galaxy_diffusion.generators.monitoring import Interval, due, save_grid
from galaxy_diffusion.generators.training_config import TrainingConfig
from galaxy_diffusion.sampling.seeded_images import GeneratorPipeline
from galaxy_diffusion.shared.checkpoint import load_newest, save_checkpoint
from galaxy_diffusion.shared.ending import Ending
from galaxy_diffusion.shared.hub_target import check_target, push
from galaxy_diffusion.shared.machine import use_all_cores
from galaxy_diffusion.shared.run_folder import MetricsLog, fixed_settings, same_run, write_json
from galaxy_diffusion.shared.seen_images import digest_of_list, write_seen_images
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import provenance
from gz2_dataset.interruption import noted_signals


def start_accelerator(config: TrainingConfig) -> Accelerator:
    """The processes of a training, with all cores and a seed.

    Raises
    ------
    UserError
        If the batch is not divisible by the number of processes, a tracker is not installed, or the model could not be
        uploaded.
    """
    check_target(config)
    use_all_cores()
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision, log_with=config.report_to, project_dir=config.output_dir
    )
    if config.batch_size % accelerator.num_processes:
        raise UserError(f"batch_size {config.batch_size} is not divisible by {accelerator.num_processes} processes")
    if config.report_to and not accelerator.log_with:
        raise UserError(f"report_to {config.report_to}: is not installed; pip install {config.report_to}")
    set_seed(config.seed)
    torch.backends.cudnn.benchmark = True
    return accelerator


def track_picture(tracker: GeneralTracker, path: Path, images_seen: int) -> None:
    """Show a picture in a tracker."""
    picture = np.asarray(Image.open(path))[None]
    if tracker.name == "trackio":
        import trackio  # pyright: ignore[reportMissingImports]

        tracker.log({"samples": trackio.Image(picture[0])}, step=images_seen)
    else:
        order = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
        tracker.log_images({"samples": picture}, step=images_seen, **order)


class TrainingRun:
    """One run of a training in its folder, continued where an earlier call has ended.

    Parameters
    ----------
    accelerator : Accelerator
    parts : dict
        The nets, optimizers and averages that a checkpoint holds, by the names of their files.
    config : TrainingConfig
    name : str
        Name of the project in a tracker.
    fingerprints : dict of str to str
        Of the galaxies that are learned from.
    center_crop : int
        Which part of each of their images is kept; see `GalaxyArrays`.

    Attributes
    ----------
    images_seen : int
    record : dict
        The last line of metrics.jsonl.
    interval : Interval

    Raises
    ------
    UserError
        If the folder holds a run with other settings.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        parts: dict[str, Any],
        config: TrainingConfig,
        name: str,
        fingerprints: dict[str, str],
        center_crop: int,
    ):
        self.accelerator, self.parts, self.config, self.name = accelerator, parts, config, name
        self.data = {"center_crop": center_crop, "data_fingerprint": fingerprints}
        self.folder, self.is_main = config.output_dir, accelerator.is_main_process
        self.settings = provenance(config)["config"]
        if self.is_main:
            fixed = fixed_settings(config)
            same_run(self.folder / "settings.json", {**fixed, **self.data})
        self.checkpoints = self.folder / "checkpoints"
        self.images_seen = load_newest(accelerator, parts, self.checkpoints)
        self.log = MetricsLog(self.folder / "metrics.jsonl", self.images_seen) if self.is_main else None
        self.record = {"images_seen": self.images_seen, "seconds": 0.0, **(self.log.last if self.log else {})}
        self.interval = Interval(accelerator, self.images_seen, self.record["seconds"], self.checkpoints)

    def batches(self, source: BatchSource) -> Iterator[Batch]:
        """The remaining batches of this process; `count` each before taking the next.

        A signal to end is heeded after the step in which it comes, when a checkpoint has been written.
        """
        accelerator, end = self.accelerator, self.config.total_images
        if self.config.report_to:
            accelerator.init_trackers(self.name, {k: str(v) for k, v in self.settings.items()})
        self.bar = tqdm(total=end, initial=self.images_seen, desc="train", unit="image", disable=not self.is_main)
        self.interval.begin()
        with noted_signals() as noted:
            self.ending = Ending(noted)
            yield from ahead(source, self.images_seen, end, accelerator.process_index, accelerator.num_processes)
        self.bar.close()

    def count(self, *events: str) -> set[str]:
        """Count a batch as seen; returns which of the events are due, each every EVENT_images images."""
        before, self.images_seen = self.images_seen, self.images_seen + self.config.batch_size
        self.bar.update(self.config.batch_size)
        span = (before, self.images_seen, self.config.total_images)
        found = {event for event in events if due(getattr(self.config, f"{event}_images"), *span)}
        return found | {"checkpoint"} if self.ending.look() else found

    def write(self, record: dict[str, float]) -> None:
        """Log a record everywhere."""
        self.record = record
        self.bar.set_postfix(loss=f"{record['loss']:.4f}")
        self.accelerator.log(record, step=self.images_seen)
        if self.log:
            self.log.write(**record)

    def save_checkpoint(self) -> None:
        """Write a checkpoint, and end if that was asked for; all processes call this."""
        save_checkpoint(self.accelerator, self.parts, self.checkpoints, self.images_seen)
        if self.ending.is_near:
            self.bar.close()
            self.ending.come()

    def save_grid(self, pipeline: GeneratorPipeline) -> None:
        """Draw a grid of samples into samples/ and the tracker; the main process calls this."""
        path = self.folder / "samples" / f"{self.images_seen:012d}.png"
        save_grid(pipeline, path, self.config.seed)
        for tracker in self.accelerator.trackers:
            track_picture(tracker, path, self.images_seen)

    @property
    def is_to_be_saved(self) -> bool:
        """Whether this process still has to save the model."""
        return self.is_main and not is_finished(self.folder, self.images_seen)

    @property
    def model_name(self) -> str:
        """Folder or Hub id of the model."""
        return self.config.hub_model_id or str(self.folder)

    @property
    def last_grid(self) -> str | None:
        """Path of the newest sample grid in the model's folder, if there is one."""
        grids = sorted(f"samples/{file.name}" for file in (self.folder / "samples").glob("*.png"))
        return grids[-1] if grids else None

    def save(
        self,
        pipeline: DiffusionPipeline,
        card: str,
        *splits: GalaxyArrays,
        parent: Path | None = None,
        **results: object,
    ) -> None:
        """Save the finished model, its card, its record and what it has seen.

        Parameters
        ----------
        pipeline : DiffusionPipeline
        card : str
        *splits, parent
            As for `seen_images.write_seen_images`.
        **results
            Further entries for run.json.
        """
        begin_saving(self.folder)
        write_seen_images(self.folder, *splits, parent=parent)
        write_whole(self.folder / "README.md", card)
        known = {"seconds": self.record["seconds"], "images_seen": self.images_seen, **results}
        record = {**provenance(self.config), **self.data, **known, **digest_of_list(self.folder)}
        write_json(self.folder / "run.json", record)
        save_pipeline(pipeline, self.folder)

    def end(self) -> None:
        """Upload the model where that is wanted, and say where it is."""
        if self.is_main:
            push(self.config, self.folder, files_of_model(self.folder), "model")
        self.accelerator.print(f"model: {self.folder}")
        self.accelerator.end_training()
