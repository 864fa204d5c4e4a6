"""A classifier that sees colours judges labels; one that cannot be independent is refused."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from galaxy_diffusion.classifiers.model import make_model
from galaxy_diffusion.evaluation.features import FeatureNet
from galaxy_diffusion.evaluation.label_agreement import Classifier, load_independent
from galaxy_diffusion.evaluation.saliency import mean_saliency, saliency_figure
from gz2_dataset import GalaxyArrays, UserError

NAMES = ("red", "blue")


class Brightness(torch.nn.Module):
    """Logits that follow the light of the red and of the blue channel in the middle of an image."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        middle = pixels[:, :, 12:20, 12:20].mean(dim=(2, 3))
        return torch.stack([middle[:, 0], middle[:, 2]], dim=1)


NET = FeatureNet("colours", Brightness(), 32, [0.0], [255.0], "colours")


def images(label: int, n: int) -> np.ndarray:
    pixels = np.random.default_rng(label).integers(0, 60, (n, 32, 32, 3), dtype=np.uint8)
    pixels[..., 2 * label] += 120
    return pixels


def test_right_labels_agree_and_a_shuffle_is_found():
    labels = np.repeat([0, 1], 30)
    predicted = Classifier(NET, np.zeros(2)).predict(np.concatenate([images(0, 30), images(1, 30)]))
    assert (predicted == labels).all()
    shuffled = np.random.default_rng(0).permutation(labels)
    assert 0.3 < (predicted == shuffled).mean() < 0.7


def test_a_rare_class_is_not_held_against_an_image():
    grey = np.full((4, 32, 32, 3), 100, np.uint8)
    grey[..., 2] += 3
    assert (Classifier(NET, np.log([0.5, 0.5])).predict(grey) == 1).all()
    assert (Classifier(NET, np.log([0.1, 0.9])).predict(grey) == 0).all()


def test_an_image_looks_like_its_class_if_95_in_100_real_galaxies_look_less_like_others():
    """Half of the real reds are bluer than red: the most likely class would throw them out."""

    def reds(levels: np.ndarray) -> GalaxyArrays:
        pixels = np.full((len(levels), 32, 32, 3), 100, np.uint8)
        pixels[..., 0] = levels[:, None, None]
        ids = [str(i) for i in range(len(levels))]
        return GalaxyArrays(pixels, np.zeros(len(levels), int), ids, ids, NAMES)

    classifier, known = Classifier(NET, np.zeros(2)), reds(np.arange(50, 150))
    assert (classifier.predict(known.images) == 0).mean() == 0.5
    assert classifier.looks_like(known, known).mean() == pytest.approx(0.95)
    assert classifier.looks_like(reds(np.array([10, 54, 55, 56, 250])), known).tolist() == [
        False,
        False,
        True,
        True,
        True,
    ]
    others = replace(known, labels=np.ones(len(known), int))  # no red is known: it has to be the most likely
    assert classifier.looks_like(reds(np.array([90, 110])), others).tolist() == [False, True]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("classifier")
    make_model("test_efficientnet", {}, False, 32, NAMES).save_pretrained(path)
    return path


@pytest.fixture
def pair() -> SimpleNamespace:
    return SimpleNamespace(test=SimpleNamespace(class_names=NAMES, fingerprint="abc", center_crop=64))


def record(
    folder: Path, augment_with: str | None = None, test: str = "abc", center_crop: int = 64, **config: object
) -> None:
    content = {
        "center_crop": center_crop,
        "config": {"augment_with": augment_with, **config},
        "data_fingerprint": {"test": test},
        "n_train": {"red": {"real": 90, "generated": 0}, "blue": {"real": 10, "generated": 0}},
    }
    (folder / "metrics.json").write_text(json.dumps(content))


def test_an_independent_classifier_knows_how_common_its_classes_were(folder, pair):
    record(folder)
    classifier = load_independent(folder, pair)
    assert np.exp(classifier.log_shares) == pytest.approx([0.9, 0.1])
    assert classifier.predict(images(0, 5)).shape == (5,)
    record(folder, oversampling=True)
    assert np.ptp(load_independent(folder, pair).log_shares) == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"augment_with": "runs/generated"}, "with generated images"),
        ({"test": "other"}, "another test split"),
        ({"center_crop": 0}, "another crop"),
    ],
)
def test_one_that_has_seen_generated_images_or_other_splits_or_crops_is_refused(folder, pair, changed, message):
    record(folder, **changed)
    with pytest.raises(UserError, match=message):
        load_independent(folder, pair)


def test_one_of_other_classes_or_half_trained_is_refused(folder, pair):
    record(folder)
    pair.test.class_names = ("red", "green")
    with pytest.raises(UserError, match="does not know the classes"):
        load_independent(folder, pair)
    (folder / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"metrics\.json.*no such file"):
        load_independent(folder, pair)


def test_saliency_lies_where_the_classifier_looks():
    found = mean_saliency(NET, images(1, 70), 1)
    assert found.mean() == pytest.approx(1)
    assert found[12:20, 12:20].sum() == pytest.approx(found.sum())
    assert saliency_figure({"blue": (found, found)}).startswith(b"\x89PNG")
