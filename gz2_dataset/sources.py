"""What a user can bring: each source read into one table of galaxies."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from PIL import Image

from .command_line import UserError
from .rules import CLASS_NAMES, VOTE_COLUMNS, classify

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
KAGGLE_CSV, KAGGLE_IMAGES = "training_solutions_rev1.csv", "images_training_rev1"
CLASS_LIST_CSV, CLASS_LIST_IMAGES = "labels.csv", "images"


@dataclass(frozen=True)
class Source:
    """The galaxies of a source.

    Attributes
    ----------
    kind : str
        ``kaggle``, ``class_list`` or ``image_folder``.
    table : DataFrame
        Columns image_id, galaxy_class (empty: no class), path, and the vote columns; sorted by image_id.
    class_names : tuple of str
        In the order of the labels.
    vote_columns : tuple of str
        The vote fractions that the source has.
    notes : list of str
        What a user should know about it, for instance rows without an image.
    """

    kind: str
    table: pd.DataFrame
    class_names: tuple[str, ...]
    vote_columns: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def read_source(data_dir: Path) -> Source:
    """Read the galaxies of ``data_dir``, recognised from what lies in it.

    - Kaggle layout: ``training_solutions_rev1.csv`` and ``images_training_rev1/``; classes by the rules on the votes.
    - Class list: ``labels.csv`` with image_id and galaxy_class, and ``images/``.
    - Image folder: a folder a class, with any names.

    Raises
    ------
    UserError
        If nothing of this is there, or a table, a column, an image or all images of a class are missing.
    """
    if not data_dir.is_dir():
        raise UserError(f"{data_dir}: no such folder; give the folder of the galaxy images with --data_dir")
    if (data_dir / KAGGLE_CSV).exists():
        source = read_kaggle(data_dir)
    elif (data_dir / CLASS_LIST_CSV).exists():
        source = read_class_list(data_dir)
    else:
        source = read_image_folder(data_dir)
    for name in source.class_names:
        if name not in set(source.table["galaxy_class"]):
            raise UserError(
                f"{data_dir}: no image of class {name} among {len(source.table)}; add some or drop the class"
            )
    check_images(source.table["path"])
    return source


def read_kaggle(data_dir: Path) -> Source:
    """The Kaggle competition's layout; the rules on its votes give the classes."""
    table = read_csv(data_dir / KAGGLE_CSV, ("GalaxyID", *VOTE_COLUMNS)).rename(columns={"GalaxyID": "image_id"})
    path = data_dir / KAGGLE_CSV
    try:
        table = table.astype(dict.fromkeys(VOTE_COLUMNS, float))
    except ValueError as error:
        raise UserError(f"{path}: a vote fraction is not a number ({error}); mend the row or remove it") from None
    outside = ~table[list(VOTE_COLUMNS)].apply(lambda votes: votes.between(-1e-6, 1 + 1e-6)).all(axis=1)
    if outside.any():
        raise UserError(
            f"{path}: galaxy {table['image_id'][outside].iloc[0]} has a vote fraction outside [0, 1] "
            f"({int(outside.sum())} rows); mend the rows or remove them"
        )
    table["galaxy_class"] = classify(table)
    table, notes = join_images(table, data_dir / KAGGLE_IMAGES, path)
    return Source("kaggle", table, CLASS_NAMES, VOTE_COLUMNS, notes)


def read_class_list(data_dir: Path) -> Source:
    """A list of image ids with their class; an empty class means none."""
    path = data_dir / CLASS_LIST_CSV
    table = read_csv(path, ("image_id", "galaxy_class"))
    present = set(table["galaxy_class"]) - {""}
    names = CLASS_NAMES if present <= set(CLASS_NAMES) else sorted(present)
    if not present:
        raise UserError(f"{path}: no row has a galaxy_class; fill the column in")
    table, notes = join_images(table, data_dir / CLASS_LIST_IMAGES, path)
    return Source("class_list", table, tuple(name for name in names if name in present), (), notes)


def read_image_folder(data_dir: Path) -> Source:
    """A folder a class; the folder's name is the class, the file's name the image_id."""
    folders = sorted(f for f in data_dir.iterdir() if f.is_dir() and not f.name.startswith("."))
    rows = [(file.stem, folder.name, str(file)) for folder in folders for file in image_files(folder)]
    if not rows:
        raise UserError(
            f"{data_dir}: holds neither {KAGGLE_CSV}, nor {CLASS_LIST_CSV}, nor a folder of images a class; "
            "give the folder of the galaxy images"
        )
    table = pd.DataFrame(rows, columns=["image_id", "galaxy_class", "path"])
    twice = table["image_id"].duplicated(keep=False)
    table.loc[twice, "image_id"] = table["galaxy_class"] + "-" + table["image_id"]
    names = {folder.name for folder in folders}
    order = CLASS_NAMES if names <= set(CLASS_NAMES) else sorted(names)
    return Source("image_folder", in_order(table), tuple(name for name in order if name in names))


def read_csv(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """The named columns of a CSV as text, with its rows checked to be there and its ids to be unique."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: the file is empty; download it again") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}); download it again") from None
    if missing := [column for column in columns if column not in table.columns]:
        raise UserError(
            f"{path}: column {missing[0]} is missing ({len(missing)} in all); the file needs {columns[0]}, …"
        )
    if table.empty:
        raise UserError(f"{path}: has a header but no rows; download it again")
    ids = table[columns[0]]
    if ids.duplicated().any():
        raise UserError(
            f"{path}: {columns[0]} {ids[ids.duplicated()].iloc[0]} stands there twice; remove one of the rows"
        )
    if (unsafe := ids.str.contains(r"[/\\\0]") | (ids == "")).any():
        raise UserError(f"{path}: {columns[0]} {ids[unsafe].iloc[0]!r} cannot be a file name; mend the row")
    return table[list(columns)]


def join_images(table: pd.DataFrame, folder: Path, csv: Path) -> tuple[pd.DataFrame, list[str]]:
    """Rows that have an image, with its path, and notes on what has no counterpart."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; unpack the images of {csv.name} there")
    files = {file.stem: str(file) for file in image_files(folder)}
    paths = table["image_id"].map(files)
    if paths.isna().all():
        raise UserError(f"{folder}: holds none of the images that {csv.name} names; unpack them there")
    notes = []
    if without_image := int(paths.isna().sum()):
        notes.append(f"{without_image} rows of {csv.name} have no image and are left out")
    if without_row := len(set(files) - set(table["image_id"])):
        notes.append(f"{without_row} images have no row in {csv.name} and are left out")
    return in_order(table.assign(path=paths)[paths.notna()]), notes


def in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sorted by image_id, so that the order of files and rows does not matter."""
    return table.sort_values("image_id", ignore_index=True)


def image_files(folder: Path) -> list[Path]:
    """The image files right in a folder."""
    return [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]


def check_images(paths: pd.Series) -> None:
    """Refuse files whose header is not an image's; the pixels are decoded when arrays are prepared or by the audit."""
    bad = [path for path in paths if not is_image(path)]
    if bad:
        raise UserError(f"{bad[0]}: not an image ({len(bad)} such files); download it again or remove its row")


def is_image(path: str) -> bool:
    try:
        with Image.open(path) as image:
            return image.format in ("JPEG", "PNG")
    except (OSError, Image.DecompressionBombError):
        return False
