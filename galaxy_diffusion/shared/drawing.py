"""Pictures of galaxies and of trainings, each as the bytes of a small PNG file."""

from io import BytesIO
from pathlib import Path
from textwrap import fill

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from galaxy_diffusion.shared.names import class_title
from gz2_dataset import UserError
from gz2_dataset.images import decode
from gz2_dataset.user_error import in_short

matplotlib.rcParams["text.parse_math"] = False  # a $ in the name of a class is a $

GAP, DPI = 4, 100
"""Space between two galaxies in pixels, and pixels per inch."""
SKY, PALE = "#05070d", "#e6e9f2"


def chart(figure: Figure) -> bytes:
    """A drawing as a PNG file with a palette."""
    return encode(render(figure).quantize(64))


def photograph(figure: Figure, bits: int) -> bytes:
    """A figure of galaxies as a PNG file with ``bits`` bits per colour channel: the lowest ones hold mostly noise."""
    # A palette would turn blue galaxies grey, as most of its colours go to the dark sky.
    step = 2 ** (8 - bits)
    return encode(Image.fromarray(np.asarray(render(figure)) // step * step + step // 2))


def render(figure: Figure) -> Image.Image:
    buffer = BytesIO()
    figure.savefig(buffer, dpi=DPI, format="png")
    return Image.open(buffer).convert("RGB")


def encode(image: Image.Image) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def mosaic(images: np.ndarray, cell: int) -> np.ndarray:
    """Galaxies, (rows, columns, H, W, 3), side by side in squares of ``cell`` pixels (Lanczos)."""
    rows, columns = images.shape[:2]
    step = cell + GAP
    canvas = np.full((rows * step - GAP, columns * step - GAP, 3), to_rgb(SKY))
    for r, c in np.ndindex(rows, columns):
        galaxy = Image.fromarray(images[r, c]).resize((cell, cell), Image.Resampling.LANCZOS)
        canvas[r * step : r * step + cell, c * step : c * step + cell] = np.asarray(galaxy) / 255
    return canvas


def galaxy_figure(
    blocks: list[np.ndarray], row_names: list[str], heads: list[list[str]], cell: int, bits: int
) -> bytes:
    """Blocks of galaxies side by side, one row per class, with a name left of each row and a head above each column.

    Parameters
    ----------
    blocks : list of ndarray of uint8, shape (rows, columns, H, W, 3)
    row_names : list of str
    heads : list of list of str
        For each block, one head per column, or a single one for the whole block.
    cell : int
        Side of a galaxy in pixels.
    bits : int
        Bits per colour channel of the file.
    """
    mosaics = [mosaic(block, cell) for block in blocks]
    left, top, margin, between = 116, 30, 10, 24
    height = mosaics[0].shape[0] + top + margin
    width = left + sum(m.shape[1] for m in mosaics) + between * (len(mosaics) - 1) + margin
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=SKY)
    for i, name in enumerate(row_names):
        y = height - top - i * (cell + GAP) - cell / 2
        figure.text((left - 12) / width, y / height, fill(name, 12), color=PALE, fontsize=9, ha="right", va="center")
    x = left
    for pixels, names in zip(mosaics, heads, strict=True):
        figure.figimage(pixels, x, margin, origin="upper")
        for j, head in enumerate(names):
            centre = x + (j + 0.5) * pixels.shape[1] / len(names)
            figure.text(centre / width, 1 - top / 2 / height, head, color=PALE, fontsize=9, ha="center", va="center")
        x += pixels.shape[1] + between
    return photograph(figure, bits)


def real_beside_generated(real: np.ndarray, generated: np.ndarray, class_names: tuple[str, ...]) -> bytes:
    """Fig. 3: real galaxies on the left, generated on the right, one row per class; (classes, images, H, W, 3) each."""
    return galaxy_figure([real, generated], [*map(class_title, class_names)], [["Real"], ["Generated"]], 96, 6)


def rows_of_galaxies(rows: dict[str, np.ndarray], head: str) -> bytes:
    """Galaxies of one class, (images, H, W, 3) by the name of their row; as many of each as the shortest row has."""
    count = min(map(len, rows.values()))
    return galaxy_figure([np.stack([images[:count] for images in rows.values()])], [*rows], [[head]], 72, 6)


def denoising(frames: np.ndarray, timesteps: np.ndarray, class_names: tuple[str, ...]) -> bytes:
    """Fig. 4: from noise to galaxy, one row per class; frames (classes, steps, H, W, 3)."""
    return galaxy_figure([frames], [*map(class_title, class_names)], [[f"t = {t}" for t in timesteps]], 72, 5)


def plain(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9)


def read_picture(path: Path) -> np.ndarray:
    """The pixels of a picture that is there already, uint8 (H, W, 3).

    Raises
    ------
    UserError
        If it is no file, or cannot be read.
    """
    try:
        if not path.is_file():
            raise OSError("no file")
        return decode(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read as a picture ({in_short(error)}); make it again") from None
