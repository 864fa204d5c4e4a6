"""One command at a time writes into a folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from .aside import remove_half_written
from .user_error import UserError


def lock_beside(path: Path) -> Path:
    """The lock of a file, or of a folder that is replaced as a whole."""
    return path.absolute().with_name(f".{path.name}.lock")


@contextlib.contextmanager
def only_writer(folder: Path, lock: Path | None = None) -> Iterator[None]:
    """Be the only command that writes into a folder while the block runs.

    Parameters
    ----------
    folder : Path
        Made if it does not exist, and removed at the end if it is then empty. What a killed command has left
        half-written in it is removed, unless the folder is replaced as a whole.
    lock : Path, optional
        The file that is locked, by default ``.lock`` in the folder. One that a killed command has left locks nothing,
        except on a file system without locks, where it must be removed by hand.

    Raises
    ------
    UserError
        If another command writes there, or a file stands where a folder is wanted.
    """
    lock = lock or folder / ".lock"
    is_new = not folder.exists()
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{folder}: a file stands where a folder is wanted; give another") from None
    try:
        with filelock.FileLock(lock, blocking=False):
            try:
                if lock.parent == folder:
                    remove_half_written(folder)
                yield
            finally:
                lock.unlink(missing_ok=True)
    except filelock.Timeout:
        raise UserError(
            f"{folder}: another command is writing there; wait for it to end (if there is none, remove {lock})"
        ) from None
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()
