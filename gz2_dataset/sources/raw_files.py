"""Read-only raw files: a stretch of a file, what a deflated stretch inflates to, and no more than so many bytes."""

import bisect
import io
import os
import threading
import zlib

CHUNK = 2**16
CHECKPOINT_SPACING = 2**20


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
    """A deflated stretch as a seekable file.

    A copy of the decompressor is kept every megabyte, so that any place is reached by inflating at most that much.

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


class Limited(io.RawIOBase):
    """The bytes of another file, which must not be too many, whatever its archive says of its size.

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
