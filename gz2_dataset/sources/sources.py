"""What a user can bring: every kind of source is read into one table of galaxies."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd

from gz2_dataset.class_names import check_class_names
from gz2_dataset.command_line import UserError
from gz2_dataset.image_ids import check_image_ids
from gz2_dataset.rules import CLASS_NAMES, RULES, Rule, classes_of, classify
from gz2_dataset.sources import class_list, gz2_archive, hub, image_folder, kaggle
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.found import COORDINATES, OWN_SPLIT, Found
from gz2_dataset.sources.hub import CUSTOMARY, Columns, has_images, read_hub
from gz2_dataset.sources.image_folder import SPLIT_NAMES
from gz2_dataset.sources.image_names import is_image
from gz2_dataset.sources.kaggle import KAGGLE_CSV, KAGGLE_IMAGES, MOCK_TRUTH

KINDS = {
    "kaggle": kaggle.KIND,
    "gz2_archive": gz2_archive.KIND,
    "class_list": class_list.KIND,
    "hub": hub.KIND,
    "image_folder": image_folder.KIND,
}
"""The first that is there is taken; almost any source has folders of images."""


@dataclass(frozen=True)
class Source:
    """The galaxies of a source.

    Attributes
    ----------
    kind : str
        One of `KINDS`, or ``mock``.
    table : DataFrame
        Columns image_id, galaxy_class (empty: no class), file, and the vote columns; ra and dec in degrees and split
        (train, validation, test, or empty), where the source has them; sorted by image_id.
    class_names : tuple of str
        In the order of the labels.
    read : callable
        Bytes of the image of a ``file``; an OSError where it cannot be read.
    stamp : str
        Changes when any file of the source does.
    rows : int
        Galaxies that the source lists, with and without image.
    vote_columns : tuple of str
        The vote fractions that the source has.
    rules : tuple of Rule, optional
        The rules that made the classes from votes.
    found : dict of str to int
        Galaxies of each class by the rules, with and without image.
    skipped : Counter of str
        Rows and images that are left out, by reason.
    unused : dict of str to str
        Files that are left out, and why; they are counted in ``skipped``.
    notes : tuple of str
        What a reader should know, one line each.
    """

    kind: str
    table: pd.DataFrame
    class_names: tuple[str, ...]
    read: Callable[[str], bytes]
    stamp: str
    rows: int
    vote_columns: tuple[str, ...] = ()
    rules: tuple[Rule, ...] | None = None
    found: dict[str, int] = field(default_factory=dict)
    skipped: Counter = field(default_factory=Counter)
    unused: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_source(
    data_dir: str,
    kind: str | None = None,
    rules: tuple[Rule, ...] = RULES,
    files_side_by_side: tuple[str, ...] = (),
    columns: Columns = CUSTOMARY,
) -> Source:
    """Read the galaxies of ``data_dir``; its kind, one of `KINDS`, is recognised from its content.

    Classes come from the rules where there are votes; drawn galaxies, in Kaggle's layout, are of the kind ``mock``.

    Parameters
    ----------
    data_dir : str
        Folder or zip; for ``hub`` also the id of a dataset.
    kind : str, optional
        By default it is recognised.
    rules : tuple of Rule
        The rules that make classes from votes.
    files_side_by_side : tuple of str
        Bands of which each image has one file; see `image_names.side_by_side`.
    columns : Columns
        For ``hub``: the names of its columns, and its version.

    Raises
    ------
    UserError
        If none of these is found, a table or a column cannot be used, or columns are named for another kind.
    """
    if kind not in (None, *KINDS):
        raise UserError(f"no source {kind!r}; choose from {', '.join(KINDS)}")
    files = Files(Path(data_dir)) if kind != "hub" else None
    if files is None or not (read := KINDS[kind := kind or recognise(files, columns.image)].read):
        return finish("hub", data_dir, *read_hub(data_dir, columns), rules)
    if columns != CUSTOMARY:
        raise UserError(
            f"{data_dir}: is a source of the kind {kind}; --image_column, --label_column, --id_column and --revision "
            "are for datasets of the Hub and Parquet files (--source hub)"
        )
    lacking = files.join_bands(files_side_by_side) if files_side_by_side else []
    found = read(files)
    if kind == "kaggle" and (truth := files.find(MOCK_TRUTH)):
        kind = "mock"
        files.tables.add(truth)
    others = {name: others_reason(name) for name in files.names if not is_image(name) and name not in files.tables}
    unused = dict.fromkeys(lacking, "images without all bands") | others | found.unused
    skipped = found.skipped + files.skipped + Counter(unused.values())
    return finish(kind, data_dir, replace(found, skipped=skipped, unused=unused), files.read, files.stamp(), rules)


def others_reason(name: str) -> str:
    """Why a file that is no image is left out."""
    return f"files with the ending {PurePosixPath(name).suffix.lower() or '(none)'}, which are no images"


def recognise(files: Files, image_column: str = "image") -> str:
    """The kind of source in a folder or zip: the first of `KINDS` that is there."""
    hub_is_there = partial(has_images, column=image_column)
    found = next((name for name, kind in KINDS.items() if (kind.is_there or hub_is_there)(files)), None)
    if found is None:
        signs = ", nor ".join(kind.sign for kind in KINDS.values())
        raise UserError(f"{files.root}: holds neither {signs}; give the folder of the galaxy images")
    lost = next((name for name in files.names if KAGGLE_IMAGES in name and is_image(name)), None)
    if found == "image_folder" and lost:
        raise UserError(
            f"{files.root}: holds images of Kaggle ({lost}), but no {KAGGLE_CSV} beside them; put it there, or name "
            "another --source"
        )
    return found


def finish(
    kind: str, where: str, found: Found, read: Callable[[str], bytes], stamp: str, rules: tuple[Rule, ...]
) -> Source:
    """Classes by the rules if there are votes, otherwise by the source's own names."""
    table, vote_columns, notes = found.table, found.vote_columns, found.notes
    rows, of_class, applied = len(table), {}, rules if vote_columns else None
    if vote_columns:
        used = [condition.column for rule in rules for condition in rule.conditions]
        if missing := [column for column in used if column not in vote_columns]:
            raise UserError(f"the rules use {missing[0]}, which this source ({kind}) does not have; change the rules")
        table = table.assign(galaxy_class=classify(table, rules))
        class_names = classes_of(rules)
        of_class = {name: int((table["galaxy_class"] == name).sum()) for name in class_names}
    else:
        present = set(table["galaxy_class"]) - {""}
        order = CLASS_NAMES if present <= set(CLASS_NAMES) else sorted(present)
        class_names = tuple(name for name in order if name in present)
        if len(class_names) == 1:
            notes += (f"there is only one class, {class_names[0]}, so no classifier can be trained",)
    check_class_names(class_names, where)
    table = table[table["file"].notna()]
    check_image_ids(table["image_id"], where)
    for name in set(COORDINATES) & set(table):
        table = table.assign(**{name: pd.to_numeric(table[name], errors="coerce")})
    if OWN_SPLIT in table:
        table = table.assign(**{OWN_SPLIT: own_splits(table[OWN_SPLIT], where)})
    further = [name for name in (*COORDINATES, OWN_SPLIT) if name in table]
    table = table[["image_id", "galaxy_class", "file", *vote_columns, *further]].sort_values(
        "image_id", ignore_index=True
    )
    return Source(
        kind,
        table,
        class_names,
        read,
        stamp,
        rows,
        vote_columns,
        applied,
        of_class,
        +found.skipped,
        found.unused,
        notes,
    )


def own_splits(given: pd.Series, where: str) -> pd.Series:
    """The splits that a source gives its galaxies, by our names; empty where it gives none."""
    names = given.fillna("").str.casefold()
    if unknown := set(names) - {*SPLIT_NAMES, ""}:
        raise UserError(
            f"{where}: the column split has {sorted(unknown)[0]!r}; it may have {', '.join(SPLIT_NAMES)}, or nothing"
        )
    return names.map(SPLIT_NAMES).fillna("")
