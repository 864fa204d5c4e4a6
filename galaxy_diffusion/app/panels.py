"""Small charts of the page as HTML: shapes beside quartiles, distances beside a threshold, probabilities."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from galaxy_diffusion.app.novelty import Novelty
from galaxy_diffusion.evaluation.quartiles import SHAPES, Quartiles
from galaxy_diffusion.prediction.probabilities import Prediction
from galaxy_diffusion.shared.names import class_title

CSS = """
.panel { display: grid; gap: .7rem; padding-top: 1rem; font-variant-numeric: tabular-nums; }
.panel p { margin: 0; }
.panel .row { display: grid; grid-template-columns: 10.5rem 1fr 12.5rem; gap: .9rem; align-items: center; }
.panel .track { position: relative; height: 1.1rem; border-radius: .3rem; background: var(--border-color-primary); }
.panel .track > * { position: absolute; top: 0; bottom: 0; }
.panel .half { background: #6d8cff; opacity: .55; border-radius: .2rem; }
.panel .bar { left: 0; background: #6d8cff; border-radius: .3rem; }
.panel .spread { background: #ffb000; top: 40% !important; bottom: 40% !important; }
.panel .median { width: 2px; background: #3755d8; }
.panel .mark { width: 4px; margin-left: -2px; background: #ffb000; border-radius: 2px; }
.grid-wrap { padding-top: 2.2rem !important; }
.panel .few { opacity: .75; font-size: .9em; }
@media (max-width: 640px) { .panel .row { grid-template-columns: 1fr; gap: .15rem; } }
"""
"""What the panels need of the page's style."""


def shape_panel(shape: Mapping[str, float], real: Mapping[str, Quartiles] | None, class_name: str) -> str:
    """The measured shape of a galaxy, on scales with the middle half of the real galaxies of its class.

    Parameters
    ----------
    shape : mapping
        By the names of `SHAPES`; NaN where it could not be measured.
    real : mapping, optional
        By the same names; None where nothing is known.
    class_name : str
    """
    rows = []
    for name, title in SHAPES.items():
        value, quartiles = shape[name], (real or {}).get(name)
        shown = "not measurable" if math.isnan(value) else f"{value:.2f}"
        if quartiles is None:
            rows.append(row(title, "", shown))
            continue
        # Three times the middle half on either side, so that most real galaxies are on the scale.
        reach = 3 * max(quartiles.high - quartiles.low, 1e-6)
        low, high = quartiles.low - reach, quartiles.high + reach
        place = [share(x, low, high) for x in (quartiles.low, quartiles.median, quartiles.high)]
        track = (
            f'<div class="half" style="left:{place[0]:.1f}%;width:{place[2] - place[0]:.1f}%"></div>'
            f'<div class="median" style="left:{place[1]:.1f}%"></div>'
        )
        if not math.isnan(value):
            track += f'<div class="mark" style="left:{share(value, low, high):.1f}%"></div>'
        text = f'{shown} <span class="few">real {quartiles.low:.2f} to {quartiles.high:.2f}</span>'
        rows.append(row(title, track, text))
    n = max((quartiles.n for quartiles in (real or {}).values()), default=0)
    title = escape(class_title(class_name))
    note = (
        f"Orange: this galaxy. Blue: the middle half of {n} real galaxies of the class {title}, and their median. Half "
        "of the real galaxies lie outside of the blue, so one galaxy there says nothing."
        if n
        else f"How real galaxies of the class {title} are shaped is not known for this model."
    )
    return panel(rows, note)


def novelty_panel(found: Novelty) -> str:
    """Distances of the nearest training galaxies, on a scale with the threshold of copies."""
    threshold = found.threshold
    end = 1.1 * max(1.0, threshold.relative, *(neighbour.relative for neighbour in found.neighbours))
    rows = []
    for neighbour in found.neighbours:
        kind = class_title(neighbour.class_name) if neighbour.class_name else "no class"
        track = (
            f'<div class="half" style="left:0;width:{share(threshold.relative, 0, end):.1f}%"></div>'
            f'<div class="mark" style="left:{share(neighbour.relative, 0, end):.1f}%"></div>'
        )
        text = f'{neighbour.relative:.2f} <span class="few">{escape(kind)}</span>'
        rows.append(row(escape(neighbour.image_id), track, text))
    verdict = "This is a copy, by the threshold." if found.is_copy else "No copy: nothing is nearer than the threshold."
    note = (
        f"{verdict} Searched: {found.n:,} training galaxies, at any angle and mirrored. 0 is the same galaxy, 1 as far "
        f"as the next fifty. Blue: nearer than {threshold.relative:.2f}, as {threshold.false_positives:.1%} of "
        f"{threshold.n:,} real galaxies that are no copies are too."
    )
    return panel(rows, note)


def probability_panel(prediction: Prediction, class_names: Sequence[str], members: int) -> str:
    """The probabilities of one picture, with their spread over several classifiers.

    Parameters
    ----------
    prediction : Prediction
        Of one image.
    class_names : sequence of str
    members : int
        How many classifiers there were.
    """
    mean, std = prediction.mean[0], prediction.std[0]
    rows = []
    for label in sorted(range(len(class_names)), key=lambda label: -mean[label]):
        low, high = (share(mean[label] + sign * std[label], 0, 1) for sign in (-1, 1))
        track = f'<div class="bar" style="width:{share(mean[label], 0, 1):.1f}%"></div>'
        text = f"{mean[label]:.2f}"
        if members > 1:
            track += f'<div class="spread" style="left:{low:.1f}%;width:{high - low:.1f}%"></div>'
            text += f" ± {std[label]:.2f}"
        rows.append(row(escape(class_title(class_names[label])), track, text))
    spread = (
        f"Bars: mean of {members} classifiers; orange: their standard deviation. {prediction.agreement[0]:.0%} of them "
        "name the first class."
        if members > 1
        else "One classifier: no spread is known. Give several, such as seeds, to see one."
    )
    undecided = prediction.entropy[0] / math.log(len(class_names))
    note = (
        f"{spread} Uncertainty {undecided:.0%} (100% is undecided). A net names one of its classes for any picture, "
        "even for a star or a cat, and its probabilities carry the mix of classes of its training."
    )
    return panel(rows, note)


def row(title: str, track: str, text: str) -> str:
    return f'<div class="row"><div>{title}</div><div class="track">{track}</div><div>{text}</div></div>'


def panel(rows: list[str], note: str) -> str:
    return f'<div class="panel">{"".join(rows)}<p class="few">{note}</p></div>'


def share(value: float, low: float, high: float) -> float:
    """Where a value is between two ends, from 0 to 100; beyond them, the nearer end.

    Examples
    --------
    >>> share(3.0, 2.0, 4.0), share(9.0, 2.0, 4.0)
    (50.0, 100.0)
    """
    return min(100.0, max(0.0, 100 * (float(value) - low) / (high - low)))
