"""push: exactly the dry run's files, in one commit, and nothing else."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

from gz2_dataset import CLASS_NAMES, UserError
from gz2_dataset.hub import push


@pytest.fixture
def built(toy_data, tmp_path) -> Path:
    """The toy dataset with other files, as in a folder that has been worked in."""
    folder = shutil.copytree(toy_data, tmp_path / "built")
    for name in (".cache/huggingface/x", "data/.train-half.parquet", "data/notes.txt", ".DS_Store", "thesis.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("not for the Hub")
    return folder


class FakeHub:
    """Takes the place of `HfApi` and remembers its calls."""

    def __init__(self, there: tuple[str, ...] = (), error: Exception | None = None):
        self.there, self.error, self.repo, self.commits = there, error, None, []

    def create_repo(self, repo_id, *, repo_type, private, exist_ok):
        if self.error:
            raise self.error
        self.repo = (repo_id, repo_type, private, exist_ok)

    def list_repo_files(self, repo_id, *, repo_type):
        return list(self.there)

    def create_commit(self, repo_id, operations, *, commit_message, repo_type):
        self.commits.append((repo_id, repo_type, operations))
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")


def changes(operations: list) -> tuple[dict[str, bytes], set[str]]:
    """What a commit adds, with content, and what it deletes."""
    added = {}
    for operation in operations:
        if isinstance(operation, CommitOperationAdd):
            with operation.as_file() as file:
                added[operation.path_in_repo] = file.read()
    return added, {operation.path_in_repo for operation in operations if isinstance(operation, CommitOperationDelete)}


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_dry_run_is_the_dataset_alone_and_loads(built, toy_data, tmp_path):
    push(built, repo_id="astronomer/galaxies", dry_run=tmp_path / "dry")
    written, expected = tree(tmp_path / "dry"), tree(toy_data)
    card = written.pop("README.md").decode()
    assert written == {name: content for name, content in expected.items() if name != "README.md"}
    assert 'load_dataset("astronomer/galaxies"' in card
    assert "USER/NAME" not in card
    opened, local = datasets.load_dataset(str(tmp_path / "dry")), datasets.load_dataset(str(toy_data))
    assert {split: len(part) for split, part in opened.items()} == {split: len(part) for split, part in local.items()}
    assert set(opened) == {"train", "validation", "test", "unlabelled"}
    assert opened["train"].features["label"].names == list(CLASS_NAMES)
    assert opened["test"]["image_id"][:] == local["test"]["image_id"][:]


def test_what_is_uploaded_is_what_the_dry_run_writes(built, tmp_path, monkeypatch):
    there = ("README.md", ".gitattributes", "data/train-00000-of-00007.parquet", "pictures/class_9.jpg")
    hub = FakeHub(there)
    monkeypatch.setattr("gz2_dataset.hub.HfApi", lambda: hub)
    push(built, repo_id="astronomer/galaxies", dry_run=tmp_path / "dry")
    assert not hub.commits
    push(built, repo_id="astronomer/galaxies", private=True)
    assert hub.repo == ("astronomer/galaxies", "dataset", True, True)
    ((repo_id, repo_type, operations),) = hub.commits
    assert (repo_id, repo_type) == ("astronomer/galaxies", "dataset")
    added, deleted = changes(operations)
    assert added == tree(tmp_path / "dry")
    assert deleted == {"data/train-00000-of-00007.parquet", "pictures/class_9.jpg"}


def test_a_dry_run_replaces_only_a_dry_run(built, tmp_path):
    target = tmp_path / "dry"
    push(built, dry_run=target)
    first = tree(target)
    (target / "data/train-00099.parquet").write_bytes(b"stale")
    push(built, dry_run=target)
    assert tree(target) == first
    (tmp_path / "home").mkdir()
    (tmp_path / "home/thesis.txt").write_text("irreplaceable")
    before = tree(built)
    for wrong in (tmp_path / "home", built, tmp_path):
        with pytest.raises(UserError, match="give another --dry_run"):
            push(built, dry_run=wrong)
    assert (tmp_path / "home/thesis.txt").exists()
    assert tree(built) == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("repo_id", ["galaxies", "me/my/galaxies", "me/gal axies", "me/", "/tmp/galaxies"])
def test_a_malformed_id_is_one_clear_line(built, repo_id):
    with pytest.raises(UserError, match="not of the form USER/NAME") as error:
        push(built, repo_id=repo_id)
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_dataset_is_named(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match="not a built dataset"):
            push(folder, repo_id="astronomer/galaxies")
    with pytest.raises(UserError, match="--repo_id USER/NAME"):
        push(tmp_path)


def refusal(status: int) -> HfHubHTTPError:
    return HfHubHTTPError("no\nand why", response=SimpleNamespace(status_code=status, headers={}, request=None))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalTokenNotFoundError("no token"), "not logged in"),
        (refusal(401), "does not know the login"),
        (refusal(403), "does not let this login write"),
        (refusal(500), "refuses"),
        (OfflineModeIsEnabled("HF_HUB_OFFLINE=1"), "cannot be reached"),
        (HTTPError("no route"), "cannot be reached"),
    ],
)
def test_what_the_hub_answers_is_one_clear_line(built, monkeypatch, error, message):
    monkeypatch.setattr("gz2_dataset.hub.HfApi", lambda: FakeHub(error=error))
    with pytest.raises(UserError, match=message) as raised:
        push(built, repo_id="astronomer/galaxies")
    assert "\n" not in str(raised.value)


def test_without_network_the_real_client_ends_with_one_line(built):
    with pytest.raises(UserError, match=r"not logged in|cannot be reached"):
        push(built, repo_id="astronomer/galaxies")
