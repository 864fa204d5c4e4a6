"""The files that a user brings, in folders and zips, read in place; a zip within a zip is read from a copy."""

import gzip
import hashlib
import io
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import filterfalse
from pathlib import Path, PurePosixPath

import datasets

from gz2_dataset.build_record import BUILD_FILE
from gz2_dataset.command_line import UserError
from gz2_dataset.pixel_values import cube
from gz2_dataset.sources.image_names import is_image, side_by_side

CHUNK = 2**16
MAX_IMAGE_BYTES, MAX_TABLE_BYTES = 2**26, 2**31
NO_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError)
"""What `zipfile` raises for a zip that is damaged, or packed in a way that it does not know."""
NOT_OF_THE_USER = (".", "__MACOSX")
"""How the names of hidden files and of shadow files of macOS begin."""
Entry = Path | tuple[zipfile.ZipFile, zipfile.ZipInfo]
"""Where a file is: in a folder, or in a zip."""
UNLABELLED = ("images_test", "all_ones", "all_zeros", "central_pixel")
"""How the names of the Kaggle files without labels begin."""


def oddity(path: Path) -> str:
    """Why an entry of a folder cannot be read like a file; empty if it can."""
    if not path.is_file():
        return "pipes, devices and links that lead nowhere"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "files whose names are not UTF-8"
    return ""


class Files:
    """All files below a folder or in a zip, by relative name; a zip counts as a folder. Threads may read from it.

    What an earlier build has written below the folder is passed over.

    Parameters
    ----------
    root : Path
        A folder, or a zip file.
    unwanted : tuple of str
        How the names of files and folders begin that are left out.

    Attributes
    ----------
    names : list of str
        Relative names with forward slashes, sorted.
    skipped : Counter of str
        Number of entries left out because of their name or because they are no files, by reason.
    tables : set of str
        Names of the files that have been read as tables.

    Raises
    ------
    UserError
        If there is no such folder, or a zip cannot be read.
    """

    def __init__(self, root: Path, unwanted: tuple[str, ...] = (*NOT_OF_THE_USER, *UNLABELLED)):
        self.root, self.unwanted, self.skipped = root, unwanted, Counter()
        self._entries: dict[str, Entry] = {}
        self._bands: dict[str, list[Entry]] = {}
        if root.is_dir():
            for folder, subfolders, names in os.walk(root, followlinks=True):
                inside = Path(folder).resolve()
                if BUILD_FILE in names and Path(folder) != root:
                    subfolders.clear()
                    continue
                subfolders[:] = [
                    n for n in subfolders if self._wanted(n) and Path(folder, n).resolve() not in inside.parents
                ]
                for name in filter(self._wanted, names):
                    path = Path(folder, name)
                    if problem := oddity(path):
                        self.skipped[problem] += 1
                    else:
                        self._add(path.relative_to(root).as_posix(), path)
        elif root.suffix.lower() == ".zip" and root.exists():
            self._add_zip("", root)
        else:
            raise UserError(f"{root}: no such folder or zip; give the folder of the galaxy images with --data_dir")
        self.tables: set[str] = set()
        self.names = sorted(self._entries)

    def join_bands(self, bands: Sequence[str]) -> list[str]:
        """Make one file of those that hold one band each of an image; returns the images that are left over."""
        groups, others = side_by_side(filter(is_image, self.names), bands)
        self._bands = {name: [self._entries[file] for file in members] for name, members in groups.items()}
        self.names = sorted([*filterfalse(is_image, self.names), *groups])
        return others

    def _add(self, name: str, path: Path) -> None:
        if path.suffix.lower() == ".zip":
            self._add_zip(f"{name}/", path)
        else:
            self._entries[name] = path

    def _add_zip(self, prefix: str, path: Path) -> None:
        try:
            archive = zipfile.ZipFile(path)
            for name, info in self._members(prefix, archive):
                if name.lower().endswith(".zip"):
                    inner = inner_zip(archive, info)
                    self._entries |= {n: (inner, i) for n, i in self._members(f"{name}/", inner)}
                else:
                    self._entries[name] = (archive, info)
        except (OSError, *NO_ZIP) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{path}: cannot be read as a zip ({reason}); download it again") from None

    def _members(self, prefix: str, archive: zipfile.ZipFile) -> list[tuple[str, zipfile.ZipInfo]]:
        members = []
        for info in archive.infolist():
            path = PurePosixPath(info.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or info.filename[1:2] == ":":
                self.skipped["zip entries with a path that leads outside"] += 1
            elif not info.is_dir() and all(map(self._wanted, path.parts)):
                members.append((f"{prefix}{path}", info))
        return members

    def _wanted(self, name: str) -> bool:
        return not name.startswith(self.unwanted)

    def find(self, *names: str) -> str | None:
        """The file with one of these last names that is nearest to the root; None if there is none."""
        found = [name for name in self.names if PurePosixPath(name).name in names]
        return min(found, key=lambda name: (name.count("/"), name), default=None)

    @contextmanager
    def open(self, name: str) -> Iterator[io.BufferedIOBase]:
        """A table for sequential reading, unpacked if it is gzipped.

        Raises
        ------
        OSError
            If it is larger than 2 GB, which no table of galaxies is, or turns out to be larger while it is read.
        """
        entry = self._entries[name]
        if size_of(entry) > MAX_TABLE_BYTES:
            raise OSError(f"larger than {MAX_TABLE_BYTES:,} bytes")
        self.tables.add(name)
        with ExitStack() as stack:
            file = stack.enter_context(entry.open("rb") if isinstance(entry, Path) else entry[0].open(entry[1]))
            if name.endswith(".gz"):
                file = stack.enter_context(gzip.open(file))
            yield stack.enter_context(io.BufferedReader(Limited(file, MAX_TABLE_BYTES), CHUNK))  # pyright: ignore[reportArgumentType]

    def read(self, name: str) -> bytes:
        """The bytes of an image file.

        Raises
        ------
        OSError
            If it is damaged, encrypted, or larger than 64 MB, which no galaxy cutout is.
        """
        if name in self._bands:
            return cube([content_of(band) for band in self._bands[name]])
        return content_of(self._entries[name])

    def where(self, name: str) -> str:
        """The name of a file in messages."""
        return f"{self.root}/{name}"

    def stamp(self) -> str:
        """A hash that changes when a file is added, removed or written."""
        digest = hashlib.sha256(str(self.root.resolve()).encode())
        for name in self.names:
            for part in self._bands.get(name) or [self._entries[name]]:
                digest.update(f"{name} {version_of(part)}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def content_of(entry: Entry) -> bytes:
    """The bytes of an image file in a folder or a zip; OSError as of `Files.read`."""
    if size_of(entry) > MAX_IMAGE_BYTES:
        raise OSError("larger than 64 MB")
    if isinstance(entry, Path):
        return entry.read_bytes()
    archive, info = entry
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise OSError("encrypted or packed by a rare method")
    try:
        return archive.read(info)
    except NO_ZIP as error:
        raise OSError(f"damaged in its zip: {error}") from None


def size_of(entry: Entry) -> int:
    """Size of a file in bytes, unpacked, as its zip claims."""
    return entry.stat().st_size if isinstance(entry, Path) else entry[1].file_size


def version_of(entry: Entry) -> str:
    """What changes when a file is written; a link that leads nowhere has none."""
    try:
        return f"{(at := entry.stat()).st_size} {at.st_mtime_ns}" if isinstance(entry, Path) else f"{entry[1].CRC}"
    except OSError:
        return "gone"


def inner_zip(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> zipfile.ZipFile:
    """A zip within a zip, read from a copy in the cache of `datasets` that is removed when the process ends."""
    if info.file_size > 100 * info.compress_size + CHUNK:
        raise zipfile.BadZipFile(f"{info.filename} inflates more than a hundredfold, as a zip bomb does")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{info.filename} is encrypted or packed by a rare method; unpack it once")
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with ExitStack() as on_error:
            copy = on_error.enter_context(tempfile.TemporaryFile(dir=cache))
            with archive.open(info) as packed:
                shutil.copyfileobj(packed, copy, 2**20)
            inner = zipfile.ZipFile(copy)
            on_error.pop_all()
    except OSError as error:
        raise UserError(
            f"{archive.filename}: {info.filename} cannot be unpacked into {cache} ({error}); free "
            f"{info.file_size:,} bytes there, or unpack it once yourself"
        ) from None
    return inner


class Limited(io.RawIOBase):
    """The bytes of another file, with a limit on their number, whatever its archive says about its size.

    Parameters
    ----------
    file : BufferedIOBase
    limit : int
        In bytes; beyond it, an OSError.
    """

    def __init__(self, file: io.BufferedIOBase, limit: int):
        self.file, self.limit, self.left = file, limit, limit

    def readinto(self, buffer) -> int:
        count = self.file.readinto(buffer)
        self.left -= count
        if self.left < 0:
            raise OSError(f"larger than {self.limit:,} bytes once unpacked")
        return count

    def readable(self) -> bool:
        return True
