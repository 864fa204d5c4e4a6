"""`build`: a source as Parquet shards per split with a dataset card; an interrupted build can continue."""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from .aside import written_aside
from .build_config import CONFIGURATIONS, GalaxyZoo2Config
from .build_record import BUILD_FILE, BuildRecord
from .card import dataset_card, own_lines
from .command_line import UserError
from .folder_lock import lock_beside, only_writer
from .levels import earlier_stretch
from .parquet_rows import SHARD_FOLDER
from .pictures import save_pictures
from .plan import Plan, make_plan, name_of, open_source
from .splits import COLUMNS, RESERVE, SPLIT_FILE

CARD_FILE, UNSOUND_FILE = "README.md", "left_out.csv"
ROW_GROUP = 256
FORMAT = 1


def build(
    data_dir: str | Path,
    output: Path,
    config_name: str | None = None,
    source: str | None = None,
    rules: Path | None = None,
    test_per_class: int = 100,
    validation_per_class: int = 50,
    near_duplicates: bool = True,
    num_folds: int = 1,
    fold: int = 0,
    center_crop: int | None = None,
    bands: str | None = None,
    stretch: str | None = None,
    keep: str | None = None,
    draw: int = 0,
    others: str = RESERVE,
    image_column: str = "image",
    label_column: str | None = None,
    id_column: str | None = None,
    revision: str | None = None,
) -> BuildRecord:
    """Write the galaxies of ``data_dir`` as Parquet shards per split with a dataset card.

    A split file that an earlier build left in ``output`` is read again, so that no galaxy moves, and what a user added
    below its card is kept. Everything is written into a folder beside ``output`` that takes its place at the end, and
    in which an interrupted build continues. The same input gives the same bytes.

    Parameters
    ----------
    data_dir : str or Path
        A source that `sources.read_source` knows.
    output : Path
        Folder of the dataset; ``load_dataset(output)`` reads it.
    config_name : str, optional
        One of `CONFIGURATIONS`; by default five_class, or image_folder where the classes are the user's own.
    source, rules, test_per_class, validation_per_class, near_duplicates, num_folds, fold, center_crop, bands, stretch,
    keep, draw
        As in `GalaxyZoo2Config`.
    others, image_column, label_column, id_column, revision
        As in `GalaxyZoo2Config`.

    Returns
    -------
    BuildRecord
        As ``build.json`` holds it.

    Raises
    ------
    UserError
    """
    if config_name not in (None, *CONFIGURATIONS):
        raise UserError(f"no configuration {config_name!r}; choose from {', '.join(CONFIGURATIONS)}")
    names = {file.name for file in output.iterdir()} if output.is_dir() else set()
    if output.is_file() or (names and not names & {BUILD_FILE, SPLIT_FILE}):
        raise UserError(f"{output}: exists and is not a dataset of an earlier build; give another --output")
    output = output.absolute()
    if output.is_mount():
        raise UserError(f"{output}: is a mount point, which a build cannot replace; give a folder in it as --output")
    with only_writer(output, lock_beside(output)):
        end_replacing(output)
        config = GalaxyZoo2Config(
            name=config_name or "",
            data_dir=str(data_dir),
            source=source,
            rules=str(rules) if rules else None,
            test_per_class=test_per_class,
            validation_per_class=validation_per_class,
            near_duplicates=near_duplicates,
            num_folds=num_folds,
            fold=fold,
            center_crop=center_crop,
            bands=bands,
            stretch=stretch,
            keep=keep,
            draw=draw,
            others=others,
            image_column=image_column,
            label_column=label_column,
            id_column=id_column,
            revision=revision,
            split_file=str(output / SPLIT_FILE) if (output / SPLIT_FILE).exists() else None,
        )
        return write(config, output)


def write(config: GalaxyZoo2Config, output: Path) -> BuildRecord:
    """Do what `build` says, in ``.NAME.partial`` beside ``output``."""
    opened = open_source(config)
    name_of(config, opened)  # refuses a wrong configuration before anything is written
    partial = partial_of(output)
    new = partial / "dataset"
    begin(partial, stamp_of(config, opened.stamp))
    plan = make_plan(config, opened, partial / "inspection")
    write_shards(plan, new / SHARD_FOLDER)
    record = plan.record
    (new / BUILD_FILE).write_text(record.to_json(), encoding="utf-8")
    listed = plan.table[[*COLUMNS, "sha256"]]
    if config.num_folds > 1:
        listed = listed.assign(fold=plan.table["fold"].astype(str).replace("-1", ""))
    listed.to_csv(new / SPLIT_FILE, index=False)
    if len(plan.unsound):
        plan.unsound.to_csv(new / UNSOUND_FILE, index=False)
    save_pictures(new, plan.center_crop)
    # The cache key of load_dataset is the folder's last name and the card, so the card must tell builds apart.
    digest = hashlib.sha256((new / SPLIT_FILE).read_bytes()).hexdigest()
    info = datasets.DatasetInfo(features=plan.features, description=f"galaxies {digest[:16]}")
    added = own_lines((output / CARD_FILE).read_text(encoding="utf-8")) if (output / CARD_FILE).exists() else ""
    (new / CARD_FILE).write_text(dataset_card(record, info) + added, encoding="utf-8")
    replace_folder(new, output)
    shutil.rmtree(partial)
    return record


def stamp_of(config: GalaxyZoo2Config, source: str) -> str:
    """A hash of everything that the dataset depends on."""
    texts = [Path(path).read_text(encoding="utf-8") if path else "" for path in (config.rules, config.split_file)]
    known = (FORMAT, asdict(config), earlier_stretch(config), source, texts)
    return hashlib.sha256(repr(known).encode()).hexdigest()


def begin(partial: Path, stamp: str) -> None:
    """Continue in ``partial`` if it belongs to the same build, or begin it anew."""
    note = partial / "stamp"
    if not note.exists() or note.read_text(encoding="utf-8") != stamp:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        note.write_text(stamp, encoding="utf-8")


def write_shards(plan: Plan, folder: Path) -> None:
    """Write the missing shards."""
    folder.mkdir(parents=True, exist_ok=True)
    for half_written in folder.glob(".*"):  # left by a build that was killed
        half_written.unlink()
    total = {shard.split: 0 for shard in plan.shards}
    numbered = []
    for shard in plan.shards:
        numbered.append((shard, total[shard.split]))
        total[shard.split] += 1
    with tqdm(total=int(plan.table["size"].sum()), desc="write", unit="B", unit_scale=True) as bar:
        for shard, number in numbered:
            path = folder / f"{shard.split}-{number:05d}-of-{total[shard.split]:05d}.parquet"
            if not path.exists():
                write_parquet(plan, shard, path)
            bar.update(int(plan.table["size"].iloc[shard.start : shard.stop].sum()))


def write_parquet(plan: Plan, shard: Any, path: Path) -> None:
    table = plan.read(shard)
    compression = {name: "NONE" if name == "image" else "SNAPPY" for name in table.schema.names}
    try:
        with written_aside(path) as aside:
            pq.write_table(table, aside, ROW_GROUP, compression=compression, write_page_index=True)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}); free space and run the same command again") from None


def partial_of(output: Path) -> Path:
    """The folder in which a build works."""
    return output.with_name(f".{output.name}.partial")


def replace_folder(new: Path, old: Path) -> None:
    """Put ``new`` in the place of ``old``, which is moved aside first and removed last."""
    aside = new.with_name("old")
    if old.exists():
        old.rename(aside)
    new.rename(old)
    shutil.rmtree(aside, ignore_errors=True)


def end_replacing(output: Path) -> None:
    """Undo what a build has left that was killed within `replace_folder`: the earlier dataset is not lost."""
    aside = partial_of(output) / "old"
    if aside.exists() and not output.exists():
        aside.rename(output)
    shutil.rmtree(aside, ignore_errors=True)
