"""What an audit has found."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from gz2_dataset.audit.counts import ClassCount
from gz2_dataset.audit.images import Duplicates
from gz2_dataset.build_record import BuildRecord


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes
    ----------
    folder : str
        Folder of the dataset.
    build : BuildRecord
    classes : list of ClassCount
    galaxies : DataFrame
        Of `images.examine`: one row per galaxy.
    duplicates : list of Duplicates
    histograms : list of dict
        Of `votes.vote_histograms`.
    problems : list of str
        Why the dataset is not fit for use, one line per reason; empty if it is fit.
    warnings : list of str
        What else is worth knowing about it.
    """

    folder: str
    build: BuildRecord
    classes: list[ClassCount]
    galaxies: pd.DataFrame
    duplicates: list[Duplicates]
    histograms: list[dict[str, Any]]
    problems: list[str]
    warnings: list[str]

    @property
    def verdict(self) -> str:
        """``fit for use``, or ``not fit`` and why."""
        return f"not fit: {'; '.join(self.problems)}" if self.problems else "fit for use"

    def to_dict(self) -> dict[str, Any]:
        """The audit as JSON-serialisable values, with every galaxy that is unsound or shown repeatedly."""
        unsound = self.galaxies[self.galaxies["problem"] != ""]
        sizes = self.galaxies.groupby(["width", "height"]).size()
        return {
            "dataset": self.folder,
            "verdict": self.verdict,
            "problems": self.problems,
            "warnings": self.warnings,
            "classes": [asdict(row) for row in self.classes],
            "images": len(self.galaxies),
            "sizes": {f"{width}x{height}": int(n) for (width, height), n in sizes.items()},
            "unsound": unsound[["split", "image_id", "problem"]].to_dict("records"),
            "duplicates": [
                {
                    "kind": group.kind,
                    "across": group.across,
                    "contradictory": group.contradictory,
                    "galaxies": self.galaxies.loc[list(group.rows), ["split", "image_id"]].to_dict("records"),
                }
                for group in self.duplicates
            ],
            "votes": self.histograms,
            "build": json.loads(self.build.to_json()),
        }
