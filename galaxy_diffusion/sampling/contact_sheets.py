"""Pictures made of many images: contact sheets, strips and animations."""

from pathlib import Path

import numpy as np
from PIL import Image

from gz2_dataset.aside import written_aside

MIN_SIDE = 128  # smallest side of an animated image, in pixels
FRAME_MS, LAST_MS = 80, 1500


def tile(images: np.ndarray) -> np.ndarray:
    """Images of uint8, shape (R, C, H, W, 3), as one of R rows and C columns, shape (R * H, C * W, 3)."""
    rows, columns, height, width, channels = images.shape
    return images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def save_picture(path: Path, pixels: np.ndarray) -> None:
    """Write pixels of uint8, shape (H, W, 3), as PNG, whole or not at all."""
    with written_aside(path) as aside:
        Image.fromarray(pixels).save(aside, "PNG", optimize=True)


def save_animation(path: Path, frames: np.ndarray, quality: int = 90) -> None:
    """Write an endless animated WebP that pauses on its last frame, whole or not at all.

    Parameters
    ----------
    path : Path
    frames : ndarray of uint8, shape (N, F, H, W, 3)
        N sequences, shown side by side; small ones are enlarged.
    quality : int
        Of the WebP, 0 to 100: noise takes many bytes.
    """
    scale = max(1, MIN_SIDE // frames.shape[2])
    pictures = [Image.fromarray(tile(frames[None, :, i])) for i in range(frames.shape[1])]
    pictures = [p.resize((p.width * scale, p.height * scale), Image.Resampling.LANCZOS) for p in pictures]
    with written_aside(path) as aside:
        pictures[0].save(
            aside,
            "WEBP",
            save_all=True,
            append_images=pictures[1:],
            duration=[FRAME_MS] * (len(pictures) - 1) + [LAST_MS],
            loop=0,
            quality=quality,
        )


def contact_sheet(folder: Path, class_names: list[str], columns: int = 16) -> np.ndarray:
    """The first images by seed of a generated folder, one row per class that has any; shape (R * H, C * W, 3)."""
    rows = [files[:columns] for name in class_names if (files := sorted((folder / name).glob("[0-9]*.jpg")))]
    images = [[np.asarray(Image.open(file).convert("RGB")) for file in row] for row in rows]
    sheet = np.zeros((len(rows), max(map(len, rows)), *images[0][0].shape), np.uint8)
    for row, filled in zip(sheet, images, strict=True):
        row[: len(filled)] = filled
    return tile(sheet)
