"""Commands: ``python -m gz2_dataset mock | build | audit | push``."""

from contextlib import nullcontext
from itertools import product
from pathlib import Path
from typing import Literal

from gz2_dataset.audit import audit as auditing
from gz2_dataset.mock.survey import write_mock_survey
from gz2_dataset.sources.kaggle import KAGGLE_COMPETITION, download_from_kaggle

from . import hub, writing
from .arrays import load_arrays
from .command_line import UserError, run_functions
from .crop import crop_in_words
from .folder_lock import lock_beside, only_writer


def mock(*, output: Path, num_images: int = 2000, seed: int = 0, shares: str | None = None) -> None:
    """Draw galaxies with simulated volunteers' votes in the Kaggle layout.

    Args:
        output: folder to write
        num_images: number of galaxies
        seed: galaxy i depends only on the seed and i
        shares: of kinds of galaxies, such as cigar=0.5 for a survey half of whose galaxies are drawn as cigars
    """
    with only_writer(output, lock_beside(output)):
        write_mock_survey(output, num_images, seed, shares=shares)


def build(
    *,
    output: Path,
    data_dir: str | None = None,
    source: str | None = None,
    config_name: str | None = None,
    rules: Path | None = None,
    test_per_class: int = 100,
    validation_per_class: int = 50,
    near_duplicates: bool = True,
    num_folds: int = 1,
    fold: int = 0,
    center_crop: int | None = None,
    bands: str | None = None,
    stretch: Literal["asinh", "lupton", "zscale", "linear"] | None = None,
    keep: str | None = None,
    draw: int = 0,
    others: Literal["reserve", "unlabelled"] = "reserve",
    image_column: str = "image",
    label_column: str | None = None,
    id_column: str | None = None,
    revision: str | None = None,
    resolution: int | None = None,
) -> None:
    """Write Parquet shards for each split and a dataset card; after an interruption, the same command continues.

    Args:
        output: folder to write; the split file of an earlier build there keeps every galaxy in its split
        data_dir: a folder or zip: Kaggle's files, zipped or not; the GZ2 archive with the catalogue of Hart et al.
            2016; Parquet files; labels.csv and images/; or one folder per class. For the source hub also a dataset's
            id. Without it the Kaggle files are downloaded with your own credentials (kagglehub)
        source: the kind of source, such as class_list, if it is not to be recognised; docs/data.md has all of them
        config_name: five_class, the paper's clean samples; galaxy_zoo_2, all galaxies with their vote fractions; or
            image_folder, your own classes. Recognised if not given
        rules: YAML table of rules that make other classes from the votes, in the form of gz2_dataset/five_class.yaml
        test_per_class: test galaxies of each class, at most 30 % of a small class
        validation_per_class: validation galaxies of each class, at most 10 % of a small class
        near_duplicates: decode every image and remove from train any galaxy that a held-out image also shows; without
            this only files with the same bytes are found, and nothing is decoded
        num_folds: number of disjoint test sets; a small class is divided among them, so that each of its galaxies is
            tested in one. Build each fold into its own folder
        fold: which of these test sets to build, counted from 0
        center_crop: side in pixels of the central square of each image that trainings and evaluations read, 0 for the
            whole image; of an image that is not square, or smaller, the largest central square is kept. It is recorded
            in build.json, where everything reads it. Without it 224 if most images have 424 x 424 pixels, like those of
            Galaxy Zoo 2, else the whole image
        bands: of files with more than 8 bits, from blue to red, three or one: planes of FITS cubes such as 0,1,2, or
            names of files side by side such as g,r,i for ring/7-g.fits, ring/7-r.fits and ring/7-i.fits. Without it
            the only plane, or the three
        stretch: how their numbers become grey levels, once for the whole dataset; lupton keeps the colours of bright
            pixels. Without it that of the earlier build, else asinh; pictures of 16 bits are scaled linearly
        keep: make classes rare on purpose: edge_on=41 leaves edge_on 41 training galaxies; validation and test keep all
        draw: which galaxies these are; another number draws others
        others: where the other training galaxies of the class go: into the split reserve, which no training reads
            unless it is told to; or among the unlabelled, without their class
        image_column: of a dataset of the Hub, or of Parquet files: its column of images
        label_column: its column of classes, taken even if there are votes; without it label, galaxy_class or labels
        id_column: its column of ids, one for each galaxy; without it image_id, objid, id or the like
        revision: its version on the Hub: a branch, a tag or a commit
        resolution: also prepare the arrays of this resolution that generators, evaluations and classifiers read
    """
    if data_dir is None and source not in (None, "kaggle"):
        raise UserError(f"the source {source} is not downloaded; give --data_dir")
    if data_dir is None:
        print(f"no --data_dir: downloading {KAGGLE_COMPETITION} from Kaggle")
    record = writing.build(
        data_dir or download_from_kaggle(),
        output,
        config_name,
        source,
        rules,
        test_per_class,
        validation_per_class,
        near_duplicates,
        num_folds,
        fold,
        center_crop,
        bands,
        stretch,
        keep,
        draw,
        others,
        image_column,
        label_column,
        id_column,
        revision,
    )
    print(record.count_table.to_string())
    for note in record.notes:
        print(f"note: {note}")
    if (output / writing.UNSOUND_FILE).exists():
        print(f"the images left out: {output / writing.UNSOUND_FILE}")
    print(f"crop: {crop_in_words(record.center_crop)} of each image")
    if resolution:
        for split, jpeg in product(record.counts, (False, True)):
            load_arrays(str(output), split, resolution, jpeg)


def audit(folder: Path, *, output: Path | None = None) -> None:
    """Compare counts with the paper's table, find unreadable and duplicate images; exit status not 0 if data is unfit.

    Args:
        folder: a folder that build wrote
        output: folder for audit.json and audit.html
    """
    with only_writer(output) if output else nullcontext():
        found = auditing.audit(folder, output).problems
    if found:
        raise UserError(
            f"{folder}: not fit for use, {len(found)} problems, the first: {found[0]}; fix them and build again"
        )


def push(folder: Path, *, repo_id: str | None = None, private: bool = False, dry_run: Path | None = None) -> None:
    """Upload Parquet shards and dataset card to the Hugging Face Hub.

    Args:
        folder: a folder that build wrote
        repo_id: USER/NAME on the Hub
        private: make a new repository private
        dry_run: write what would be uploaded into this folder instead
    """
    files = hub.push(folder, repo_id=repo_id, private=private, dry_run=dry_run)
    print(f"{len(files)} files: {dry_run or f'https://huggingface.co/datasets/{repo_id}'}")


if __name__ == "__main__":
    run_functions(
        {"mock": mock, "build": build, "audit": audit, "push": push},
        "Galaxy Zoo 2 as a dataset: draw, build, audit, push.",
    )
