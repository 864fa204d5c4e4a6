"""Generators that seeds take turns with are a random effect: the intervals and the verdict say so."""

import numpy as np
import pytest

from galaxy_diffusion.study.arms import Run
from galaxy_diffusion.study.comparison import Comparison, compare
from galaxy_diffusion.study.endpoints import FIRST, Question
from galaxy_diffusion.study.runs import Runs
from galaxy_diffusion.study.verdict import judge

SEEDS = range(4)


def study(makers: dict[int, str]) -> Comparison:
    """Two generators, of which one is worse: seeds 0 and 2 of diffusion have learned from it, or so it is said."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], [200, 40])
    runs = {}
    for arm in ("original", "diffusion"):
        for seed in SEEDS:
            luck = (2.2 if seed % 2 else 1.0) if arm == "diffusion" else 1.6
            score = luck * labels + rng.normal(size=len(labels))
            rare = 1 / (1 + np.exp(-score))
            runs[Run("net", arm, seed)] = np.stack([1 - rare, rare], axis=1)
    question = Question(("common", "rare"), "rare", None, None, 0.03)
    of_run = {Run("net", "diffusion", seed): maker for seed, maker in makers.items()}
    return compare(Runs(("common", "rare"), labels, runs), question, {"diffusion": "ddpm"}, makers=of_run)


@pytest.fixture(scope="module")
def two() -> Comparison:
    return study({seed: f"ddpm-{seed % 2}" for seed in SEEDS})


@pytest.fixture(scope="module")
def one() -> Comparison:
    return study(dict.fromkeys(SEEDS, "ddpm"))


def width(comparison: Comparison) -> float:
    row = comparison.tested.iloc[0]
    assert (row["metric"], row["seeds"]) == (FIRST, len(SEEDS))
    return row["high"] - row["low"]


def test_the_spread_of_two_generators_is_that_of_two_not_of_four_seeds(one, two):
    assert two.tested["difference"].iloc[0] == pytest.approx(one.tested["difference"].iloc[0])
    assert width(two) > 2 * width(one)


def test_the_verdict_says_how_many_generators_it_is_conditional_on(one, two):
    assert judge(one).headline.endswith(", conditional on one generator.")
    assert judge(two).headline.endswith(", over 2 trainings of the generator.")
    assert any("Student's t with 1 degrees of freedom" in line for line in judge(two).caveats)


def test_a_generator_for_each_seed_is_what_independent_seeds_are(one):
    each = study({seed: f"ddpm-{seed}" for seed in SEEDS})
    assert width(each) == pytest.approx(width(one))
