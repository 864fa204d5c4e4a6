"""The layout of Kaggle's Galaxy Zoo challenge, which drawn galaxies have too, and its download."""

from collections import Counter
from pathlib import Path

from gz2_dataset.command_line import UserError, how_to_install
from gz2_dataset.origin import GALAXY_ZOO
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.found import Found, Kind
from gz2_dataset.sources.tables import elsewhere, join_images, numeric_votes, read_csv, without_image
from gz2_dataset.votes import VOTE_COLUMNS

KAGGLE_CSV, KAGGLE_IMAGES, MOCK_TRUTH = "training_solutions_rev1.csv", "images_training_rev1", "mock_truth.csv"
KAGGLE_COMPETITION = "galaxy-zoo-the-galaxy-challenge"


def read_kaggle(files: Files) -> Found:
    """The competition's votes, and the images that belong to them."""
    if not (csv := files.find(KAGGLE_CSV)):
        raise UserError(
            f"{files.root}: holds no {KAGGLE_CSV}, plain or in a zip; download it from {KAGGLE_COMPETITION}"
        )
    table, skipped = read_csv(files, csv, ("GalaxyID", *VOTE_COLUMNS)), Counter()
    table = numeric_votes(table.rename(columns={"GalaxyID": "image_id"}), VOTE_COLUMNS, files.where(csv), skipped)
    images = [name for name in files.names if KAGGLE_IMAGES in name]
    table, unused = join_images(table, files, images, KAGGLE_CSV)
    return Found(table, VOTE_COLUMNS, skipped + without_image(table), unused | elsewhere(files, images))


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


KIND = Kind(
    sign=KAGGLE_CSV,
    is_there=lambda files: bool(files.find(KAGGLE_CSV)),
    read=read_kaggle,
    origin=GALAXY_ZOO,
)
