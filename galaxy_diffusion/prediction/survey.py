"""The images of a survey: a folder, a zip, a pattern of names, or a catalogue with a column of file names."""

import glob
import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from astropy.table import Table

from galaxy_diffusion.prediction.catalogue import FORMATS, read_catalogue
from gz2_dataset import UserError
from gz2_dataset.image_ids import FORMULA
from gz2_dataset.pixel_values import cube
from gz2_dataset.sources.files import MAX_IMAGE_BYTES, NOT_OF_THE_USER, Files
from gz2_dataset.sources.image_names import IMAGE_SUFFIXES, is_image, side_by_side


@dataclass(frozen=True)
class Survey:
    """Images in a fixed order, and what is known about each; no image is in memory.

    Attributes
    ----------
    table : Table
        One row for each image: the columns of the catalogue, or the name alone.
    names : sequence of str
        Of each row's file.
    read : callable
        Returns the bytes of the file of a name, or raises OSError.
    fingerprint : str
        Changes when an image is added or removed, or with the content of the catalogue.
    """

    table: Table
    names: Sequence[str]
    read: Callable[[str], bytes]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.names)


def open_survey(images: str, image_column: str, bands: tuple[str, ...] = ()) -> Survey:
    """Find the images.

    Parameters
    ----------
    images : str
        A folder, looked through with its subfolders and zips; a zip; a catalogue; or one or many images as a pattern
        such as ``cutouts/*/*.jpg``.
    image_column : str
        The catalogue's column of file names, relative to the catalogue. The same name is given to the file names of
        the others.
    bands : tuple of str
        Bands of which each image has one file, as `image_names.side_by_side` finds them. A catalogue names the image,
        without a band, or the file of any of its bands.

    Raises
    ------
    UserError
        If there are no images, or the catalogue cannot be read or has no such column.
    """
    path = Path(images)
    if path.is_dir() or path.suffix.lower() == ".zip":
        if not path.exists():
            raise UserError(f"--images {images}: no such file")
        files = Files(path, unwanted=NOT_OF_THE_USER)
        return named(images, image_column, files.names, files.read, bands)
    if path.suffix.lower() in FORMATS:
        return of_catalogue(path, image_column, bands)
    found = sorted(glob.glob(images, recursive=True))
    return named(images, image_column, found, lambda name: read_file(Path(name)), bands)


def named(
    images: str, image_column: str, found: Sequence[str], read: Callable[[str], bytes], bands: tuple[str, ...]
) -> Survey:
    """The survey of those of the files whose suffix says that they are images; a line on stderr counts the others."""
    names, others = [], Counter()
    for name in found:
        if is_image(name):
            names.append(name)
        else:
            others[PurePath(name).suffix or "no suffix"] += 1
    text = ", ".join(f"{count:,} with {suffix}" for suffix, count in others.most_common())
    if not names:
        raise UserError(
            f"--images {images}: no images found{f', only {text}' if text else ''}; they must be JPEG, PNG, TIFF or "
            f"FITS files ({', '.join(IMAGE_SUFFIXES)})"
        )
    if text:
        print(f"note: {images}: files that are no images are left out: {text}", file=sys.stderr)
    if bands:
        groups, lacking = side_by_side(names, bands)
        if not groups:
            raise UserError(f"--images {images}: no image has a file of each of the bands {', '.join(bands)}")
        if lacking:
            print(f"note: {images}: files of images without all bands are left out: {len(lacking):,}", file=sys.stderr)
        return Survey(Table({image_column: shown([*groups])}), [*groups], together(groups, read), digest_of(names))
    return Survey(Table({image_column: shown(names)}), names, read, digest_of(names))


def together(groups: dict[str, tuple[str, ...]], read: Callable[[str], bytes]) -> Callable[[str], bytes]:
    """Reads the files of an image's bands as one."""

    def of_all_bands(name: str) -> bytes:
        if name not in groups:
            raise OSError("not all of its bands are there")
        return cube([read(file) for file in groups[name]])

    return of_all_bands


def of_catalogue(path: Path, image_column: str, bands: tuple[str, ...]) -> Survey:
    """The images that a catalogue names."""
    if not path.is_file():
        raise UserError(f"--images {path}: no such file")
    table = read_catalogue(path)
    if image_column not in table.colnames:
        raise UserError(
            f"{path}: no column {image_column!r}; name the column of file names with --image_column, one of "
            f"{', '.join(table.colnames)}"
        )
    names = [str(name or "") for name in table[image_column].tolist()]
    if bands:
        files = Files(path.parent, unwanted=NOT_OF_THE_USER)
        groups, _ = side_by_side(filter(is_image, files.names), bands)
        image_of = {file: image for image, group in groups.items() for file in group}
        names = [image_of.get(name, name) for name in names]
        if not groups.keys() & set(names):
            raise UserError(f"{path}: no image that it names has a file of each of the bands {', '.join(bands)}")
        return Survey(table, names, together(groups, files.read), digest_of([*names, sha256(path)]))
    if not any((path.parent / name).is_file() for name in names):
        first = f" such as {path.parent / names[0]}" if names else ""
        raise UserError(f"{path}: no images found: none of its {len(names):,} files is there{first}; check the paths")
    return Survey(table, names, lambda name: read_file(path.parent / name), digest_of([*names, sha256(path)]))


def read_file(path: Path) -> bytes:
    """The bytes of an image file.

    Raises
    ------
    OSError
        If it is not there or larger than 64 MB, which no galaxy cutout is.
    """
    if not path.is_file():
        raise OSError("no such file")
    if path.stat().st_size > MAX_IMAGE_BYTES:
        raise OSError("larger than 64 MB")
    return path.read_bytes()


def shown(names: Sequence[str]) -> list[str]:
    """Names of files as text, for tables: bytes that are no UTF-8 have become question marks, and none is a formula.

    Examples
    --------
    >>> shown(["a.jpg", "=cmd.jpg"])
    ['a.jpg', './=cmd.jpg']
    """
    texts = (name.encode(errors="replace").decode() for name in names)
    return [f"./{name}" if re.match(FORMULA, name) else name for name in texts]


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(names: Sequence[str]) -> str:
    """SHA-256 of a list of names."""
    found = hashlib.sha256()
    for name in names:
        found.update(f"{name}\0".encode(errors="surrogateescape"))
    return found.hexdigest()
