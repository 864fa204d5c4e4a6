"""The files that a user brings, in folders and in zips, zips within zips included, read without unpacking."""

import bisect
import hashlib
import io
import os
import struct
import threading
import zipfile
import zlib
from collections import Counter
from pathlib import Path, PurePosixPath

from .command_line import UserError

MAX_IMAGE_BYTES = 2**26
CHUNK = 2**16
CHECKPOINT_SPACING = 2**20
UNWANTED = ("images_test", "all_ones", "all_zeros", "central_pixel")
"""Beginnings of the Kaggle files that have no labels."""


class Files:
    """All files below a folder or in a zip, by relative name; a zip counts as a folder.

    Parameters
    ----------
    root : Path
        A folder, or a zip file.

    Attributes
    ----------
    names : list of str
        Relative names with forward slashes, sorted.
    skipped : Counter of str
        Entries that are left out for their name, by reason.

    Raises
    ------
    UserError
        If there is no such folder, or a zip cannot be read.
    """

    def __init__(self, root: Path):
        self.root, self.skipped, self._archives = root, Counter(), []
        self._entries: dict[str, Path | tuple[zipfile.ZipFile, zipfile.ZipInfo, Seekable]] = {}
        if root.is_dir():
            for folder, subfolders, names in os.walk(root, followlinks=True):
                inside = Path(folder).resolve()
                subfolders[:] = [n for n in subfolders if wanted(n) and Path(folder, n).resolve() not in inside.parents]
                for name in filter(wanted, names):
                    path = Path(folder, name)
                    self._add(path.relative_to(root).as_posix(), path)
        elif root.suffix.lower() == ".zip" and root.exists():
            self._add_zip("", root)
        else:
            raise UserError(f"{root}: no such folder or zip; give the folder of the galaxy images with --data_dir")
        self.names = sorted(self._entries)

    def _add(self, name: str, path: Path) -> None:
        if path.suffix.lower() == ".zip":
            self._add_zip(f"{name}/", path)
        else:
            self._entries[name] = path

    def _add_zip(self, prefix: str, path: Path) -> None:
        try:
            archive = zipfile.ZipFile(path)
            self._archives.append(archive)  # keeps its file open
            outer = Window(archive.fp.fileno(), 0, path.stat().st_size)
            for name, info in self._members(prefix, archive):
                if name.lower().endswith(".zip"):
                    raw = inner_file(outer, info)
                    inner = zipfile.ZipFile(io.BufferedReader(raw, CHUNK))
                    self._entries |= {n: (inner, i, raw) for n, i in self._members(f"{name}/", inner)}
                else:
                    self._entries[name] = (archive, info, outer)
        except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, struct.error) as error:
            raise UserError(f"{path}: cannot be read as a zip ({error}); download it again") from None

    def _members(self, prefix: str, archive: zipfile.ZipFile) -> list[tuple[str, zipfile.ZipInfo]]:
        members = []
        for info in archive.infolist():
            path = PurePosixPath(info.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or info.filename[1:2] == ":":
                self.skipped["zip entries with a path that leads outside"] += 1
            elif not info.is_dir() and all(map(wanted, path.parts)):
                members.append((f"{prefix}{path}", info))
        return members

    def find(self, *names: str) -> str | None:
        """The file with one of these last names that lies nearest to the root; None where there is none."""
        found = [name for name in self.names if PurePosixPath(name).name in names]
        return min(found, key=lambda name: (name.count("/"), name), default=None)

    def open(self, name: str) -> io.BufferedIOBase:
        """A file for sequential reading."""
        entry = self._entries[name]
        return entry.open("rb") if isinstance(entry, Path) else entry[0].open(entry[1])

    def read(self, name: str) -> bytes:
        """The bytes of an image file.

        Raises
        ------
        OSError
            If it is damaged, encrypted, or larger than 64 MB, which no galaxy cutout is.
        """
        entry = self._entries[name]
        size = entry.stat().st_size if isinstance(entry, Path) else entry[1].file_size
        if size > MAX_IMAGE_BYTES:
            raise OSError("larger than 64 MB")
        if isinstance(entry, Path):
            return entry.read_bytes()
        _, info, raw = entry
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise OSError("encrypted or packed by a rare method")
        try:
            content = raw.pread(info.compress_size, data_offset(raw, info))
            if info.compress_type == zipfile.ZIP_DEFLATED:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, info.file_size)
        except (zlib.error, struct.error) as error:
            raise OSError(f"damaged in its zip: {error}") from None
        if len(content) != info.file_size or zlib.crc32(content) != info.CRC:
            raise OSError("damaged in its zip")
        return content

    def where(self, name: str) -> str:
        """How a message names a file."""
        return f"{self.root}/{name}"

    def stamp(self) -> str:
        """A hash that changes when a file is added, removed or written."""
        digest = hashlib.sha256(str(self.root.resolve()).encode())
        for name in self.names:
            entry = self._entries[name]
            if isinstance(entry, Path):
                status = entry.stat()
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
            else:
                digest.update(f"{name} {entry[1].file_size} {entry[1].CRC}\n".encode())
        return digest.hexdigest()


def wanted(name: str) -> bool:
    """Whether a file or folder is the user's: neither hidden, nor a Mac's shadow, nor without labels."""
    return not name.startswith((".", "__MACOSX", *UNWANTED))


def inner_file(outer: "Window", info: zipfile.ZipInfo) -> "Seekable":
    """A zip within a zip as a seekable file; where it is compressed, nothing of it is written to disk either."""
    if info.file_size > 100 * info.compress_size + CHUNK:
        raise zipfile.BadZipFile(f"{info.filename} inflates more than a hundredfold, as a zip bomb does")
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{info.filename} is encrypted or packed by a rare method; unpack it once")
    window = Window(outer.descriptor, outer.start + data_offset(outer, info), info.compress_size)
    return window if info.compress_type == zipfile.ZIP_STORED else Inflated(window, info.file_size)


def data_offset(raw: "Seekable", info: zipfile.ZipInfo) -> int:
    """Where the data of an entry begins, behind its local header."""
    name_length, extra_length = struct.unpack("<HH", raw.pread(30, info.header_offset)[26:])
    return info.header_offset + 30 + name_length + extra_length


class Seekable(io.RawIOBase):
    """A read-only raw file of known size with a position."""

    size: int
    position: int = 0

    def pread(self, count: int, position: int) -> bytes:
        """Up to ``count`` bytes from ``position`` on; safe to call from several threads."""
        raise NotImplementedError

    def readinto(self, buffer) -> int:
        data = self.pread(len(buffer), self.position)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.position = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.size}[whence])
        return self.position


class Window(Seekable):
    """A stretch of a file.

    Parameters
    ----------
    descriptor : int
        Of the open file.
    start, size : int
        In bytes.
    """

    def __init__(self, descriptor: int, start: int, size: int):
        self.descriptor, self.start, self.size = descriptor, start, size

    def pread(self, count: int, position: int) -> bytes:
        count = max(0, min(count, self.size - position))
        return os.pread(self.descriptor, count, self.start + position)


class Inflated(Seekable):
    """A deflated stretch as a seekable file: a copy of the decompressor is kept every megabyte, so that any place is
    reached by inflating at most that much.

    Parameters
    ----------
    window : Window
        Raw deflate data.
    size : int
        Bytes that it inflates to.
    """

    def __init__(self, window: Window, size: int):
        self.window, self.size, self.lock = window, size, threading.Lock()
        self.checkpoints = [(0, 0, zlib.decompressobj(-zlib.MAX_WBITS))]
        self._restore(0)

    def _restore(self, index: int) -> None:
        self.start, self.consumed, state = self.checkpoints[index]
        self.state, self.data = state.copy(), b""

    def _advance(self) -> bool:
        """Inflate the next chunk; False at the end."""
        compressed = self.window.pread(CHUNK, self.consumed)
        if self.state.eof or not compressed:
            return False
        self.start += len(self.data)
        self.data = self.state.decompress(compressed)
        self.consumed += len(compressed)
        end = self.start + len(self.data)
        if end - self.checkpoints[-1][0] >= CHECKPOINT_SPACING:
            self.checkpoints.append((end, self.consumed, self.state.copy()))
        return True

    def pread(self, count: int, position: int) -> bytes:
        parts, end = [], min(position + count, self.size)
        with self.lock:
            while position < end:
                nearest = bisect.bisect_right(self.checkpoints, position, key=lambda checkpoint: checkpoint[0]) - 1
                if position < self.start or self.checkpoints[nearest][0] > self.start + len(self.data):
                    self._restore(nearest)
                while position >= self.start + len(self.data):
                    if not self._advance():
                        return b"".join(parts)
                parts.append(self.data[position - self.start : end - self.start])
                position += len(parts[-1])
        return b"".join(parts)
