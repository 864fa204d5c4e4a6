"""What a user can bring: every kind of source is read into one table of galaxies."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from gz2_dataset.class_names import check_class_names
from gz2_dataset.command_line import UserError, how_to_install
from gz2_dataset.image_ids import check_image_ids
from gz2_dataset.rules import CLASS_NAMES, RULES, Rule, classes_of, classify
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.hub import read_hub
from gz2_dataset.sources.tables import IMAGE_SUFFIXES, join_images, numeric_votes, read_csv
from gz2_dataset.votes import VOTE_COLUMNS, VOTES

KAGGLE_CSV, KAGGLE_IMAGES, MOCK_TRUTH = "training_solutions_rev1.csv", "images_training_rev1", "mock_truth.csv"
CLASS_LIST_CSV, CLASS_LIST_IMAGES = "labels.csv", "images"
MAPPING_CSV, CATALOGUE_CSV = "gz2_filename_mapping.csv", re.compile(r".*hart16.*\.csv(\.gz)?")
KAGGLE_COMPETITION = "galaxy-zoo-the-galaxy-challenge"


@dataclass(frozen=True)
class Source:
    """The galaxies of a source.

    Attributes
    ----------
    kind : str
        One of `KINDS`, or ``mock``.
    table : DataFrame
        Columns image_id, galaxy_class (empty: no class), file, and the vote columns; sorted by image_id.
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


def read_source(data_dir: str, kind: str | None = None, rules: tuple[Rule, ...] = RULES) -> Source:
    """Read the galaxies of ``data_dir``; its kind is recognised from its content.

    - ``kaggle``: the competition's zip, its single zips, or ``training_solutions_rev1.csv`` and
      ``images_training_rev1/``; classes by the rules on the votes. Mock galaxies have the same layout.
    - ``gz2_archive``: ``gz2_filename_mapping.csv``, the catalogue of Hart et al. 2016 (``gz2_hart16.csv``, plain or
      gzipped) and the images, zipped or not; the rules act on the debiased vote fractions.
    - ``hub``: a dataset on the Hub, or a folder of its Parquet files; classes by the rules if it has votes.
    - ``class_list``: ``labels.csv`` with image_id and galaxy_class, and ``images/``.
    - ``image_folder``: one folder per class, with any names.

    Parameters
    ----------
    data_dir : str
        Folder or zip; for ``hub`` also the id of a dataset.
    kind : str, optional
        One of the above; by default it is recognised.
    rules : tuple of Rule
        The rules that make classes from votes.

    Raises
    ------
    UserError
        If none of these is found, or a table or a column cannot be used.
    """
    if kind not in (None, *KINDS):
        raise UserError(f"no source {kind!r}; choose from {', '.join(KINDS)}")
    files = Files(Path(data_dir)) if kind != "hub" else None
    kind = kind or recognise(files)
    if kind == "hub":
        return finish(kind, data_dir, *read_hub(data_dir), rules)
    table, vote_columns, skipped = READERS[kind].read(files)
    if kind == "kaggle" and files.find(MOCK_TRUTH):
        kind = "mock"
    return finish(kind, data_dir, table, vote_columns, skipped + files.skipped, files.read, files.stamp(), rules)


def recognise(files: Files) -> str:
    """The kind of source in a folder or zip: the first of `READERS` that fits, else Parquet, else an image folder."""
    if kind := next((kind for kind, reader in READERS.items() if reader.is_there(files)), None):
        return kind
    return "hub" if any(name.endswith(".parquet") for name in files.names) else "image_folder"


def read_kaggle(files: Files) -> tuple[pd.DataFrame, tuple[str, ...], Counter]:
    """The Kaggle competition's layout."""
    if not (csv := files.find(KAGGLE_CSV)):
        raise UserError(
            f"{files.root}: holds no {KAGGLE_CSV}, plain or in a zip; download it from {KAGGLE_COMPETITION}"
        )
    table, skipped = read_csv(files, csv, ("GalaxyID", *VOTE_COLUMNS)), Counter()
    table = numeric_votes(table.rename(columns={"GalaxyID": "image_id"}), VOTE_COLUMNS, files.where(csv), skipped)
    images = [name for name in files.names if KAGGLE_IMAGES in name]
    return join_images(table, files, images, KAGGLE_CSV, skipped), VOTE_COLUMNS, skipped


def read_gz2_archive(files: Files) -> tuple[pd.DataFrame, tuple[str, ...], Counter]:
    """The archive of GZ2 images with the catalogue of Hart et al. 2016; image_id is the asset_id.

    The rules act on the debiased fractions as the catalogue gives them, each a share of those who were asked (as in
    Willett et al. 2013, section 3.3, and unlike Kaggle's products); the answers of a question that nobody was asked
    count as 0.
    """
    if not (csv := find_catalogue(files)):
        raise UserError(f"{files.root}: holds no gz2_hart16.csv or gz2_hart16.csv.gz; download it from Galaxy Zoo")
    catalogue = read_csv(files, csv, ("dr7objid", *VOTES["hart16"]), optional=("asset_id",))
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
    table = join_images(table, files, files.names, csv, skipped)
    with_image = table["file"].notna()
    again = with_image & table["dr7objid"].where(with_image).duplicated()
    skipped["further images of the same galaxy"] += int(again.sum())
    return table[~again], VOTE_COLUMNS, skipped


def find_catalogue(files: Files) -> str | None:
    """The catalogue of Hart et al. 2016."""
    names = {PurePosixPath(name).name for name in files.names}
    return files.find(*filter(CATALOGUE_CSV.fullmatch, names))


def read_class_list(files: Files) -> tuple[pd.DataFrame, tuple[str, ...], Counter]:
    """A list of image ids with their class; an empty class means none."""
    if not (csv := files.find(CLASS_LIST_CSV)):
        raise UserError(f"{files.root}: holds no {CLASS_LIST_CSV} with the columns image_id and galaxy_class")
    table, skipped = read_csv(files, csv, ("image_id", "galaxy_class")), Counter()
    if not table["galaxy_class"].any():
        raise UserError(f"{files.where(csv)}: no row has a galaxy_class; fill the column in")
    beside = csv.removesuffix(CLASS_LIST_CSV) + CLASS_LIST_IMAGES
    images = [name for name in files.names if name.startswith((f"{beside}/", f"{beside}.zip/"))]
    return join_images(table, files, images, CLASS_LIST_CSV, skipped), (), skipped


def read_image_folder(files: Files) -> tuple[pd.DataFrame, tuple[str, ...], Counter]:
    """One folder per class; the folder's name is the class, the file's name the image_id."""
    images = [PurePosixPath(name) for name in files.names]
    images = [path for path in images if path.suffix.lower() in IMAGE_SUFFIXES and len(path.parts) > 1]
    if not images:
        raise UserError(
            f"{files.root}: holds neither {KAGGLE_CSV}, nor gz2_hart16.csv, nor {CLASS_LIST_CSV}, nor Parquet files, "
            "nor one folder of images per class; give the folder of the galaxy images"
        )
    rows = [(path.stem, path.parent.name, str(path)) for path in images]
    table = pd.DataFrame(rows, columns=["image_id", "galaxy_class", "file"])
    twice = table["image_id"].duplicated(keep=False)
    table.loc[twice, "image_id"] = table["galaxy_class"] + "-" + table["image_id"]
    if (again := table["image_id"].duplicated()).any():
        raise UserError(
            f"{files.where(table['file'][again].iloc[0])}: a second image of this name and class; rename it"
        )
    return table, (), Counter()


class Reader(NamedTuple):
    """How a source is read from files, and told from others."""

    read: Callable[[Files], tuple[pd.DataFrame, tuple[str, ...], Counter]]
    """Gives the table (image_id, galaxy_class or votes, file), the vote columns, and what was left out, by reason."""
    is_there: Callable[[Files], bool]


READERS = {
    "kaggle": Reader(read_kaggle, lambda files: bool(files.find(KAGGLE_CSV))),
    "gz2_archive": Reader(read_gz2_archive, lambda files: bool(find_catalogue(files))),
    "class_list": Reader(read_class_list, lambda files: bool(files.find(CLASS_LIST_CSV))),
    "image_folder": Reader(read_image_folder, lambda files: False),  # what is left when no other is there
}
KINDS = (*READERS, "hub")


def finish(
    kind: str,
    where: str,
    table: pd.DataFrame,
    vote_columns: tuple[str, ...],
    skipped: Counter,
    read: Callable[[str], bytes],
    stamp: str,
    rules: tuple[Rule, ...],
) -> Source:
    """Classes by the rules if there are votes, otherwise by the source's own names."""
    rows, found = len(table), {}
    if vote_columns:
        used = [condition.column for rule in rules for condition in rule.conditions]
        if missing := [column for column in used if column not in vote_columns]:
            raise UserError(f"the rules use {missing[0]}, which this source ({kind}) does not have; change the rules")
        table = table.assign(galaxy_class=classify(table, rules))
        class_names = classes_of(rules)
        found = {name: int((table["galaxy_class"] == name).sum()) for name in class_names}
    else:
        present = set(table["galaxy_class"]) - {""}
        order = CLASS_NAMES if present <= set(CLASS_NAMES) else sorted(present)
        class_names, rules = tuple(name for name in order if name in present), None
    check_class_names(class_names, where)
    table = table[table["file"].notna()]
    check_image_ids(table["image_id"], where)
    table = table[["image_id", "galaxy_class", "file", *vote_columns]].sort_values("image_id", ignore_index=True)
    return Source(kind, table, class_names, read, stamp, rows, vote_columns, rules, found, +skipped)


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
