"""A folder of generated images: writing it image by image, reading it as arrays."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from galaxy_diffusion.shared.seen_images import refuse_other_crop
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.arrays import NATIVE_RESOLUTION, encode_jpeg
from gz2_dataset.aside import write_whole
from gz2_dataset.images import decode
from gz2_dataset.kinds import is_of
from gz2_dataset.reading import read_json_lines

METADATA = "metadata.jsonl"
VERDICTS = ("kept", "filter")
"""Keys that evaluate_images.py adds to a row."""


USE = "for training classifiers, not for population statistics"
"""What generated images are fit for, as their run.json says: their mix of kinds is not that of the sky."""


def load_generated(folder: str, class_names: tuple[str, ...], resolution: int, center_crop: int) -> GalaxyArrays:
    """Read the images of generate.py's output folder.

    Parameters
    ----------
    folder : str
        Holds ``metadata.jsonl`` with file_name and label.
    class_names : tuple of str
        The classes of the data that the images are added to or compared with.
    resolution : int
        Side of the images in pixels. Others are refused: resizing would leave a trace that tells them from real ones.
    center_crop : int
        What is kept of each image of the data, as in `GalaxyArrays`. A generator that has learned from another crop is
        refused: its galaxies have another scale.

    Returns
    -------
    GalaxyArrays
        In the order of metadata.jsonl; image_ids are the file names.

    Raises
    ------
    UserError
        If the folder has no finished metadata.jsonl, another crop or an unknown class, or if an image has another size
        or cannot be read.
    """
    rows = read_metadata(folder)
    refuse_other_crop(folder, center_crop)
    images = np.empty((len(rows), resolution, resolution, 3), np.uint8)
    labels, hashes = np.empty(len(rows), np.int64), []
    for i, row in enumerate(rows):
        path = Path(folder) / row["file_name"]
        if row["label"] not in class_names:
            raise UserError(f"{path}: class {row['label']!r} is not one of the data's ({', '.join(class_names)})")
        try:
            if path.exists() and not path.is_file():
                raise OSError("no regular file")
            content = path.read_bytes()
            image = decode(content)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error}); delete it and run generate.py again") from None
        if image.shape[:2] != (resolution, resolution):
            height, width, _ = image.shape
            raise UserError(
                f"{path}: {width} x {height} pixels instead of {resolution}; generate with a model of that resolution, "
                f"or give --resolution {width}"
            )
        images[i] = image
        labels[i] = class_names.index(row["label"])
        hashes.append(hashlib.sha256(content).hexdigest())
    if resolution < NATIVE_RESOLUTION and any(is_lossy(Path(folder) / row["file_name"]) for row in rows[:1]):
        print(
            f"note: {folder}: its images were stored with loss, by an earlier version: make them again by generate.py, "
            "or the traces of their compression may tell them from real ones"
        )
    names = [row["file_name"] for row in rows]
    return GalaxyArrays(images, labels, names, hashes, class_names, center_crop=center_crop)


def is_lossy(path: Path) -> bool:
    """Whether a file is a JPEG whose quality is below 100: only then is a step of its tables larger than 1."""
    with Image.open(path) as image:
        return any(max(table) > 1 for table in getattr(image, "quantization", {}).values())


def read_metadata(folder: Path | str) -> list[dict]:
    """The rows of a generated folder's metadata.jsonl; a row that names a file outside is refused, links resolved."""
    path = Path(folder) / METADATA
    if not path.exists():
        raise UserError(f"{path}: no such file; make the images with generate.py --output_dir {folder}")
    remedy = "remove the line, or make the images again"
    rows, inside = [], Path(folder).resolve()
    for number, row in read_json_lines(path, remedy):
        try:
            file = Path(folder, row["file_name"]).resolve()
            problem = "" if file.is_relative_to(inside) else f"{row['file_name']!r} is outside the folder"
            problem = problem or ("" if isinstance(row["label"], str) else "its label is no class")
            problem = problem or ("" if is_of(row.get("seed", 0), int) else "its seed is no number")
        except (ValueError, TypeError, KeyError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            raise UserError(f"{path}, line {number}: {problem}; {remedy}")
        rows.append(row)
    return rows


def file_of(folder: Path, class_name: str, seed: int) -> Path:
    """The file of the image of a class and seed."""
    return folder / class_name / f"{seed:08d}.jpg"


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write an image in the format in which the real ones are stored."""
    write_whole(path, encode_jpeg(Image.fromarray(pixels)))


def write_metadata(folder: Path, describe: Callable[[str, int], dict]) -> None:
    """List every image of the folder in metadata.jsonl, those of earlier calls included.

    Images keep the verdicts of the filter; new images have none until they are evaluated.

    Parameters
    ----------
    folder : Path
    describe : callable
        Returns what else to record about the image of a class and seed.
    """
    earlier = {row["file_name"]: row for row in read_metadata(folder)} if (folder / METADATA).exists() else {}
    rows = []
    for path in sorted(folder.glob("*/[0-9]*.jpg")):
        name, seed = path.parent.name, int(path.stem)
        row = {"file_name": f"{name}/{path.name}", "label": name, "seed": seed, **describe(name, seed)}
        old = earlier.get(row["file_name"], {})
        verdicts = {key: old.pop(key) for key in VERDICTS if key in old}
        rows.append(row | verdicts if old == json.loads(json.dumps(row)) else row)
    save_rows(folder, rows)


def write_verdicts(folder: Path, verdicts: dict[str, dict[str, bool]]) -> None:
    """Add the verdicts of `filter` to metadata.jsonl.

    Parameters
    ----------
    folder : Path
    verdicts : dict
        The outcome of each test, by file name. An image that has passed all of them is ``kept``.

    Raises
    ------
    UserError
        If an image in metadata.jsonl has no verdict: it was added after the evaluation began.
    """
    rows = read_metadata(folder)
    if missing := next((row["file_name"] for row in rows if row["file_name"] not in verdicts), None):
        raise UserError(f"{folder}: {missing} was added during the evaluation; run evaluate_images.py again")
    save_rows(
        folder,
        [row | {"kept": all((found := verdicts[row["file_name"]]).values()), "filter": found} for row in rows],
    )


def save_rows(folder: Path, rows: list[dict]) -> None:
    write_whole(Path(folder) / METADATA, "".join(json.dumps(row) + "\n" for row in rows))
