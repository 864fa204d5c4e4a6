"""Galaxy Zoo 2 as a `datasets` dataset: sources, morphology rules, splits, mock galaxies, prepared arrays."""

from .arrays import GalaxyArrays, load_arrays
from .builder import GalaxyZoo2
from .loading import load
from .rules import CLASS_NAMES, RULES, classify
from .user_error import UserError
from .votes import VOTE_COLUMNS
from .writing import build

__all__ = [
    "CLASS_NAMES",
    "RULES",
    "VOTE_COLUMNS",
    "GalaxyArrays",
    "GalaxyZoo2",
    "UserError",
    "build",
    "classify",
    "load",
    "load_arrays",
]
