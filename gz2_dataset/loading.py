"""Opening a dataset by folder, raw folder or Hub id, with a check that no galaxy is in two splits."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import datasets
import filelock
import pandas as pd
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from .build_record import BUILD_FILE, BuildRecord
from .class_names import check_class_names
from .command_line import UserError
from .crop import guessed_crop
from .image_ids import check_image_ids
from .images import encoded_bytes
from .parquet_rows import shard_files
from .shortage import remedy_of
from .sources.files import Files
from .splits import SPLITS, check_no_leak, check_splits
from .stretch import Stretch
from .writing import build


@lru_cache(maxsize=8)
def load(data: str) -> datasets.DatasetDict:
    """Open a dataset and check that its splits share no galaxy.

    Parameters
    ----------
    data : str
        A folder that ``python -m gz2_dataset build`` wrote, a folder of raw images in a layout that `build` knows
        (built once into the cache), or the id of a dataset on the Hub.

    Returns
    -------
    DatasetDict
        Splits train, validation, test and, where there are any, unlabelled and reserve.

    Raises
    ------
    UserError
        If it does not exist, or a galaxy of another split is also in validation or test, by its image_id or its bytes.
    """
    folder = local_folder(data)
    try:
        if folder:
            # By its files, because load_dataset(folder) may serve another folder of the same name from its cache.
            shards = {split: shard_files(folder, split) for split in SPLITS}
            opened = datasets.load_dataset("parquet", data_files={split: own for split, own in shards.items() if own})
        else:
            opened = datasets.load_dataset(data)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        if reason := remedy_of(error):
            cache = datasets.config.HF_DATASETS_CACHE
            raise UserError(f"{cache}: the cache of datasets cannot be written ({reason}); set HF_HOME") from None
        raise UserError(f"{data}: cannot be loaded as a dataset ({str(error).splitlines()[0]})") from None
    check_splits(data, set(map(str, opened)))
    if missing := {"image", "label", "image_id"} - set(opened["train"].column_names):
        raise UserError(f"{data}: column {sorted(missing)[0]} is missing; build it with python -m gz2_dataset build")
    check_class_names(class_names_of(data, opened["train"].features["label"]), data)
    listed = listed_galaxies(opened)
    check_image_ids(listed["image_id"], data)
    check_no_leak(data, listed)
    return opened


def class_names_of(data: str, label: Any) -> list[str]:
    """The names of the classes of a column of labels; a `UserError` if it has none."""
    if not isinstance(label, datasets.ClassLabel) or not label.names:
        raise UserError(f"{data}: the column label has no names of classes; build it with python -m gz2_dataset build")
    return label.names


def is_on_hub(name: str) -> bool:
    """Whether a dataset or model is named by its id on the Hub, and not by a folder."""
    return name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()


@lru_cache(maxsize=8)
def crop_of(data: str) -> int:
    """Side in pixels of the central square that is kept of each image of a dataset; 0 is the whole image.

    It was chosen when the dataset was built and is recorded in its ``build.json``. For a dataset on the Hub without
    one, `crop.guessed_crop` is used.

    Parameters
    ----------
    data : str
        As in `load`.

    Raises
    ------
    UserError
        As in `load`.
    """
    load(data)
    record = build_record_of(data)
    return guessed_crop(data, first_image(data)) if record is None else record.center_crop


def stretch_of(data: str) -> Stretch | None:
    """How the files of a dataset that were not finished pictures became some; None if there were none, or who knows."""
    record = build_record_of(data)
    return record and record.stretch


def build_record_of(data: str) -> BuildRecord | None:
    """The ``build.json`` of a dataset; None for one on the Hub without it."""
    folder = local_folder(data)
    file = folder / BUILD_FILE if folder else file_on_hub(data, BUILD_FILE)
    return file and BuildRecord.from_json(file.read_bytes(), str(file))


def first_image(data: str) -> bytes:
    """The file of the first training galaxy of a dataset, which `load` opens."""
    return encoded_bytes(encoded(load(data)["train"])[0])


def local_folder(data: str) -> Path | None:
    """The built dataset on this machine that ``data`` names; None for an id on the Hub."""
    folder = Path(data)
    if folder.is_dir() and not (folder / BUILD_FILE).exists():
        return build_in_cache(folder)
    if not folder.exists() and not is_on_hub(data):
        raise UserError(f"{data}: no such folder; build it with python -m gz2_dataset build --output {data}")
    return folder if folder.exists() else None


def file_on_hub(data: str, name: str) -> Path | None:
    """A file of a dataset on the Hub, from the local cache if it is there; None if there is none."""
    try:
        return Path(hf_hub_download(data, name, repo_type="dataset"))
    except (EntryNotFoundError, LocalEntryNotFoundError):
        return None


def build_in_cache(raw: Path) -> Path:
    """Build a raw image folder into the cache of `datasets`; again only if a file has changed."""
    output = Path(datasets.config.HF_DATASETS_CACHE) / "gz2_dataset" / Files(raw).stamp()[:16]
    if not (output / BUILD_FILE).exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{output}.lock"):  # of several commands that start at once, one builds
            if not (output / BUILD_FILE).exists():
                build(raw, output)
    return output


def listed_galaxies(opened: datasets.DatasetDict) -> pd.DataFrame:
    """The galaxies of all splits: columns image_id, split and sha256 (of the image's bytes)."""
    parts = [
        pd.DataFrame({"image_id": list(galaxies["image_id"]), "split": str(split), "sha256": digests(galaxies)})
        for split, galaxies in opened.items()
    ]
    return pd.concat(parts, ignore_index=True)


@lru_cache(maxsize=32)
def digests(split: datasets.Dataset) -> list[str]:
    """SHA-256 of each image's bytes as stored, in hexadecimal; a split that is open is hashed once."""
    return [hashlib.sha256(encoded_bytes(image)).hexdigest() for image in encoded(split)]


def encoded(split: datasets.Dataset) -> datasets.Dataset:
    """The image column undecoded: dictionaries with bytes and path."""
    return split.select_columns(["image"]).cast_column("image", datasets.Image(decode=False)).with_format(None)["image"]
