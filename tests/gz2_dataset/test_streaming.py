"""Streaming: the same galaxies as from a local copy, and the same refusal of a leak, without downloading images."""

import json
import pickle
import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gz2_dataset import CLASS_NAMES, VOTE_COLUMNS, UserError, load_arrays
from gz2_dataset.crop import WHOLE
from gz2_dataset.galaxy_stream import LANES
from gz2_dataset.parquet_rows import ParquetRows
from gz2_dataset.streaming import load_stream, open_stream

SIZE = 16


@pytest.fixture(autouse=True)
def opened_afresh():
    open_stream.cache_clear()


@pytest.fixture
def data(toy_data, tmp_path) -> Path:
    """The toy survey in small row groups and two files of training galaxies, with sha256 in its split file."""
    folder = shutil.copytree(toy_data, tmp_path / "data")
    (whole,) = folder.glob("data/train*.parquet")
    table = pq.read_table(whole)
    whole.unlink()
    for i, part in enumerate((table[:30], table[30:])):
        pq.write_table(part, folder / f"data/train-{i:05d}-of-00002.parquet", row_group_size=4)
    listed = []
    for split in ("train", "validation", "test", "unlabelled"):
        galaxies = load_arrays(str(toy_data), split, SIZE)
        names = [CLASS_NAMES[label] if label >= 0 else "" for label in galaxies.labels]
        row = {"image_id": galaxies.image_ids, "galaxy_class": names, "split": split, "sha256": galaxies.digests}
        listed.append(pd.DataFrame(row))
    pd.concat(listed).to_csv(folder / "splits.csv", index=False)
    return folder


def forbid_images(monkeypatch) -> None:
    read = ParquetRows.read

    def without_images(self, group, columns):
        assert "image" not in columns, "an image was downloaded"
        return read(self, group, columns)

    monkeypatch.setattr(ParquetRows, "read", without_images)


@pytest.mark.parametrize("split", ["train", "validation", "test", "unlabelled", "absent"])
@pytest.mark.parametrize("jpeg", [False, True])
def test_it_is_what_load_arrays_gives(data, split, jpeg):
    record = json.loads((data / "build.json").read_text())
    (data / "build.json").write_text(json.dumps({**record, "center_crop": 48}))
    local = load_arrays(str(data), split, SIZE, jpeg=jpeg)
    streamed = load_stream(str(data), split, SIZE, jpeg=jpeg).to_arrays()
    assert streamed.center_crop == local.center_crop == 48
    np.testing.assert_array_equal(streamed.images, local.images)
    np.testing.assert_array_equal(streamed.labels, local.labels)
    for name in ("image_ids", "digests", "class_names", "fingerprint"):
        assert getattr(streamed, name) == getattr(local, name)
    assert len(streamed) == len(local)


def test_a_crop_that_nobody_has_written_down_follows_from_the_images_and_is_told(data, capsys):
    assert open_stream(str(data)).center_crop == WHOLE
    assert capsys.readouterr().err == ""
    (data / "build.json").unlink()
    open_stream.cache_clear()
    assert open_stream(str(data)).center_crop == WHOLE
    (line,) = capsys.readouterr().err.splitlines()
    assert "the whole of each image is taken" in line
    assert "no build.json, and its first image has 64 x 64 pixels" in line


def add_votes(folder: Path) -> None:
    """Give every galaxy of a built dataset 37 vote fractions, of which the last galaxy's are 1/37, 2/37, … 1."""
    for path in folder.glob("data/*.parquet"):
        table = pq.read_table(path)
        for i, name in enumerate(VOTE_COLUMNS):
            table = table.append_column(name, pa.array(np.linspace(0, 1, len(table)) * (i + 1) / 37, pa.float32()))
        pq.write_table(table, path, row_group_size=4)
    card, last = (folder / "README.md").read_text(), "  - name: image_id\n    dtype: string\n"
    votes = "".join(f"  - name: {name}\n    dtype: float32\n" for name in VOTE_COLUMNS)
    (folder / "README.md").write_text(card.replace(last, last + votes))


def test_votes_come_along(data):
    add_votes(data)
    local, streamed = load_arrays(str(data), "test", SIZE), load_stream(str(data), "test", SIZE)
    assert streamed.has_votes
    np.testing.assert_array_equal(streamed.votes, local.votes)
    np.testing.assert_array_equal(streamed.to_arrays().votes, local.votes)
    assert local.votes[-1].tolist() == pytest.approx([(i + 1) / 37 for i in range(37)])


def test_what_is_known_without_images(toy_data, data, monkeypatch):
    forbid_images(monkeypatch)
    local, stream = load_arrays(str(toy_data), "train", SIZE), load_stream(str(data), "train", SIZE)
    for name in ("image_ids", "digests", "class_names", "fingerprint"):
        assert getattr(stream, name) == getattr(local, name)
    np.testing.assert_array_equal(stream.labels, local.labels)
    assert len(stream) == len(local)


def test_a_built_folder_lists_what_the_leak_check_needs(toy_data, monkeypatch, capsys):
    forbid_images(monkeypatch)
    opened = open_stream(str(toy_data))
    assert capsys.readouterr().err == ""
    assert (opened.table["sha256"].str.len() == 64).all()
    assert opened.table["split"].value_counts().to_dict() == {s: len(rows) for s, rows in opened.splits.items()}


def test_every_row_once_an_epoch_in_an_order_of_seed_and_epoch(data):
    stream = load_stream(str(data), "train", SIZE)
    orders = [stream.order(seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert all(sorted(order) == list(range(66)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert load_stream(str(data), "train", SIZE).order(0, 1).tolist() == orders[1]


@pytest.mark.parametrize("processes", [2, 4])
def test_each_process_reads_its_own_part(data, processes):
    stream = load_stream(str(data), "train", SIZE)
    order = stream.order(0, 0)
    read = [{stream.rows.locate(row)[0] for row in order[process::processes].tolist()} for process in range(processes)]
    # A row group that two lanes share at their ends is read by both.
    assert sum(map(len, read)) < len(stream.rows.groups) + LANES
    assert all(len(groups) < len(stream.rows.groups) for groups in read)


def test_a_row_group_is_read_once_for_all_its_galaxies(data, monkeypatch):
    groups, read = [], ParquetRows.read
    monkeypatch.setattr(
        ParquetRows, "read", lambda self, group, columns: groups.append(group) or read(self, group, columns)
    )
    stream = load_stream(str(data), "train", SIZE)
    found = [stream.submit(position, seed=0).result().image_id for position in range(66)]
    assert len(set(found)) == 66
    assert sorted(groups) == list(range(len(stream.rows.groups)))


def test_another_process_reads_the_same_stream(data):
    stream = load_stream(str(data), "train", SIZE)
    galaxy = stream.submit(0, seed=0).result()
    copy = pickle.loads(pickle.dumps(stream)).submit(0, seed=0).result()
    assert copy.image_id == galaxy.image_id
    np.testing.assert_array_equal(copy.image, galaxy.image)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("split", ["train", "unlabelled", "validation"])
def test_a_galaxy_of_the_test_split_elsewhere_is_refused(data, split, listed, monkeypatch, capsys):
    """By the split file, or without one by the image_id column, in either case before an image is read."""
    forbid_images(monkeypatch)
    if listed:
        table = pd.read_csv(data / "splits.csv", keep_default_na=False)
        stolen = table[table["split"] == "test"].iloc[[0]].assign(split=split, image_id="innocent")
        pd.concat([table, stolen]).to_csv(data / "splits.csv", index=False)
    else:
        (data / "splits.csv").unlink()
        target, stolen = next(data.glob(f"data/{split}*.parquet")), pq.read_table(next(data.glob("data/test*.parquet")))
        pq.write_table(stolen[:1].cast(pq.read_schema(target)), data / f"data/{split}-stolen.parquet")
    with pytest.raises(UserError, match="is also in"):
        open_stream(str(data))
    assert ("compared by image_id only" in capsys.readouterr().err) is not listed


@pytest.mark.parametrize("column", ["image_id", "sha256"])
def test_a_galaxy_that_the_split_file_does_not_list_stops_the_stream(data, column):
    table = pd.read_csv(data / "splits.csv", keep_default_na=False)
    table.loc[table["split"] == "train", column] = [f"other{i}" for i in range(66)]
    table.to_csv(data / "splits.csv", index=False)
    with pytest.raises(UserError, match=r"splits\.csv does not list it"):
        load_stream(str(data), "train", SIZE).submit(0, seed=0).result()


def test_a_hub_dataset_without_a_split_file_streams_as_well(data, toy_data):
    (data / "splits.csv").unlink()
    local, stream = load_arrays(str(toy_data), "train", SIZE), load_stream(str(data), "train", SIZE)
    assert stream.image_ids == local.image_ids
    np.testing.assert_array_equal(stream.labels, local.labels)
    np.testing.assert_array_equal(stream.to_arrays().images, local.images)


def test_what_cannot_be_streamed_is_one_clear_line(toy_source, tmp_path, data):
    for missing in (str(tmp_path / "missing"), "somebody/something"):
        with pytest.raises(UserError, match="cannot be streamed") as error:
            open_stream(missing)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="not in Parquet"):
        open_stream(str(toy_source))
    galaxies = datasets.load_dataset("parquet", data_files=str(data / "data/test*.parquet"))["train"]
    galaxies.to_parquet(tmp_path / "trainless/test.parquet")
    with pytest.raises(UserError, match="needs train"):
        open_stream(str(tmp_path / "trainless"))
    galaxies.remove_columns("image_id").to_parquet(tmp_path / "nameless/train.parquet")
    with pytest.raises(UserError, match="column image_id is missing"):
        open_stream(str(tmp_path / "nameless"))


def test_a_file_on_disk_is_read_by_arrow_alone(data, monkeypatch):
    """Its threads outlive a read; one that held a Python object when the interpreter ended aborted the process."""
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.open", None)
    (path, _) = sorted(map(str, data.glob("data/train*.parquet")))
    assert ParquetRows([path]).read(0, ["image_id"]).num_rows == 4
