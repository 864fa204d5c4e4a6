"""Does diffusion help, and more than cheap remedies: a sentence that can be "no", drawn from the intervals alone."""

from dataclasses import dataclass, field

import pandas as pd

from galaxy_diffusion.shared.names import arm_title, class_title
from galaxy_diffusion.study.arms import BASELINE, QUESTION
from galaxy_diffusion.study.bootstrap import ALPHA
from galaxy_diffusion.study.comparison import MEAN, METRIC_NAMES, Comparison, adjusted, of_several_runs, outcomes


@dataclass(frozen=True)
class Verdict:
    """What may be said about diffusion.

    Attributes
    ----------
    outcome : str
        better (it helps, beats a cheap remedy or stands alone, and loses to none), worse, mixed, none (no evidence) or
        missing (nothing to compare).
    headline : str
        One sentence.
    findings : DataFrame
        The differences that it rests on, as in `Comparison`, with family, p_holm and outcome.
    sentences : list of str
        The findings on diffusion in words.
    caveats : list of str
        What a reader must know beside it.
    """

    outcome: str
    headline: str
    findings: pd.DataFrame = field(default_factory=pd.DataFrame)
    sentences: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)


def judge(comparison: Comparison, rare_class: str) -> Verdict:
    """Verdict on the rare class's F1 and macro F1: every arm against original, and diffusion against each rival.

    A difference counts where its p value, corrected by Holm for all differences of its family, is below 0.05. Diffusion
    against original is the question that a study is made for, before any figure is known, and so a family of its own:
    further arms do not weaken its answer. All others are the second family. No remedy is singled out by its figures:
    that would be a selection on the test galaxies. A difference of one training run is a hint at most, in no family.

    Parameters
    ----------
    comparison : Comparison
    rare_class : str
        The class that was augmented.
    """
    found = comparison.differences
    if not found.empty:
        found = found[found["backbone"] == comparison.scope]
    if found.empty or not ((found["arm"] == QUESTION) & (found["reference"] == BASELINE)).any():
        return Verdict("missing", "Not every backbone has been trained both with and without generated images yet.")
    wanted = found["galaxy_class"].isin([rare_class, "macro"]) & (found["metric"] == "f1")
    findings = found[wanted].reset_index(drop=True)
    asked = (findings["arm"] == QUESTION) & (findings["reference"] == BASELINE)
    findings["family"] = asked.map({True: "question", False: "others"})
    findings["p_holm"] = (
        of_several_runs(findings["p"], findings["seeds"]).groupby(findings["family"]).transform(adjusted)
    )
    findings["outcome"] = outcomes(findings)
    lost = harmed_elsewhere(found, rare_class)
    outcome, headline = in_one_sentence(findings, rare_class, comparison)
    ours = findings[findings["arm"] == QUESTION]
    sentences = [sentence(row) for row in [*ours.to_dict("records"), *lost.to_dict("records")]]
    return Verdict(outcome, headline, findings, sentences, caveats(findings, lost, rare_class, comparison))


def in_one_sentence(findings: pd.DataFrame, rare_class: str, comparison: Comparison) -> tuple[str, str]:
    """Outcome and headline."""
    rare = findings[findings["galaxy_class"] == rare_class]
    against_original = rare[rare["reference"] == BASELINE].set_index("arm")
    ours, macro = against_original.loc[QUESTION], findings.set_index(["arm", "reference", "galaxy_class"])
    ours_macro = macro.loc[(QUESTION, BASELINE, "macro"), "outcome"]
    what, backbones = f"{class_title(rare_class).lower()} F1", comparison.figures["backbone"].nunique() - 1
    over = f" (mean of {backbones} backbones)" if comparison.scope == MEAN else ""
    n = (findings["family"] == "question").sum()
    sentences = {
        "better": "Diffusion raises {} by {}",
        "worse": "Diffusion lowers {} by {}",
        "uncertain": f"No evidence that diffusion helps once corrected for {n} comparisons: it changes {{}} by {{}}",
        "hint": "A hint, no evidence, from one training run: diffusion changes {} by {}",
        "none": "No evidence that diffusion helps: it changes {} by {}",
    }
    difference = interval(ours, plain=ours["outcome"] in ("better", "worse"))
    start = sentences[ours["outcome"]].format(what, difference) + over
    cheap = rare[rare["reference"].isin(comparison.cheap)]
    if cheap.empty:
        text = f"{start}; no cheap remedy was trained to compare it with."
    else:
        if "oversampling" in against_original.index:
            start += f", oversampling by {interval(against_original.loc['oversampling'])}"
        text = f"{start}: {against_remedies(cheap)}."
    beats, loses = (bool((cheap["outcome"] == o).any()) for o in ("better", "worse"))
    if "worse" in (ours["outcome"], ours_macro):
        return ("mixed" if ours["outcome"] == "better" else "worse"), text
    if ours["outcome"] != "better":
        return ("worse" if loses else "none"), text
    return ("better" if not loses and (beats or cheap.empty) else "mixed"), text


def against_remedies(cheap: pd.DataFrame) -> str:
    """How diffusion stands beside each of the cheap remedies, by name where it differs."""
    names = cheap["reference"].map(lambda arm: arm_title(arm) if arm_title(arm).isupper() else arm_title(arm).lower())
    groups = {o: list(names[cheap["outcome"] == o]) for o in ("better", "worse")}
    total = len(cheap)
    remedies = f"the {total} cheap remedies" if total > 1 else f"the cheap remedy ({names.iloc[0]})"
    if not groups["better"]:
        text = f"no evidence that it is better than {'any of ' if total > 1 else ''}{remedies}"
    else:
        share = f"{len(groups['better'])} of {remedies} ({', '.join(groups['better'])})" if total > 1 else remedies
        text = f"it is better than {share}"
        if total > len(groups["better"]):
            text += ", without evidence for the others"
    if groups["worse"]:
        text += f", and it is worse than {', '.join(groups['worse'])}"
    if 0 < (once := cheap["p_holm"].isna().sum()) < total:
        text += f"; {once} of them {'were' if once > 1 else 'was'} trained once, which gives hints only"
    return text


def interval(row: pd.Series, plain: bool = False) -> str:
    """A difference with its interval; ``plain`` without its sign, where the sentence says it."""
    value = f"{abs(row['difference']):.3f}" if plain else f"{row['difference']:+.3f}"
    return f"{value} [{row['low']:+.3f}, {row['high']:+.3f}]"


def harmed_elsewhere(differences: pd.DataFrame, rare_class: str) -> pd.DataFrame:
    """Figures of the other classes that diffusion made worse, with p corrected by Holm for all of them."""
    ours = (differences["arm"] == QUESTION) & (differences["reference"] == BASELINE)
    others = differences[ours & ~differences["galaxy_class"].isin([rare_class, "macro", "all"])]
    others = others.assign(p_holm=adjusted(of_several_runs(others["p"], others["seeds"])), outcome="worse")
    return others[(others["p_holm"] < ALPHA) & (others["difference"] < 0)]


def sentence(row: dict) -> str:
    """One finding in words and figures."""
    said = {"better": "better", "worse": "worse", "none": "no evidence of a difference"}
    said["uncertain"] = "no evidence once corrected for the number of comparisons"
    said["hint"] = "a hint, which another run may not bear out"
    sure = "one training run" if pd.isna(row["p_holm"]) else f"p = {row['p_holm']:.2g} after Holm"
    what = "macro" if row["galaxy_class"] == "macro" else class_title(row["galaxy_class"]).lower()
    return (
        f"{row['backbone']}, {what} {METRIC_NAMES[row['metric']]}, {arm_title(row['arm'])} minus "
        f"{arm_title(row['reference'])}: {interval(row)}, {sure}: {said[row['outcome']]}."
    )


def caveats(findings: pd.DataFrame, lost: pd.DataFrame, rare_class: str, comparison: Comparison) -> list[str]:
    """Sentences on what the comparison can and cannot see."""
    name = class_title(rare_class).lower()
    sizes = findings["family"][findings["p_holm"].notna()].value_counts()
    lines = []
    if "question" in sizes:
        rule = (
            f"A difference counts (green, red) if p < {ALPHA:.2f} after Holm's correction: for the {sizes['question']} "
            "comparisons that the study was made for, rare-class F1 and macro F1 of diffusion against original"
        )
        if "others" in sizes:
            rule += (
                f", and for the {sizes['others']} others among themselves, every other arm against original and "
                "diffusion against each cheap remedy and other generator. No remedy was singled out by its figures"
            )
        lines.append(f"{rule}.")
    for outcome, why in (
        ("uncertain", "but p is larger after that correction"),
        ("hint", "but they are of one training run: hints, not counted, as another run may move them"),
    ):
        if number := (findings["outcome"] == outcome).sum():
            lines.append(f"In {number} comparisons (ochre) the 95 % interval excludes 0, {why}.")
    if not lost.empty:
        worse = sorted({f"{class_title(row.galaxy_class)} {METRIC_NAMES[row.metric]}" for row in lost.itertuples()})
        lines.append(f"With diffusion other classes became worse: {', '.join(worse)}.")
    ours = findings[(findings["arm"] == QUESTION) & (findings["reference"] == BASELINE)].set_index("galaxy_class")
    lines.append(
        f"With {ours['n'][rare_class]} {name} test galaxies a true change of {ours['detectable'][rare_class]:.3f} in "
        "their F1 is found with 80 % power in a single comparison (2.8 standard errors, Bloom 1995), "
        f"and one of {ours['detectable']['macro']:.3f} in macro F1; smaller ones are likely missed."
    )
    seeds = findings["seeds"]
    if seeds.max() == 1:
        lines.append("One training run an arm: how far another run would move the figures is not in the intervals.")
    elif seeds.min() < seeds.max():
        lines.append(
            f"Arms have {seeds.min()} to {seeds.max()} training runs and are paired on the seeds that both have. With "
            "one seed, how far another run would move the figures is not in the interval."
        )
    else:
        lines.append(f"Each figure is the mean of {seeds.min()} training runs an arm.")
    lines.append(
        "Each generator was trained once: how far another training of it would move figures is not in the intervals."
    )
    return lines
