"""How good images are at several times of a training: KID, recall and the sky, and a table and a plot of them."""

from dataclasses import asdict
from itertools import permutations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from galaxy_diffusion.evaluation.distances import kid
from galaxy_diffusion.evaluation.features import inception_features
from galaxy_diffusion.evaluation.prdc import prdc
from galaxy_diffusion.evaluation.sky_ratio import amplitude_ratio
from galaxy_diffusion.shared.sky import sky_amplitude
from gz2_dataset.markdown import markdown_table

REAL = "real galaxies"
"""Takes the place of a contender where real images are compared with other real ones."""


def figures(real: np.ndarray, generated: np.ndarray) -> dict[str, object]:
    """KID, recall and the sky's amplitude of generated images, with intervals."""
    features = inception_features(real), inception_features(generated)
    sky = amplitude_ratio(sky_amplitude(real), sky_amplitude(generated))
    found = {"kid": kid(*features), "recall": prdc(*features)["recall"], "sky": sky}
    sizes = {"n_real": len(real), "n_generated": len(generated)}
    return {name: asdict(estimate) for name, estimate in found.items()} | sizes


def markdown(rows: list[dict]) -> str:
    """The table, and which contender has reached the last KID of which other."""
    header = ["contender", "minutes of training", "images seen", "parameters", "n", "1000 KID", "recall", "sky"]
    of = by_contender(rows)
    of[REAL] = [row for row in rows if row["contender"] == REAL]
    cells = [
        [
            name,
            f"{row['seconds'] / 60:.1f}" if name != REAL else "",
            f"{row['images']:,}" if name != REAL else "",
            f"{row['parameters'] / 1e6:.1f} M" if name != REAL else "",
            f"{row['n_generated']:,}",
            interval(row["kid"], 1e3, 2),
            interval(row["recall"], 1.0, 3),
            interval(row["sky"], 1.0, 3),
        ]
        for name, mine in of.items()
        for row in mine
    ]
    first = rows[0]
    return "\n".join(
        [
            markdown_table(header, cells),
            "",
            f"95 % intervals; n images ({first['scheduler']}, {first['num_inference_steps']} steps) against "
            f"{first['n_real']:,} real ones; sky is its amplitude over that in real ones. Other real galaxies show the "
            "best that can be expected.",
            *reached(of),
            "",
        ]
    )


def by_contender(rows: list[dict]) -> dict[str, list[dict]]:
    """The rows of each contender from the first minutes to the last."""
    names = dict.fromkeys(row["contender"] for row in rows if row["contender"] != REAL)
    ordered = sorted(rows, key=lambda row: row["minutes"])
    return {name: [row for row in ordered if row["contender"] == name] for name in names}


def reached(of: dict[str, list[dict]]) -> list[str]:
    """A sentence for each contender whose whole interval has fallen below another's last KID."""
    sentences = []
    for name, other in permutations((name for name in of if name != REAL), 2):
        last = of[other][-1]
        good = [row for row in of[name] if row["kid"]["high"] <= last["kid"]["value"]]
        if good:
            sentences.append(
                f"After {good[0]['seconds'] / 60:.1f} minutes {name} is, with its whole interval, below the KID of "
                f"{other} after {last['seconds'] / 60:.1f}."
            )
    return sentences


def interval(estimate: dict[str, float], unit: float, digits: int) -> str:
    value, low, high = (f"{unit * estimate[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def plot(rows: list[dict], path: Path) -> None:
    """KID against minutes, one line per contender."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, mine in by_contender(rows).items():
        minutes = [row["seconds"] / 60 for row in mine]
        values, highs = (1e3 * np.array([row["kid"][key] for row in mine]) for key in ("value", "high"))
        axes.errorbar(minutes, values, highs - values, marker="o", capsize=3, label=name)
    axes.set_yscale("log", nonpositive="clip")
    axes.set_xlim(left=0)
    axes.set_xlabel("Minutes of training")
    axes.set_ylabel("1000 KID, 95 % intervals")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
