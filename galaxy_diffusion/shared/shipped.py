"""What the project ships beside its packages: scripts, presets, the workflow and trained models."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
HOME = PACKAGE / "recipes" if (PACKAGE / "recipes").is_dir() else PACKAGE.parent
"""Folder of the scripts, configs/, workflow/ and pretrained/: part of the package in a wheel, otherwise the clone."""


def find_model(name: str) -> str:
    """The folder of a model that is given as a path, as a Hub id, or by the name of one that the project ships.

    Parameters
    ----------
    name : str
        Such as ``runs/ddpm``, ``someone/galaxies``, or ``galaxies-64`` for ``pretrained/galaxies-64``.

    Returns
    -------
    str
        A folder that exists, or ``name``, which may be on the Hub.
    """
    candidates = (Path(name), HOME / "pretrained" / name, HOME / name)
    return str(next((path for path in candidates if path.is_dir()), name))
