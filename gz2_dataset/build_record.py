"""What a build records about its dataset, and how it is written to and read from ``build.json``."""

import json
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path

import pandas as pd

from .command_line import UserError
from .crop import GZ2_CROP
from .kinds import made
from .rules import Rule, rule_of
from .splits import RESERVE
from .stretch import Stretch

BUILD_FILE = "build.json"


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """Where the galaxies of a dataset come from, how they were sorted, and how many there are.

    Attributes
    ----------
    source : str
        One of `sources.KINDS`, or ``mock``.
    config_name : str
        One of `plan.CONFIGURATIONS`, or the name of the user's rules.
    rules : tuple of Rule, optional
        The rules that made the classes from votes; None if the classes are the source's own.
    classes : tuple of str
        In the order of the labels.
    rows : int, optional
        Galaxies that the source lists, with and without image.
    found : dict of str to int
        Galaxies of each class by the rules, with and without image.
    counts : dict of str to dict of str to int
        Galaxies by split and class; those without a class under an empty name.
    skipped : dict of str to int
        Rows and images that are left out, by reason.
    moved : dict of str to int
        Galaxies taken out because a held-out one shows the same, as ``exact`` or as ``near`` duplicates.
    test_per_class, validation_per_class : int, optional
        Galaxies of each class that were asked for.
    num_folds, fold : int
    center_crop : int
        Side in pixels of the central square of each image that everything reads; 0 is the whole image. Where a file
        does not name it, it is older than the choice, and 224 was the crop of all.
    stretch : Stretch, optional
        How files that are not finished pictures became some; None if there were none.
    set_aside : dict of str to int
        Galaxies that `rarity.make_rare` has taken out of train, by class.
    draw : int
        Which galaxies of these classes were kept.
    others : str
        The split that the galaxies set aside are in: reserve, or unlabelled, where they have no class.
    notes : tuple of str
        What a reader should know, one line each.

    Examples
    --------
    >>> record = BuildRecord(source="class_list", classes=("ring",), counts={"train": {"ring": 7}, "test": {"ring": 2}})
    >>> record.per_class()
    {'ring': 9}
    >>> BuildRecord.from_json(record.to_json(), "build.json") == record
    True
    """

    source: str
    config_name: str = ""
    rules: tuple[Rule, ...] | None = None
    classes: tuple[str, ...]
    rows: int | None = None
    found: dict[str, int] = field(default_factory=dict)
    counts: dict[str, dict[str, int]]
    skipped: dict[str, int] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    test_per_class: int | None = None
    validation_per_class: int | None = None
    num_folds: int = 1
    fold: int = 0
    center_crop: int = GZ2_CROP
    stretch: Stretch | None = None
    set_aside: dict[str, int] = field(default_factory=dict)
    draw: int = 0
    others: str = RESERVE
    notes: tuple[str, ...] = ()

    @property
    def count_table(self) -> pd.DataFrame:
        """The counts as a table: one row per class, one column per split, and their sum."""
        table = pd.DataFrame(self.counts).rename(index={"": "(no class)"}).fillna(0).astype(int)
        return table.assign(all=table.sum(axis=1))

    def per_class(self, split: str | None = None) -> dict[str, int]:
        """Galaxies of each class in a split, or in all together."""
        counts = list(self.counts.values()) if split is None else [self.counts.get(split, {})]
        return {name: sum(part.get(name, 0) for part in counts) for name in self.classes}

    @property
    def hidden(self) -> dict[str, int]:
        """Galaxies that lost their class on purpose, by class."""
        return self.set_aside if self.others != RESERVE else {}

    def to_json(self) -> str:
        """The text of ``build.json``."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "BuildRecord":
        """A record from the text of ``build.json``; keys beyond the attributes are ignored.

        Parameters
        ----------
        text : str or bytes
        where : str
            The file, for error messages.

        Raises
        ------
        UserError
            If it is damaged, or lacks a key without which nothing can be said about the dataset.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: is not JSON ({error}); build the dataset again") from None
        known = {f.name: f for f in fields(cls)}
        needed = [f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING]
        try:
            if missing := [name for name in needed if name not in content]:
                raise UserError(f"{where}: has no {missing[0]!r}; build the dataset again with this version")
            values = {name: value for name, value in content.items() if name in known}
            for name in ("classes", "notes"):
                values[name] = tuple(values.get(name, ()))
            if values.get("rules") is not None:
                values["rules"] = tuple(map(rule_of, values["rules"]))
            values["stretch"] = Stretch.from_record(values.get("stretch"))
            record = made(cls, values)
        except (TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{where}: is no record of a build ({error}); build the dataset again") from None
        if record.center_crop < 0:
            raise UserError(f"{where}: center_crop {record.center_crop} is below 0; build the dataset again")
        return record

    @classmethod
    def read(cls, folder: Path) -> "BuildRecord":
        """The record of the dataset in a folder.

        Raises
        ------
        UserError
            If there is none, or it is damaged.
        """
        path = folder / BUILD_FILE
        if not path.exists():
            raise UserError(f"{folder}: no dataset of python -m gz2_dataset build; build it first")
        return cls.from_json(path.read_bytes(), str(path))
