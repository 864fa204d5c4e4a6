"""The archive of Galaxy Zoo 2's images with the catalogue of Hart et al. 2016."""

import re
from collections import Counter
from pathlib import PurePosixPath

from gz2_dataset.command_line import UserError
from gz2_dataset.origin import GALAXY_ZOO
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.found import COORDINATES, Found, Kind
from gz2_dataset.sources.tables import join_images, numeric_votes, read_csv, without_image
from gz2_dataset.votes import VOTE_COLUMNS, VOTES

MAPPING_CSV, CATALOGUE_CSV = "gz2_filename_mapping.csv", re.compile(r".*hart16.*\.csv(\.gz)?")


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


KIND = Kind(
    sign="gz2_hart16.csv",
    is_there=lambda files: bool(find_catalogue(files)),
    read=read_gz2_archive,
    origin=GALAXY_ZOO,
)
