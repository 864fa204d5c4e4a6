"""Small pictures of each class for the dataset card."""

from pathlib import Path

from PIL import Image

from .crop import prepare_image
from .images import decode
from .parquet_rows import ParquetRows, shard_files
from .splits import hash_of

PICTURES, TILE, TILES = "pictures", 72, 8


def picture_of(label: int) -> str:
    """Path of the picture of a class in the dataset's folder."""
    return f"{PICTURES}/class_{label}.jpg"


def save_pictures(folder: Path, center_crop: int) -> None:
    """Write a strip of training galaxies for each class: those with the smallest SHA-256 of image_id.

    Parameters
    ----------
    folder : Path
        A built dataset, which gets ``pictures/class_LABEL.jpg``. A class without training galaxies
        gets no picture, and an image that cannot be decoded is skipped.
    center_crop : int
        Side in pixels of the central square that is shown of each image; 0 is the whole image.
    """
    rows = ParquetRows(shard_files(folder, "train"))
    of_class: dict[int, list[tuple[str, int, int]]] = {}
    for group in range(len(rows.groups)):
        table = rows.read(group, ["label", "image_id"]).to_pydict()
        for place, (label, image_id) in enumerate(zip(table["label"], table["image_id"], strict=True)):
            if label is not None:
                of_class.setdefault(label, []).append((hash_of(image_id), group, place))
    (folder / PICTURES).mkdir(exist_ok=True)
    for label, galaxies in of_class.items():
        strip, filled = Image.new("RGB", (TILES * TILE, TILE)), 0
        for _, group, place in sorted(galaxies):
            try:
                pixels = decode(rows.read(group, ["image"])["image"][place]["bytes"].as_py())
            except OSError:
                continue
            strip.paste(Image.fromarray(prepare_image(pixels, TILE, center_crop)), (filled * TILE, 0))
            filled += 1
            if filled == TILES:
                break
        strip.save(folder / picture_of(label), quality=85)
