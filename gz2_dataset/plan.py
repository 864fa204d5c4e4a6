"""What a dataset will hold: which galaxies of a source, in which split, with which features, in which shards."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa

from gz2_dataset.sources.sources import Source, read_source

from .build_record import BuildRecord
from .command_line import UserError, parse_counts
from .crop import usual_crop
from .inspection import inspect
from .parallel import in_threads
from .ranges import at_least, between, check_ranges
from .rarity import OTHERS, make_rare
from .repeats import repeats_across, same_bytes, same_sky
from .rules import CLASS_NAMES, RULES, read_rules
from .splits import RESERVE, SPLITS, read_splits, split_galaxies, with_new_names

SHARD_BYTES = 64 * 2**20
CONFIGURATIONS = {
    "five_class": "The paper's clean samples; galaxies without a class form the split unlabelled",
    "galaxy_zoo_2": "All galaxies with their vote fractions; those without a class are in train",
    "image_folder": "Your own classes: one folder per class, or a class list",
}


@dataclass
class GalaxyZoo2Config(datasets.BuilderConfig):
    """Configuration of `GalaxyZoo2` and of `build`.

    Attributes
    ----------
    source : str, optional
        One of `sources.KINDS`; by default it is recognised from the content of data_dir.
    rules : str, optional
        YAML file of rules that make other classes from the votes.
    test_per_class, validation_per_class : int
        Galaxies of each class for testing and validation; at most 30 % and 10 % of a small class.
    near_duplicates : bool
        Whether to decode every image and look for galaxies of train that a held-out image also shows.
    split_file : str, optional
        The split file of an earlier build, whose galaxies stay where they are.
    num_folds, fold : int
        Number of disjoint test sets, and which of them this is, counted from 0.
    center_crop : int, optional
        Side in pixels of the central square of each image that everything reads, 0 for the whole image; by default 224
        if most images have 424 x 424 pixels, like those of Galaxy Zoo 2, else the whole.
    keep : str, optional
        Training galaxies that classes are left with, such as edge_on=41; see `rarity.make_rare`.
    draw : int
        Which galaxies these are.
    others : str
        One of `rarity.OTHERS`: where the other training galaxies of the class go.
    """

    source: str | None = None
    rules: str | None = None
    test_per_class: int = field(default=100, metadata=at_least(0))
    validation_per_class: int = field(default=50, metadata=at_least(0))
    near_duplicates: bool = True
    split_file: str | None = None
    num_folds: int = field(default=1, metadata=between(1, 1000))
    fold: int = 0
    center_crop: int | None = field(default=None, metadata=at_least(0))
    keep: str | None = None
    draw: int = field(default=0, metadata=at_least(0))
    others: str = RESERVE

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self)
        if not 0 <= self.fold < self.num_folds:
            raise UserError(f"fold {self.fold} of {self.num_folds}: give a --fold from 0 to --num_folds less 1")
        if self.others not in OTHERS:
            raise UserError(
                f"others {self.others!r}: the galaxies that a class does not keep go to {' or '.join(OTHERS)}"
            )


@dataclass(frozen=True)
class Shard:
    """Galaxies that go into one file: rows ``start`` to ``stop`` of the plan's table, all of one split."""

    split: str
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """The galaxies of a dataset in the order in which they are written.

    Attributes
    ----------
    config : GalaxyZoo2Config
    name : str
        The configuration's, or that of the user's rules.
    source : Source
    table : DataFrame
        Columns of the source's table, and split, fold, sha256 and size; sorted by split and image_id.
    skipped : Counter of str
        What is left out, by reason.
    unsound : DataFrame
        Columns image_id, file and reason of the images that are left out.
    moved : dict of str to int
        Galaxies taken out because a held-out one shows the same, as ``exact`` or as ``near`` duplicates.
    center_crop : int
        Side in pixels of the central square of each image that everything reads; 0 is the whole image.
    set_aside : dict of str to int
        Galaxies that `make_rare` has taken out of train, by class.
    shards : list of Shard
    """

    config: GalaxyZoo2Config
    name: str
    source: Source
    table: pd.DataFrame
    skipped: Counter
    unsound: pd.DataFrame
    moved: dict[str, int]
    center_crop: int
    set_aside: dict[str, int]
    shards: list[Shard] = field(default_factory=list)

    @property
    def features(self) -> datasets.Features:
        """Features of every split."""
        return features_of(self.source)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Galaxies per split and class, ``{split: {class: n}}``; those without a class under an empty name."""
        counts = self.table.groupby(["split", "galaxy_class"]).size()
        names = {
            split: [""] if split == "unlabelled" else [*self.source.class_names, ""]
            for split in SPLITS
            if split in counts
        }
        return {
            split: {name: int(counts.get((split, name), 0)) for name in order if name or (split, "") in counts}
            for split, order in names.items()
        }

    @property
    def record(self) -> BuildRecord:
        """What is known of the dataset before it is written."""
        small = [
            f"{name}: {n} test galaxies instead of {self.config.test_per_class}, because the class is small"
            for name, n in self.counts.get("test", {}).items()
            if n < self.config.test_per_class
        ]
        left_out = [f"{reason}, left out: {n}" for reason, n in self.skipped.items()]
        moved = [
            f"left out of train, because a held-out image shows the same ({kind} duplicates): {n}"
            for kind, n in self.moved.items()
            if n
        ]
        rare = [
            f"{name}: made rare on purpose, {n} of its training galaxies are in {self.config.others} instead "
            f"(draw {self.config.draw})"
            for name, n in self.set_aside.items()
        ]
        return BuildRecord(
            source=self.source.kind,
            config_name=self.name,
            rules=self.source.rules,
            classes=self.source.class_names,
            rows=self.source.rows,
            found=self.source.found,
            counts=self.counts,
            skipped=dict(self.skipped),
            moved=self.moved,
            test_per_class=self.config.test_per_class,
            validation_per_class=self.config.validation_per_class,
            num_folds=self.config.num_folds,
            fold=self.config.fold,
            center_crop=self.center_crop,
            set_aside=self.set_aside,
            draw=self.config.draw,
            others=self.config.others,
            notes=(*left_out, *moved, *small, *rare),
        )

    def read(self, shard: Shard) -> pa.Table:
        """The galaxies of a shard with their images, as the bytes of the source."""
        rows = self.table.iloc[shard.start : shard.stop]
        try:
            content = list(in_threads(self.source.read, rows["file"].tolist()))
        except OSError as error:
            raise UserError(f"{self.config.data_dir}: an image has become unreadable ({error}); build again") from None
        names = [PurePosixPath(file).name if "." in file else None for file in rows["file"]]
        label_of = {name: label for label, name in enumerate(self.source.class_names)}
        schema = self.features.arrow_schema
        columns = {
            "image": pa.StructArray.from_arrays(
                [pa.array(content, pa.binary()), pa.array(names, pa.string())], ["bytes", "path"]
            ),
            "label": pa.array(map(label_of.get, rows["galaxy_class"]), pa.int64()),
            "image_id": pa.array(rows["image_id"], pa.string()),
            **{column: pa.array(rows[column], pa.float32()) for column in self.source.vote_columns},
        }
        return pa.Table.from_arrays(
            [columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema
        )


def features_of(source: Source) -> datasets.Features:
    """Image, label, image_id and the vote fractions that the source has."""
    return datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(source.class_names)),
            "image_id": datasets.Value("string"),
            **dict.fromkeys(source.vote_columns, datasets.Value("float32")),
        }
    )


def open_source(config: GalaxyZoo2Config) -> Source:
    """The source of a configuration, with the configuration's rules."""
    if config.data_dir is None:
        raise UserError("no data_dir; give the folder of the galaxy images with --data_dir")
    rules = read_rules(Path(config.rules)) if config.rules else RULES
    return read_source(config.data_dir, config.source, rules)


def name_of(config: GalaxyZoo2Config, source: Source) -> str:
    """Name of the configuration, checked to fit the source."""
    own = not source.vote_columns and not set(source.class_names) <= set(CLASS_NAMES)
    name = config.name if config.name in CONFIGURATIONS else "image_folder" if own else "five_class"
    where = config.data_dir
    if name == "galaxy_zoo_2" and not source.vote_columns:
        raise UserError(
            f"{where}: has no vote fractions ({source.kind}); take --config_name five_class or image_folder"
        )
    if name == "image_folder" and source.vote_columns:
        raise UserError(f"{where}: its classes come from votes ({source.kind}); take --config_name five_class")
    if name == "five_class" and own:
        raise UserError(
            f"{where}: has classes of its own ({', '.join(source.class_names)}); take --config_name image_folder"
        )
    if config.rules and not source.vote_columns:
        raise UserError(f"{where}: has no vote fractions for {config.rules} to act on; leave --rules out")
    return Path(config.rules).stem if config.rules and name == "five_class" else name


def make_plan(config: GalaxyZoo2Config, source: Source, scratch: Path | None = None) -> Plan:
    """Look at the images, sort the sound ones into splits, remove repeats of held-out galaxies, make classes rare.

    Parameters
    ----------
    config : GalaxyZoo2Config
    source : Source
        Of `open_source`.
    scratch : Path, optional
        Folder where the inspection keeps its finished parts.

    Raises
    ------
    UserError
        If a class has no sound image, or fewer training galaxies than it shall keep.
    """
    name = name_of(config, source)
    looks, signatures = inspect(source, config.near_duplicates, scratch)
    sound = looks["problem"] == ""
    skipped = source.skipped + Counter(looks["problem"][~sound])
    unsound = source.table[["image_id", "file"]].assign(reason=looks["problem"])[~sound]
    table = pd.concat([source.table, looks[["sha256", "size"]]], axis=1)[sound].reset_index(drop=True)
    for class_name in source.class_names if name != "galaxy_zoo_2" else ():
        if not (table["galaxy_class"] == class_name).any():
            reasons = "".join(f"; {n} {reason} left out" for reason, n in skipped.items())
            where = f"{config.data_dir}: no image of class {class_name} among {len(table)}"
            raise UserError(f"{where}; add some or drop the class{reasons}")

    folds = (config.num_folds, config.fold)
    earlier = with_new_names(read_splits(Path(config.split_file), *folds), table) if config.split_file else None
    table[["split", "fold"]] = split_galaxies(
        table, config.test_per_class, config.validation_per_class, earlier, *folds
    )
    known = table["image_id"].isin([] if earlier is None else earlier["image_id"])
    exact_pairs = same_bytes(table["sha256"])
    exact = repeats_across(table, exact_pairs, known, config.num_folds)
    repeated, near = exact, 0
    if signatures is not None:
        signatures = signatures if sound.all() else signatures[sound.to_numpy()]
        pairs = np.concatenate([exact_pairs, same_sky(signatures)])
        repeated = exact | repeats_across(table, pairs, known, config.num_folds)
        near = int((repeated & ~exact).sum())
    table = table[~repeated]
    keep = parse_counts("keep", config.keep, source.class_names) if config.keep else {}
    before = table.loc[table["split"] == "train", "galaxy_class"].value_counts()
    table = make_rare(table, keep, config.draw, config.others)
    if name == "galaxy_zoo_2":
        table["split"] = table["split"].replace("unlabelled", "train")
    table = table.assign(split=pd.Categorical(table["split"], SPLITS))
    table = table.sort_values(["split", "image_id"], ignore_index=True)
    table["split"] = table["split"].astype(str)
    moved = {"exact": int(exact.sum()), "near": near}
    center_crop = config.center_crop
    if center_crop is None:
        center_crop = usual_crop(*looks.loc[sound, ["width", "height"]].value_counts().idxmax())
    set_aside = {rare: int(before[rare]) - count for rare, count in keep.items()}
    return Plan(config, name, source, table, skipped, unsound, moved, center_crop, set_aside, cut_shards(table))


def cut_shards(table: pd.DataFrame, shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Consecutive galaxies of a split until their images reach ``shard_bytes``; no shard is empty."""
    shards = []
    for split, rows in table.groupby("split", sort=False):
        number = (rows["size"].cumsum() - rows["size"]) // shard_bytes
        for _, part in rows.groupby(number):
            shards.append(Shard(split, part.index[0], part.index[-1] + 1))
    return shards
