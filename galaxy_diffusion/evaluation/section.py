"""What a report shows of a fidelity evaluation: the tables and pictures that evaluate_images.py wrote."""

from dataclasses import fields
from pathlib import Path

import pandas as pd

from galaxy_diffusion.evaluation.beside_floor import Metrics, read_metrics
from galaxy_diffusion.evaluation.copy_search import NO_COPIES
from galaxy_diffusion.evaluation.figures import distinct, summary
from galaxy_diffusion.evaluation.keep import Passed
from galaxy_diffusion.shared.names import class_title, metric_title
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
        ``metrics`` and, if they have been measured, ``copies_power``, ``morphology`` and ``filter``.
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
    parts = {
        kind: {c: {m: f for m, f in figures.items() if m.startswith(SHAPES) == shape} for c, figures in results.items()}
        for kind, shape in (("metrics", False), ("morphology", True))
    }
    tables = {"metrics": summary(parts["metrics"])}
    try:
        if (folder / POWER).exists():
            tables["copies_power"] = power_table(
                read_table(folder / POWER, AGAIN, ("change", "label"), "share|low|high|n")
            )
        if any(parts["morphology"].values()):
            tables["morphology"] = morphology_table(parts["morphology"])
        if counts := run.get("filter"):
            tables["filter"] = filter_table({name: made(Passed, passed) for name, passed in counts.items()})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: an evaluation that is not whole ({in_short(error)}); {AGAIN}") from None
    paths = [path for name in PICTURES for path in sorted(folder.glob(f"{name}.png"))]
    return tables, {path.stem: path.read_bytes() for path in paths}


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


def morphology_table(results: Metrics) -> Table:
    """Wasserstein and Kolmogorov-Smirnov distances of each measure, one row per class and measure."""
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
        "Wasserstein distances are in units of the spread of the real galaxies: half the range from the 16th to the "
        "84th percentile.",
        "Floor: mean, lowest and highest value for real galaxies divided into two sets of the same sizes.",
        "The images are stretched to 8 bits: the measures compare real with generated galaxies and are not photometry.",
        "In brackets after a number of images: those on which the measurement failed; they do not take part.",
    ]
    groups = (("", 2), ("Wasserstein", 2), ("Kolmogorov–Smirnov", 2), ("Images (failed)", 2))
    columns = ("Class", "Measure", "Generated", "Floor", "Generated", "Floor", "Real", "Generated")
    return Table("Morphology of the generated galaxies", groups, columns, rows, notes)


def filter_table(counts: dict[str, Passed]) -> Table:
    """How many generated images of each class pass each test of `keep`."""
    tests = [test.name for test in fields(Passed)]
    rows = [
        [Cell(class_title(name)), *(Cell(f"{getattr(passed, test):,}") for test in tests)]
        for name, passed in distinct(counts).items()
    ]
    columns = ("Class", *(test.replace("_", " ").capitalize() for test in tests))
    return Table("Generated images that pass the filter", (), columns, rows)
