"""Batches as functions of (seed, images seen)."""

import numpy as np
import pytest
import torch

from galaxy_diffusion.batches import Batches, noise_like, to_model_range, turn
from gz2_dataset import GalaxyArrays

CLASSES = ("a", "b", "c")


def arrays(labels: list[int], first_value: int = 0) -> GalaxyArrays:
    """One-pixel galaxies whose value tells them apart."""
    images = (first_value + np.arange(len(labels), dtype=np.uint8))[:, None, None, None].repeat(3, 3)
    return GalaxyArrays(images, np.array(labels), [str(i) for i in range(len(labels))], [], CLASSES, "")


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
    assert [seed for row in zip(*(s.noise_seeds for s in shares), strict=True) for seed in row] == whole.noise_seeds


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


def test_turn_gives_the_eight_symmetries_of_the_square():
    image = torch.arange(9.0).view(1, 1, 3, 3)
    turned = turn(image.repeat(8, 1, 1, 1), torch.arange(8))
    expected = {str(torch.rot90(i, k, (2, 3)).tolist()) for i in (image, image.flip(3)) for k in range(4)}
    assert {str(t[None].tolist()) for t in turned} == expected
    assert len(expected) == 8


def test_noise_depends_on_its_own_seed_alone():
    images = torch.zeros(3, 3, 8, 8)
    together = noise_like(images, [5, 6, 7])
    torch.testing.assert_close(together[1:2], noise_like(images[:1], [6]), rtol=0, atol=0)
    many = noise_like(torch.zeros(200, 3, 16, 16), list(range(200)))
    assert many.mean().abs() < 0.01
    assert many.std() == pytest.approx(1, abs=0.01)


def test_model_range_is_minus_one_to_one():
    scaled = to_model_range(torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8), torch.device("cpu"))
    torch.testing.assert_close(scaled[0, :, 0, 0], torch.tensor([-1.0, 1.0, -0.6]))
