"""A run's folder: same settings or refusal, metrics that match its checkpoints."""

import json
import math
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from gz2_dataset import UserError
from gz2_dataset.aside import write_whole
from gz2_dataset.kinds import check_kinds
from gz2_dataset.reading import read_json, read_json_lines

FREE = {"free": True}
"""Metadata of a dataclass field that may change between two calls of the same run."""


def refuse_links(folder: Path) -> None:
    """Refuse a folder to be written to that has a link to another: what came from somebody else could lead anywhere.

    Raises
    ------
    UserError
        If one of its folders, at any depth, is a link that leads out of it.
    """
    for parent, folders, _ in os.walk(folder):
        for link in (Path(parent, name) for name in folders):
            if link.is_symlink() and not link.resolve().is_relative_to(folder.resolve()):
                raise UserError(f"{link}: is a link that leads out of {folder}; remove it, or link the whole folder")


def same_run(path: Path, description: dict[str, Any], option: str = "--output_dir") -> None:
    """Write the description of a run, or refuse to continue where another run has begun.

    Parameters
    ----------
    path : Path
        JSON file in the run's folder.
    description : dict
        Everything that the result depends on: the config and the data's fingerprint.
    option : str
        With which the user says where the run is.

    Raises
    ------
    UserError
        If the file has another value; a key that only one of them has counts as None in the other. If the folder has
        links that lead out of it.
    """
    refuse_links(path.parent)
    if not path.exists():
        write_json(path, description)
        return
    earlier = read_json(path, f"restore it, or give another {option}")
    now = json.loads(json.dumps(description))
    if changed := sorted(key for key in {*earlier, *now} if earlier.get(key) != now.get(key)):
        key = changed[0]
        raise UserError(
            f"{path.parent}: holds a run with another {key} ({earlier.get(key)!r}, now {now.get(key)!r}); "
            f"give another {option} or the same settings"
        )


def fixed_settings(config: Any) -> dict[str, Any]:
    """The settings of a run that may not change between two calls.

    Parameters
    ----------
    config : dataclass instance
        All fields count, except those whose metadata are `FREE`.
    """
    return {field.name: getattr(config, field.name) for field in fields(config) if not field.metadata.get("free")}


def write_json(path: Path, content: dict) -> None:
    """Write JSON, whole or not at all."""
    write_whole(path, json.dumps(content, indent=2) + "\n")


class MetricsLog:
    """A ``metrics.jsonl`` with one line per record, cut back to where a resumed run begins.

    Parameters
    ----------
    path : Path
    images_seen : int
        Records after it are dropped.

    Attributes
    ----------
    last : dict
        The last record kept; empty for a new run.
    """

    def __init__(self, path: Path, images_seen: int):
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if lines and not lines[-1].endswith(b"\n"):  # what a killed run left half-written
            write_whole(path, b"".join(lines[:-1]))
        records = [record for _, record in read_json_lines(path, "remove the line")] if lines else []
        for record in records:
            check_kinds(record, {"images_seen": float, "seconds": float}, path, "remove the line")
        kept = [record for record in records if record.get("images_seen", math.inf) <= images_seen]
        write_whole(path, "".join(json.dumps(record) + "\n" for record in kept))
        self.last: dict[str, float] = kept[-1] if kept else {}
        self.path = path

    def write(self, **record: float) -> None:
        """Append one record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
