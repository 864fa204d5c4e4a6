"""A list of galaxies with their classes, and their images."""

from gz2_dataset.command_line import UserError
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.found import COORDINATES, OWN_SPLIT, Found, Kind
from gz2_dataset.sources.tables import NO_CLASS, elsewhere, join_images, read_csv, without_image

CLASS_LIST_CSV, CLASS_LIST_IMAGES = "labels.csv", "images"


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


KIND = Kind(
    sign=CLASS_LIST_CSV,
    is_there=lambda files: bool(files.find(CLASS_LIST_CSV)),
    read=read_class_list,
)
