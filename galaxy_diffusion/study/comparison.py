"""Every figure of every arm with its interval, and the paired differences that the study is about."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from galaxy_diffusion.study.arms import BASELINE, QUESTION
from galaxy_diffusion.study.bootstrap import ACCURACIES, ALPHA, METRICS, Bootstrap, bootstrap, holm, mcnemar
from galaxy_diffusion.study.runs import Runs

METRIC_NAMES = {
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "natural_accuracy": "accuracy in the natural mix",
}
MEAN = "mean of backbones"


@dataclass(frozen=True)
class Comparison:
    """Figures in full precision, a row a backbone, arm, class and metric.

    The galaxy_class ``macro`` is the mean over the classes; ``all`` has the accuracies. Where there are several
    backbones, those of the backbone `MEAN` are averages over them, on the same resampled galaxies.

    Attributes
    ----------
    figures : DataFrame
        Columns backbone, arm, galaxy_class, metric, n (test galaxies), seeds, value, low and high.
    differences : DataFrame
        Arm minus ``reference`` on the galaxies and seeds that both have: every arm minus original, and diffusion minus
        each rival. Columns as above, with difference for value, and reference, p (bootstrap), detectable (the smallest
        true difference found with 80 % power); gained, lost and mcnemar_p in the rows of the accuracy.
    discordance : DataFrame
        Columns galaxy_class, n and discordance: the share of the class's test galaxies that exactly one of two paired
        runs gets right, the mean over all pairs of an arm and original.
    cheap : frozenset of str
        Arms that are remedies without a generative model.
    """

    figures: pd.DataFrame
    differences: pd.DataFrame
    discordance: pd.DataFrame
    cheap: frozenset[str]

    @property
    def scope(self) -> str:
        """The backbone that a verdict speaks of: their mean, or the only one."""
        names = self.figures["backbone"].unique()
        return MEAN if MEAN in names else names[0]


def compare(runs: Runs, mix: np.ndarray | None = None, generators: Mapping[str, str] | None = None) -> Comparison:
    """All figures of a study and the differences between its arms.

    Parameters
    ----------
    runs : Runs
    mix : ndarray, shape (classes,), optional
        How frequent the classes are in nature; without it there are no rows of the natural_accuracy.
    generators : dict of str to str
        The generator whose images an arm trains on, by arm; see `folder.Study`.
    """
    generators = generators or {}
    keys = list(runs.predictions)
    boot = bootstrap(runs.labels, np.stack(list(runs.predictions.values())), len(runs.class_names), mix)
    place = {run: i for i, run in enumerate(keys)}
    layout = rows_of(runs, mix)

    def of(backbone: str, arm: str, seeds: list[int]) -> Bootstrap:
        return boot[[place[backbone, arm, seed] for seed in seeds]]

    def averaged(parts: dict[str, tuple[Bootstrap, int]]) -> dict[str, tuple[Bootstrap, int]]:
        if len(parts) < max(2, len(runs.backbones)):
            return parts
        value = np.mean([part.value for part, _ in parts.values()], axis=0)
        replicates = np.mean([part.replicates for part, _ in parts.values()], axis=0)
        return {MEAN: (Bootstrap(value, replicates), min(seeds for _, seeds in parts.values())), **parts}

    figures, differences = [], []
    for arm in runs.arms:
        parts = {}
        for i, backbone in enumerate(runs.backbones):
            if seeds := runs.seeds(backbone, arm):
                parts[backbone] = of(backbone, arm, seeds).over_seeds(i), len(seeds)
        for backbone, (part, seeds) in averaged(parts).items():
            low, high = np.clip(part.interval(), 0, 1)
            columns = {"value": part.value, "low": low, "high": high}
            figures.append(filled(layout, {"backbone": backbone, "arm": arm}, seeds, columns))

    for arm, reference in pairs(runs.arms, generators):
        parts, tests = {}, {}
        for i, backbone in enumerate(runs.backbones):
            if seeds := runs.seeds(backbone, arm, reference):
                pair = of(backbone, arm, seeds) - of(backbone, reference, seeds)
                parts[backbone] = pair.over_seeds(i), len(seeds)
                tests[backbone] = mcnemar(runs.labels, *(runs.of(backbone, a, seeds) for a in (reference, arm)))
        for backbone, (part, seeds) in averaged(parts).items():
            low, high = part.interval()
            columns = {"difference": part.value, "low": low, "high": high, "p": part.p_value()}
            columns["detectable"] = part.detectable()
            names = {"backbone": backbone, "arm": arm, "reference": reference}
            frame = filled(layout, names, seeds, columns)
            frame[["gained", "lost", "mcnemar_p"]] = np.nan
            tested = frame["metric"] == "accuracy"
            frame.loc[tested, ["gained", "lost", "mcnemar_p"]] = tests.get(backbone, (np.nan,) * 3)
            differences.append(frame)

    return Comparison(
        in_order(pd.concat(figures, ignore_index=True), runs),
        in_order(pd.concat(differences, ignore_index=True), runs) if differences else pd.DataFrame(),
        discordance(runs),
        frozenset(runs.arms) - {BASELINE, QUESTION, *generators},
    )


def pairs(arms: tuple[str, ...], generators: Mapping[str, str]) -> list[tuple[str, str]]:
    """Arms and what they are compared with: all with original, diffusion with each cheap remedy and other generator."""
    others = [arm for arm in arms if arm != BASELINE]
    with_original = [(arm, BASELINE) for arm in others] if BASELINE in arms else []
    ours = generators.get(QUESTION, QUESTION)
    rivals = [arm for arm in others if arm != QUESTION and generators.get(arm) != ours] if QUESTION in arms else []
    return with_original + [(QUESTION, rival) for rival in rivals]


def rows_of(runs: Runs, mix: np.ndarray | None) -> pd.DataFrame:
    """The class, metric and test galaxies of each figure that `bootstrap.scores` returns, in its order."""
    n = [*runs.galaxies_per_class, len(runs.labels)]
    rows = [(name, metric, k) for name, k in zip([*runs.class_names, "macro"], n, strict=True) for metric in METRICS]
    frame = pd.DataFrame(
        [*rows, *(("all", metric, n[-1]) for metric in ACCURACIES)], columns=["galaxy_class", "metric", "n"]
    )
    return frame if mix is not None else frame.drop(index=len(frame) - 1)


def filled(layout: pd.DataFrame, names: dict[str, str], seeds: int, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    frame = layout.assign(seeds=seeds, **{name: v.ravel()[: len(layout)] for name, v in columns.items()})
    for i, (name, value) in enumerate(names.items()):
        frame.insert(i, name, value)
    return frame


def in_order(frame: pd.DataFrame, runs: Runs) -> pd.DataFrame:
    """Backbone by backbone, their mean first; within one as the arms come."""
    order = {name: i for i, name in enumerate((MEAN, *runs.backbones))}
    return frame.sort_values("backbone", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def discordance(runs: Runs) -> pd.DataFrame:
    """See `Comparison`."""
    right = {run: predictions == runs.labels for run, predictions in runs.predictions.items()}
    differ = [
        right[run] != right[run._replace(arm=BASELINE)]
        for run in right
        if run.arm != BASELINE and run._replace(arm=BASELINE) in right
    ]
    share = np.mean(differ, axis=0) if differ else np.full(len(runs.labels), np.nan)
    n = runs.galaxies_per_class
    shares = [share[runs.labels == c].mean() if k else np.nan for c, k in enumerate(n)]
    return pd.DataFrame({"galaxy_class": runs.class_names, "n": n, "discordance": shares})


def excludes_zero(frame: pd.DataFrame) -> pd.Series:
    """Whether the interval of the difference lies on one side of 0."""
    return (frame["low"] > 0) | (frame["high"] < 0)


def adjusted(p_values: pd.Series) -> pd.Series:
    """Holm's correction over the values that are there; NaN stays NaN."""
    present = p_values.dropna()
    return pd.Series(holm(present.to_numpy()), present.index).reindex(p_values.index)


def of_several_runs(p_values: pd.Series, seeds: pd.Series) -> pd.Series:
    """The p values that may be judged by; NaN with one seed, which does not say how another would come out."""
    return p_values.where(seeds > 1)


def outcomes(frame: pd.DataFrame) -> pd.Series:
    """What each difference says, given its p_holm.

    It is better, worse, uncertain (an interval without 0 that the correction does not uphold), hint (such an interval
    of one training run) or none.
    """
    sign = np.where(frame["difference"] > 0, "better", "worse")
    weak = np.where(excludes_zero(frame), np.where(frame["p_holm"].isna(), "hint", "uncertain"), "none")
    return pd.Series(np.where(frame["p_holm"] < ALPHA, sign, weak), frame.index)
