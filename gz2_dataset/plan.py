"""What a dataset will hold: which galaxies of a source, in which split, with which features, in which shards."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import datasets
import pandas as pd
import pyarrow as pa

from gz2_dataset.sources.found import COORDINATES
from gz2_dataset.sources.hub import Columns
from gz2_dataset.sources.image_names import stem_of
from gz2_dataset.sources.sources import Source, read_source

from .build_config import CONFIGURATIONS, GalaxyZoo2Config
from .build_record import BuildRecord
from .command_line import UserError, parse_counts
from .crop import usual_crop
from .held_out import hold_out
from .inspection import inspect
from .levels import earlier_stretch, stretch_for
from .parallel import in_threads
from .rarity import make_rare
from .rules import CLASS_NAMES, RULES, read_rules
from .splits import SPLITS, read_splits, with_new_names
from .stretch import Stretch, as_stored, named, parse_bands

SHARD_BYTES = 64 * 2**20


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
    stretch : Stretch, optional
        Of the files that are not finished pictures.
    set_aside : dict of str to int
        Galaxies that `make_rare` has taken out of train, by class.
    pixel_notes : tuple of str
        What is worth knowing about the numbers in files that are not finished pictures.
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
    stretch: Stretch | None
    set_aside: dict[str, int]
    pixel_notes: tuple[str, ...] = ()
    shards: list[Shard] = field(default_factory=list)

    @property
    def features(self) -> datasets.Features:
        """Features of every split."""
        return features_of(self.source, [name for name in COORDINATES if name in self.table])

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
        small = {name: n for name, n in self.counts.get("test", {}).items() if n < self.config.test_per_class}
        few = ", ".join(f"{name} {n}" for name, n in small.items())
        small = [f"fewer than {self.config.test_per_class} test galaxies, because the class is small: {few}"] * bool(
            few
        )
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
            stretch=self.stretch,
            set_aside=self.set_aside,
            draw=self.config.draw,
            others=self.config.others,
            notes=(*self.source.notes, *left_out, *self.pixel_notes, *moved, *small, *rare),
        )

    def read(self, shard: Shard) -> pa.Table:
        """The galaxies of a shard with their images, as the bytes of the source where these are a finished picture."""
        rows = self.table.iloc[shard.start : shard.stop]
        try:
            content = list(in_threads(self.stored, rows["file"].tolist()))
        except OSError as error:
            raise UserError(f"{self.config.data_dir}: an image has become unreadable ({error}); build again") from None
        names = [name_in_dataset(file) if "." in file else None for file in rows["file"]]
        label_of = {name: label for label, name in enumerate(self.source.class_names)}
        schema = self.features.arrow_schema
        columns = {
            "image": pa.StructArray.from_arrays(
                [pa.array(content, pa.binary()), pa.array(names, pa.string())], ["bytes", "path"]
            ),
            "label": pa.array(map(label_of.get, rows["galaxy_class"]), pa.int64()),
            "image_id": pa.array(rows["image_id"], pa.string()),
            **{column: pa.array(rows[column], pa.float32()) for column in self.source.vote_columns},
            **{name: pa.array(rows[name], pa.float64(), from_pandas=True) for name in COORDINATES if name in rows},
        }
        return pa.Table.from_arrays(
            [columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema
        )

    def stored(self, file: str) -> bytes:
        """The image of a file of the source as the dataset stores it."""
        return as_stored(self.source.read(file), self.stretch)


def name_in_dataset(file: str) -> str:
    """The name of an image: of a file that is a PNG by now, with that ending."""
    name = PurePosixPath(file).name
    return name if name.lower().endswith((".jpg", ".jpeg", ".jfif", ".png")) else f"{stem_of(name)}.png"


def features_of(source: Source, further: list[str]) -> datasets.Features:
    """Image, label, image_id, the vote fractions that the source has, and further columns of numbers."""
    return datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(source.class_names)),
            "image_id": datasets.Value("string"),
            **dict.fromkeys(source.vote_columns, datasets.Value("float32")),
            **dict.fromkeys(further, datasets.Value("float64")),
        }
    )


def open_source(config: GalaxyZoo2Config) -> Source:
    """The source of a configuration, with the configuration's rules."""
    if config.data_dir is None:
        raise UserError("no data_dir; give the folder of the galaxy images with --data_dir")
    rules = read_rules(Path(config.rules)) if config.rules else RULES
    earlier = earlier_stretch(config)
    bands = parse_bands(config.bands) or (earlier.bands if earlier else ())
    columns = Columns(config.image_column, config.label_column, config.id_column, config.revision)
    return read_source(config.data_dir, config.source, rules, bands if named(bands) else (), columns)


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
    stretch = stretch_for(config, source)
    looks, signatures = inspect(source, config.near_duplicates, stretch, scratch)
    sound = looks["problem"] == ""
    skipped = source.skipped + Counter(looks["problem"][~sound])
    unsound = source.table[["image_id", "file"]].assign(reason=looks["problem"])[~sound]
    names = [name.encode(errors="replace").decode() for name in source.unused]
    unused = pd.DataFrame({"image_id": "", "file": names, "reason": source.unused.values()})
    unsound = pd.concat([unsound, unused])[["image_id", "file", "reason"]]
    table = with_coordinates(source.table, looks)
    table = pd.concat([table, looks[["sha256", "size"]]], axis=1)[sound].reset_index(drop=True)
    for class_name in source.class_names if name != "galaxy_zoo_2" else ():
        if not (table["galaxy_class"] == class_name).any():
            reasons = "".join(f"; {n} {reason} left out" for reason, n in skipped.items())
            where = f"{config.data_dir}: no image of class {class_name} among {len(table)}"
            raise UserError(f"{where}; add some or drop the class{reasons}")

    folds = (config.num_folds, config.fold)
    earlier = with_new_names(read_splits(Path(config.split_file), *folds), table) if config.split_file else None
    if signatures is not None:
        signatures = signatures if sound.all() else signatures[sound.to_numpy()]
    wanted = {"test": config.test_per_class, "validation": config.validation_per_class}
    table, moved = hold_out(table, signatures, wanted, earlier, *folds)
    keep = parse_counts("keep", config.keep, source.class_names) if config.keep else {}
    before = table.loc[table["split"] == "train", "galaxy_class"].value_counts()
    table = make_rare(table, keep, config.draw, config.others)
    if name == "galaxy_zoo_2":
        table["split"] = table["split"].replace("unlabelled", "train")
    table = table.assign(split=pd.Categorical(table["split"], SPLITS))
    table = table.sort_values(["split", "image_id"], ignore_index=True)
    table["split"] = table["split"].astype(str)
    center_crop = config.center_crop
    if center_crop is None:
        center_crop = usual_crop(*looks.loc[sound, ["width", "height"]].value_counts().idxmax())
    set_aside = {rare: int(before[rare]) - count for rare, count in keep.items()}
    notes = pixel_notes(looks[sound], stretch)
    return Plan(
        config,
        name,
        source,
        table,
        skipped,
        unsound,
        moved,
        center_crop,
        stretch,
        set_aside,
        notes,
        cut_shards(table),
    )


def with_coordinates(table: pd.DataFrame, looks: pd.DataFrame) -> pd.DataFrame:
    """The source's table with ra and dec of the images' headers, where it has none of its own and any header has."""
    if not set(COORDINATES) <= set(table) and looks[list(COORDINATES)].notna().any(axis=None):
        return table.assign(**{name: looks[name] for name in COORDINATES})
    return table


def pixel_notes(looks: pd.DataFrame, stretch: Stretch | None) -> tuple[str, ...]:
    """What is worth knowing about the numbers in files that are not finished pictures."""
    if stretch is None:
        return ()
    notes = [f"stretch: {stretch.in_words}"]
    if finished := int((~looks["stretched"]).sum()):
        notes.append(
            f"images that came as pictures of 8 bits, and were not stretched: {finished} of {len(looks)}; where that "
            "goes with the class, a net learns it instead"
        )
    for what, name in (("empty (NaN), shown as black", "empty"), ("saturated, shown as white", "saturated")):
        if images := int((looks[name] > 0).sum()):
            notes.append(f"images with pixels that are {what}: {images} ({int(looks[name].sum())} pixels)")
    return tuple(notes)


def cut_shards(table: pd.DataFrame, shard_bytes: int = SHARD_BYTES) -> list[Shard]:
    """Consecutive galaxies of a split until their images reach ``shard_bytes``; no shard is empty."""
    shards = []
    for split, rows in table.groupby("split", sort=False):
        number = (rows["size"].cumsum() - rows["size"]) // shard_bytes
        for _, part in rows.groupby(number):
            shards.append(Shard(split, part.index[0], part.index[-1] + 1))
    return shards
