"""A folder of generated images: writing it image by image, reading it as arrays."""

import hashlib
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.arrays import encode_jpeg


def load_generated(folder: str, class_names: tuple[str, ...], resolution: int) -> GalaxyArrays:
    """Read the images of generate.py's output folder.

    Parameters
    ----------
    folder : str
        Holds ``metadata.jsonl`` with file_name and label.
    class_names : tuple of str
        The classes of the data that the images are added to or compared with.
    resolution : int
        Side of the images in pixels. Others are refused: resizing would leave a trace that tells them from real ones.

    Returns
    -------
    GalaxyArrays
        In the order of metadata.jsonl; image_ids are the file names.

    Raises
    ------
    UserError
        If the folder has no finished metadata.jsonl, an unknown class, or an image of another size or that cannot be
        read.
    """
    rows = read_metadata(folder)
    images = np.empty((len(rows), resolution, resolution, 3), np.uint8)
    labels, hashes = np.empty(len(rows), np.int64), []
    for i, row in enumerate(rows):
        path = Path(folder) / row["file_name"]
        if row["label"] not in class_names:
            raise UserError(f"{path}: class {row['label']!r} is none of the data's ({', '.join(class_names)})")
        try:
            content = path.read_bytes()
            image = Image.open(BytesIO(content)).convert("RGB")
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error}); delete it and run generate.py again") from None
        if image.size != (resolution, resolution):
            raise UserError(
                f"{path}: {image.width} x {image.height} pixels instead of {resolution}; generate with a model of that "
                f"resolution, or give --resolution {image.width}"
            )
        images[i] = image
        labels[i] = class_names.index(row["label"])
        hashes.append(hashlib.sha256(content).hexdigest())
    fingerprint = hashlib.sha256(repr((class_names, labels.tolist(), hashes)).encode()).hexdigest()
    return GalaxyArrays(images, labels, [row["file_name"] for row in rows], hashes, class_names, fingerprint)


def read_metadata(folder: str) -> list[dict]:
    """The rows of a generated folder's metadata.jsonl."""
    path = Path(folder) / "metadata.jsonl"
    if not path.exists():
        raise UserError(f"{path}: no such file; make the images with generate.py --output_dir {folder}")
    return [json.loads(line) for line in path.read_text().splitlines()]


def file_of(folder: Path, class_name: str, seed: int) -> Path:
    """Where the image of a class and seed lies."""
    return folder / class_name / f"{seed:08d}.jpg"


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write an image as the real ones are stored, aside first: what is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.write_bytes(encode_jpeg(Image.fromarray(pixels)))
    aside.replace(path)


def write_metadata(folder: Path, describe: Callable[[str, int], dict]) -> None:
    """List every image of the folder in metadata.jsonl, those of earlier calls included.

    Parameters
    ----------
    folder : Path
    describe : callable
        What is to be said of the image of a class and seed, besides these.
    """
    lines = []
    for path in sorted(folder.glob("*/[0-9]*.jpg")):
        name, seed = path.parent.name, int(path.stem)
        row = {"file_name": f"{name}/{path.name}", "label": name, "seed": seed, **describe(name, seed)}
        lines.append(json.dumps(row) + "\n")
    aside = folder / ".metadata.jsonl"
    aside.write_text("".join(lines))
    aside.replace(folder / "metadata.jsonl")
