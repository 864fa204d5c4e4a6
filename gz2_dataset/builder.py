"""The `datasets` builder, and `build`, which writes what it yields as Parquet shards with a dataset card."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import pandas as pd

from .card import dataset_card
from .command_line import UserError
from .sources import Source, read_source
from .splits import COLUMNS, SPLITS, read_splits, split_galaxies

SPLIT_FILE, BUILD_FILE, CARD_FILE, SHARD_FOLDER = "splits.csv", "build.json", "README.md", "data"
MAX_SHARD_SIZE = "500MB"


@dataclass
class GalaxyZoo2Config(datasets.BuilderConfig):
    """Configuration of `GalaxyZoo2`.

    Attributes
    ----------
    test_per_class, validation_per_class : int
        Galaxies of each class for testing and validation; at most 30 % and 10 % of a small class.
    split_file : str
        The split file of an earlier build, whose galaxies stay where they are.
    """

    test_per_class: int = 100
    validation_per_class: int = 50
    split_file: str | None = None


class GalaxyZoo2(datasets.GeneratorBasedBuilder):
    """Galaxy images with their morphological class, in splits that do not depend on the order of files.

    Examples
    --------
    >>> builder = GalaxyZoo2(data_dir="gz2", cache_dir="cache")  # doctest: +SKIP
    >>> builder.download_and_prepare()  # doctest: +SKIP
    >>> builder.as_dataset(split="train")[0]["image"]  # doctest: +SKIP
    """

    BUILDER_CONFIG_CLASS = GalaxyZoo2Config
    BUILDER_CONFIGS = (GalaxyZoo2Config(name="five_class", description="The paper's five clean classes"),)
    DEFAULT_CONFIG_NAME = "five_class"

    def _info(self) -> datasets.DatasetInfo:
        if self.config.data_dir is None:
            raise UserError("no data_dir; give the folder of the galaxy images with --data_dir")
        self.source: Source = read_source(Path(self.config.data_dir))
        earlier = read_splits(Path(self.config.split_file)) if self.config.split_file else None
        table = self.source.table
        split = split_galaxies(table, self.config.test_per_class, self.config.validation_per_class, earlier)
        self.table = table.assign(split=split)
        features = {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(self.source.class_names)),
            "image_id": datasets.Value("string"),
            **dict.fromkeys(self.source.vote_columns, datasets.Value("float32")),
        }
        return datasets.DatasetInfo(features=datasets.Features(features))

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        present = set(self.table["split"])
        return [datasets.SplitGenerator(name=s, gen_kwargs={"split": s}) for s in SPLITS if s in present]

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict]]:
        label_of = {name: label for label, name in enumerate(self.source.class_names)}
        for row in self.table[self.table["split"] == split].to_dict("records"):
            path = Path(row["path"])
            yield (
                row["image_id"],
                {
                    "image": {"bytes": path.read_bytes(), "path": path.name},
                    "label": label_of.get(row["galaxy_class"]),
                    "image_id": row["image_id"],
                    **{column: row[column] for column in self.source.vote_columns},
                },
            )

    def counts(self) -> dict[str, dict[str, int]]:
        """Galaxies a split and class, ``{split: {class: n}}``; the unlabelled ones under an empty class name."""
        names = {"unlabelled": [""]}
        return {
            split: {
                name: int(((self.table["split"] == split) & (self.table["galaxy_class"] == name)).sum())
                for name in names.get(split, self.source.class_names)
            }
            for split in self.info.splits
        }


def build(
    data_dir: Path,
    output: Path,
    config_name: str = "five_class",
    test_per_class: int = 100,
    validation_per_class: int = 50,
) -> dict:
    """Write the galaxies of ``data_dir`` as Parquet shards a split with a dataset card.

    A split file that an earlier build left in ``output`` is read again, so that no galaxy moves. Everything is written
    into a folder beside ``output`` that takes its place at the end: the same input gives the same bytes.

    Parameters
    ----------
    data_dir : Path
        A source that `sources.read_source` knows.
    output : Path
        Folder of the dataset; ``load_dataset(output)`` reads it.
    config_name : str
        A configuration of `GalaxyZoo2`.
    test_per_class, validation_per_class : int
        Galaxies of each class for testing and validation.

    Returns
    -------
    dict
        What ``build.json`` holds: source, classes, counts and notes.
    """
    if output.exists() and any(output.iterdir()) and not {BUILD_FILE, SPLIT_FILE} & {f.name for f in output.iterdir()}:
        raise UserError(f"{output}: exists and is no dataset of an earlier build; give another --output")
    if config_name not in (names := [config.name for config in GalaxyZoo2.BUILDER_CONFIGS]):
        raise UserError(f"no configuration {config_name!r}; choose from {', '.join(names)}")
    split_file = output / SPLIT_FILE
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as scratch:
        builder = GalaxyZoo2(
            cache_dir=f"{scratch}/cache",
            config_name=config_name,
            data_dir=str(data_dir),
            test_per_class=test_per_class,
            validation_per_class=validation_per_class,
            split_file=str(split_file) if split_file.exists() else None,
        )
        shards = Path(scratch) / "shards"
        builder.download_and_prepare(str(shards), file_format="parquet", max_shard_size=MAX_SHARD_SIZE)
        new = Path(scratch) / "dataset"
        (new / SHARD_FOLDER).mkdir(parents=True)
        for shard in shards.glob("*.parquet"):
            shard.rename(new / SHARD_FOLDER / shard.name.removeprefix(f"{builder.dataset_name}-"))
        counts = builder.counts()
        summary = {
            "source": builder.source.kind,
            "config_name": config_name,
            "classes": list(builder.source.class_names),
            "counts": counts,
            "notes": builder.source.notes + small_class_notes(counts, test_per_class),
        }
        (new / BUILD_FILE).write_text(json.dumps(summary, indent=2) + "\n")
        builder.table[COLUMNS].to_csv(new / SPLIT_FILE, index=False)
        (new / CARD_FILE).write_text(dataset_card(summary, builder.info))
        replace_folder(new, output)
    return summary


def small_class_notes(counts: dict[str, dict[str, int]], test_per_class: int) -> list[str]:
    """A line for each class that has fewer test galaxies than wanted."""
    return [
        f"{name}: {n} test galaxies instead of {test_per_class}, as the class is small"
        for name, n in counts.get("test", {}).items()
        if n < test_per_class
    ]


def replace_folder(new: Path, old: Path) -> None:
    """Put ``new`` where ``old`` is, which is moved aside first and removed last."""
    aside = new.with_name("old")
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def count_table(summary: dict) -> pd.DataFrame:
    """The counts of ``build.json`` as a table: a row a class, a column a split, and their sum."""
    table = pd.DataFrame(summary["counts"]).rename(index={"": "(no class)"}).fillna(0).astype(int)
    return table.assign(all=table.sum(axis=1))
