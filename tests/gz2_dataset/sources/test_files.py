"""Files in folders and zips: all of them are read in place, and hostile entries are only counted."""

import contextlib
import gzip
import os
import random
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gz2_dataset import UserError
from gz2_dataset.sources import files as files_module
from gz2_dataset.sources.files import Files
from gz2_dataset.sources.tables import read_csv

RNG = np.random.default_rng(0)
CONTENT = {f"images/{i}.jpg": RNG.integers(256, size=50_000, dtype=np.uint8).tobytes() for i in range(60)}
METHODS = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}


def write_zip(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def nested(folder: Path, outer: int = zipfile.ZIP_STORED, inner: int = zipfile.ZIP_STORED) -> Path:
    """A zip with a table and a zip of images."""
    within = write_zip(folder / "inner.zip", CONTENT, inner).read_bytes()
    (folder / "inner.zip").unlink()
    return write_zip(folder / "outer.zip", {"a.csv": b"1", "inner.zip": within}, outer)


@pytest.mark.parametrize("outer", METHODS)
@pytest.mark.parametrize("inner", METHODS)
def test_a_zip_within_a_zip_is_read_in_any_order(tmp_path, cache, outer, inner):
    whole = nested(tmp_path, METHODS[outer], METHODS[inner])
    files = Files(whole)
    assert files.names == sorted(["a.csv", *(f"inner.zip/{name}" for name in CONTENT)])
    shuffled = random.Random(0).sample(files.names, len(files.names))
    assert all(files.read(name) == CONTENT.get(name.removeprefix("inner.zip/"), b"1") for name in shuffled)
    assert list(cache.iterdir()) == [], "the copy has no name, so that a killed command leaves nothing behind"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["outer.zip"]


def test_many_threads_may_read_at_once(tmp_path, cache):
    files = Files(nested(tmp_path, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED))
    names = [name for name in files.names if name.endswith(".jpg")] * 5
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(files.read, random.Random(0).sample(names, len(names))))
    assert sorted(read) == sorted([*CONTENT.values()] * 5)


def test_a_zip_within_a_zip_that_finds_no_room_is_one_line(tmp_path, cache, monkeypatch):
    def full(*args):
        raise OSError("No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(
        UserError, match=r"outer\.zip: inner\.zip cannot be unpacked into .*cache \(No space left"
    ) as error:
        Files(nested(tmp_path))
    assert "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_a_damaged_zip_within_a_zip_is_refused_in_one_line(tmp_path, cache):
    for content in (b"no zip", nested(tmp_path).read_bytes()[:-300]):
        with pytest.raises(UserError, match=r"whole\.zip: cannot be read as a zip") as error:
            Files(write_zip(tmp_path / "whole.zip", {"inner.zip": content}))
        assert "\n" not in str(error.value)
        assert list(cache.iterdir()) == []


def test_a_folder_and_its_zip_look_alike(tmp_path):
    for name, data in CONTENT.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    zipped, folder = Files(write_zip(tmp_path / "folder.zip", CONTENT)), Files(tmp_path / "folder")
    assert zipped.names == folder.names
    assert all(zipped.read(name) == folder.read(name) for name in folder.names)


def test_hidden_files_and_a_macs_shadows_are_not_the_users(tmp_path):
    names = ["a.jpg", "__MACOSX/._a.jpg", ".DS_Store", "x/._a.jpg", "images_test_rev1/b.jpg"]
    assert Files(write_zip(tmp_path / "x.zip", dict.fromkeys(names, b"1"))).names == ["a.jpg"]


def test_entries_that_point_outside_are_counted_and_never_written(tmp_path):
    hostile = ["../evil.jpg", "/etc/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "C:\\evil.jpg"]
    files = Files(write_zip(tmp_path / "x.zip", dict.fromkeys([*hostile, "good.jpg"], b"1")))
    assert files.names == ["good.jpg"]
    assert files.skipped == {"zip entries with a path that leads outside": len(hostile)}
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["x.zip"]


def test_a_bomb_within_a_zip_is_refused_before_it_inflates(tmp_path):
    path = write_zip(tmp_path / "bomb.zip", {"inner.zip": bytes(100 * 2**20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"bomb\.zip: .*zip bomb"):
        Files(path)


def test_an_image_that_inflates_without_end_is_an_unreadable_image(tmp_path):
    files = Files(write_zip(tmp_path / "x.zip", {"big.jpg": bytes(65 * 2**20)}, zipfile.ZIP_DEFLATED))
    with pytest.raises(OSError, match="larger than 64 MB"):
        files.read("big.jpg")


TABLE = b"image_id,galaxy_class\n" + b"".join(b"%d,spiral\n" % i for i in range(20_000))


@pytest.mark.parametrize("packed", ["labels.csv", "labels.csv.gz"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("too_large", [True, False])
def test_a_table_that_inflates_without_end_is_refused_in_one_line(tmp_path, monkeypatch, packed, zipped, too_large):
    """By the size that its zip declares or, if nothing declares it, while it is read."""
    monkeypatch.setattr(files_module, "MAX_TABLE_BYTES", len(TABLE) - too_large)
    content = gzip.compress(TABLE) if packed.endswith(".gz") else TABLE
    assert len(content) < len(TABLE) / 2 or packed == "labels.csv"
    if zipped:
        write_zip(tmp_path / "x.zip", {packed: content}, zipfile.ZIP_DEFLATED)
    else:
        (tmp_path / packed).write_bytes(content)
    files = Files(tmp_path)
    columns = ("image_id", "galaxy_class")
    if not too_large:
        assert len(read_csv(files, files.names[0], columns)) == 20_000
        return
    with pytest.raises(UserError, match=rf"{packed}: .*larger than {len(TABLE) - 1:,} bytes") as error:
        read_csv(files, files.names[0], columns)
    assert "\n" not in str(error.value)


def test_a_damaged_entry_is_an_unreadable_image(tmp_path):
    path = write_zip(tmp_path / "x.zip", CONTENT)
    whole = bytearray(path.read_bytes())
    whole[1000] ^= 255
    path.write_bytes(whole)
    with pytest.raises(OSError, match="damaged in its zip"):
        Files(path).read("images/0.jpg")


def test_an_encrypted_entry_is_an_unreadable_image(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a.jpg": b"1" * 100})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of the local and the central header
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match="encrypted"):
        Files(path).read("a.jpg")


@given(st.integers(0, 2**32), st.integers(1, 20), st.sampled_from(list(METHODS)))
def test_whatever_is_damaged_is_one_line_or_an_unreadable_image(seed, count, method):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = write_zip(Path(folder, "x.zip"), {f"{i}.jpg": bytes(range(256)) * 4 for i in range(4)}, METHODS[method])
        content = bytearray(path.read_bytes())
        for _ in range(count):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            files = Files(path)
            for name in files.names:
                with contextlib.suppress(OSError):
                    assert files.read(name) == bytes(range(256)) * 4


@pytest.mark.parametrize("damage", [lambda whole: whole[:-200], lambda whole: b"no zip at all", lambda whole: b""])
def test_half_a_zip_is_refused_in_one_line(tmp_path, damage):
    path = write_zip(tmp_path / "x.zip", CONTENT)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"x\.zip: cannot be read as a zip") as error:
        Files(tmp_path)
    assert "\n" not in str(error.value)


def test_a_link_to_the_folder_above_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.jpg").write_bytes(b"1")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert Files(tmp_path).names == ["a/x.jpg"]


def test_the_stamp_changes_with_any_file(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"1")
    first = Files(tmp_path).stamp()
    assert Files(tmp_path).stamp() == first
    (tmp_path / "x.jpg").write_bytes(b"12")
    assert Files(tmp_path).stamp() != first


def test_the_nearest_of_several_files_of_a_name_is_taken(tmp_path):
    files = Files(write_zip(tmp_path / "x.zip", {"a/b/labels.csv": b"1", "a/labels.csv": b"2"}))
    assert files.find("labels.csv") == "a/labels.csv"
    assert files.find("nothing.csv") is None


def test_what_is_no_file_is_counted_and_never_opened(tmp_path):
    """A pipe would be waited for without end, and a device read without end."""
    (tmp_path / "galaxy.jpg").write_bytes(b"x")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "dangling.jpg").symlink_to("/nowhere")
    (tmp_path / "linked.jpg").symlink_to(tmp_path / "galaxy.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.jpg")).write_bytes(b"x")
    files = Files(tmp_path)
    assert files.names == ["galaxy.jpg", "linked.jpg"]
    assert dict(files.skipped) == {
        "pipes, devices and links that lead nowhere": 3,
        "files whose names are not UTF-8": 1,
    }
    files.stamp()
