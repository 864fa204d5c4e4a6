"""A study folder as `workflow/Snakefile` writes it, read once; whatever is not there yet stays empty."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galaxy_diffusion.shared.classifier_folder import read_record
from galaxy_diffusion.shared.drawing import read_picture
from galaxy_diffusion.shared.image_folder import METADATA, read_metadata
from galaxy_diffusion.study.arms import (
    BASELINE,
    CEILING,
    QUESTION,
    Run,
    check_names,
    folder_of,
    folders_of,
    generators,
    kind_of,
    planned_runs,
)
from galaxy_diffusion.study.endpoints import MARGIN, Question
from galaxy_diffusion.study.runs import AGAIN, Runs, pool, read_runs
from gz2_dataset import UserError
from gz2_dataset.build_record import BUILD_FILE, BuildRecord
from gz2_dataset.reading import read_json_lines, read_yaml

PARTS = ("study.yaml", "data", "ddpm", "generated", "showcase", "classifiers")
GENERATED = "generated"
"""Folder of the images that the study's question is about."""


@dataclass(frozen=True)
class Study:
    """What a report is made of.

    Attributes
    ----------
    folders : tuple of Path
        One, or those of the folds of a cross-validation or of several draws of a class made rare; pictures, counts and
        training come from the first.
    preset : dict
        ``study.yaml``.
    build : BuildRecord or None
        Of the study's ``data``.
    generated : dict
        Images by class name, of each folder of generated images that the preset names: in each of its blocks, where
        every seed of the classifiers learns from its own.
    runs : Runs or None
        Predictions of all classifiers, those of all folds or draws as of one study.
    provenance : dict
        What each run recorded (config, versions, seconds, ...) by its folder: within the study, or with the study's
        folder before it where there are several.
    training : list of dict
        Lines of ``ddpm/metrics.jsonl``.
    on_generated : Runs or None
        Predictions of the classifiers on the folder of generated images that the preset names as ``shortcut``; None for
        several studies.
    """

    folders: tuple[Path, ...]
    preset: dict[str, Any]
    build: BuildRecord | None
    generated: dict[str, dict[str, int]]
    runs: Runs | None
    provenance: dict[str, dict[str, Any]]
    training: list[dict[str, Any]]
    on_generated: Runs | None = None

    @property
    def folder(self) -> Path:
        return self.folders[0]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes in the order of the data, or of the predictions where there is no data folder."""
        return self.build.classes if self.build else tuple(self.runs.class_names) if self.runs else ()

    @property
    def rare_class(self) -> str | None:
        """The class with most generated images, else the smallest of the training set, else of the test set."""
        if counts := self.generated.get(GENERATED):
            return max(counts, key=counts.__getitem__)
        if self.build and "train" in self.build.counts:
            train = self.build.per_class("train")
            return min(train, key=train.__getitem__)
        return self.runs.class_names[int(self.runs.galaxies_per_class.argmin())] if self.runs else None

    @property
    def mix(self) -> np.ndarray | None:
        """Galaxies of each class in all splits together, shape (classes,): how frequent they are in the data."""
        return np.array([*self.build.per_class().values()], float) if self.build else None

    @property
    def question(self) -> Question:
        """What the study asks of its classifiers: the preset's look_alike and margin, and what its data say."""
        names = self.runs.class_names if self.runs else self.class_names
        look_alike = self.preset.get("look_alike")
        if look_alike is not None and look_alike not in names:
            raise UserError(f"study.yaml: look_alike {look_alike!r} is not one of the classes {', '.join(names)}")
        return Question(names, self.rare_class, look_alike, self.mix, self.preset.get("margin", MARGIN))  # pyright: ignore[reportArgumentType]

    @property
    def missing(self) -> list[Run]:
        """Runs that the preset plans but that are not there."""
        return [run for run in planned_runs(self.preset) if not self.runs or run not in self.runs.probabilities]

    def record(self, run: Run) -> dict[str, Any]:
        """What the training of a run recorded, in the first fold where there are several."""
        place = Path("classifiers") / run.path
        return self.provenance.get(str(self.folders[run.draw] / place if len(self.folders) > 1 else place), {})

    def settings(self, run: Run) -> dict[str, Any]:
        """The settings that the training of a run recorded."""
        return self.record(run).get("config", {})

    def ratio(self, run: Run) -> float | None:
        """Generated images of the rare class per real one in the training of a run; None where not recorded."""
        counts = self.record(run).get("n_train", {}).get(self.rare_class)
        return counts.get("generated", 0) / counts["real"] if counts and counts.get("real") else None

    @property
    def added(self) -> dict[str, int]:
        """Images of the rare class that each arm adds to the real ones, as its first run recorded them, by arm."""
        found: dict[str, int] = {}
        for run in self.runs.probabilities if self.runs else ():
            counts = self.record(run).get("n_train", {}).get(self.rare_class)
            if counts and counts.get("real"):
                found.setdefault(run.arm, sum(counts.values()) - counts["real"])
        return found

    @property
    def images(self) -> dict[str, tuple[str, ...]]:
        """The folders of generated images that an arm trains on, by arm: as the preset plans them, else as recorded.

        An arm that is missing here is original, a cheap remedy, or a ceiling.
        """
        found = {arm: dict.fromkeys(folders_of(settings)) for arm, settings in self.preset.get("arms", {}).items()}
        for run in self.runs.probabilities if self.runs else ():
            if run.arm not in self.preset.get("arms", {}) and (folder := self.images_of(run)):
                found.setdefault(run.arm, {})[folder] = None
        return {arm: tuple(names) for arm, names in found.items() if names}

    def images_of(self, run: Run) -> str | None:
        """The folder of generated images that a run trains on, as the preset plans it, else as recorded."""
        if arm := self.preset.get("arms", {}).get(run.arm):
            return folder_of(arm, run.seed)
        recorded = self.settings(run).get("augment_with")
        return recorded and Path(recorded).name

    def maker(self, images: str) -> str:
        """The generator of a folder of images, or the folder's name where the preset does not say."""
        return self.preset.get("generated", {}).get(images, {}).get("model", images)

    @property
    def generators(self) -> dict[str, str]:
        """The kind of generator of an arm's images, by arm; see `arms.kind_of`."""
        return {
            arm: "+".join(dict.fromkeys(kind_of(self.maker(folder)) for folder in folders))
            for arm, folders in self.images.items()
        }

    @property
    def makers(self) -> dict[Run, str]:
        """The generator whose images a run trains on, for each that trains on any."""
        runs = self.runs.probabilities if self.runs else ()
        return {run: self.maker(images) for run in runs if (images := self.images_of(run))}

    @property
    def ceilings(self) -> frozenset[str]:
        """Arms that train on new real galaxies, which generated images are not asked to outdo."""
        runs = self.runs.probabilities if self.runs else ()
        return frozenset(run.arm for run in runs if self.settings(run).get(CEILING))

    def is_in_sweep(self, run: Run) -> bool:
        """Whether a run is original, the study's question, or differs from the latter only in its number of images."""
        same_images = self.images.get(run.arm) == self.images.get(QUESTION)
        settings = self.settings(run)
        only_fewer = same_images and settings.get("augment_ratio") is not None and not settings.get("filtered")
        return run.arm in (BASELINE, QUESTION) or only_fewer

    @property
    def steps(self) -> dict[str, set[int]]:
        """Optimiser steps that the runs of each backbone recorded."""
        taken: dict[str, set[int]] = {}
        for run in self.runs.probabilities if self.runs else ():
            if (steps := self.record(run).get("steps")) is not None:
                taken.setdefault(run.backbone, set()).add(steps)
        return taken


def read_study(folders: Sequence[Path]) -> Study:
    """Read a study folder; or those of folds, whose test galaxies are pooled; or of draws, which test the same ones.

    Raises
    ------
    UserError
        If a folder is not a study, one of its files is damaged, or the folds do not fit together.

    Examples
    --------
    >>> read_study([Path("runs/study")]).rare_class  # doctest: +SKIP
    'cigar_shaped_smooth'
    """
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UserError(f"{', '.join(map(str, folders))}: a study is given twice; name each once")
    studies = [read_folder(folder) for folder in folders]
    first = studies[0]
    if len(studies) == 1:
        return first
    provenance = {str(s.folder / name): record for s in studies for name, record in s.provenance.items()}
    runs = pool(folders, [study.runs for study in studies])
    return Study(tuple(folders), first.preset, first.build, first.generated, runs, provenance, first.training)


def read_folder(folder: Path) -> Study:
    if not any((folder / part).exists() for part in PARTS):
        raise UserError(f"{folder}: not a study (no {', '.join(PARTS)} in it); make one with make study CONFIG=...")
    file = folder / "study.yaml"
    preset = read_yaml(file, "run the study again") or {} if file.exists() else {}
    check_names(preset)
    names = list({GENERATED: {}} | preset.get("generated", {}))
    sets = {name: read_metadata(str(folder / name)) for name in names if (folder / name / METADATA).exists()}
    makers = [folder / part / "run.json" for part in (*generators(preset), *names, "showcase", "sagan_showcase")]
    records = [*makers, *sorted(folder.glob("classifiers/*/*/seed*/metrics.json"))]
    build = BuildRecord.read(data) if ((data := folder / "data") / BUILD_FILE).exists() else None
    runs = read_runs(folder / "classifiers", planned_runs(preset))
    if build and runs and set(build.classes) != set(runs.class_names):
        raise UserError(f"{folder}: the classifiers know other classes than the data; train them on this data")
    existing = [path for path in records if path.exists()]
    provenance = {str(p.parent.relative_to(folder)): record for p in existing if (record := read_record(p, AGAIN))}
    configs = [record.get("config", {}) for record in provenance.values()]
    in_blocks = [config for config in configs if config.get("augment_with") and config.get("augment_block")]
    blocks = {Path(config["augment_with"]).name: max(config["augment_block"][1], 1) for config in in_blocks}
    return Study(
        (folder,),
        preset,
        build,
        {
            name: {label: n // blocks.get(name, 1) for label, n in Counter(row["label"] for row in rows).items()}
            for name, rows in sets.items()
            if rows
        },
        runs,
        provenance,
        list(lines_of(folder / "ddpm" / "metrics.jsonl")),
        read_runs(folder / "classifiers", planned_runs(preset), "generated_predictions.csv"),
    )


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; none if there is no file."""
    return (line for _, line in read_json_lines(path, AGAIN)) if path.exists() else iter(())


def first_by_seed(folder: Path, class_names: tuple[str, ...], per_class: int) -> np.ndarray | None:
    """The generated images of each class with the smallest seeds.

    Parameters
    ----------
    folder : Path
        Generated-images folder with ``metadata.jsonl``.
    class_names : tuple of str
    per_class : int
        Images wanted; fewer where a class has fewer.

    Returns
    -------
    ndarray of uint8, shape (classes, images, H, W, 3), or None
        None where a class has no image.
    """
    rows = read_metadata(str(folder)) if (folder / METADATA).exists() else []
    rows = sorted(rows, key=lambda row: row.get("seed", 0))
    files = [[folder / row["file_name"] for row in rows if row["label"] == name] for name in class_names]
    count = min(per_class, *map(len, files)) if files else 0
    if count == 0:
        return None
    try:
        return np.stack([[read_picture(file) for file in row[:count]] for row in files])
    except ValueError:
        raise UserError(f"{folder}: its images have different sizes; generate them again") from None
