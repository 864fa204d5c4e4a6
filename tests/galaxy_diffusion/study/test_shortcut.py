"""A net that takes what is generated for rare is found, one that only says rare more often is not."""

from functools import partial

import numpy as np
import pytest

from galaxy_diffusion.study import shortcut as module
from galaxy_diffusion.study.arms import Run
from galaxy_diffusion.study.bootstrap import bootstrap
from galaxy_diffusion.study.runs import Runs
from galaxy_diffusion.study.shortcut import shortcut_table, shortcuts

CLASSES = ("round", "rare", "spiral")
RARE = 1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "bootstrap", partial(bootstrap, replicates=500))


def runs_of(rng, n: int, shares: dict[str, float], prior: dict[str, float] | None = None) -> Runs:
    """Nets of two seeds that call this share of the images of other classes rare, with a prior in their logits."""
    labels = np.repeat(np.arange(3), n)
    probabilities, priors = {}, {}
    for arm, share in shares.items():
        for seed in range(2):
            said = np.where((rng.random(3 * n) < share) & (labels != RARE), RARE, labels)
            logits = 4.0 * np.eye(3)[said]
            logits[:, RARE] += (prior or {}).get(arm, 0.0)
            run = Run("net", arm, seed)
            probabilities[run] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
            priors[run] = np.tile([0.0, (prior or {}).get(arm, 0.0), 0.0], (3 * n, 1))
    return Runs(CLASSES, labels, probabilities, priors)


def test_a_shortcut_is_found_and_a_class_prior_is_none():
    rng = np.random.default_rng(0)
    prior = {"diffusion": 5.0, "oversampling": 5.0}  # beyond the logits: without the correction all would be rare
    real = runs_of(rng, 200, {"original": 0.02, "diffusion": 0.05, "oversampling": 0.05, "trained_on": 0}, prior)
    made = runs_of(rng, 300, {"original": 0.04, "diffusion": 0.25, "oversampling": 0.07, "trained_on": 1}, prior)
    frame = shortcuts(real, made, "rare", without={"trained_on"}).set_index("arm")
    assert list(frame.index) == ["original", "diffusion", "oversampling"]
    assert frame.loc["diffusion", "shortcut"] == pytest.approx(0.18, abs=0.05)
    assert frame.loc["diffusion", "shortcut_low"] > 0.1
    assert frame.loc["oversampling", "shortcut_low"] < 0 < frame.loc["oversampling", "shortcut_high"]
    assert np.isnan(frame.loc["original", "shortcut"])
    assert frame.loc["original", "generated"] == pytest.approx(0.04, abs=0.02)
    table = shortcut_table(frame.reset_index(), "rare")
    assert table.rows[0][-1].text == "–"
    assert len(table.rows[0]) == len(table.columns)


def test_none_of_n_called_rare_leaves_room_for_some():
    rng = np.random.default_rng(1)
    never = runs_of(rng, 30, {"original": 0.0, "diffusion": 0.0})
    row = shortcuts(never, never, "rare").set_index("arm").loc["diffusion"]
    assert row["generated"] == row["shortcut"] == 0
    assert row["generated_high"] > 0.01
    assert row["shortcut_low"] < 0 < row["shortcut_high"]


def test_without_original_there_is_nothing_to_compare_with():
    rng = np.random.default_rng(2)
    alone = runs_of(rng, 20, {"diffusion": 0.1})
    assert shortcuts(alone, alone, "rare").empty
