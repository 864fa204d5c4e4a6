"""The dataset card: what the Hub and a colleague read first."""

import datasets
from huggingface_hub import DatasetCardData

from .rules import RULES

TEXT = """---
{metadata}
---

# Galaxy Zoo 2, {configuration}

Galaxy images of the Sloan Digital Sky Survey with the morphological class that the volunteers of Galaxy Zoo 2 gave
them. JPEG bytes are stored as they came.

```python
from datasets import load_dataset
galaxies = load_dataset("PATH_OR_HUB_ID", split="train")
```

## Galaxies

{counts}
{notes}
## Classes

{rules}

## Splits

Of each class the test galaxies are those with the smallest SHA-256 of image_id, and the next smallest are for
validation, so the order of files plays no part. `splits.csv` lists them. Galaxies without a class are `unlabelled`.

## Citation

Galaxy Zoo 2: Willett et al. 2013, MNRAS 435, 2835; Hart et al. 2016, MNRAS 461, 3663. Images: Sloan Digital Sky Survey.
The images are subject to the image use policy of the SDSS, the votes to the terms of Galaxy Zoo.
"""


def dataset_card(summary: dict, info: datasets.DatasetInfo) -> str:
    """Text of the card, with the YAML metadata by which ``load_dataset`` finds the splits.

    Parameters
    ----------
    summary : dict
        What ``build.json`` holds.
    info : DatasetInfo
        The builder's, with features and splits.
    """
    files = [{"split": split, "path": f"data/{split}*.parquet"} for split in summary["counts"]]
    metadata = DatasetCardData(
        pretty_name="Galaxy Zoo 2",
        task_categories=["image-classification"],
        tags=["astronomy", "galaxies", "galaxy-zoo"],
        configs=[{"config_name": "default", "data_files": files}],
        dataset_info={"features": info.features._to_yaml_list()},
    )
    splits = list(summary["counts"])
    names = [*summary["classes"], ""] if "unlabelled" in splits else summary["classes"]
    rows = [[name or "(none)", *(str(summary["counts"][s].get(name, 0)) for s in splits)] for name in names]
    notes = "".join(f"\n- {note}" for note in summary["notes"])
    return TEXT.format(
        metadata=metadata.to_yaml(),
        configuration=summary["config_name"],
        counts=markdown_table(["class", *splits], rows),
        notes=f"{notes}\n",
        rules=rules_text(summary),
    )


def rules_text(summary: dict) -> str:
    if summary["source"] != "kaggle":
        return "The classes are those of the source: " + ", ".join(summary["classes"]) + "."
    rows = [[r.galaxy_class, " and ".join(f"{c.column} >= {c.threshold}" for c in r.conditions)] for r in RULES]
    return "The first rule that a galaxy's vote fractions meet gives its class.\n\n" + markdown_table(
        ["class", "rule"], rows
    )


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])
