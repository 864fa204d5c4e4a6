"""What a generator has seen: written beside its weights and its images, checked by everything that judges them.

A galaxy counts as seen when its image_id or the SHA-256 of its file is on the list. Which part of each image it
has seen is recorded in run.json.
"""

import csv
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from galaxy_diffusion.shared.shipped import find_model
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.aside import write_whole, written_aside
from gz2_dataset.crop import crop_in_words, recorded_crop
from gz2_dataset.reading import read_json

FILE = "seen_images.csv"
COLUMNS = ("image_id", "sha256")
DIGEST = "seen_images_sha256"
"""Key of run.json with the SHA-256 of the list."""
AGAIN = "make the model, or the images, again"
SAW_NOTHING = "none"
"""Stands in both columns of the only row where a generator is said to have seen no galaxy: an empty list may be a
damaged one."""


@dataclass(frozen=True)
class SeenImages:
    """The galaxies that a generator has learned from.

    Attributes
    ----------
    image_ids, digests : frozenset of str
    """

    image_ids: frozenset[str]
    digests: frozenset[str]

    @property
    def is_nothing(self) -> bool:
        """Whether the generator is said to have seen no galaxy."""
        return self.image_ids == {SAW_NOTHING}

    def rows(self, galaxies: GalaxyArrays) -> np.ndarray:
        """Rows of the galaxies that are among the seen ones, int (n,)."""
        pairs = zip(galaxies.image_ids, galaxies.digests, strict=True)
        return np.flatnonzero([name in self.image_ids or digest in self.digests for name, digest in pairs])


def write_seen_images(folder: Path, *splits: GalaxyArrays, parent: Path | None = None) -> None:
    """Write the list of what a generator was trained on into its folder.

    Parameters
    ----------
    folder : Path
    *splits : GalaxyArrays
        What it was trained on.
    parent : Path, optional
        The list of the model that the training started from.
    """
    rows = [row for split in splits for row in zip(split.image_ids, split.digests, strict=True)]
    if parent:
        rows += read_rows(parent)
    write_rows(folder, rows)


def write_rows(folder: Path, rows: list[tuple[str, str]]) -> None:
    """Write pairs of image_id and SHA-256 as the list of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(folder / FILE) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *dict.fromkeys(rows)])


def read_seen_images(folder: str | Path) -> SeenImages:
    """Read the list of a model folder, a folder of generated images, or a model on the Hub.

    Raises
    ------
    UserError
        If there is none, or it is empty, or a galaxy lacks one of the two columns, or lines have been lost.
    """
    path = file_of_model(str(folder), FILE) or Path(folder) / FILE
    pairs, record = read_rows(path), file_of_model(str(folder), "run.json")
    stated = read_json(record, AGAIN).get(DIGEST) if record else None  # None from earlier versions
    if stated not in (None, sha256(path.read_bytes()).hexdigest()):
        raise UserError(f"{path}: is not the list of which run.json speaks, and may have lost lines; {AGAIN}")
    return SeenImages(*(frozenset(column) for column in zip(*pairs, strict=True)))


def read_rows(path: Path) -> list[tuple[str, str]]:
    """The pairs of image_id and SHA-256 of a list.

    Raises
    ------
    UserError
        If there is none, or it is empty, or a galaxy lacks one of the two columns.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            pairs = [(row[COLUMNS[0]], row[COLUMNS[1]]) for row in csv.DictReader(file)]
        if not pairs or not all(map(all, pairs)):
            raise ValueError("it is empty or cut short")
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"{path}: does not say which images the generator saw ({error}); train the model with this toolkit and "
            "make the images with generate.py, or take another generator's with adopt_images.py"
        ) from None
    return pairs


def digest_of_list(folder: Path) -> dict[str, str]:
    """What run.json says of the list beside it, so that none can lose lines unseen; empty where there is no list."""
    return {DIGEST: sha256((folder / FILE).read_bytes()).hexdigest()} if (folder / FILE).exists() else {}


def copy_seen_images(model: str, folder: Path) -> None:
    """Put a model's list beside the images that it has generated, where it has one."""
    if (seen := file_of_model(model, FILE)) is not None:
        write_whole(folder / FILE, seen.read_bytes())


def refuse_if_seen(folder: str | Path, held_out: dict[str, GalaxyArrays]) -> SeenImages:
    """What a generator has seen; refused where it learned from a galaxy of ``held_out``.

    Parameters
    ----------
    folder : str or Path
        Folder of a model or of generated images.
    held_out : dict of GalaxyArrays
        The splits that no generator may have seen, by name.

    Raises
    ------
    UserError
        If the list is missing or holds a galaxy of ``held_out``.
    """
    seen = read_seen_images(folder)
    for split, galaxies in held_out.items():
        if len(rows := seen.rows(galaxies)):
            raise UserError(
                f"{folder}/{FILE}: the generator saw {galaxies.image_ids[rows[0]]} of the {split} split, so results "
                "would be worthless; use a generator trained on the train split of this data, and not started from a "
                "model that has seen its other splits"
            )
    return seen


def seen_crop(source: str | Path) -> int | None:
    """The crop of the images that a generator has learned from, as in `GalaxyArrays`; None where it is not recorded.

    Parameters
    ----------
    source : str or Path
        A model folder, a folder of generated images, or a model on the Hub: with ``run.json``.
    """
    record = file_of_model(str(source), "run.json")
    return recorded_crop(read_json(record, AGAIN)) if record else None


def refuse_other_crop(source: str | Path, center_crop: int) -> None:
    """Refuse a generator, or its images, if it has learned from another crop than the data's, ``center_crop``.

    Raises
    ------
    UserError
        If the crops differ, or the generator's is not recorded.
    """
    theirs = seen_crop(source)
    if theirs is None:
        raise UserError(
            f"{source}/run.json: does not say which part of each image the generator saw; train the model with this "
            "toolkit and make the images with generate.py"
        )
    if theirs != center_crop:
        raise UserError(
            f"{source}: the generator has learned from {crop_in_words(theirs)} of each image, but the data gives "
            f"{crop_in_words(center_crop)}; take the generator's data, or build it with --center_crop {theirs}"
        )


def file_of_model(model: str, name: str) -> Path | None:
    """A file beside a saved pipeline: local, on the Hub, or shipped; None if there is none."""
    model = find_model(model)
    if Path(model).is_dir():
        return Path(model) / name if (Path(model) / name).exists() else None
    try:
        return Path(hf_hub_download(model, name))
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None
