"""Pictures of a fidelity evaluation: figures beside their floor, and the nearest training images."""

from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure

from galaxy_diffusion.evaluation.beside_floor import Metrics
from galaxy_diffusion.evaluation.copies import Copies
from galaxy_diffusion.evaluation.metrics import metric_title
from galaxy_diffusion.evaluation.pair import RealAndGenerated
from galaxy_diffusion.shared.drawing import SKY, chart, galaxy_figure, plain, real_beside_generated
from galaxy_diffusion.shared.names import class_title
from galaxy_diffusion.shared.tables import Cell, Table

T = TypeVar("T")
RELATIONS = ("energy_", "correlation_", "cells_", "colour_gradient", "point_source_", "noise_", "probe_auc_morphology")
"""How the names of figures of `relations`, `apertures` and `sky_ratio` begin."""
PROBES = ("probe_",)
EQUAL_NOISE = "equal_noise_"
"""How the names of the distances of `morphology_distances` begin where noise has been added to the quieter side."""
SEPARATE = ("wasserstein_", "ks_", *PROBES, *RELATIONS, EQUAL_NOISE)
"""Metrics that have pictures or tables of their own."""
GENERATED, REAL = "#2457c5", "#b9c3d6"


def distinct(results: dict[str, T]) -> dict[str, T]:
    """Results by class; those of all classes are left out if there is only one class."""
    return results if len(results) != 2 else {name: found for name, found in results.items() if name != "all"}


def beside_floor(results: Metrics, only: tuple[str, ...] = ()) -> bytes:
    """One panel per metric, one line per class: the generated images with their interval, the floor as a grey bar.

    Parameters
    ----------
    results : dict
        Figures by set and metric.
    only : tuple of str
        Draw only metrics whose names begin so, instead of all that have no picture of their own.
    """
    wanted = {
        metric: None
        for figures in results.values()
        for metric, figure in figures.items()
        if figure.floor_low is not None and (metric.startswith(only) if only else not metric.startswith(SEPARATE))
    }
    metrics = list(wanted)
    results = {name: figures for name, figures in distinct(results).items() if wanted.keys() & figures.keys()}
    rows = max(1, -(-len(metrics) // 3))
    figure = Figure(figsize=(11.6, 0.9 + (0.75 + 0.34 * len(results)) * rows), layout="constrained")
    panels = figure.subplots(rows, 3, squeeze=False).ravel()
    for axes, metric in zip(panels, metrics, strict=False):
        for y, figures in enumerate(results.values()):
            if (f := figures.get(metric)) is None:
                continue
            axes.plot([f.floor_low, f.floor_high], [y, y], color=REAL, linewidth=9, solid_capstyle="butt")
            axes.plot([f.low, f.high], [y, y], color=GENERATED, linewidth=2)
            axes.plot(f.value, y, "o", color=GENERATED, markersize=6)
        axes.set_title(metric_title(metric), fontsize=10)
        axes.set_yticks(range(len(results)), [class_title(name) for name in results])
        axes.set_ylim(len(results) - 0.5, -0.5)
        axes.grid(axis="x", color="#dfe3ec", linewidth=0.8)
        axes.locator_params(axis="x", nbins=5)
        plain(axes)
    for axes in panels[len(metrics) :]:
        axes.axis("off")
    figure.suptitle("Generated images (blue, 95 % interval) and real images in their place (grey)", fontsize=10)
    return chart(figure)


def samples(pair: RealAndGenerated, columns: int) -> bytes:
    """The first generated images of each class by seed beside real ones that the generator has not seen."""
    sets = {name: chosen[0] for name, chosen in pair.sets(seed=0).items() if name != "all"}
    columns = min(columns, *(min(len(s.reference), len(s.generated)) for s in sets.values()))
    real = np.stack([pair.real.images[s.reference[:columns]] for s in sets.values()])
    generated = np.stack([pair.generated.images[np.sort(s.generated)[:columns]] for s in sets.values()])
    return real_beside_generated(real, generated, tuple(sets))


def nearest_pairs(images: np.ndarray, neighbours: np.ndarray, relative: np.ndarray, kind: str) -> bytes:
    """Images, ``generated`` or of the ``test`` split, above the nearest galaxies seen; see `Copies.closest`."""
    heads = [f"{value:.2f}" for value in relative]
    return galaxy_figure([np.stack([images, neighbours])], [kind.capitalize(), "Nearest seen"], [heads], 84, 6)


def relative_distances(copies: Copies) -> bytes:
    """Histograms of the distances to the nearest galaxy seen, in units of the threshold of a copy of the class."""
    figure = Figure(figsize=(7.6, 3), layout="constrained")
    axes = figure.subplots()
    ratios = copies.in_thresholds()
    groups = (("unseen real", ratios["test"], REAL), ("generated", ratios["generated"], GENERATED))
    bins = np.linspace(0, max(1.5, *(values.max(initial=0) for _, values, _ in groups)), 61)
    for name, values, colour in groups:
        share = np.full(len(values), 1 / max(1, len(values)))
        axes.hist(values, bins.tolist(), weights=share, color=colour, alpha=0.7, label=f"{name} ({len(values):,})")
    axes.axvline(1, color=SKY, linewidth=1, linestyle="--", label="copies lie to the left")
    axes.set_xlabel("Distance to the nearest galaxy seen / threshold of its class")
    axes.set_ylabel("Share of images")
    axes.legend(frameon=False, fontsize=9)
    plain(axes)
    return chart(figure)


def summary(results: Metrics) -> Table:
    """All figures, one row per class and metric."""
    rows = []
    for name, figures in distinct(results).items():
        for metric, f in figures.items():
            interval = f"[{f.low:.3g}, {f.high:.3g}]"
            cells = [Cell(f"{f.value:.3g}", interval), Cell("–" if f.floor is None else f"{f.floor:.3g}")]
            sizes = [Cell(f"{n:,}") for n in (f.n_real, f.n_generated)]
            rows.append([Cell(class_title(name)), Cell(metric_title(metric)), *cells, *sizes])
    columns = ("Class", "Metric", "Generated", "Floor", "Real images", "Generated images")
    return Table("Fidelity of the generated images", (), columns, rows)
