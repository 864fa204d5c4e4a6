"""Does diffusion help, and more than cheap remedies: a sentence that can say "no", from the first endpoint alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from galaxy_diffusion.shared.names import arm_title, class_title
from galaxy_diffusion.study.arms import BASELINE, QUESTION
from galaxy_diffusion.study.bootstrap import ALPHA, ROUNDING
from galaxy_diffusion.study.comparison import MEAN, Comparison
from galaxy_diffusion.study.endpoints import FIRST, METRIC_NAMES


@dataclass(frozen=True)
class Verdict:
    """What may be said about diffusion.

    Attributes
    ----------
    outcome : str
        better (than every control by more than the margin), worse (than a control), equivalent (to a control within the
        margin), none (no evidence) or missing (nothing to compare).
    headline : str
        One sentence.
    findings : DataFrame
        The differences that it rests on: `Comparison.tested`.
    sentences : list of str
        The findings on diffusion in words, then what other metrics say about it.
    caveats : list of str
        What a reader must know to judge it.
    """

    outcome: str
    headline: str
    findings: pd.DataFrame = field(default_factory=pd.DataFrame)
    sentences: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def judge(comparison: Comparison) -> Verdict:
    """Verdict on the average precision of the rare class: every arm against original, diffusion against each rival.

    The controls are original and the cheap remedies. Diffusion is better if it beats each of them by more than the
    margin: all of them, so that no remedy is singled out by its figures. Otherwise it is worse if it loses to one of
    them, or equivalent if both one-sided tests keep the difference from one of them within the margin; p values
    are corrected by Holm for all comparisons of the study.

    Parameters
    ----------
    comparison : Comparison
    """
    findings = comparison.tested
    if findings.empty or not ((findings["arm"] == QUESTION) & (findings["reference"] == BASELINE)).any():
        return Verdict("missing", "Not every backbone has been trained both with and without generated images yet.")
    ours = findings[findings["arm"] == QUESTION].set_index("reference", drop=False)
    controls = ours[ours["reference"].isin({BASELINE, *comparison.cheap})]
    outcome = outcome_of(controls, comparison.question.margin)
    lost = harmed_elsewhere(comparison)
    sentences = [sentence(row) for row in [*ours.to_dict("records"), *beside(comparison), *lost.to_dict("records")]]
    return Verdict(
        outcome, headline(outcome, controls, comparison), findings, sentences, caveats(findings, lost, comparison)
    )


def outcome_of(controls: pd.DataFrame, margin: float) -> str:
    """See `Verdict`."""
    if ((controls["outcome"] == "better") & (controls["low"] > margin)).all():
        return "better"
    return next((name for name in ("worse", "equivalent") if (controls["outcome"] == name).any()), "none")


def headline(outcome: str, controls: pd.DataFrame, comparison: Comparison) -> str:
    """The verdict in one sentence."""
    margin = f"{comparison.question.margin:g}"
    what = f"{METRIC_NAMES[FIRST]} of {class_title(comparison.question.rare_class).lower()} galaxies"
    backbones = comparison.figures["backbone"].nunique() - 1
    if comparison.scope == MEAN:
        what += f" (mean of {backbones} backbones)"
    with_original = controls.loc[BASELINE]
    changes = f"it changes the {what} by {interval(with_original)}"
    if outcome == "better":
        others = controls.drop(index=BASELINE)
        text = f"Diffusion raises the {what} by {interval(with_original, plain=True)}"
        if others.empty:
            text += "; no cheap remedy was trained to compare it with"
        else:
            nearest = others.loc[others["difference"].idxmin()]
            than = f"is better than every control by more than {margin}, the nearest being {title(nearest)}"
            text += f" and {than}: {interval(nearest)}"
    elif outcome == "worse":
        text = f"Diffusion is worse than {listed(controls, 'worse')}: {changes}"
        text += f" beside original, and by {interval(most(controls, 'worse'))} beside {title(most(controls, 'worse'))}"
    elif outcome == "equivalent":
        text = f"Diffusion is no better than {listed(controls, 'equivalent')}: equivalent within {margin}; {changes}"
    elif with_original["outcome"] == "hint":
        text = f"A hint, not evidence, from one training run: diffusion {changes.removeprefix('it ')}"
    elif with_original["outcome"] == "better":
        text = f"Diffusion raises the {what} by {interval(with_original, plain=True)}, without evidence that it is "
        text += f"better than every control by more than {margin}"
    else:
        once = ", from one training run" if with_original["seeds"] == 1 else ""
        text = f"No evidence that diffusion helps{once}: {changes}"
    return f"{text}{condition(comparison)}."


def condition(comparison: Comparison) -> str:
    if comparison.draws > 1:
        return f", over {comparison.draws} draws of the training galaxies"
    if comparison.trained_generators > 1:
        return f", over {comparison.trained_generators} trainings of the generator"
    return ", conditional on one generator" if QUESTION in comparison.generators else ""


def listed(controls: pd.DataFrame, outcome: str) -> str:
    """The names of the controls with this outcome."""
    names = [title(row) for _, row in controls[controls["outcome"] == outcome].iterrows()]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def most(controls: pd.DataFrame, outcome: str) -> pd.Series:
    """The control with this outcome that differs most."""
    chosen = controls[controls["outcome"] == outcome]
    return chosen.loc[chosen["difference"].abs().idxmax()]


def title(row: pd.Series) -> str:
    name = arm_title(row["reference"])
    return name if name.isupper() else name.lower()


def interval(row: pd.Series | dict, plain: bool = False) -> str:
    """A difference with its interval; ``plain`` without its sign, where the sentence says it."""
    value = f"{abs(row['difference']):.3f}" if plain else f"{row['difference']:+.3f}"
    if row["high"] - row["low"] <= ROUNDING:  # an interval without width is not printed
        return value
    return f"{value} [{row['low']:+.3f}, {row['high']:+.3f}]"


def beside(comparison: Comparison) -> Iterable[dict]:
    """Diffusion minus original in the other endpoints, in `Comparison.scope`."""
    found, rare = comparison.differences, comparison.question.rare_class
    ours = found[
        (found["backbone"] == comparison.scope) & (found["arm"] == QUESTION) & (found["reference"] == BASELINE)
    ].set_index(["galaxy_class", "metric"], drop=False)
    others = (
        (rare, "look_alike_precision"),
        ("all", "adjusted_balanced_accuracy"),
        ("macro", "adjusted_f1"),
        (rare, "f1"),
        (rare, "even_f1"),
    )
    shown = [ours.loc[key] for key in others if key in ours.index]
    return [row.to_dict() for row in shown if pd.notna(row["difference"])]


def harmed_elsewhere(comparison: Comparison) -> pd.DataFrame:
    """Recalls of the other classes whose interval says that diffusion lowers them."""
    found, question = comparison.differences, comparison.question
    ours = (found["arm"] == QUESTION) & (found["reference"] == BASELINE) & (found["backbone"] == comparison.scope)
    others = found["galaxy_class"].isin(set(question.class_names) - {question.rare_class})
    return found[ours & others & (found["metric"] == "recall") & (found["high"] < 0)]


def sentence(row: dict) -> str:
    """One difference in words and figures; with the result of the test where it is tested."""
    said = {
        "better": "better",
        "worse": "worse",
        "equivalent": "equivalent within the margin",
        "none": "no evidence of a difference",
        "uncertain": "no evidence once corrected for the number of comparisons",
        "hint": "a hint, which another run may not bear out",
    }
    of_class = {"macro": "macro ", "all": ""}.get(row["galaxy_class"], f"{class_title(row['galaxy_class']).lower()} ")
    text = (
        f"{row['backbone']}, {of_class}{METRIC_NAMES[row['metric']]}, {arm_title(row['arm'])} minus "
        f"{arm_title(row['reference'])}: {interval(row)}"
    )
    if not row["outcome"]:
        return f"{text}."
    sure = "one training run" if pd.isna(row["p_holm"]) else f"p = {row['p_holm']:.2g} after Holm"
    return f"{text}, {sure}: {said[row['outcome']]}."


def caveats(findings: pd.DataFrame, lost: pd.DataFrame, comparison: Comparison) -> list[str]:
    """Sentences on what the comparison can and cannot see."""
    question = comparison.question
    name, tests = class_title(question.rare_class).lower(), int(findings["p_holm"].notna().sum())
    lines = [
        f"The first endpoint is the {METRIC_NAMES[FIRST]} of {name} galaxies, which does not depend on how common they "
        "are in training, as F1 at the largest probability does. A difference within "
        f"{question.margin:g} counts as none; the margin was fixed beforehand."
    ]
    if tests:
        lines.append(
            f"A difference counts (green, red) if p < {ALPHA:.2f} after Holm's correction for all {tests} comparisons: "
            "every other arm against original, and diffusion against each cheap remedy, other generator and ceiling."
        )
    for outcome, why in (
        ("uncertain", "but p is larger after that correction"),
        ("hint", "but on one training run: a hint, not counted, because another run may move it"),
    ):
        if number := (findings["outcome"] == outcome).sum():
            of = "comparison" if number == 1 else "comparisons"
            lines.append(f"In {number} {of} (ochre) the 95 % interval excludes 0, {why}.")
    if not lost.empty:
        worse = ", ".join(f"{class_title(row.galaxy_class)} by {-row.difference:.3f}" for row in lost.itertuples())
        lines.append(f"With diffusion the recall of other classes is lower, by uncorrected intervals: {worse}.")
    ours = findings[(findings["arm"] == QUESTION) & (findings["reference"] == BASELINE)].iloc[0]
    lines.append(
        f"With {ours['n']} {name} test galaxies a true change of {ours['detectable']:.3f} in the {METRIC_NAMES[FIRST]} "
        "is found with 80 % power in a single comparison; smaller ones are likely missed."
    )
    seeds = findings["seeds"]
    if seeds.max() == 1:
        lines.append(
            "One training run per arm: the intervals do not include how far another run would move the figures."
        )
    elif seeds.min() < seeds.max():
        lines.append(
            f"Arms have {seeds.min()} to {seeds.max()} training runs and are paired on the seeds that both have. With "
            "one seed, the interval does not include how far another run would move the figures."
        )
    else:
        lines.append(f"Each figure is the mean of {seeds.min()} training runs per arm.")
    if comparison.draws > 1:
        lines.append(
            f"{comparison.draws} draws, each with other training galaxies and generators of its own, are a random "
            "effect: the intervals include how far another draw would move the figures, as Student's t with "
            f"{comparison.draws - 1} degrees of freedom."
        )
    elif comparison.trained_generators > 1:
        lines.append(
            f"{comparison.trained_generators} trainings of the generator, with whose images the seeds of diffusion "
            "take turns, are a random effect: the intervals include how far another training would move the figures, "
            f"as Student's t with {comparison.trained_generators - 1} degrees of freedom."
        )
    else:
        lines.append(
            "Each generator was trained once: the intervals do not include how far another training would move the "
            "figures."
        )
    return lines
