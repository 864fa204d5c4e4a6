"""Did augmentation help: every figure of every backbone with its interval, and a verdict drawn from them alone."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from galaxy_diffusion.statistics import AVERAGES, LEVEL, METRICS, bootstrap, holm, mcnemar
from galaxy_diffusion.study import ARMS, Runs, title

ALPHA = 1 - LEVEL
METRIC_NAMES = {"precision": "precision", "recall": "recall", "f1": "F1"}


def compare(backbones: dict[str, Runs]) -> pd.DataFrame:
    """All figures in full precision, a row a backbone, class (or ``macro``) and metric, and one for the accuracy.

    Parameters
    ----------
    backbones : dict
        `Runs` by name.

    Returns
    -------
    DataFrame
        Columns backbone, galaxy_class, metric, n (test galaxies) and seeds; original, augmented and difference with the
        ends of their intervals (``_low``, ``_high``); p of the difference (bootstrap); gained, lost and mcnemar_p in
        the rows of the accuracy, whose galaxy_class is ``all``. NaN where an arm was not run.
    """
    return pd.concat([rows_of(name, runs) for name, runs in backbones.items()], ignore_index=True)


def rows_of(backbone: str, runs: Runs) -> pd.DataFrame:
    boot = bootstrap(runs.labels, runs.predictions, len(runs.class_names))
    n = runs.galaxies_per_class
    index = pd.MultiIndex.from_product([[*runs.class_names, *AVERAGES], METRICS], names=["galaxy_class", "metric"])
    frame = pd.DataFrame({"backbone": backbone, "n": np.repeat([*n, n.sum(), n.sum()], len(METRICS))}, index)
    frame["seeds"] = len(runs.seeds)
    low, high = boot.interval()
    for arm in ARMS:
        i = runs.arms.index(arm) if arm in runs.arms else None
        for suffix, figures in (("", boot.value), ("_low", low), ("_high", high)):
            frame[arm + suffix] = np.nan if i is None else figures[i].ravel()
    paired = runs.arms == ARMS
    difference = boot.difference()
    low, high = difference.interval() if paired else (np.nan, np.nan)
    for suffix, figures in (("", difference.value), ("_low", low), ("_high", high), ("_p", difference.p_value())):
        frame[f"difference{suffix}"] = np.ravel(figures) if paired else np.nan
    frame = frame.rename(columns={"difference_p": "p"}).reset_index()
    micro = frame["galaxy_class"] == "micro"
    frame.loc[micro, "metric"] = "accuracy"
    frame.loc[micro, "galaxy_class"] = "all"
    frame[["gained", "lost", "mcnemar_p"]] = np.nan
    if paired:
        frame.loc[micro, ["gained", "lost", "mcnemar_p"]] = mcnemar(runs.labels, runs.predictions)
    columns = [c for c in frame.columns if c not in ("backbone", "galaxy_class", "metric")]
    return frame[["backbone", "galaxy_class", "metric", *columns]].drop_duplicates(["galaxy_class", "metric"])


def excludes_zero(frame: pd.DataFrame) -> pd.Series:
    """Whether the interval of the difference lies on one side of 0."""
    return (frame["difference_low"] > 0) | (frame["difference_high"] < 0)


def adjusted(p_values: pd.Series) -> pd.Series:
    """Holm's correction over the values that are there; NaN stays NaN."""
    present = p_values.dropna()
    return pd.Series(holm(present.to_numpy()), present.index).reindex(p_values.index)


@dataclass(frozen=True)
class Verdict:
    """What may be said about augmentation.

    Attributes
    ----------
    outcome : str
        better, worse, mixed, none (no evidence) or missing (nothing to compare).
    headline : str
        One sentence.
    findings : DataFrame
        The rows of `compare` that it rests on, with p_holm and outcome.
    sentences : list of str
        The findings in words.
    caveats : list of str
        What a reader must know beside it.
    """

    outcome: str
    headline: str
    findings: pd.DataFrame
    sentences: list[str]
    caveats: list[str]


def judge(figures: pd.DataFrame, rare_class: str) -> Verdict:
    """Verdict on the rare class's recall and F1 and on macro F1 of every backbone, and what other classes paid for it.

    A difference counts where its p value, corrected by Holm for all differences of the verdict, is below 0.05; for the
    figures of the other classes the correction is for all of those.

    Parameters
    ----------
    figures : DataFrame
        From `compare`.
    rare_class : str
        The class that was augmented.
    """
    wanted = pd.DataFrame(
        {"galaxy_class": [rare_class, rare_class, "macro"], "metric": ["recall", "f1", "f1"], "order": range(3)}
    )
    found = figures.dropna(subset="p").merge(wanted).sort_values(["backbone", "order"], ignore_index=True)
    if found.empty:
        return Verdict(
            "missing", "No backbone has been trained both with and without generated images yet.", found, [], []
        )
    found = found.drop(columns="order").assign(p_holm=adjusted(found["p"]))
    sign = np.where(found["difference"] > 0, "better", "worse")
    found["outcome"] = np.where(found["p_holm"] < ALPHA, sign, np.where(excludes_zero(found), "uncertain", "none"))
    better, worse = (int((found["outcome"] == outcome).sum()) for outcome in ("better", "worse"))
    total = len(found)
    if better and worse:
        outcome, text = "mixed", f"Augmentation helped in {better} and harmed in {worse} of {total} comparisons"
    elif better:
        outcome, text = "better", f"Augmentation helped in {better} of {total} comparisons and harmed in none"
    elif worse:
        outcome, text = "worse", f"Augmentation made it worse in {worse} of {total} comparisons and better in none"
    else:
        outcome, text = "none", f"No evidence that augmentation helped or harmed in any of {total} comparisons"
    what = f"recall and F1 of {title(rare_class).lower()} galaxies and macro F1"
    price = harmed_elsewhere(figures, rare_class)
    if not price.empty:
        what += f"; the other classes became worse in {len(price)}, see below"
    sentences = [sentence(row) for row in [*found.to_dict("records"), *price.to_dict("records")]]
    return Verdict(outcome, f"{text} ({what}).", found, sentences, caveats(found, rare_class))


def harmed_elsewhere(figures: pd.DataFrame, rare_class: str) -> pd.DataFrame:
    """Figures of the classes that were not augmented that became worse, with p corrected by Holm for all of them."""
    others = figures[~figures["galaxy_class"].isin([rare_class, "macro", "all"])].dropna(subset="p")
    others = others.assign(p_holm=adjusted(others["p"]), outcome="worse")
    return others[(others["p_holm"] < ALPHA) & (others["difference"] < 0)]


def sentence(row: dict) -> str:
    """One finding in words and figures."""
    said = {"better": "better", "worse": "worse", "none": "no evidence of a difference"}
    said["uncertain"] = "no evidence once corrected for the number of comparisons"
    what = "macro" if row["galaxy_class"] == "macro" else title(row["galaxy_class"]).lower()
    return (
        f"{row['backbone']}, {what} {METRIC_NAMES[row['metric']]}: {row['original']:.3f} to {row['augmented']:.3f}, "
        f"{row['difference']:+.3f} [{row['difference_low']:+.3f}, {row['difference_high']:+.3f}], "
        f"p = {row['p_holm']:.2g} after Holm: {said[row['outcome']]}."
    )


def caveats(found: pd.DataFrame, rare_class: str) -> list[str]:
    """Sentences on what the comparison can and cannot see."""
    rare = found[found["galaxy_class"] == rare_class]
    seeds = found["seeds"].min()
    lines = [
        f"A difference counts (green, red) if p < {ALPHA:.2f} after Holm's correction for {len(found)} comparisons."
    ]
    if uncertain := (found["outcome"] == "uncertain").sum():
        lines.append(
            f"In {uncertain} more (ochre) the 95 % interval excludes 0, but p is larger after that correction."
        )
    if not rare.empty:
        half = ((rare["difference_high"] - rare["difference_low"]) / 2).median()
        lines.append(
            f"With {rare['n'].min()} {title(rare_class).lower()} test galaxies, that class's intervals reach about "
            f"{half:.2f} to either side: a smaller effect would not be seen."
        )
    if seeds > 1:
        lines.append(f"Each figure is the mean of {seeds} training runs an arm.")
    else:
        lines.append("One training run an arm: how far another run would move the figures is not in the intervals.")
    return lines
