"""What sampling_quality.py measures for a setting of the sampler, which settings its rule accepts, table, figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.class_figures import Figures
from galaxy_diffusion.evaluation.jackknife import Estimate
from gz2_dataset.markdown import markdown_table

BAND = 0.9, 1.1
"""Sky amplitudes, generated over real, that count as good as 1."""


@dataclass(frozen=True)
class Setting:
    """A sampler as it is called; where ``guidance_interval`` is None, it guides at every step."""

    scheduler: str
    steps: int
    guidance_scale: float
    guidance_interval: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """Name of its files, such as heun-18-w2-0.3-3."""
        guidance = "-".join(f"{value:g}" for value in (self.guidance_scale, *(self.guidance_interval or ())))
        return f"{self.scheduler}-{self.steps}-w{guidance}"

    @property
    def guidance(self) -> str:
        """The guidance in words, such as 2, or 2 (0.3 to 3)."""
        interval = " ({:g} to {:g})".format(*self.guidance_interval) if self.guidance_interval else ""
        return f"{self.guidance_scale:g}{interval}"


@dataclass(frozen=True)
class Row:
    """A setting, the cost of one image, and the figures of each class; ``unet_calls`` as in `Drawn`."""

    setting: Setting
    unet_calls: float
    seconds: float
    classes: dict[str, Figures]

    @property
    def kid(self) -> Estimate:
        """The mean over the classes, whose errors are independent of each other."""
        scores = [figures.kid for figures in self.classes.values()]
        value = float(np.mean([score.value for score in scores]))
        half = float(np.sqrt(sum(((score.high - score.low) / 2) ** 2 for score in scores)) / len(scores))
        return Estimate(value, value - half, value + half)

    @property
    def skies(self) -> list[float]:
        """Sky amplitudes of the classes."""
        return [figures.sky_amplitude.value for figures in self.classes.values()]

    def flaws(self, reference: "Row") -> list[str]:
        """Why the rule of sampling_quality.py rejects it; empty if it is acceptable."""
        skies = {name: figures.sky_amplitude for name, figures in self.classes.items()}
        # With the comparison the other way round, a sky that cannot be measured (NaN) would pass.
        off = [name for name, sky in skies.items() if not (sky.high >= BAND[0] and sky.low <= BAND[1])]
        found = [] if self.kid.value <= reference.kid.high else ["KID"]
        return found + ([f"sky of {', '.join(off)}"] if off else [])


def row_of(record: dict) -> Row:
    """The inverse of `dataclasses.asdict` after a round trip through JSON."""

    def figures(values: dict) -> Figures:
        return Figures(**{k: Estimate(**v) if isinstance(v, dict) else v for k, v in values.items()})

    interval = record["setting"]["guidance_interval"]
    setting = Setting(**record["setting"] | {"guidance_interval": interval and tuple(interval)})
    classes = {name: figures(values) for name, values in record["classes"].items()}
    return Row(setting, record["unet_calls"], record["seconds"], classes)


def cell(estimate: Estimate | None, factor: float = 1.0) -> str:
    """An estimate as text, if there is one."""
    if estimate is None:
        return "–"
    value, low, high = (f"{factor * v:.2f}" for v in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def choice(rows: Sequence[Row], reference: Row) -> Row | None:
    """The acceptable row with the fewest calls; of two with equally many, the one with the smaller KID."""
    good = [row for row in rows if not row.flaws(reference)]
    return min(good, key=lambda row: (row.unet_calls, row.kid.value), default=None)


def markdown(rows: Sequence[Row], reference: Row, floors: dict[str, Figures]) -> str:
    """A table of the settings, what follows from it by the rule, and a table of each class beside its floor."""
    rows = sorted(rows, key=lambda row: (row.setting.scheduler, row.unet_calls))
    settings, classes = [], []
    for row in rows:
        s, flaws = row.setting, row.flaws(reference)
        verdict = ("no: " + "; ".join(flaws) if flaws else "yes") + (" (reference)" if row is reference else "")
        costs = [f"{row.unet_calls:g}", f"{row.seconds:.3g}"]
        sky = f"{min(row.skies):.2f} to {max(row.skies):.2f}"
        settings.append([s.scheduler, str(s.steps), s.guidance, *costs, cell(row.kid, 1e3), sky, verdict])
    for name in reference.classes:
        found = [(row.setting.name, row.classes[name]) for row in rows]
        for images, f in [*found, *([("real galaxies", floors[name])] if name in floors else [])]:
            texts = [cell(f.kid, 1e3), cell(f.recall), cell(f.sky_amplitude), cell(f.high_frequency_power)]
            classes.append([name, images, str(f.n_real), str(f.n_generated), *texts])
    best = choice(rows, reference)
    chosen = "No setting is acceptable."
    if best is not None:
        s = best.setting
        chosen = f"Fewest calls of those acceptable: {s.scheduler} with {s.steps} steps, guidance {s.guidance}."
    header = ["scheduler", "steps", "guidance", "UNet calls", "s per image", "1000 KID", "sky amplitude", "acceptable"]
    class_header = ["class", "images", "n real", "n", "1000 KID", "recall", "sky amplitude", "high-frequency power"]
    notes = [
        "Calls are per image, and a guided step takes two. KID is the mean of the classes, with a 95 % interval;",
        "sky amplitude (generated / real) that of the lowest and of the highest class.",
        f"{len(rows) - 1} settings were compared with the reference. {chosen}",
    ]
    class_notes = [
        "95 % intervals; for real galaxies beside other real ones, the mean and the range of random splits. The power",
        "is log10 of its share, generated less real. Recall uses as many generated images as other real ones.",
    ]
    parts = [markdown_table(header, settings), "\n".join(notes)]
    parts += [markdown_table(class_header, classes), "\n".join(class_notes)]
    return "\n\n".join(parts) + "\n"


def plot(rows: Sequence[Row], reference: Row, path: Path) -> None:
    """KID and sky amplitude against calls, one line per scheduler and guidance."""
    figure = Figure(figsize=(12, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for scheduler, guidance in dict.fromkeys((row.setting.scheduler, row.setting.guidance) for row in rows):
        mine = [row for row in rows if (row.setting.scheduler, row.setting.guidance) == (scheduler, guidance)]
        mine.sort(key=lambda row: row.unet_calls)
        calls, style = [row.unet_calls for row in mine], {"marker": "o", "capsize": 3}
        kids = 1e3 * np.array([row.kid.value for row in mine])
        left.errorbar(calls, kids, 1e3 * np.array([row.kid.high for row in mine]) - kids, **style)
        skies = np.array([row.skies for row in mine])
        mean = skies.mean(axis=1)
        bars = [mean - skies.min(axis=1), skies.max(axis=1) - mean]
        right.errorbar(calls, mean, bars, label=f"{scheduler}, guidance {guidance}", **style)
    left.axhspan(1e3 * reference.kid.low, 1e3 * reference.kid.high, color="0.85", zorder=0, label="reference, 95 %")
    right.axhspan(*BAND, color="0.85", zorder=0, label=f"{BAND[0]} to {BAND[1]}")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("UNet calls per image")
        axes.legend(frameon=False)
    left.set_ylabel("1000 KID, mean of the classes")
    right.set_ylabel("Sky amplitude, generated / real\n(mean; bars from the lowest to the highest class)")
    figure.savefig(path, dpi=120)
