"""Folders of images, one a class: how their names become classes, ids and splits."""

from pathlib import PurePosixPath

import pandas as pd

from gz2_dataset.command_line import UserError
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.found import Found, Kind
from gz2_dataset.sources.image_names import is_image, stem_of

SPLIT_NAMES = dict.fromkeys(("train", "training"), "train")
SPLIT_NAMES |= dict.fromkeys(("val", "valid", "validation"), "validation") | dict.fromkeys(("test", "testing"), "test")
"""How users call the splits, and their names here."""
FOLDERS = "folder of images (JPEG, PNG, TIFF, FITS) per class"


def read_image_folder(files: Files) -> Found:
    """One folder per class; the folder's name is the class, the file's name the image_id.

    Folders that all images have in common come before those of the classes. Folders within a class do not matter. Above
    the classes there may be folders train, validation and test, whose galaxies then keep to these splits. A zip counts
    as a folder, of the name that it has without its ending, if images lie directly in it.

    Raises
    ------
    UserError
        If there are no such folders, or two images of a class have the same name.
    """
    direct = {str(PurePosixPath(name).parent) for name in files.names if is_image(name)}
    folders = {}
    for name in filter(is_image, files.names):
        parents = PurePosixPath(name).parents
        folders[name] = [
            folder.name.removesuffix(".zip")
            for folder in reversed(parents[:-1])
            if not folder.name.endswith(".zip") or str(folder) in direct
        ]
    outside = [name for name, path in folders.items() if not path]
    folders = {name: path for name, path in folders.items() if path}
    if not folders:
        raise UserError(f"{files.root}: holds no {FOLDERS}; put the images of each class into a folder of its name")
    common = 0
    while len({tuple(path[: common + 1]) for path in folders.values()}) == 1 and all(
        len(path) > common + 1 for path in folders.values()
    ):
        common += 1
    folders = {name: path[common:] for name, path in folders.items()}
    first = {path[0].casefold() for path in folders.values()}
    has_splits = first <= set(SPLIT_NAMES) and len(first) > 1 and all(len(path) > 1 for path in folders.values())
    rows = [
        (stem_of(name), path[has_splits], name, "/".join(path[has_splits:]), path[0] if has_splits else "")
        for name, path in folders.items()
    ]
    table = pd.DataFrame(rows, columns=["image_id", "galaxy_class", "file", "folder", "split"])
    for qualified in (table["galaxy_class"], table["folder"].str.replace("/", "-"), table["split"]):
        twice = table["image_id"].duplicated(keep=False)
        table.loc[twice, "image_id"] = qualified + "-" + table["image_id"]
    if (again := table["image_id"].duplicated()).any():
        raise UserError(
            f"{files.where(table['file'][again].iloc[0])}: a second image of this name and class; rename it"
        )
    notes = []
    deeper = table["folder"][table["folder"] != table["galaxy_class"]]
    if len(deeper):
        notes.append(f"folders within a class are read as part of it: {deeper.nunique()} (first {deeper.iloc[0]})")
    if has_splits:
        counts = table["split"].value_counts()
        kept = ", ".join(f"{name} {count}" for name, count in counts.items())
        notes.append(f"the source's own split folders are kept: {kept}")
    else:
        table = table.drop(columns="split")
    unused = dict.fromkeys(outside, "images outside the folders of the classes")
    return Found(table.drop(columns="folder"), unused=unused, notes=tuple(notes))


KIND = Kind(
    sign=f"one {FOLDERS}",
    is_there=lambda files: any(map(is_image, files.names)),
    read=read_image_folder,
)
