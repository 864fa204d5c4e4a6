"""What is kept: galaxies like the training galaxies of their class, and what happens to verdicts in metadata.jsonl."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galaxy_diffusion.evaluation.keep import SHAPE, Passed, Verdicts, within_class
from galaxy_diffusion.evaluation.label_agreement import axis_ratio_agrees
from galaxy_diffusion.shared.image_folder import read_metadata, save_image, write_metadata, write_verdicts
from gz2_dataset import UserError


def shapes(labels: np.ndarray, seed: int) -> pd.DataFrame:
    """Galaxies of class 0 are round, of class 1 elongated; the other measures are noise."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(len(labels), len(SHAPE))), columns=list(SHAPE))
    table["ellipticity"] = np.where(labels == 0, 0.1, 0.7) + rng.normal(0, 0.05, len(labels))
    return table


LABELS = np.repeat([0, 1], [200, 60])


@pytest.mark.parametrize(("agrees", "expected"), [(within_class, 0.97), (axis_ratio_agrees, 0.92)])
def test_new_galaxies_of_a_class_agree_and_a_shuffle_of_labels_is_found(agrees, expected):
    train, new = shapes(LABELS, 0), shapes(LABELS, 1)
    assert agrees(train, LABELS, new, LABELS).mean() >= expected - 0.04
    shuffled = 1 - LABELS
    assert agrees(train, LABELS, new, shuffled).mean() < 0.05


def test_what_cannot_be_measured_does_not_agree_and_too_few_training_galaxies_say_nothing():
    train, new = shapes(LABELS, 0), shapes(LABELS, 1)
    new.loc[3, ["ellipticity"]] = np.nan
    assert not within_class(train, LABELS, new, LABELS)[3]
    assert not axis_ratio_agrees(train, LABELS, new, LABELS)[3]
    few = np.isin(np.arange(len(LABELS)), [*range(200), *range(200, 215)])
    assert within_class(train[few], LABELS[few], new, 1 - LABELS)[:200].all()


def test_an_image_is_kept_where_it_passes_every_test():
    verdicts = Verdicts(*np.array([[1, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 0]], bool))
    assert verdicts.kept.tolist() == [True, False, False, False]
    assert verdicts.counts(np.array([0, 1, 3])) == Passed(3, 3, 2, 2, 1)
    assert verdicts.by_file(list("abcd"))["d"] == {"no_copy": True, "label": True, "morphology": False}


@pytest.fixture
def folder(tmp_path) -> Path:
    add(tmp_path, 0, 1)
    write_verdicts(
        tmp_path,
        {
            "spiral/00000000.jpg": {"no_copy": True, "label": True, "morphology": True},
            "spiral/00000001.jpg": {"no_copy": True, "label": False, "morphology": True},
        },
    )
    return tmp_path


def add(folder: Path, *seeds: int, steps: int = 25) -> None:
    for seed in seeds:
        save_image(folder / "spiral" / f"{seed:08d}.jpg", np.zeros((32, 32, 3), np.uint8))
    write_metadata(folder, lambda name, seed: {"steps": steps, "interval": (0.3, 3.0)})


def test_verdicts_stand_in_metadata_beside_what_was_there(folder):
    first, second = read_metadata(folder)
    assert (first["kept"], second["kept"]) == (True, False)
    assert second["filter"] == {"no_copy": True, "label": False, "morphology": True}
    assert (first["label"], first["seed"], first["steps"]) == ("spiral", 0, 25)
    assert sorted(path.name for path in folder.iterdir()) == ["metadata.jsonl", "spiral"]


def test_verdicts_survive_another_call_of_generate_and_new_images_have_none(folder):
    before = read_metadata(folder)
    add(folder, 2)
    after = read_metadata(folder)
    assert after[:2] == before
    assert not {"kept", "filter"} & set(after[2])


def test_verdicts_on_images_of_other_settings_are_dropped(folder):
    add(folder, steps=50)
    assert not any("kept" in row for row in read_metadata(folder))


def test_a_new_verdict_replaces_the_old_one_and_a_missing_one_is_refused(folder):
    passed = {"no_copy": False, "label": True, "morphology": True}
    write_verdicts(folder, {row["file_name"]: passed for row in read_metadata(folder)})
    assert [row["kept"] for row in read_metadata(folder)] == [False, False]
    content = (folder / "metadata.jsonl").read_text()
    with pytest.raises(UserError, match=r"00000001.jpg was added during"):
        write_verdicts(folder, {"spiral/00000000.jpg": passed})
    assert (folder / "metadata.jsonl").read_text() == content
    assert all(json.loads(line) for line in content.splitlines())
