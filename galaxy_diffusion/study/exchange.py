"""What added images are worth: the number of new real galaxies that would have raised the first endpoint as much.

Arms that add new real galaxies, the ceilings, give a learning curve of real galaxies. It is taken to rise (isotonic
regression [1]_) and to be straight in the logarithm of their number between the arms. Where another arm meets it lies
the number of real galaxies that its images are worth. Curve and arm share the resampled galaxies of the bootstrap.

References
----------
.. [1] Barlow, R. E. et al. 1972, Statistical Inference under Order Restrictions (Wiley)
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from galaxy_diffusion.shared.names import arm_title, class_title
from galaxy_diffusion.shared.tables import Cell, Table, number
from galaxy_diffusion.study.arms import BASELINE
from galaxy_diffusion.study.bootstrap import Bootstrap
from galaxy_diffusion.study.comparison import Comparison
from galaxy_diffusion.study.endpoints import FIRST, METRIC_NAMES


def worth(real: int, added: Sequence[int], curve: Sequence[Bootstrap], arms: Sequence[Bootstrap]) -> Bootstrap:
    """New real galaxies that would give a figure of each arm.

    Parameters
    ----------
    real : int
        Real galaxies that all arms learn from.
    added : sequence of int
        New real galaxies at each point of the learning curve, from 0 upwards.
    curve, arms : sequence of Bootstrap
        Figures without axes, with replicates of the same resampled galaxies.

    Returns
    -------
    Bootstrap
        Value of shape (arms,): 0 below the curve, and the last of ``added`` above it.

    Examples
    --------
    >>> def exactly(figure):
    ...     return Bootstrap(np.array(figure), np.array([figure]))
    >>> worth(50, [0, 50, 150], [exactly(0.2), exactly(0.3), exactly(0.4)], [exactly(0.35)]).value.round(1)
    array([91.4])
    """
    sizes = np.log(real + np.array(added))

    def read_off(on_curve: np.ndarray, figures: np.ndarray) -> np.ndarray:
        return np.exp(np.interp(figures, isotonic_regression(on_curve).x, sizes)) - real

    of_curve, of_arms = (np.stack([part.replicates for part in parts], axis=1) for parts in (curve, arms))
    value = read_off(np.array([part.value for part in curve]), np.array([part.value for part in arms]))
    return Bootstrap(value, np.stack([read_off(*replicate) for replicate in zip(of_curve, of_arms, strict=True)]))


def exchange(comparison: Comparison, real: int, added: Mapping[str, int], ceilings: frozenset[str]) -> Table | None:
    """What the images of each arm are worth, as a table; None without a learning curve.

    Parameters
    ----------
    comparison : Comparison
    real : int
        Real galaxies of the rare class that arms learn from.
    added : dict of str to int
        Images of the rare class that an arm adds to them, by arm.
    ceilings : frozenset of str
        Arms whose images are new real galaxies.
    """
    adding = [arm for arm in comparison.first if added.get(arm)]
    curve = [BASELINE, *sorted(ceilings & set(adding), key=added.__getitem__)]
    arms = [arm for arm in adding if arm not in ceilings]
    if len(curve) < 2 or BASELINE not in comparison.first or not arms:
        return None
    figures = comparison.first
    points = [0, *(added[arm] for arm in curve[1:])]
    found = worth(real, points, [figures[arm] for arm in curve], [figures[arm] for arm in arms])
    ends = np.stack([found.value, *found.interval()], axis=1)
    frame = pd.DataFrame(ends, columns=["worth", "low", "high"])
    frame.insert(0, "arm", arms)
    frame.insert(1, "added", [added[arm] for arm in arms])

    def shown(count: float) -> str:
        return f"{points[-1]:,} or more" if count > points[-1] - 0.5 else f"{count:,.0f}"

    rows = [
        [Cell(arm_title(r.arm)), number(r.added), Cell(shown(r.worth), f"[{shown(r.low)}, {shown(r.high)}]")]
        for r in frame.itertuples()
    ]
    name = class_title(comparison.question.rare_class).lower()
    notes = [
        f"The number of new real {name} galaxies, added to the {real:,} that all arms have, that would give the same "
        f"{METRIC_NAMES[FIRST]} ({comparison.scope}), with 95 % bootstrap intervals. It is read off the learning curve "
        f"of the arms with {', '.join(f'{point:,}' for point in points)} new ones, which is taken to rise; 0 is no "
        "better than none.",
    ]
    caption = "What the images are worth in new real galaxies"
    return Table(caption, (), ("Arm", "Images added", "Worth"), rows, notes, frame)
