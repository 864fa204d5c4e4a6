"""Files that are whole or absent: written under another name in the same folder, then renamed."""

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UMASK = os.umask(0)
os.umask(UMASK)  # it can only be read by setting it


def as_umask_says(folder: Path) -> None:
    """Give the files in a folder, or one file, the permissions that the umask leaves: safetensors takes them away."""
    for path in folder.rglob("*.safetensors") if folder.is_dir() else [folder]:
        path.chmod(0o666 & ~UMASK)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A name to write a file to, which takes its place when the block ends, or is removed if the block fails.

    Parameters
    ----------
    path : Path
        Final path of the file; missing parent folders are made.

    Yields
    ------
    Path
        Hidden, in the same folder, with the same suffix.

    Examples
    --------
    >>> with written_aside(Path("counts.csv")) as aside:  # doctest: +SKIP
    ...     table.to_csv(aside)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{uuid.uuid4().hex}-{path.name}")
    try:
        yield aside
        if path.suffix == ".safetensors":
            as_umask_says(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file with the given content, `written_aside`."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_half_written(folder: Path) -> None:
    """Remove what commands that were killed have left in a folder: files that did not come to their name.

    Folders in it that another command writes, which have a ``.lock``, are left alone.

    Examples
    --------
    >>> remove_half_written(Path("runs/ddpm"))
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not Path(parent, name, ".lock").exists()]
        for name in filter(re.compile(r"\.[0-9a-f]{32}-").match, files):
            Path(parent, name).unlink(missing_ok=True)
