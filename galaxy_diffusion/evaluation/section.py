"""What a report shows of a fidelity evaluation: the tables and pictures that evaluate_images.py wrote."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

import pandas as pd

from galaxy_diffusion.evaluation.beside_floor import Metrics, read_metrics
from galaxy_diffusion.evaluation.copy_search import NO_COPIES
from galaxy_diffusion.evaluation.figures import EQUAL_NOISE, RELATIONS, distinct, summary
from galaxy_diffusion.evaluation.good_enough import not_good_enough
from galaxy_diffusion.evaluation.keep import Passed
from galaxy_diffusion.evaluation.metrics import metric_title
from galaxy_diffusion.shared.names import class_title
from galaxy_diffusion.shared.tables import Cell, Table
from gz2_dataset import UserError
from gz2_dataset.kinds import made
from gz2_dataset.reading import read_json, read_table
from gz2_dataset.user_error import in_short

PICTURES = (
    "fidelity",
    "samples",
    "copies",
    "nearest_generated",
    "nearest_test",
    "morphology_*",
    "relations",
    "relations_*",
    "power_spectra",
    "probe",
    "saliency",
)
"""Names of the pictures, in the order of the report."""
POWER = "copies_power.csv"
AGAIN = "run evaluate_images.py again"
SHAPES = ("wasserstein_", "ks_")


def fidelity_section(folder: Path) -> tuple[dict[str, Table], dict[str, bytes]]:
    """Tables and pictures of an evaluation.

    Parameters
    ----------
    folder : Path
        Output folder of evaluate_images.py.

    Returns
    -------
    tables : dict of Table
        ``metrics`` and, if they have been measured, ``copies_power``, ``morphology``, ``equal_noise``, ``relations``
        and ``filter``.
    pictures : dict of bytes
        PNG files by name.

    Raises
    ------
    UserError
        If the folder holds no finished evaluation.

    Examples
    --------
    >>> tables, pictures = fidelity_section(Path("runs/gz2_real/fidelity/generated"))  # doctest: +SKIP
    >>> print(tables["metrics"].markdown)  # doctest: +SKIP
    """
    results = read_metrics(folder / "fidelity.json")
    run = read_json(folder / "run.json", AGAIN)
    kinds = {"morphology": SHAPES, "equal_noise": (EQUAL_NOISE,), "relations": RELATIONS}
    parts = {kind: chosen(results, lambda m, begin=begin: m.startswith(begin)) for kind, begin in kinds.items()}
    parts["metrics"] = chosen(results, lambda m: not m.startswith((*SHAPES, EQUAL_NOISE, *RELATIONS)))
    tables = {"metrics": replace(summary(parts["metrics"]), notes=not_good_enough(results))}
    try:
        if (folder / POWER).exists():
            tables["copies_power"] = power_table(
                read_table(folder / POWER, AGAIN, ("change", "label"), "share|low|high|n")
            )
        if any(parts["morphology"].values()):
            tables["morphology"] = morphology_table(parts["morphology"])
        if any(parts["equal_noise"].values()):
            tables["equal_noise"] = equal_noise_table(parts["equal_noise"])
        if any(parts["relations"].values()):
            tables["relations"] = relations_table(parts["relations"])
        if counts := run.get("filter"):
            tables["filter"] = filter_table({name: made(Passed, passed) for name, passed in counts.items()})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: an evaluation that is not whole ({in_short(error)}); {AGAIN}") from None
    paths = [path for name in PICTURES for path in sorted(folder.glob(f"{name}.png"))]
    return tables, {path.stem: path.read_bytes() for path in paths}


def chosen(results: Metrics, wanted: Callable[[str], bool]) -> Metrics:
    """The metrics whose names are wanted."""
    return {name: {m: figure for m, figure in figures.items() if wanted(m)} for name, figures in results.items()}


def power_table(power: pd.DataFrame) -> Table:
    """What the search for copies finds, one row per change of training images.

    Parameters
    ----------
    power : DataFrame
        In the format of `copy_search.power_rows`.
    """
    names = power["label"].unique()
    names = names if len(names) > 2 else names[:1]
    rows = []
    for change, found in power.groupby("change", sort=False):
        by_name = {row.label: row for row in found.itertuples()}
        cells = [
            Cell(f"{row.share:.3f}", f"[{row.low:.3f}, {row.high:.3f}]") if (row := by_name.get(name)) else Cell("–")
            for name in names
        ]
        rows.append([Cell(str(change)), *cells, Cell(f"{int(by_name['all'].n):,}")])
    columns = ("Training images", *(class_title(name) for name in names), "Images")
    notes = [
        f"Share that the search calls copies, with 95 % intervals. “{NO_COPIES.capitalize()}” are real galaxies that "
        "the generator has not seen and that the thresholds were not taken from: false alarms.",
        "No copies among the generated images means no more than this table: a copy that is changed more is not found.",
    ]
    return Table("Power of the search for copies", (), columns, rows, notes)


def morphology_table(
    results: Metrics, caption: str = "Morphology of the generated galaxies", more: Sequence[str] = ()
) -> Table:
    """Wasserstein and Kolmogorov-Smirnov distances of each measure, one row per class and measure; ``more`` notes."""
    rows = []
    for name, figures in distinct(results).items():
        for metric in (metric for metric in figures if metric.startswith(SHAPES[0])):
            measure = metric.removeprefix(SHAPES[0])
            cells = []
            for kind in SHAPES:
                f = figures[f"{kind}{measure}"]
                cells.append(Cell(f"{f.value:.2f}", f"[{f.low:.2f}, {f.high:.2f}]"))
                cells.append(Cell(f"{f.floor:.2f}", f"[{f.floor_low:.2f}, {f.floor_high:.2f}]"))
            sizes = (f"{f.n_real:,} ({f.failed_real:,})", f"{f.n_generated:,} ({f.failed_generated:,})")
            rows.append([Cell(class_title(name)), Cell(metric_title(measure)), *cells, *map(Cell, sizes)])
    notes = [
        *more,
        "Wasserstein distances are in units of the spread of the real galaxies: half the range from the 16th to the "
        "84th percentile.",
        "Floor: mean, lowest and highest value for real galaxies divided into two sets of the same sizes.",
        "The images are stretched to 8 bits: the measures compare real with generated galaxies and are not photometry.",
        "In brackets after a number of images: those on which the measurement failed; they do not take part.",
    ]
    groups = (("", 2), ("Wasserstein", 2), ("Kolmogorov–Smirnov", 2), ("Images (failed)", 2))
    columns = ("Class", "Measure", "Generated", "Floor", "Generated", "Floor", "Real", "Generated")
    return Table(caption, groups, columns, rows, notes)


def equal_noise_table(results: Metrics) -> Table:
    """`morphology_table` of the distances at equal sky noise."""
    distances = {name: {m.removeprefix(EQUAL_NOISE): f for m, f in of.items()} for name, of in results.items()}
    note = "Noise has been added to the quieter side of each class until the measured sky noise of both agrees."
    return morphology_table(distances, "Morphology at equal sky noise", [note])


def relations_table(results: Metrics) -> Table:
    """Relations between measures, noise and point sources beside those of real galaxies, a row per class and figure."""
    rows = []
    for name, figures in distinct(results).items():
        for metric, f in figures.items():
            cells = [Cell(f"{f.value:.3f}", f"[{f.low:.3f}, {f.high:.3f}]")]
            cells.append(Cell(f"{f.floor:.3f}", f"[{f.floor_low:.3f}, {f.floor_high:.3f}]"))
            sizes = (Cell(f"{f.n_real:,}"), Cell(f"{f.n_generated:,}"))
            rows.append([Cell(class_title(name)), Cell(metric_title(metric)), *cells, *sizes])
    notes = [
        "The energy distance and the probe see all measures of statmorph together. Cells filled: of the cells of "
        "ellipticity, colour and size with real galaxies, the share with generated ones. Correlations are those of "
        "generated galaxies minus those of real ones. In their place: real galaxies divided into two sets of the same "
        "sizes, with the mean, the lowest and the highest figure.",
        "Colour gradient (blue minus red, mag), point source width (px) and noise (grey levels) are medians, beside "
        "those of real galaxies that the generator has not seen, with their intervals.",
    ]
    columns = ("Class", "Figure", "Generated", "Real in their place", "Real images", "Generated images")
    return Table("Relations, noise and point sources", (), columns, rows, notes)


def filter_table(counts: dict[str, Passed]) -> Table:
    """How many generated images of each class pass each test of `keep`."""
    tests = [test.name for test in fields(Passed)]
    rows = [
        [Cell(class_title(name)), *(Cell(f"{getattr(passed, test):,}") for test in tests)]
        for name, passed in distinct(counts).items()
    ]
    columns = ("Class", *(test.replace("_", " ").capitalize() for test in tests))
    return Table("Generated images that pass the filter", (), columns, rows)
