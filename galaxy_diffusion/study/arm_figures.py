"""Charts of the comparison of arms, each as the bytes of a small PNG file."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import confusion_matrix

from galaxy_diffusion.shared.drawing import chart, plain
from galaxy_diffusion.shared.names import arm_title, class_title
from galaxy_diffusion.study.arms import BASELINE, QUESTION
from galaxy_diffusion.study.calibration import Calibration
from galaxy_diffusion.study.comparison import MEAN, Comparison
from galaxy_diffusion.study.endpoints import FIRST, METRIC_NAMES
from galaxy_diffusion.study.runs import Runs

INK, GRID = "#1c2333", "#dfe3ec"
TONES = {
    "better": "#1b7f4d",
    "worse": "#c0392b",
    "equivalent": "#2457c5",
    "uncertain": "#8a6d1f",
    "hint": "#8a6d1f",
    "none": "#5b6577",
}
PANELS = (FIRST, "adjusted_balanced_accuracy")
BACKBONES = ("#2457c5", "#d1782c", "#7b52ab", "#2a9d8f", "#b5487b", "#6b7280")
"""Colours of up to six backbones."""
WIDTH = 11.6
"""Size of a chart in inches."""


def forest(differences: pd.DataFrame, comparison: Comparison, beside: str, caption: str) -> bytes:
    """Differences in the first endpoint, and in balanced accuracy without the prior, one line for each arm.

    The lines of single backbones are thin, that of `Comparison.scope` is bold; in the first panel it has the colour of
    its outcome.

    Parameters
    ----------
    differences : DataFrame
        Rows of ``comparison.differences``.
    comparison : Comparison
    beside : str
        Column that names the lines: arm or reference.
    caption : str
        Text below the axes.
    """
    shown = [
        metric for metric in PANELS if differences.loc[differences["metric"] == metric, "difference"].notna().any()
    ]
    lines = list(dict.fromkeys(differences[beside]))
    backbones = [name for name in dict.fromkeys(differences["backbone"]) if name != MEAN]
    thin = backbones if len(backbones) > 1 else []
    height = 0.32 + 0.085 * len(thin)
    figure = Figure(figsize=(WIDTH, 1.2 + height * len(lines)), layout="constrained")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, shown, strict=True):
        of_metric = differences[differences["metric"] == metric]
        for i, backbone in enumerate(thin):
            of_backbone = of_metric[of_metric["backbone"] == backbone].set_index(beside)
            for y, line in enumerate(lines):
                if line in of_backbone.index:
                    row, at = of_backbone.loc[line], y + 0.28 + 0.36 * (i + 0.5) / len(thin) - 0.1
                    axes.plot([row["low"], row["high"]], [at, at], color=BACKBONES[i % 6], linewidth=1, alpha=0.75)
                    label = backbone if line == lines[0] else None
                    axes.plot(row["difference"], at, "o", color=BACKBONES[i % 6], markersize=3, label=label)
        in_scope = of_metric[of_metric["backbone"] == comparison.scope].set_index(beside)
        for y, line in enumerate(lines):
            if line not in in_scope.index:
                continue
            row = in_scope.loc[line]
            at, colour = y - 0.12 if thin else y, TONES.get(row["outcome"], TONES["none"])
            axes.plot([row["low"], row["high"]], [at, at], color=colour, linewidth=2.6, solid_capstyle="butt")
            axes.plot(row["difference"], at, "D", color=colour, markersize=5.5)
            text = f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
            axes.text(1.01, y, text, transform=axes.get_yaxis_transform(), va="center", color=colour, fontsize=8.5)
        axes.axvline(0, color=INK, linewidth=1)
        if metric == FIRST:
            margin = comparison.question.margin
            axes.axvspan(-margin, margin, color=GRID, alpha=0.6, linewidth=0, zorder=0)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        name = METRIC_NAMES[metric]
        rare = class_title(comparison.question.rare_class)
        axes.set_title(f"{rare}: {name} (band: the margin)" if metric == FIRST else name.capitalize(), fontsize=10)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        plain(axes)
    panels[0].set_yticks(range(len(lines)), [arm_title(line) for line in lines], fontsize=9.5)
    panels[0].set_ylim(len(lines) - 0.4, -0.6)
    figure.supxlabel(caption, fontsize=9)
    if thin:
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=6, frameon=False, fontsize=9
        )
    return chart(figure)


def sweep(figures: pd.DataFrame, ratios: dict[str, float]) -> bytes:
    """Precision, recall and F1 of the rare class against the number of generated images per real one.

    Parameters
    ----------
    figures : DataFrame
        The rows of `comparison.Comparison.figures` for the rare class.
    ratios : dict
        Generated images per real one, by arm; shown at equal distances, from the smallest to the largest.
    """
    order = sorted(ratios, key=ratios.__getitem__)
    figure = Figure(figsize=(WIDTH, 3.5), layout="constrained")
    backbones = [name for name in dict.fromkeys(figures["backbone"]) if name != MEAN]
    for axes, metric in zip(figure.subplots(1, 3, sharey=True), ("precision", "recall", "f1"), strict=True):
        for i, backbone in enumerate(backbones):
            chosen = figures[(figures["backbone"] == backbone) & (figures["metric"] == metric)].set_index("arm")
            chosen = chosen.loc[[arm for arm in order if arm in chosen.index]]
            x = np.array([order.index(arm) for arm in chosen.index]) + (i - (len(backbones) - 1) / 2) * 0.12
            axes.vlines(x, chosen["low"], chosen["high"], color=BACKBONES[i % 6], linewidth=1.4)
            axes.plot(x, chosen["value"], "o-", color=BACKBONES[i % 6], linewidth=1, markersize=4.5, label=backbone)
        axes.set_title(METRIC_NAMES[metric].capitalize() if metric != "f1" else "F1", fontsize=10)
        axes.set_xticks(range(len(order)), [f"{ratios[arm]:.3g}" for arm in order])
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        plain(axes)
    figure.supxlabel("Generated images per real one in training", fontsize=9)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=6, frameon=False, fontsize=9)
    return chart(figure)


def reliability(found: dict[tuple[str, str], Calibration]) -> bytes:
    """Share of right predictions against their confidence, one panel per backbone; only points that can be read."""
    backbones = list(dict.fromkeys(backbone for backbone, _ in found))
    columns = min(3, len(backbones))
    rows = -(-len(backbones) // columns)
    figure = Figure(figsize=(3.8 * columns, 3.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, backbone in zip(panels, backbones, strict=False):
        axes.plot([0, 1], [0, 1], color="#b9c3d6", linewidth=1)
        for arm, colour in ((BASELINE, BACKBONES[5]), (QUESTION, BACKBONES[0])):
            if (of_arm := found.get((backbone, arm))) is None:
                continue
            confidence, accuracy, galaxies = of_arm.readable.T
            axes.plot(confidence, accuracy, "-", color=colour, linewidth=1.2)
            area = 8 + 160 * galaxies / galaxies.sum()
            axes.scatter(confidence, accuracy, area, color=colour, label=f"{arm_title(arm)}: {of_arm.error:.3f}")
        axes.set_title(backbone, fontsize=10)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_aspect("equal")
        axes.set_xlabel("Confidence")
        axes.grid(color=GRID, linewidth=0.8)
        axes.legend(frameon=False, fontsize=8.5, loc="upper left", markerscale=0.7)
        plain(axes)
    panels[0].set_ylabel("Share right")
    for axes in panels[len(backbones) :]:
        axes.axis("off")
    return chart(figure)


def confusion(runs: Runs, backbone: str, arms: list[str]) -> bytes:
    """Confusion matrices of one backbone, one panel per arm: per cent of each true class, mean over the seeds."""
    columns = min(len(arms), 5)
    rows, large = -(-len(arms) // columns), columns <= 2
    side = 3.1 if large else 2.15
    size = (2.2 + side * columns, 1.2 + side * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False)
    names = [class_title(name) for name in runs.class_names]
    n = runs.galaxies_per_class
    for i, axes in enumerate(panels.ravel()):
        if i >= len(arms):
            axes.axis("off")
            continue
        of_arm = [
            confusion_matrix(runs.labels, p, labels=range(len(names))) for p in runs.predictions(backbone, arms[i])
        ]
        share = 100 * np.mean(of_arm, axis=0) / np.maximum(n, 1)[:, None]
        matrix(axes, share, 10 if large else 7.5)
        axes.set_title(arm_title(arms[i]), fontsize=10 if large else 9)
        bottom, left = i + columns >= len(arms), i % columns == 0
        axes.set_xticks(range(len(names)), names if bottom else [], rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), [f"{a} ({k})" for a, k in zip(names, n, strict=True)] if left else [])
    figure.supxlabel("Predicted", fontsize=9)
    figure.supylabel("True class (galaxies)", fontsize=9)
    figure.suptitle(backbone, fontsize=11, weight="bold")
    return chart(figure)


def matrix(axes: Axes, share: np.ndarray, fontsize: float) -> None:
    """Percentages as a heat map with numbers."""
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (i, j), value in np.ndenumerate(share):
        colour = "white" if value > 55 else INK
        axes.text(j, i, f"{value:.0f}", ha="center", va="center", color=colour, fontsize=fontsize)
    plain(axes)
