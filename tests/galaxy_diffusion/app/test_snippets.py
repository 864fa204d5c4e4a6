"""The Python under each tab runs, and gives what the tab shows."""

import numpy as np
import pytest
import torch

from galaxy_diffusion.app.artist import DETERMINISTIC, Artist
from galaxy_diffusion.app.novelty import load_seen_galaxies
from galaxy_diffusion.app.snippets import (
    between_snippet,
    classify_snippet,
    dream_snippet,
    novelty_snippet,
    vary_snippet,
)
from galaxy_diffusion.app.uploads import picture_of
from gz2_dataset import CLASS_NAMES


@pytest.fixture(scope="module")
def artist(tiny_model) -> Artist:
    return Artist(str(tiny_model), torch.device("cpu"))


def ran(code: str) -> dict:
    names = {}
    exec(code, names)
    return names


def test_a_dream(artist):
    *_, expected = artist.dream("spiral", 3, 2.0, "unipc")
    np.testing.assert_array_equal(ran(dream_snippet(artist.model, "spiral", 3, 2.0, "unipc"))["image"], expected)


def test_the_nearest_training_galaxies(artist, toy_data):
    found = ran(novelty_snippet(artist.model, str(toy_data), "edge_on", 4))["found"]
    expected = load_seen_galaxies(str(toy_data), artist.model, 32).nearest(artist.draw("edge_on", 4), "edge_on")
    assert [n.image_id for n in found.neighbours] == [n.image_id for n in expected.neighbours]


def test_the_way_between_two(artist):
    ends = ("edge_on", 1), ("spiral", 2)
    frames = ran(between_snippet(artist.model, *ends))["frames"]
    np.testing.assert_array_equal(frames, artist.between(*ends))
    assert DETERMINISTIC in between_snippet(artist.model, *ends)


def test_variations(artist, toy_source):
    file = sorted((toy_source / "images").iterdir())[0]
    images = ran(vary_snippet(artist.model, str(file), "spiral", 5, 0.5, artist.center_crop))["images"]
    expected = artist.vary(picture_of(file.read_bytes()), "spiral", 5, 0.5)
    assert np.abs(images.astype(int) - expected).max() <= 1


def test_probabilities(tiny_classifier, cutouts):
    file = sorted((cutouts / "images").iterdir())[0]
    prediction = ran(classify_snippet([str(tiny_classifier)], str(file)))["prediction"]
    assert prediction.mean.shape == (1, len(CLASS_NAMES[:3]))
    assert prediction.mean.sum() == pytest.approx(1)
