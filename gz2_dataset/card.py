"""The dataset card: what the Hub and a colleague read first."""

import importlib.metadata
import shlex
from pathlib import Path

import datasets
from huggingface_hub import DatasetCard, DatasetCardData

from .build_config import CONFIGURATIONS
from .build_record import BuildRecord
from .crop import crop_in_words
from .markdown import as_text, code_block, markdown_table, one_line
from .origin import GALAXY_ZOO, MOCK, OWN, Origin
from .parquet_rows import SHARDS
from .pictures import picture_of
from .sources.sources import KINDS

REPO_ID = "USER/NAME"
"""Placeholder in the card until `hub.push` knows the id."""
SIZES = {1_000: "n<1K", 10_000: "1K<n<10K", 100_000: "10K<n<100K", 1_000_000: "100K<n<1M"}
SNIPPET = f"""\
from datasets import load_dataset

galaxies = load_dataset("{REPO_ID}", split="train")
galaxies.features["label"].int2str(galaxies[0]["label"])"""
VERSIONS = ("datasets", "numpy", "pandas", "pillow", "pyarrow")
COLUMNS = {
    "image": "the image, a JPEG or PNG file as in the source, or a PNG file of the stretched numbers",
    "label": "the class; missing where a galaxy has none",
    "image_id": "the galaxy's name in its source",
    "ra": "right ascension in degrees",
    "dec": "declination in degrees",
}

TEMPLATE = Path(__file__).with_name("card.md")
OWN_LINES = "<!-- Write what you add below this line: a rebuild keeps it. -->"


ONE_SPLIT = """\
Of each class, the {test_per_class} galaxies with the smallest SHA-256 of image_id are for testing and the next
{validation_per_class} for validation, but never more than 30 % and 10 % of a class. The order of the files does not
matter."""
FOLDS = """\
This is fold {fold} of {num_folds}, counted from 0. The folds hold the same galaxies and have no test galaxy in common.
In the order of the SHA-256 of image_id, each fold tests the next {test_per_class} galaxies of a class, regardless of
the order of the files; a smaller class is divided among the folds, so that each of its galaxies is tested once. The
next {validation_per_class}, but never more than 10 % of a class, are for validation."""


def origin_of(record: BuildRecord) -> Origin:
    """What is known: only votes in a layout of Galaxy Zoo 2 prove that the galaxies come from it."""
    if record.source == "mock":
        return MOCK
    if record.source == "hub" and record.rules is not None:
        return GALAXY_ZOO
    return KINDS[record.source].origin if record.source in KINDS else OWN


def dataset_card(record: BuildRecord, info: datasets.DatasetInfo) -> str:
    """Text of the card, with the YAML metadata that ``load_dataset`` finds the splits by.

    What a build cannot know, such as the licence of a user's own images, is a line that begins with "Add".

    Parameters
    ----------
    record : BuildRecord
    info : DatasetInfo
        With the features, and a description that differs if the galaxies do: ``load_dataset`` tells local datasets
        apart by it and by the folder's last name.

    Returns
    -------
    str
        Links the pictures that `save_pictures` makes.
    """
    origin, counts = origin_of(record), record.counts
    title = origin.title.format(record.config_name)
    galaxies = sum(sum(split.values()) for split in counts.values())
    metadata = DatasetCardData(
        pretty_name=title,
        **origin.licence,  # pyright: ignore[reportArgumentType]: any of its fields
        task_categories=["image-classification", "unconditional-image-generation"],
        size_categories=[next((size for limit, size in SIZES.items() if galaxies < limit), "1M<n<10M")],
        tags=["astronomy", "galaxies", origin.tag],
        configs=[
            {
                "config_name": "default",
                "description": info.description,  # part of the key by which `datasets` caches a local folder
                "data_files": [{"split": split, "path": SHARDS.format(split=split)} for split in counts],
            }
        ],
        dataset_info={"features": info.features._to_yaml_list()},
    )
    has_classless = any("" in split for split in counts.values())
    where = "`unlabelled`" if "unlabelled" in counts else "in train, with no label"
    card = DatasetCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        title=as_text(title),
        description=origin.description,
        snippet=code_block(SNIPPET, "python"),
        counts=markdown_table(
            ["class", *counts],
            [
                [as_text(name) or "(no class)", *(f"{split.get(name, 0):,}" for split in counts.values())]
                for name in [*record.classes, *([""] * has_classless)]
            ],
        ),
        notes=[as_text(note) for note in record.notes],
        rules=rules_text(record),
        pictures=pictures_text(record),
        columns=columns_text(info.features),
        splits=splits_text(record),
        classless_in=where if has_classless else "",
        command=code_block(command_of(record)),
        crop=crop_in_words(record.center_crop),
        stretch=as_text(record.stretch.in_words) if record.stretch else "",
        versions=", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS),
        citation=origin.citation,
        own_lines=OWN_LINES,
    )
    return f"{card}\n"


def own_lines(card: str) -> str:
    """What the user has added below a card."""
    return card.partition(f"{OWN_LINES}\n")[2]


def rules_text(record: BuildRecord) -> str:
    """The table of rules, with the published counts where there are any; or that the classes came with the images."""
    if record.rules is None:
        return "The classes are those of the source."
    published = any(rule.paper_count for rule in record.rules)
    rows = []
    for rule in record.rules:
        conditions = [
            f"{as_text(c.quantity) or 'fraction'} ({as_text(c.column)}) ≥ {c.threshold:.3f}" for c in rule.conditions
        ]
        known = (f"{n:,}" if n else "" for n in (rule.paper_count, rule.expected_count))
        rows.append([as_text(rule.galaxy_class), " and ".join(conditions), *(known if published else ())])
    header = ["class", "rule", *(["count in the paper", "count in Kaggle's file"] if published else [])]
    return f"The first rule that a galaxy's vote fractions meet gives its class.\n\n{markdown_table(header, rows)}"


def pictures_text(record: BuildRecord) -> str:
    """Galaxies of the train split, one row per class."""
    rows = [
        [as_text(name), f"![{as_text(name)}]({picture_of(label)})"]
        for label, name in enumerate(record.classes)
        if record.counts.get("train", {}).get(name)
    ]
    return markdown_table(["class", "training galaxies"], rows)


def columns_text(features: datasets.Features) -> str:
    rows = [[name, meaning] for name, meaning in COLUMNS.items() if name in features]
    if votes := [name for name in features if name not in COLUMNS]:
        rows.append(
            [f"{as_text(votes[0])} … {as_text(votes[-1])}", f"{len(votes)} fractions of the volunteers' votes, 0 to 1"]
        )
    return markdown_table(["column", "holds"], rows)


def splits_text(record: BuildRecord) -> str:
    """The rule by which galaxies are held out."""
    return (ONE_SPLIT if record.num_folds == 1 else FOLDS).format(**vars(record))


def command_of(record: BuildRecord) -> str:
    """The command of the build, without the paths of the machine that ran it."""
    name = one_line(record.config_name)
    configuration = f"--config_name {name}" if name in CONFIGURATIONS else f"--rules {shlex.quote(f'{name}.yaml')}"
    folds = f" --num_folds {record.num_folds} --fold {record.fold}" if record.num_folds > 1 else ""
    stretch = record.stretch
    stretched = f" --bands {shlex.quote(','.join(stretch.bands))} --stretch {stretch.name}" if stretch else ""
    keep = ",".join(f"{one_line(rare)}={record.counts['train'][rare]}" for rare in record.set_aside)
    rare = f" --keep {shlex.quote(keep)} --draw {record.draw} --others {record.others}" if keep else ""
    return (
        f"python -m gz2_dataset build --data_dir DATA_DIR --output OUTPUT --source {record.source} {configuration} "
        f"--test_per_class {record.test_per_class} --validation_per_class {record.validation_per_class} "
        f"--center_crop {record.center_crop}{stretched}{folds}{rare}"
    ).replace(" --source mock", "")
