"""Streamed batches: every galaxy once per epoch, over any number of processes, from any position on."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from galaxy_diffusion.generators.batches import Batch
from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.stream_batches import StreamedBatches
from galaxy_diffusion.shared.read_ahead import interleaved
from gz2_dataset import CLASS_NAMES, GalaxyArrays, UserError, load_arrays
from gz2_dataset.galaxy_stream import LANES
from gz2_dataset.streaming import load_stream
from tests.gz2_dataset.test_streaming import add_votes

SIZE = 8


@pytest.fixture(scope="module")
def local(toy_data) -> tuple[GalaxyArrays, GalaxyArrays]:
    return load_arrays(str(toy_data), "train", SIZE), load_arrays(str(toy_data), "unlabelled", SIZE)


COLUMNS = ("images", "labels", "symmetry", "timesteps", "noise_seeds")


def streamed(data: Path, **changes) -> StreamedBatches:
    settings = {
        "batch_size": 6,
        "seed": 0,
        "num_timesteps": 1000,
        "null_share": 0.0,
        "unlabelled_share": 0.0,
        "class_balance": 0.0,
        "conditioning": Conditioning(CLASS_NAMES),
    }
    streams = (load_stream(str(data), split, SIZE) for split in ("train", "unlabelled"))
    return StreamedBatches(*streams, **{**settings, **changes})


def which(batch: Batch, galaxies: GalaxyArrays) -> list[int]:
    """Index of each image of a batch, by its pixels; -1 for an image that is not one of ``galaxies``."""
    index = {image.tobytes(): i for i, image in enumerate(galaxies.images)}
    return [index.get(image.numpy().tobytes(), -1) for image in batch.images]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_an_epoch_visits_every_galaxy_once_over_all_processes(toy_data, local, processes):
    source = [streamed(toy_data) for _ in range(processes)]
    labelled, n = local[0], len(local[0])
    for epoch in range(2):
        found, labels = [], []
        for start in range(epoch * n, (epoch + 1) * n, 6):
            for process, batches in enumerate(source):
                batch = batches.at(start, process, processes)
                assert len(batch.images) == 6 // processes
                found += which(batch, labelled)
                labels += batch.labels.tolist()
        assert sorted(found) == list(range(n))
        assert found != sorted(found)
        assert labels == labelled.labels[found].tolist()


def test_processes_share_the_same_global_batch(toy_data):
    mixture = {"null_share": 0.3, "unlabelled_share": 0.3, "batch_size": 12}
    source = streamed(toy_data, **mixture)
    for start in (0, 36):
        whole = source.at(start)
        for processes in (2, 3):
            shares = [source.at(start, i, processes) for i in range(processes)]
            for name in COLUMNS:
                together = torch.stack([getattr(share, name) for share in shares], dim=1).flatten(0, 1)
                torch.testing.assert_close(together, getattr(whole, name))


def test_a_resumed_stream_goes_on_as_the_uninterrupted_one(toy_data):
    uninterrupted, mixture = streamed(toy_data, unlabelled_share=0.25), {"unlabelled_share": 0.25}
    batches = [uninterrupted.at(start) for start in range(0, 120, 6)]
    resumed = streamed(toy_data, **mixture)
    for start in (72, 78, 84, 6):  # from the middle of the second epoch, and back
        for name in COLUMNS:
            assert torch.equal(getattr(resumed.at(start), name), getattr(batches[start // 6], name))
    other = streamed(toy_data, seed=1)
    assert any(not torch.equal(other.at(start).images, batches[start // 6].images) for start in (0, 6))


def test_unlabelled_and_hidden_galaxies_train_the_null_class(toy_data, local):
    labelled, unlabelled = local
    source = streamed(toy_data, batch_size=LANES, unlabelled_share=0.25, null_share=0.2)
    batches = [source.at(start) for start in range(0, 4 * 3 * LANES * 11, LANES)]
    labels = torch.cat([batch.labels for batch in batches]).numpy()
    found = np.array([which(batch, labelled) for batch in batches]).ravel()
    from_unlabelled = np.array([which(batch, unlabelled) for batch in batches]).ravel()
    assert (found < 0).mean() == 0.25
    # 264 unlabelled images are 22 epochs of 12 galaxies, 792 labelled ones 12 epochs of 66.
    np.testing.assert_array_equal(np.bincount(from_unlabelled[found < 0], minlength=12), 22)
    np.testing.assert_array_equal(np.bincount(found[found >= 0], minlength=66), 12)
    assert set(labels[found < 0]) == {5}
    hidden = (labels == 5) & (found >= 0)
    assert hidden.sum() / (found >= 0).sum() == pytest.approx(0.2, abs=0.05)
    seen = labels < 5
    np.testing.assert_array_equal(labels[seen], labelled.labels[found[seen]])


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.7, 1.0])
def test_a_mixture_has_its_share_and_reads_both_streams_on(share):
    drawn = [interleaved(position, share) for position in range(100 * LANES)]
    for second in (False, True):
        places = [place for which, place in drawn if which is second]
        assert places == list(range(len(places)))
    assert sum(second for second, _ in drawn) == pytest.approx(share * len(drawn), abs=LANES)
    assert all(place % LANES == position % LANES for position, (_, place) in enumerate(drawn))


def test_class_balance_is_refused(toy_data):
    with pytest.raises(UserError, match="--class_balance 0"):
        streamed(toy_data, class_balance=0.5)


def test_an_unreadable_shard_stops_with_one_line(toy_data, tmp_path):
    data = shutil.copytree(toy_data, tmp_path / "data")
    source = streamed(data)
    next(data.glob("data/train*.parquet")).unlink()
    with pytest.raises(UserError, match=r"train.*parquet: cannot be read") as error:
        source.at(0)
    assert "\n" not in str(error.value)


def test_votes_are_the_labels_where_they_are_learned(toy_data, tmp_path):
    with pytest.raises(UserError, match="no vote fractions"):
        streamed(toy_data, conditioning=Conditioning(CLASS_NAMES, "votes"))
    data = shutil.copytree(toy_data, tmp_path / "voted")
    add_votes(data)
    labelled = load_arrays(str(data), "train", SIZE)
    source = streamed(data, conditioning=Conditioning(CLASS_NAMES, "votes"), null_share=0.3)
    null = [0.0] * 37 + [1.0]
    hidden = []
    for start in range(0, 66, 6):
        batch = source.at(start)
        for label, index in zip(batch.labels, which(batch, labelled), strict=True):
            hidden.append(label.tolist() == null)
            assert hidden[-1] or label.tolist() == [*labelled.votes[index].tolist(), 0.0]
    assert 0.1 < np.mean(hidden) < 0.5
