"""What a user can bring: every kind of source is read into one table of galaxies."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from gz2_dataset.class_names import check_class_names
from gz2_dataset.command_line import UserError, how_to_install
from gz2_dataset.image_ids import check_image_ids
from gz2_dataset.rules import CLASS_NAMES, RULES, Rule, classes_of, classify
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.found import Found
from gz2_dataset.sources.hub import CUSTOMARY, Columns, has_images, read_hub
from gz2_dataset.sources.image_folder import SPLIT_NAMES, read_image_folder
from gz2_dataset.sources.image_names import is_image
from gz2_dataset.sources.tables import NO_CLASS, join_images, numeric_votes, read_csv
from gz2_dataset.votes import VOTE_COLUMNS, VOTES

KAGGLE_CSV, KAGGLE_IMAGES, MOCK_TRUTH = "training_solutions_rev1.csv", "images_training_rev1", "mock_truth.csv"
CLASS_LIST_CSV, CLASS_LIST_IMAGES = "labels.csv", "images"
MAPPING_CSV, CATALOGUE_CSV = "gz2_filename_mapping.csv", re.compile(r".*hart16.*\.csv(\.gz)?")
COORDINATES, OWN_SPLIT = ("ra", "dec"), "split"
KAGGLE_COMPETITION = "galaxy-zoo-the-galaxy-challenge"


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
    """Read the galaxies of ``data_dir``; its kind is recognised from its content.

    - ``kaggle``: the competition's zip, its single zips, or ``training_solutions_rev1.csv`` and
      ``images_training_rev1/``; classes by the rules on the votes. Mock galaxies have the same layout.
    - ``gz2_archive``: ``gz2_filename_mapping.csv``, the catalogue of Hart et al. 2016 (``gz2_hart16.csv``, plain or
      gzipped) and the images, zipped or not; the rules act on the debiased vote fractions.
    - ``hub``: a dataset on the Hub, or a folder of its Parquet files; classes by the rules if it has votes.
    - ``class_list``: ``labels.csv`` with image_id and galaxy_class, and ``images/``; ra, dec and split are kept.
    - ``image_folder``: one folder per class, with any names; see `image_folder`.

    Parameters
    ----------
    data_dir : str
        Folder or zip; for ``hub`` also the id of a dataset.
    kind : str, optional
        One of the above; by default it is recognised.
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
    if files is None or (kind := kind or recognise(files, columns.image)) == "hub":
        return finish("hub", data_dir, *read_hub(data_dir, columns), rules)
    if columns != CUSTOMARY:
        raise UserError(
            f"{data_dir}: is a source of the kind {kind}; --image_column, --label_column, --id_column and --revision "
            "are for datasets of the Hub and Parquet files (--source hub)"
        )
    lacking = files.join_bands(files_side_by_side) if files_side_by_side else []
    found = READERS[kind].read(files)
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
    """The kind of source in a folder or zip: the first of `READERS` that fits, else Parquet, else an image folder."""
    if kind := next((kind for kind, reader in READERS.items() if reader.is_there(files)), None):
        return kind
    if has_images(files, image_column):
        return "hub"
    if lost := next((name for name in files.names if KAGGLE_IMAGES in name and is_image(name)), None):
        raise UserError(
            f"{files.root}: holds images of Kaggle ({lost}), but no {KAGGLE_CSV} beside them; put it there, or name "
            "another --source"
        )
    return "image_folder"


def read_kaggle(files: Files) -> Found:
    """The Kaggle competition's layout."""
    if not (csv := files.find(KAGGLE_CSV)):
        raise UserError(
            f"{files.root}: holds no {KAGGLE_CSV}, plain or in a zip; download it from {KAGGLE_COMPETITION}"
        )
    table, skipped = read_csv(files, csv, ("GalaxyID", *VOTE_COLUMNS)), Counter()
    table = numeric_votes(table.rename(columns={"GalaxyID": "image_id"}), VOTE_COLUMNS, files.where(csv), skipped)
    images = [name for name in files.names if KAGGLE_IMAGES in name]
    table, unused = join_images(table, files, images, KAGGLE_CSV)
    return Found(table, VOTE_COLUMNS, skipped + without_image(table), unused | elsewhere(files, images))


def without_image(table: pd.DataFrame) -> Counter:
    """The number of rows without an image."""
    return Counter({"rows without image": int(table["file"].isna().sum())})


def elsewhere(files: Files, images: list[str]) -> dict[str, str]:
    """Images that are not where a source has its images."""
    there = set(images)
    return {name: "images elsewhere" for name in files.names if is_image(name) and name not in there}


def read_gz2_archive(files: Files) -> Found:
    """The archive of GZ2 images with the catalogue of Hart et al. 2016; image_id is the asset_id.

    The rules act on the debiased fractions as the catalogue gives them, each a share of those who were asked (as in
    Willett et al. 2013, section 3.3, and unlike Kaggle's products); the answers of a question that nobody was asked
    count as 0.
    """
    if not (csv := find_catalogue(files)):
        raise UserError(f"{files.root}: holds no gz2_hart16.csv or gz2_hart16.csv.gz; download it from Galaxy Zoo")
    catalogue = read_csv(files, csv, ("dr7objid", *VOTES["hart16"]), optional=("asset_id", *COORDINATES))
    if "asset_id" not in catalogue:
        if not (mapping := files.find(MAPPING_CSV)):
            raise UserError(f"{files.root}: holds no {MAPPING_CSV}; download it with the images")
        assets = read_csv(files, mapping, ("asset_id", "objid"))
        catalogue = assets.merge(catalogue, left_on="objid", right_on="dr7objid")
        if catalogue.empty:
            raise UserError(f"{files.where(mapping)}: no objid is a dr7objid of {csv}; take the files of one release")
    table = catalogue.rename(columns=dict(zip(VOTES["hart16"], VOTE_COLUMNS, strict=True)) | {"asset_id": "image_id"})
    table[list(VOTE_COLUMNS)] = table[list(VOTE_COLUMNS)].replace(["", "nan", "NaN"], "0")
    skipped = Counter()
    table = numeric_votes(table, VOTE_COLUMNS, files.where(csv), skipped)
    table, unused = join_images(table, files, files.names, csv)
    skipped += without_image(table)
    with_image = table["file"].notna()
    again = with_image & table["dr7objid"].where(with_image).duplicated()
    skipped["further images of the same galaxy"] += int(again.sum())
    return Found(table[~again], VOTE_COLUMNS, skipped, unused)


def find_catalogue(files: Files) -> str | None:
    """The catalogue of Hart et al. 2016."""
    names = {PurePosixPath(name).name for name in files.names}
    return files.find(*filter(CATALOGUE_CSV.fullmatch, names))


def read_class_list(files: Files) -> Found:
    """A list of image ids, or names of files, with their class; an empty class means none."""
    if not (csv := files.find(CLASS_LIST_CSV)):
        raise UserError(f"{files.root}: holds no {CLASS_LIST_CSV} with the columns image_id and galaxy_class")
    table = read_csv(files, csv, ("image_id", "galaxy_class"), (*COORDINATES, OWN_SPLIT), names_files=True)
    table["galaxy_class"] = table["galaxy_class"].mask(table["galaxy_class"].str.casefold().isin(NO_CLASS), "")
    if not table["galaxy_class"].any():
        raise UserError(f"{files.where(csv)}: no row has a galaxy_class; fill the column in")
    beside = csv.removesuffix(CLASS_LIST_CSV) + CLASS_LIST_IMAGES
    images = [name for name in files.names if name.startswith((f"{beside}/", f"{beside}.zip/"))]
    table, unused = join_images(table, files, images, CLASS_LIST_CSV)
    return Found(table, skipped=without_image(table), unused=unused | elsewhere(files, images))


class Reader(NamedTuple):
    """How a source is read from files, and told from others."""

    read: Callable[[Files], Found]
    is_there: Callable[[Files], bool]


READERS = {
    "kaggle": Reader(read_kaggle, lambda files: bool(files.find(KAGGLE_CSV))),
    "gz2_archive": Reader(read_gz2_archive, lambda files: bool(find_catalogue(files))),
    "class_list": Reader(read_class_list, lambda files: bool(files.find(CLASS_LIST_CSV))),
    "image_folder": Reader(read_image_folder, lambda files: False),  # what is left when no other is there
}
KINDS = (*READERS, "hub")


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


def download_from_kaggle() -> str:
    """Download the training images and votes with the user's Kaggle credentials; returns their folder.

    Raises
    ------
    UserError
        If kagglehub is missing, or Kaggle refuses.
    """
    try:
        import kagglehub  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(f"a download from Kaggle needs kagglehub; run {how_to_install('kaggle')}") from None
    try:
        for name in ("training_solutions_rev1.zip", "images_training_rev1.zip"):
            path = kagglehub.competition_download(KAGGLE_COMPETITION, name)
    except Exception as error:  # kagglehub's, requests' and the file system's
        reason = " ".join(str(error).split())
        raise UserError(
            f"Kaggle: {reason}; accept the rules of the competition {KAGGLE_COMPETITION} in a browser and log in with "
            "kagglehub.login() or KAGGLE_USERNAME and KAGGLE_KEY"
        ) from None
    return str(Path(path).parent)
