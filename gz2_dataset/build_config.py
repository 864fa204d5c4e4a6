"""What a user can choose about a build."""

from dataclasses import dataclass, field

import datasets

from .command_line import UserError
from .ranges import at_least, between, check_ranges
from .rarity import OTHERS
from .splits import RESERVE
from .stretch import STRETCHES, parse_bands

CONFIGURATIONS = {
    "five_class": "The paper's clean samples; galaxies without a class form the split unlabelled",
    "galaxy_zoo_2": "All galaxies with their vote fractions; those without a class are in train",
    "image_folder": "Your own classes: one folder per class, or a class list",
}


@dataclass
class GalaxyZoo2Config(datasets.BuilderConfig):
    """Configuration of `GalaxyZoo2` and of `build`.

    Attributes
    ----------
    source : str, optional
        One of `sources.KINDS`; by default it is recognised from the content of data_dir.
    rules : str, optional
        YAML file of rules that make other classes from the votes.
    test_per_class, validation_per_class : int
        Galaxies of each class for testing and validation; at most 30 % and 10 % of a small class.
    near_duplicates : bool
        Whether to decode every image and look for galaxies of train that a held-out image also shows.
    split_file : str, optional
        The split file of an earlier build, whose galaxies stay where they are.
    num_folds, fold : int
        Number of disjoint test sets, and which of them this is, counted from 0.
    center_crop : int, optional
        Side in pixels of the central square of each image that everything reads, 0 for the whole image; by default 224
        if most images have 424 x 424 pixels, like those of Galaxy Zoo 2, else the whole.
    bands : str, optional
        Three, from blue to red, or one: planes of FITS cubes such as 0,1,2, or names of bands that are files side by
        side such as g,r,i; by default the only plane, or the three.
    stretch : str, optional
        One of `stretch.STRETCHES`; by default that of an earlier build, else as `stretch.choose_stretch` says.
    keep : str, optional
        Training galaxies that classes are left with, such as edge_on=41; see `rarity.make_rare`.
    draw : int
        Which galaxies these are.
    others : str
        One of `rarity.OTHERS`: where the other training galaxies of the class go.
    image_column, label_column, id_column, revision : str, optional
        Of a dataset of the Hub or Parquet files; see `sources.hub.Columns`.
    """

    source: str | None = None
    rules: str | None = None
    test_per_class: int = field(default=100, metadata=at_least(0))
    validation_per_class: int = field(default=50, metadata=at_least(0))
    near_duplicates: bool = True
    split_file: str | None = None
    num_folds: int = field(default=1, metadata=between(1, 1000))
    fold: int = 0
    center_crop: int | None = field(default=None, metadata=at_least(0))
    bands: str | None = None
    stretch: str | None = None
    keep: str | None = None
    draw: int = field(default=0, metadata=at_least(0))
    others: str = RESERVE
    image_column: str = "image"
    label_column: str | None = None
    id_column: str | None = None
    revision: str | None = None

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self)
        if not 0 <= self.fold < self.num_folds:
            raise UserError(f"fold {self.fold} of {self.num_folds}: give a --fold from 0 to --num_folds less 1")
        if self.stretch not in (None, *STRETCHES):
            raise UserError(f"stretch {self.stretch!r}: take one of {', '.join(STRETCHES)}")
        parse_bands(self.bands)
        if self.others not in OTHERS:
            raise UserError(
                f"others {self.others!r}: the galaxies that a class does not keep go to {' or '.join(OTHERS)}"
            )
