"""Batches as functions of (seed, images seen)."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from galaxy_diffusion.generators.batches import Batches, ahead, to_model_range
from galaxy_diffusion.generators.conditioning import Conditioning
from galaxy_diffusion.generators.image_store import ImageStore
from galaxy_diffusion.shared.noise import noise_like
from galaxy_diffusion.shared.symmetry import turn
from gz2_dataset import VOTE_COLUMNS, GalaxyArrays, UserError

CLASSES = ("a", "b", "c")


def arrays(labels: list[int], first_value: int = 0) -> GalaxyArrays:
    """One-pixel galaxies whose value tells them apart."""
    images = (first_value + np.arange(len(labels), dtype=np.uint8))[:, None, None, None].repeat(3, 3)
    return GalaxyArrays(images, np.array(labels), [str(i) for i in range(len(labels))], [], CLASSES)


LABELLED = arrays([0] * 40 + [1] * 16 + [2] * 4)
UNLABELLED = arrays([-1] * 30, first_value=100)


def batches(**changes) -> Batches:
    settings = {
        "batch_size": 12,
        "seed": 0,
        "num_timesteps": 1000,
        "null_share": 0.0,
        "unlabelled_share": 0.0,
        "class_balance": 0.0,
        "conditioning": Conditioning(LABELLED.class_names),
    }
    return Batches(LABELLED, UNLABELLED, **{**settings, **changes})


def drawn(source: Batches, count: int) -> tuple[np.ndarray, np.ndarray]:
    found = [source.at(i) for i in range(0, count, source.batch_size)]
    values = np.concatenate([batch.images[:, 0, 0, 0].numpy() for batch in found])
    return values, np.concatenate([batch.labels.numpy() for batch in found])


def test_an_epoch_visits_every_galaxy_once_with_its_label():
    values, labels = drawn(batches(), 60)
    assert sorted(values) == list(range(60))
    np.testing.assert_array_equal(labels, LABELLED.labels[values])
    assert drawn(batches(), 60)[0].tolist() != sorted(values)


def test_epochs_and_seeds_differ_and_calls_repeat():
    values = drawn(batches(), 120)[0]
    assert values[:60].tolist() != values[60:].tolist()
    assert drawn(batches(seed=1), 60)[0].tolist() != values[:60].tolist()
    assert drawn(batches(), 120)[0].tolist() == values.tolist()


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_same_global_batch(processes):
    source = batches(null_share=0.3, unlabelled_share=0.3, class_balance=0.5)
    whole = source.at(36)
    shares = [source.at(36, i, processes) for i in range(processes)]
    for name in ("images", "labels", "symmetry", "timesteps"):
        together = torch.stack([getattr(share, name) for share in shares], dim=1).flatten(0, 1)
        torch.testing.assert_close(together, getattr(whole, name))
    assert torch.equal(torch.stack([s.noise_seeds for s in shares], 1).flatten(), whole.noise_seeds)


def test_another_process_draws_the_same():
    source = batches()
    source.at(0)
    copy = pickle.loads(pickle.dumps(source))
    assert drawn(copy, 60)[0].tolist() == drawn(source, 60)[0].tolist()


def test_class_balance_draws_rare_classes_as_often():
    _, labels = drawn(batches(class_balance=1.0), 6000)
    np.testing.assert_allclose(np.bincount(labels) / 6000, 1 / 3, atol=0.03)
    _, labels = drawn(batches(class_balance=0.5), 6000)
    np.testing.assert_allclose(np.bincount(labels) / 6000, 1 / 6 + np.array([40, 16, 4]) / 120, atol=0.03)


def test_unlabelled_and_hidden_images_train_the_null_class():
    values, labels = drawn(batches(unlabelled_share=0.25, null_share=0.2), 6000)
    unlabelled = values >= 100
    assert unlabelled.mean() == pytest.approx(0.25, abs=0.03)
    assert set(labels[unlabelled]) == {3}
    assert (labels[~unlabelled] == 3).mean() == pytest.approx(0.2, abs=0.03)
    seen = labels < 3
    np.testing.assert_array_equal(labels[seen], LABELLED.labels[values[seen]])


def test_timesteps_and_symmetries_are_uniform():
    found = [batches().at(i) for i in range(0, 12000, 12)]
    timesteps = torch.cat([batch.timesteps for batch in found])
    assert (timesteps.min(), timesteps.max()) == (0, 999)
    assert timesteps.float().mean() == pytest.approx(499.5, abs=12)
    counts = torch.bincount(torch.cat([batch.symmetry for batch in found]), minlength=8)
    np.testing.assert_allclose(counts / 12000, 1 / 8, atol=0.02)


def test_images_kept_on_the_device_and_read_from_their_files_are_the_same(tmp_path):
    source = batches(unlabelled_share=0.3, class_balance=0.5)
    expected = [source.at(i) for i in range(0, 120, 12)]
    np.save(tmp_path / "labelled.npy", LABELLED.images)
    splits = [np.load(tmp_path / "labelled.npy", mmap_mode="r"), UNLABELLED.images]
    source.images = ImageStore(splits, torch.device("cpu"), free_bytes=0)
    assert source.images.resident is None
    for batch, i in zip(expected, range(0, 120, 12), strict=True):
        assert torch.equal(batch.images, source.at(i).images)
    held = ImageStore(splits, torch.device("cpu"), free_bytes=4 * sum(split.nbytes for split in splits))
    assert held.resident is not None


def test_pieces_of_a_batch_are_the_batch():
    batch = batches(null_share=0.3).at(0)
    parts = batch.parts(5)
    assert [len(part.images) for part in parts] == [5, 5, 2]
    for name in ("images", "labels", "symmetry", "timesteps"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    assert torch.equal(torch.cat([part.noise_seeds for part in parts]), batch.noise_seeds)


def test_batches_made_ahead_are_those_of_the_moment():
    source = batches()
    made = list(ahead(source, 24, 70, 1, 2))
    assert len(made) == 4
    for batch, i in zip(made, range(24, 70, 12), strict=True):
        assert torch.equal(batch.images, source.at(i, 1, 2).images)
    assert not list(ahead(source, 24, 24, 0, 1))


def test_an_error_while_reading_ahead_is_told():
    source = batches()
    source.images.resident = None
    source.images.splits = [np.zeros((0, 1, 1, 3), np.uint8)] * 2
    with pytest.raises(IndexError):
        next(ahead(source, 0, 24, 0, 1))


def with_votes(galaxies: GalaxyArrays, seed: int) -> GalaxyArrays:
    """The value of a galaxy's pixel, as its first vote."""
    votes = np.random.default_rng(seed).random((len(galaxies), len(VOTE_COLUMNS)), dtype=np.float32)
    votes[:, 0] = galaxies.images[:, 0, 0, 0] / 255
    return dataclasses.replace(galaxies, votes=votes)


def test_votes_come_with_their_galaxy_and_hidden_ones_are_null():
    labelled, unlabelled = with_votes(LABELLED, 0), with_votes(UNLABELLED, 1)
    labelled.votes[3] = np.nan
    source = Batches(labelled, unlabelled, 12, 0, 1000, 0.2, 0.25, 0.0, Conditioning(LABELLED.class_names, "votes"))
    found = [source.at(i) for i in range(0, 6000, 12)]
    labels = torch.cat([batch.labels for batch in found])
    values = torch.cat([batch.images[:, 0, 0, 0] for batch in found])
    assert labels.dtype == torch.float32
    assert labels.shape == (6000, 38)
    null = labels[:, -1] == 1
    assert (labels[null][:, :-1] == 0).all()
    assert null[values == 3].all(), "without votes"
    assert float(null[values != 3].float().mean()) == pytest.approx(0.2, abs=0.03)
    torch.testing.assert_close(labels[~null][:, 0], values[~null] / 255)
    assert (values[~null] >= 100).any(), "galaxies without a class have votes to learn from"
    with pytest.raises(UserError, match="no vote fractions"):
        Batches(LABELLED, unlabelled, 12, 0, 1000, 0.2, 0.25, 0.0, Conditioning(LABELLED.class_names, "votes"))


def test_turn_gives_the_eight_symmetries_of_the_square():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    turned = turn(image.repeat(8, 1, 1, 1), torch.arange(8))
    expected = {str(torch.rot90(i, k, (2, 3)).tolist()) for i in (image, image.flip(3)) for k in range(4)}
    assert {str(t[None].tolist()) for t in turned} == expected
    assert len(expected) == 8


def test_noise_depends_on_its_own_seed_alone():
    images = torch.zeros(3, 3, 8, 8)
    together = noise_like(images, torch.tensor([5, 6, 7]))
    torch.testing.assert_close(together[1:2], noise_like(images[:1], torch.tensor([6])), rtol=0, atol=0)


def test_noise_is_normal_and_independent_between_places_and_seeds():
    noise = noise_like(torch.zeros(256, 3, 16, 16), torch.arange(256)).flatten(1)
    assert kstest(noise.flatten(), "norm").pvalue > 0.01
    square = (noise**2 - 1) / np.sqrt(2)
    for values in (noise, square):
        half = values.shape[1] // 2
        pairs = [
            (values[:, 1:], values[:, :-1]),
            (values[1:], values[:-1]),
            (values[:, :half], values[:, half:]),  # the two of a Box-Muller pair
            (values[::2], values[1::2]),
        ]
        for first, second in pairs:
            assert abs(float((first * second).mean())) < 4 / np.sqrt(first.numel())


def test_noise_of_an_odd_number_of_values_and_of_large_seeds():
    noise = noise_like(torch.zeros(2, 3), torch.tensor([2**62 - 1, 2**31 ^ (2**62 - 1)]))
    assert noise.shape == (2, 3)
    assert noise.isfinite().all()
    assert not torch.equal(noise[0], noise[1])


def test_model_range_is_minus_one_to_one():
    scaled = to_model_range(torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8), torch.device("cpu"))
    torch.testing.assert_close(scaled[0, :, 0, 0], torch.tensor([-1.0, 1.0, -0.6]))


def test_a_class_without_galaxies_is_refused():
    settings = {"batch_size": 2, "seed": 0, "num_timesteps": 1, "null_share": 0, "unlabelled_share": 0}
    with pytest.raises(UserError, match="no galaxy of class b to train on"):
        Batches(arrays([0, 0, 2]), None, **settings, class_balance=0.5, conditioning=Conditioning(CLASSES))
