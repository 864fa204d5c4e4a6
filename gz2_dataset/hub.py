"""`push`: a built dataset to the Hub; `upload`: any files, in one commit."""

import shutil
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import huggingface_hub
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, LocalTokenNotFoundError

from .build_record import BUILD_FILE
from .card import REPO_ID
from .command_line import UserError
from .parquet_rows import SHARD_FOLDER
from .pictures import PICTURES
from .splits import SPLIT_FILE
from .writing import CARD_FILE, UNSOUND_FILE

FILES = (SPLIT_FILE, BUILD_FILE, UNSOUND_FILE, f"{SHARD_FOLDER}/*.parquet", f"{PICTURES}/*.jpg")
"""What a build has made, apart from its card."""


def push(
    folder: Path, *, repo_id: str | None = None, private: bool = False, dry_run: Path | None = None
) -> dict[str, Path | bytes]:
    """Upload a built dataset in one commit, or write what would be uploaded.

    Splits of two builds never mix on the Hub, see `upload`.

    Parameters
    ----------
    folder : Path
        A folder that ``python -m gz2_dataset build`` wrote.
    repo_id : str, optional
        USER/NAME on the Hub. Needed unless ``dry_run`` is given; the card names it.
    private : bool
        Whether a new repository is private.
    dry_run : Path, optional
        A new folder, or that of an earlier dry run, to write instead of uploading.

    Returns
    -------
    dict of str to Path or bytes
        The files by their names in the repository.

    Raises
    ------
    UserError
        If the folder is not a built dataset, the id is not valid, or the Hub cannot be reached or refuses.
    """
    if repo_id is not None:
        check_repo_id(repo_id)
    elif dry_run is None:
        raise UserError("no repo_id; give --repo_id USER/NAME, or --dry_run DIR to see what would be uploaded")
    files = files_to_push(folder, repo_id)
    if dry_run is not None:
        write_files(files, dry_run)
    elif repo_id is not None:
        upload(files, repo_id, "dataset", "Dataset built with gz2_dataset", private)
    return files


def check_repo_id(repo_id: str) -> None:
    try:
        huggingface_hub.utils.validate_repo_id(repo_id)
        if "/" not in repo_id:
            raise HFValidationError("the user or organisation is missing")
    except HFValidationError as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(f"{repo_id}: is not of the form USER/NAME ({reason}); give another id") from None


def files_to_push(folder: Path, repo_id: str | None) -> dict[str, Path | bytes]:
    """The card with the right id, and the build's own files."""
    if not (folder / BUILD_FILE).is_file():
        raise UserError(f"{folder}: not a built dataset; make one with python -m gz2_dataset build --output {folder}")
    card = (folder / CARD_FILE).read_text(encoding="utf-8").replace(REPO_ID, repo_id or REPO_ID)
    return {CARD_FILE: card.encode(), **files_in(folder, FILES)}


def files_in(folder: Path, patterns: Iterable[str]) -> dict[str, Path]:
    """The files of a folder that match one of the patterns and are not hidden, by their names in the folder."""
    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return {p.relative_to(folder).as_posix(): p for p in paths if p.is_file() and not p.name.startswith(".")}


def write_files(files: dict[str, Path | bytes], target: Path) -> None:
    """Write the files into a folder beside the target, then rename it."""
    if target.exists() and any(target.iterdir()) and not (target / BUILD_FILE).exists():
        raise UserError(f"{target}: exists and is not an earlier dry run; give another --dry_run")
    if any(isinstance(source, Path) and source.resolve().is_relative_to(target.resolve()) for source in files.values()):
        raise UserError(f"{target}: is the dataset itself; give another --dry_run")
    aside = target.absolute().with_name(f".{uuid.uuid4().hex}-{target.name}")
    try:
        for name, source in files.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, Path):
                shutil.copyfile(source, path)
            else:
                path.write_bytes(source)
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error}); free space or give another --dry_run") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def upload(
    files: Mapping[str, Path | bytes],
    repo_id: str,
    repo_type: Literal["dataset", "model"],
    message: str,
    private: bool | None = None,
) -> str:
    """Make the repository if it does not exist, and commit the files; others in the same folders there are deleted.

    The Hub takes a commit whole or not at all, so all that it holds is from one push. `HfApi.upload_folder` does not
    promise that: with hf_xet it commits in parts if there are many files or the network is slow. After an interruption
    the same command continues, because the Hub knows which files have arrived.

    Parameters
    ----------
    files : mapping of str to Path or bytes
        By their names in the repository.
    repo_id : str
    repo_type : {"dataset", "model"}
    message : str
        Message of the commit.
    private : bool, optional
        Whether a new repository is private; by default, what the account or organisation has set.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    UserError
        If the id is not valid, or the Hub cannot be reached or refuses.
    """
    check_repo_id(repo_id)
    api = HfApi()
    folders = tuple({f"{name.partition('/')[0]}/" for name in files if "/" in name})
    try:
        api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True)
        there = api.list_repo_files(repo_id, repo_type=repo_type)
        stale = [name for name in there if name.startswith(folders) and name not in files]
        commit = api.create_commit(
            repo_id,
            [
                *(CommitOperationAdd(name, source) for name, source in files.items()),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message=message,
            repo_type=repo_type,
        )
        return str(commit.commit_url)
    except LocalTokenNotFoundError:
        raise UserError("not logged in to the Hub; run hf auth login, or set HF_TOKEN") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status == 401:
            raise UserError("the Hub does not know the login; run hf auth login, or set HF_TOKEN") from None
        if status == 403:
            raise UserError(f"{repo_id}: the Hub does not let this login write there; use a token that can") from None
        raise UserError(f"{repo_id}: the Hub refuses ({' '.join(str(error).split())})") from None
    except (HTTPError, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the Hub cannot be reached ({reason}); the same command sends what is missing") from None
