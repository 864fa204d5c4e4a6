"""Which unlabelled galaxies a classifier chooses, on colours whose classes and neighbours are known."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from galaxy_diffusion.classifiers.model import make_model
from galaxy_diffusion.classifiers.unlabelled import look, most, pseudo_labelled, retrieved
from gz2_dataset import GalaxyArrays, UserError

CLASSES = ("red", "green", "blue")


def coloured(colours: list[tuple[int, int, int]], labels: list[int]) -> GalaxyArrays:
    images = np.broadcast_to(np.array(colours, np.uint8)[:, None, None], (len(colours), 8, 8, 3))
    ids = [f"g{i}" for i in range(len(colours))]
    return GalaxyArrays(images, np.array(labels), ids, ids, CLASSES)


class MeanColour(torch.nn.Module):
    """A net of timm's kind whose features are the mean colour; its logits weigh red double."""

    def forward_features(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels

    def forward_head(self, pixels: torch.Tensor, pre_logits: bool) -> torch.Tensor:
        assert pre_logits
        return pixels.mean(dim=(2, 3))

    def get_classifier(self) -> torch.nn.Module:
        return lambda features: features * torch.tensor([2.0, 1.0, 1.0])


class Teacher:
    timm_model = MeanColour()
    config = SimpleNamespace(pretrained_cfg={"mean": [0.0] * 3, "std": [1.0] * 3})

    def to(self, device: torch.device) -> "Teacher":
        return self


UNLABELLED = coloured([(9, 9, 9), (200, 20, 20), (20, 200, 90), (10, 10, 60), (250, 250, 0), (30, 250, 30)], [-1] * 6)


def test_the_most_probable_galaxies_join_the_class():
    assert pseudo_labelled(Teacher(), UNLABELLED, {"red": 2}).image_ids == ["g1", "g4"]
    chosen = pseudo_labelled(Teacher(), UNLABELLED, {"green": 3, "blue": 1})
    assert chosen.image_ids == ["g5", "g2", "g0", "g3"]
    assert chosen.labels.tolist() == [1, 1, 1, 2]
    assert np.array_equal(chosen.images, UNLABELLED.images[[5, 2, 0, 3]])


def test_a_galaxy_joins_one_class_only():
    chosen = pseudo_labelled(Teacher(), UNLABELLED, {"red": 3, "green": 3})
    assert sorted(chosen.image_ids) == UNLABELLED.image_ids


def test_the_nearest_to_any_training_galaxy_of_the_class_are_retrieved_however_bright():
    """A dim blue galaxy lies in the direction of the bright blue one; of two known colours either will do."""
    train = coloured([(0, 0, 250), (99, 99, 0), (20, 220, 100), (250, 0, 0)], [2, 2, 1, 0])
    assert retrieved(Teacher(), UNLABELLED, train, {"blue": 2}).image_ids == ["g4", "g3"]
    assert retrieved(Teacher(), UNLABELLED, train, {"green": 1, "red": 1}).image_ids == ["g2", "g1"]


def test_equal_scores_are_taken_in_the_order_of_the_data():
    assert most(UNLABELLED, np.zeros((6, 3)), {"blue": 2}).image_ids == ["g0", "g1"]


def test_more_than_there_are_is_one_clear_line():
    with pytest.raises(UserError, match="7 unlabelled galaxies wanted, but the data has 6"):
        pseudo_labelled(Teacher(), UNLABELLED, {"red": 4, "blue": 3})


@pytest.mark.parametrize(
    ("backbone", "arguments"),
    [
        ("tf_efficientnetv2_s", {"channel_multiplier": 0.125, "depth_multiplier": 0.1}),
        ("swin_tiny_patch4_window7_224", {"window_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]}),
    ],
)
def test_logits_are_those_of_the_model_and_follow_from_the_features(backbone, arguments):
    teacher = make_model(backbone, arguments, False, 32, CLASSES).eval()
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (70, 32, 32, 3), np.uint8)
    galaxies = GalaxyArrays(images, np.full(70, -1), [""] * 70, [""] * 70, CLASSES)
    features, logits = look(teacher, galaxies)
    mean, std = (np.array(teacher.config.pretrained_cfg[key]) for key in ("mean", "std"))
    pixels = torch.from_numpy((images / 255 - mean) / std).float().permute(0, 3, 1, 2)
    with torch.inference_mode():
        np.testing.assert_allclose(logits, teacher(pixels).logits, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
