"""Which generated images an arm takes, balanced draws, and SMOTE's interpolations."""

import json
import sys

import numpy as np
import pytest

from galaxy_diffusion.classifiers.remedies import (
    balanced_rows,
    duplicates,
    new_galaxies,
    select_generated,
    smote,
    with_matched_noise,
)
from galaxy_diffusion.shared.sky import sky_amplitude
from gz2_dataset import GalaxyArrays, UserError

CLASSES = ("round", "cigar", "spiral")


def arrays(labels: list[int], size: int = 16) -> GalaxyArrays:
    """Smooth images of one colour gradient each, so that JPEG changes them by little."""
    labels, rng = np.array(labels), np.random.default_rng(0)
    ramp = np.linspace(0, 1, size)[:, None, None] * rng.uniform(50, 250, (len(labels), 1, 1, 3))
    images = np.broadcast_to(ramp, (len(labels), size, size, 3)).astype(np.uint8)
    ids = [f"g{i}" for i in range(len(labels))]
    return GalaxyArrays(images, labels, ids, ids, CLASSES)


@pytest.fixture
def folder(tmp_path):
    """Verdicts and seeds of eight generated images, six cigars and two spirals, not in the order of their seeds."""
    seeds, kept = [4, 0, 2, 5, 1, 3, 1, 0], [1, 0, 1, 1, 1, 0, 1, 1]
    verdicts = enumerate(zip(seeds, kept, strict=True))
    rows = [
        {"file_name": f"{i}.jpg", "label": CLASSES[GENERATED.labels[i]], "seed": seed, "kept": bool(verdict)}
        for i, (seed, verdict) in verdicts
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


GENERATED = arrays([1, 1, 1, 1, 1, 1, 2, 2])
REAL_COUNTS = np.array([30, 3, 8])


def chosen(folder, ratio=None, filtered=False, block=None) -> list[str]:
    return select_generated(str(folder), GENERATED, REAL_COUNTS, ratio, filtered, block).image_ids


def test_a_ratio_takes_the_smallest_seeds_of_each_class(folder):
    assert chosen(folder) == GENERATED.image_ids
    assert chosen(folder, ratio=1) == ["g1", "g2", "g4", "g6", "g7"]  # seeds 0, 2, 1 of the cigars, both spirals
    assert chosen(folder, ratio=0.5) == ["g1", "g6", "g7"]  # 1.5 cigars count as one
    assert chosen(folder, ratio=10) == GENERATED.image_ids


def test_blocks_share_no_image_and_have_equally_many_of_each_class(folder):
    blocks = [chosen(folder, block=(number, 2)) for number in range(2)]
    assert blocks == [["g1", "g2", "g4", "g7"], ["g0", "g3", "g5", "g6"]]  # by seed, within each class
    assert chosen(folder, ratio=1 / 3, filtered=True, block=(1, 2)) == ["g0", "g6"]


def test_what_the_filter_did_not_keep_is_out_before_the_ratio_counts(folder):
    assert chosen(folder, filtered=True) == ["g0", "g2", "g3", "g4", "g6", "g7"]
    assert chosen(folder, ratio=1, filtered=True) == ["g0", "g2", "g4", "g6", "g7"]


def test_a_missing_verdict_or_nothing_left_is_one_clear_line(folder):
    with pytest.raises(UserError, match="no image is left"):
        chosen(folder, ratio=0.01)
    metadata = folder / "metadata.jsonl"
    metadata.write_text(metadata.read_text().replace(', "kept": false', "", 1))
    with pytest.raises(UserError, match=r"metadata\.jsonl: 1\.jpg has no filter verdict"):
        chosen(folder, filtered=True)


def test_quiet_generated_skies_become_as_noisy_as_real_ones_of_their_class():
    def drawn(noise: dict[int, float], n: int) -> GalaxyArrays:
        rng, labels = np.random.default_rng(n), np.repeat(list(noise), n)
        images = np.stack([rng.normal(60, noise[label], (32, 32, 3)) for label in labels]).round().astype(np.uint8)
        ids = [str(i) for i in range(len(labels))]
        return GalaxyArrays(images, labels, ids, ids, CLASSES)

    real, generated = drawn({0: 8.0, 1: 5.0}, 30), drawn({0: 3.0, 1: 9.0, 2: 3.0}, 20)
    matched = with_matched_noise(generated, real, seed=0)
    of_class = [np.median(sky_amplitude(matched.images[matched.labels == label])) for label in range(3)]
    assert of_class == pytest.approx([8, 9, 3], rel=0.15)  # class 1 was noisy enough, class 2 has no real one
    assert matched.digests != generated.digests
    assert matched.fingerprint == with_matched_noise(generated, real, seed=0).fingerprint


def test_balanced_rows_give_each_class_the_same_share_and_its_images_in_turns():
    labels = np.repeat([0, 2, 3], [50, 7, 20])
    rows = balanced_rows(labels, seed=1)
    assert np.bincount(labels[rows]).tolist() == [50, 0, 50, 50]
    times = np.bincount(rows, minlength=len(labels))
    assert set(times[labels == 0]) == {1}
    assert set(times[labels == 2]) == {7, 8}
    assert set(times[labels == 3]) == {2, 3}
    assert np.array_equal(rows, balanced_rows(labels, seed=1))
    assert not np.array_equal(rows, balanced_rows(labels, seed=2))


def test_duplicates_are_real_images_each_equally_often():
    real = arrays([0] * 5 + [1] * 3)
    added = duplicates(real, {"cigar": 8, "round": 2}, seed=0)
    times = {image_id: added.image_ids.count(image_id) for image_id in real.image_ids}
    assert sorted(times[f"g{i}"] for i in (5, 6, 7)) == [2, 3, 3]
    assert sorted(times[f"g{i}"] for i in range(5)) == [0, 0, 0, 1, 1]
    for image_id, image, label in zip(added.image_ids, added.images, added.labels, strict=True):
        row = real.image_ids.index(image_id)
        assert np.array_equal(image, real.images[row])
        assert label == real.labels[row]
    assert added.fingerprint == duplicates(real, {"cigar": 8, "round": 2}, seed=0).fingerprint
    assert len({duplicates(real, {"cigar": 8}, seed).fingerprint for seed in range(9)}) > 1


def test_new_galaxies_are_of_their_class_and_more_include_the_fewer():
    reserve = arrays([0] * 20 + [1] * 30)
    few, many = (new_galaxies(reserve, {"cigar": n, "round": 4}, seed=3) for n in (6, 18))
    assert (np.bincount(few.labels).tolist(), np.bincount(many.labels).tolist()) == ([4, 6], [4, 18])
    assert set(few.image_ids) < set(many.image_ids)
    with pytest.raises(UserError, match="reserve cigar=31: the data has set aside 30"):
        new_galaxies(reserve, {"cigar": 31}, seed=0)


def test_smote_images_lie_between_two_of_their_class():
    real = arrays([0] * 5 + [1] * 8)
    made = smote(real, {"cigar": 20, "round": 3}, seed=0)
    assert np.bincount(made.labels).tolist() == [3, 20]
    for image, label in zip(made.images.astype(float), made.labels, strict=True):
        members = real.images[real.labels == label].astype(float)
        first, second = np.meshgrid(range(len(members)), range(len(members)), indexing="ij")
        start, way = members[first], members[second] - members[first]
        length = (way**2).sum(axis=(2, 3, 4), keepdims=True)
        share = ((image - start) * way).sum(axis=(2, 3, 4), keepdims=True) / np.maximum(length, 1)
        distance = np.abs(image - start - share.clip(0, 1) * way).mean(axis=(2, 3, 4))
        assert distance.min() < 2  # of 255: rounding and JPEG
    assert made.fingerprint == smote(real, {"cigar": 20, "round": 3}, seed=0).fingerprint
    assert made.fingerprint != smote(real, {"cigar": 20, "round": 3}, seed=1).fingerprint


def test_smote_images_pass_through_the_jpeg_of_all_images(monkeypatch):
    monkeypatch.setattr("galaxy_diffusion.classifiers.remedies.jpeg_round_trip", lambda image: 255 - image)
    turned = smote(arrays([1, 1, 1]), {"cigar": 4}, seed=0).images
    monkeypatch.setattr("galaxy_diffusion.classifiers.remedies.jpeg_round_trip", lambda image: image)
    assert np.array_equal(turned, 255 - smote(arrays([1, 1, 1]), {"cigar": 4}, seed=0).images)


def test_smote_that_cannot_be_is_one_clear_line(monkeypatch):
    with pytest.raises(UserError, match="has 1 training images, but two are needed"):
        smote(arrays([0, 1]), {"cigar": 4}, seed=0)
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(UserError, match=r"\.\[remedies\]"):
        smote(arrays([1, 1]), {"cigar": 4}, seed=0)
