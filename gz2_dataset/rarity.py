"""A common class made rare on purpose, to ask of it what a rare class has too few test galaxies to answer."""

import pandas as pd

from .command_line import UserError
from .splits import RESERVE, hash_of

OTHERS = (RESERVE, "unlabelled")
"""Where the galaxies go that a class does not keep: aside, with their class; or to the galaxies without one."""


def make_rare(table: pd.DataFrame, keep: dict[str, int], draw: int = 0, others: str = RESERVE) -> pd.DataFrame:
    """Leave a class only some of its training galaxies; validation and test keep all.

    Those with the smallest hash of draw and image_id stay, so that more of them include the fewer, another draw is
    another sample, and the order of the table does not matter.

    Parameters
    ----------
    table : DataFrame
        Columns image_id, galaxy_class and split.
    keep : dict of str to int
        Training galaxies that stay, by class; classes that are not named keep all.
    draw : int
    others : str
        One of `OTHERS`: the split that the other training galaxies go to.

    Returns
    -------
    DataFrame
        The same rows with split and, where they became unlabelled, galaxy_class changed.

    Raises
    ------
    UserError
        If a class has fewer training galaxies than it shall keep, or shall keep none.

    Examples
    --------
    >>> ring = pd.DataFrame({"image_id": ["a", "b", "c"], "galaxy_class": "ring", "split": ["train", "train", "test"]})
    >>> make_rare(ring, {"ring": 1})["split"].tolist()
    ['reserve', 'train', 'test']
    """
    table = table.copy()
    for name, count in keep.items():
        training = table.loc[(table["galaxy_class"] == name) & (table["split"] == "train"), "image_id"]
        if not 0 < count <= len(training):
            raise UserError(
                f"keep {name}={count}: the class has {len(training)} training galaxies; give 1 to that many"
            )
        order = training.map(lambda image_id: hash_of(f"{draw} {image_id}")).sort_values().index
        table.loc[order[count:], "split"] = others
        if others == "unlabelled":
            table.loc[order[count:], "galaxy_class"] = ""
    return table
