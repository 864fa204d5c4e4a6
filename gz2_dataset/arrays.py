"""Prepared uint8 arrays, decoded once per resolution, memory-mapped from then on."""

import hashlib
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path

import datasets
import filelock
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from .aside import written_aside
from .command_line import UserError
from .crop import WHOLE, prepare_image
from .images import decode, encoded_bytes
from .loading import crop_of, digests, encoded, load
from .votes import VOTE_COLUMNS

NATIVE_RESOLUTION = 224
IMAGES_A_PART = 64


class GalaxyList:
    """What is known about the galaxies of a split without their images, and what follows from it.

    Attributes
    ----------
    labels : ndarray of int64, shape (N,)
        Index into class_names; -1 where a galaxy has no class.
    image_ids : list of str
    digests : list of str
        SHA-256 of each image's bytes as stored.
    class_names : tuple of str
    center_crop : int
        Side in pixels of the central square that is kept of each original image; 0 is the whole image.
    """

    labels: np.ndarray
    image_ids: list[str]
    digests: list[str]
    class_names: tuple[str, ...]
    center_crop: int

    @cached_property
    def fingerprint(self) -> str:
        """Hash of class names, ids, labels and image bytes."""
        return fingerprint_of(self.class_names, self.image_ids, self.labels, self.digests)

    @property
    def counts(self) -> np.ndarray:
        """Galaxies of each class, int (classes,); those without a class are not counted."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names))

    def of_class(self, name: str) -> np.ndarray:
        """Rows of the galaxies of a class, int (n,)."""
        return np.flatnonzero(self.labels == self.class_names.index(name))


@dataclass(frozen=True)
class GalaxyArrays(GalaxyList):
    """Images of one split as an array, with the attributes and methods of `GalaxyList`.

    Attributes
    ----------
    images : ndarray of uint8, shape (N, H, W, 3)
        Memory-mapped and read-only when `load_arrays` made them.
    votes : ndarray of float32, shape (N, 37), or None
        Vote fractions in the order of `VOTE_COLUMNS`; None where the source lacks some of them.

    Examples
    --------
    >>> pair = GalaxyArrays(np.zeros((2, 8, 8, 3), np.uint8), np.array([1, 0]), ["a", "b"], ["", ""], ("ring", "bar"))
    >>> pair.of_class("bar"), pair.counts
    (array([0]), array([1, 1]))
    >>> concatenate([pair, pair.take(pair.of_class("bar"))]).image_ids
    ['a', 'b', 'a']
    """

    images: np.ndarray
    labels: np.ndarray
    image_ids: list[str]
    digests: list[str]
    class_names: tuple[str, ...]
    _: KW_ONLY
    votes: np.ndarray | None = None
    center_crop: int = WHOLE

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "GalaxyArrays":
        """Some of the galaxies, copied into memory.

        Parameters
        ----------
        rows : ndarray of int or bool
        """
        rows = np.arange(len(self))[rows]
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            image_ids=[self.image_ids[row] for row in rows],
            digests=[self.digests[row] for row in rows],
            votes=None if self.votes is None else self.votes[rows],
        )


def concatenate(parts: Sequence[GalaxyArrays]) -> GalaxyArrays:
    """Galaxies of the same classes, size and crop, one part after another, in memory.

    Votes are kept if all parts have them.

    Raises
    ------
    ValueError
        If the parts do not fit together, or there is none.
    """
    if len({(part.class_names, part.center_crop, part.images.shape[1:]) for part in parts}) != 1:
        raise ValueError("there must be parts, with the same classes, crop and size of images")
    votes = [part.votes for part in parts if part.votes is not None]
    return GalaxyArrays(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        [image_id for part in parts for image_id in part.image_ids],
        [digest for part in parts for digest in part.digests],
        parts[0].class_names,
        votes=np.concatenate(votes) if len(votes) == len(parts) else None,
        center_crop=parts[0].center_crop,
    )


def load_arrays(data: str, split: str, resolution: int, jpeg: bool = False) -> GalaxyArrays:
    """Load a split as a prepared array; the first call makes it in the cache of `datasets`.

    Of each image the dataset's own crop is kept; see `loading.crop_of`.

    Parameters
    ----------
    data : str
        As in `load`.
    split : str
        One of `splits.SPLITS`; an absent one gives empty arrays.
    resolution : int
        Height and width in pixels.
    jpeg : bool
        Pass each prepared image once through the JPEG compression of generated images, so that its traces do not tell
        real from generated.

    Returns
    -------
    GalaxyArrays

    Examples
    --------
    >>> load_arrays("data/gz2", "train", resolution=64).images.shape  # doctest: +SKIP
    (3003, 64, 64, 3)
    """
    opened = load(data)
    class_names = tuple(opened["train"].features["label"].names)
    has_votes = set(VOTE_COLUMNS) <= set(opened["train"].column_names)
    center_crop = crop_of(data)
    if split not in opened:
        nothing = np.zeros((0, resolution, resolution, 3), np.uint8)
        votes = np.zeros((0, len(VOTE_COLUMNS)), np.float32) if has_votes else None
        return GalaxyArrays(nothing, np.zeros(0, np.int64), [], [], class_names, votes=votes, center_crop=center_crop)
    galaxies = opened[split]
    image_ids, hashes = list(galaxies["image_id"]), digests(galaxies)
    labels = np.array([-1 if label is None else label for label in galaxies["label"]], np.int64)
    votes = np.stack([galaxies[name] for name in VOTE_COLUMNS], axis=1, dtype=np.float32) if has_votes else None
    fingerprint = fingerprint_of(class_names, image_ids, labels, hashes)
    compressed = f"-jpeg{jpeg_settings(resolution)['quality']}" if jpeg else ""
    name = f"{fingerprint[:16]}-{resolution}-crop{center_crop}{compressed}.npy"
    path = Path(datasets.config.HF_DATASETS_CACHE) / "galaxy_arrays" / name
    shape = (len(image_ids), resolution, resolution, 3)
    if (images := opened_array(path, shape)) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):  # of several commands that start at once, one prepares
            if (images := opened_array(path, shape)) is None:
                for left in path.parent.glob(f".*-{path.name}"):  # by a command that was killed
                    left.unlink()
                prepare(galaxies, image_ids, path, resolution, center_crop, jpeg)
                images = np.load(path, mmap_mode="r")
    return GalaxyArrays(images, labels, image_ids, hashes, class_names, votes=votes, center_crop=center_crop)


def opened_array(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """A prepared array, memory-mapped; None if it is absent, cut or of another shape, and so has to be made (again)."""
    try:
        images = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return images if images.shape == shape else None


def fingerprint_of(class_names: tuple[str, ...], image_ids: list[str], labels: np.ndarray, hashes: list[str]) -> str:
    """Hash of the content of a split."""
    return hashlib.sha256(repr((class_names, image_ids, labels.tolist(), hashes)).encode()).hexdigest()


def prepare(
    galaxies: datasets.Dataset, image_ids: list[str], path: Path, resolution: int, center_crop: int, jpeg: bool
) -> None:
    """Decode, crop and resize every image into one .npy file."""
    images, turn = encoded(galaxies), threading.Lock()

    def fill(start: int) -> int:
        """Write the images from ``start`` on to their place in the file, so that none of its pages stays in memory."""
        part = []
        for image_id, image in zip(image_ids[start:], images[start : start + IMAGES_A_PART], strict=False):
            try:
                prepared = prepare_image(decode(encoded_bytes(image)), resolution, center_crop)
            except OSError as error:
                raise UserError(f"image {image_id}: cannot be decoded ({error}); remove it and build again") from None
            part.append(jpeg_round_trip(prepared) if jpeg else prepared)
        with turn:
            file.seek(offset + start * part[0].nbytes)
            file.write(np.stack(part).data)
        return len(part)

    # Pillow releases the interpreter lock while it decodes and resizes.
    with (
        written_aside(path) as aside,
        aside.open("w+b") as file,
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=len(image_ids), desc=f"prepare {resolution} px", unit="image") as bar,
    ):
        shape = (len(image_ids), resolution, resolution, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        offset = file.tell()
        for done in pool.map(fill, range(0, len(image_ids), IMAGES_A_PART)):
            bar.update(done)
        os.fsync(file.fileno())


def jpeg_settings(resolution: int) -> dict[str, int]:
    """Quality and chroma subsampling (Pillow's numbering) with which images of a resolution are stored.

    At the resolution of the survey's cutouts they are those of the SDSS files (quality 75, 4:2:0). At lower resolutions
    they are 100 and 4:4:4: resizing has averaged away the traces of that compression, 4:2:0 would halve the colour
    resolution of the few pixels left, and a quality of 95 moves the pixels of a real galaxy at 64 px by 1.7 grey levels
    (rms), more than half of its sky's noise; 100 moves them by 0.65, mostly by rounding.
    """
    return {"quality": 75, "subsampling": 2} if resolution >= NATIVE_RESOLUTION else {"quality": 100, "subsampling": 0}


def encode_jpeg(image: Image.Image, quality: int | None = None) -> bytes:
    """The JPEG file of an image, as images of its size are stored, or in the quality of an earlier version."""
    buffer = BytesIO()
    settings = jpeg_settings(image.width)
    image.save(buffer, "JPEG", **(settings | {"quality": quality} if quality else settings))
    return buffer.getvalue()


def jpeg_round_trip(pixels: np.ndarray, quality: int | None = None) -> np.ndarray:
    """An image (H, W, 3) as it comes back from its JPEG file; see `encode_jpeg`."""
    return decode(encode_jpeg(Image.fromarray(pixels), quality))
