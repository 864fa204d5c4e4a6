"""An audit as one self-contained HTML page."""

from __future__ import annotations

import base64
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from gz2_dataset.audit.crop import first_by_hash
from gz2_dataset.audit.images import BuiltRows
from gz2_dataset.crop import crop_in_words, prepare_image
from gz2_dataset.splits import SPLITS

if TYPE_CHECKING:
    from gz2_dataset.audit.findings import Audit

GALAXIES_A_CLASS, GROUPS, GALAXIES_A_GROUP = 8, 12, 6
SIDE = 128
GALAXIES_SEEN, NET_SIDE = 5, 64


def render(found: Audit, rows: BuiltRows) -> str:
    """The page.

    Parameters
    ----------
    found : Audit
    rows : BuiltRows
        Where its pictures come from.
    """
    template = files("gz2_dataset.audit").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["title"] = title
    return environment.from_string(template).render(
        found=found,
        tiles=tiles(found),
        splits=[split for split in SPLITS if split in found.build.counts],
        unclassed=sum(counts.get("", 0) for counts in found.build.counts.values()),
        galleries=galleries(found, rows),
        seen=as_nets_see(found, rows),
        crop=crop_in_words(found.build.center_crop),
        groups=[group_view(found, rows, group) for group in found.duplicates[:GROUPS]],
        histograms=[bars(histogram) for histogram in found.histograms],
    )


def title(class_name: str) -> str:
    """A class name for readers."""
    words = class_name.replace("_", " ")
    return words[:1].upper() + words[1:]


def tiles(found: Audit) -> list[tuple[str, str]]:
    """The numbers that a reader wants to see first."""
    unsound = int((found.galaxies["problem"] != "").sum())
    across = sum(group.across for group in found.duplicates)
    return [
        (f"{len(found.galaxies):,}", "images examined, every one decoded"),
        (f"{unsound:,}", "that are damaged"),
        (f"{sum(found.build.skipped.values()):,}", "rows and images left out by the build"),
        (f"{len(found.duplicates):,}", "groups of images that show the same sky"),
        (f"{across:,}", "of them across a held-out split and another"),
    ]


def galleries(found: Audit, rows: BuiltRows) -> list[tuple[str, list[str]]]:
    """Pictures of each class: the sound training galaxies with the smallest SHA-256 of image_id."""
    sound = found.galaxies[found.galaxies["problem"] == ""]
    shown = []
    for label, name in enumerate(found.build.classes):
        order = first_by_hash(sound, label, GALAXIES_A_CLASS).index
        shown.append((name, [picture(rows.pixels(row)) for row in order]))
    return shown


def as_nets_see(found: Audit, rows: BuiltRows) -> list[str]:
    """Galaxies cropped and in 64 pixels, in turns of each class."""
    sound = found.galaxies[found.galaxies["problem"] == ""]
    chosen = [first_by_hash(sound, label, GALAXIES_SEEN) for label in range(len(found.build.classes))]
    turns = pd.concat(chosen).groupby("label").cumcount().sort_values(kind="stable").index[:GALAXIES_SEEN]
    crop = found.build.center_crop
    return [jpeg_url(prepare_image(rows.pixels(row), NET_SIDE, crop)) for row in turns]


def group_view(found: Audit, rows: BuiltRows, group: Any) -> dict[str, Any]:
    """Pictures and names of images that show the same sky."""
    galaxies = found.galaxies.loc[list(group.rows[:GALAXIES_A_GROUP])]
    names = [found.build.classes[label] if label >= 0 else "" for label in galaxies["label"]]
    pictures = [picture(rows.pixels(row)) for row in galaxies.index]
    shown = list(zip(pictures, galaxies["image_id"], galaxies["split"], names, strict=True))
    return {"kind": group.kind, "across": group.across, "galaxies": shown, "more": len(group.rows) - len(shown)}


def picture(pixels: np.ndarray) -> str:
    """A small JPEG of an image, as a data URL."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return jpeg_url(np.asarray(image))


def jpeg_url(pixels: np.ndarray) -> str:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def bars(histogram: dict[str, Any]) -> dict[str, Any]:
    """A histogram with bars of heights from 0 to 1.

    Most galaxies have 0 for most answers, so the heights follow the logarithm of 1 + count.
    """
    counts = np.log1p(histogram["counts"])
    return {**histogram, "heights": (counts / max(counts.max(), 1)).round(3).tolist()}
