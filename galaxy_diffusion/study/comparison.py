"""Every figure of every arm with its interval, and the paired differences that the study is about.

Each comparison of two arms has one p value, that of the first endpoint on the mean of the backbones, corrected by Holm
for all comparisons of the study as one family. All other differences are shown only with their intervals.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from galaxy_diffusion.study.arms import BASELINE, QUESTION
from galaxy_diffusion.study.bootstrap import ALPHA, Bootstrap, bootstrap, holm
from galaxy_diffusion.study.endpoints import FIRST, Question
from galaxy_diffusion.study.runs import Run, Runs

MEAN = "mean of backbones"


@dataclass(frozen=True)
class Comparison:
    """Figures in full precision, one row for each backbone, arm, class and metric.

    The galaxy_class ``macro`` is the mean over the classes; ``all`` has the accuracies. Where there are several
    backbones, those of the backbone `MEAN` are averages over them, on the same resampled galaxies.

    Attributes
    ----------
    question : Question
    figures : DataFrame
        Columns backbone, arm, galaxy_class, metric, n (test galaxies), seeds (trainings), value, low and high.
    differences : DataFrame
        Arm minus ``reference`` on the galaxies and seeds that both have: every arm minus original, and diffusion minus
        each rival. Columns as above, with difference in place of value, and reference, detectable (the smallest true
        difference found with 80 % power) and, for the first endpoint in `scope`, p, p_holm, p_equivalence (Holm) and
        outcome.
    cheap : frozenset of str
        Arms that are remedies without a generative model and without new real galaxies.
    generators : dict of str to str
        The generator whose images an arm trains on, by arm.
    first : dict of str to Bootstrap
        The first endpoint in `scope`, without axes, by arm.
    draws : int
        Studies with training galaxies and generators of their own that the figures are the mean of.
    trained_generators : int
        Generators, trained independently, that the seeds of diffusion take turns with.
    """

    question: Question
    figures: pd.DataFrame
    differences: pd.DataFrame
    cheap: frozenset[str]
    generators: Mapping[str, str]
    first: Mapping[str, Bootstrap]
    draws: int = 1
    trained_generators: int = 1

    @property
    def scope(self) -> str:
        """The backbone that a verdict is about: the mean of all, or the only one."""
        return scope_of(self.figures)

    @property
    def tested(self) -> pd.DataFrame:
        """The differences that a verdict rests on: of the first endpoint, in `scope`."""
        if self.differences.empty:
            return self.differences
        return self.differences[is_tested(self.differences, self.scope)].reset_index(drop=True)


def compare(
    runs: Runs,
    question: Question,
    generators: Mapping[str, str] | None = None,
    ceilings: frozenset[str] = frozenset(),
    makers: Mapping[Run, str] | None = None,
) -> Comparison:
    """All figures of a study and the differences between its arms.

    Parameters
    ----------
    runs : Runs
    question : Question
    generators : dict of str to str
        The generator whose images an arm trains on, by arm; see `folder.Study`.
    ceilings : frozenset of str
        Arms that train on new real galaxies; likewise.
    makers : dict of Run to str
        The generator whose images a run trains on, where seeds of an arm take turns with several; likewise.
    """
    generators, makers = generators or {}, makers or {}
    keys = list(runs.probabilities)
    measured = [question.figures_of(runs.labels, runs.probabilities[key], runs.log_priors.get(key)) for key in keys]
    boot = bootstrap(runs.labels, measured, len(runs.class_names), [key[:2] for key in keys])
    place = {run: i for i, run in enumerate(keys)}
    layout = question.rows(runs.galaxies_per_class)

    def of(backbone: str, arm: str, trainings: list[tuple[int, int]]) -> Bootstrap:
        return boot[[place[Run(backbone, arm, seed, draw)] for draw, seed in trainings]]

    def clusters(backbone: str, trainings: list[tuple[int, int]], *arms: str) -> list[Hashable]:
        """What trainings share that is itself a sample: a draw of the training galaxies, else their generators."""
        if runs.draws > 1:
            return [draw for draw, _ in trainings]
        return [tuple(makers.get(Run(backbone, arm, seed, draw)) for arm in arms) for draw, seed in trainings]

    def averaged(parts: dict[str, tuple[Bootstrap, int]]) -> dict[str, tuple[Bootstrap, int]]:
        if len(parts) < max(2, len(runs.backbones)):
            return parts
        value = np.mean([part.value for part, _ in parts.values()], axis=0)
        replicates = np.mean([part.replicates for part, _ in parts.values()], axis=0)
        return {MEAN: (Bootstrap(value, replicates), min(seeds for _, seeds in parts.values())), **parts}

    figures, differences, first = [], [], {}
    for j, arm in enumerate(runs.arms):
        parts = {}
        for i, backbone in enumerate(runs.backbones):
            if trained := runs.trainings(backbone, arm):
                # Each mean has its own draws of the seeds' error, because the trainings are independent.
                own = j * len(runs.backbones) + i
                shared = clusters(backbone, trained, arm)
                parts[backbone] = of(backbone, arm, trained).over_trainings(shared, own), len(trained)
        for backbone, (part, seeds) in averaged(parts).items():
            first[backbone, arm] = Bootstrap(part.value[0], part.replicates[:, 0])
            low, high = np.clip(part.interval(), 0, 1)
            columns = {"value": part.value, "low": low, "high": high}
            figures.append(filled(layout, {"backbone": backbone, "arm": arm}, seeds, columns))

    for arm, reference in pairs(runs.arms, generators):
        parts = {}
        for i, backbone in enumerate(runs.backbones):
            if trained := runs.trainings(backbone, arm, reference):
                pair = of(backbone, arm, trained) - of(backbone, reference, trained)
                shared = clusters(backbone, trained, arm, reference)
                parts[backbone] = pair.over_trainings(shared, i), len(trained)
        for backbone, (part, seeds) in averaged(parts).items():
            low, high = part.interval()
            columns = {"difference": part.value, "low": low, "high": high, "detectable": part.detectable()}
            columns |= {"p": part.p_value(), "p_equivalence": part.p_equivalence(question.margin)}
            names = {"backbone": backbone, "arm": arm, "reference": reference}
            differences.append(filled(layout, names, seeds, columns))

    figures = in_order(pd.concat(figures, ignore_index=True), runs)
    differences = in_order(pd.concat(differences, ignore_index=True), runs) if differences else pd.DataFrame()
    if not differences.empty:
        differences = with_tests(differences, scope_of(figures))
    cheap = frozenset(runs.arms) - {BASELINE, QUESTION, *generators, *ceilings}
    of_question = {maker for run, maker in makers.items() if run.arm == QUESTION} or {QUESTION}
    in_scope = {arm: figure for (backbone, arm), figure in first.items() if backbone == scope_of(figures)}
    return Comparison(question, figures, differences, cheap, generators, in_scope, runs.draws, len(of_question))


def pairs(arms: tuple[str, ...], generators: Mapping[str, str]) -> list[tuple[str, str]]:
    """Arms and what they are compared with: all with original, diffusion with all other remedies and generators."""
    others = [arm for arm in arms if arm != BASELINE]
    with_original = [(arm, BASELINE) for arm in others] if BASELINE in arms else []
    ours = generators.get(QUESTION, QUESTION)
    rivals = [arm for arm in others if arm != QUESTION and generators.get(arm) != ours] if QUESTION in arms else []
    return with_original + [(QUESTION, rival) for rival in rivals]


def filled(layout: pd.DataFrame, names: dict[str, str], seeds: int, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    frame = layout.assign(seeds=seeds, **columns)
    for i, (name, value) in enumerate(names.items()):
        frame.insert(i, name, value)
    return frame


def in_order(frame: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """Sort by backbone, their mean first, and within a backbone by arm."""
    order = {name: i for i, name in enumerate((MEAN, *runs.backbones))}
    return frame.sort_values("backbone", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def scope_of(frame: pd.DataFrame) -> str:
    names = frame["backbone"].unique()
    return MEAN if MEAN in names else names[0]


def is_tested(differences: pd.DataFrame, scope: str) -> pd.Series:
    """Whether a difference is tested: of the first endpoint, in the scope of the verdict."""
    return (differences["metric"] == FIRST) & (differences["backbone"] == scope)


def with_tests(differences: pd.DataFrame, scope: str) -> pd.DataFrame:
    """P values and outcomes of the tested differences; the others have none.

    The outcome is equivalent (within the margin), better or worse (p_holm below 0.05), uncertain (an interval without 0
    that the correction does not uphold), hint (such an interval from one training run, which does not say
    how another would come out) or none.
    """
    tested = is_tested(differences, scope)
    several = tested & (differences["seeds"] > 1)
    differences = differences.assign(p_holm=np.nan, outcome="")
    for name, corrected in (("p", "p_holm"), ("p_equivalence", "p_equivalence")):
        differences[name] = differences[name].where(several)
        differences.loc[several, corrected] = holm(differences.loc[several, name].to_numpy())
    sign = np.where(differences["difference"] > 0, "better", "worse")
    weak = np.where(excludes_zero(differences), np.where(several, "uncertain", "hint"), "none")
    outcome = np.where(differences["p_holm"] < ALPHA, sign, weak)
    outcome = np.where(differences["p_equivalence"] < ALPHA, "equivalent", outcome)
    differences.loc[tested, "outcome"] = outcome[tested]
    return differences


def excludes_zero(frame: pd.DataFrame) -> pd.Series:
    """Whether the interval of the difference lies on one side of 0."""
    return (frame["low"] > 0) | (frame["high"] < 0)
