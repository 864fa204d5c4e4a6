"""What a classifier trains on: the real galaxies of the data, and images that the settings add to their classes."""

from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path

from galaxy_diffusion.classifiers.remedies import duplicates, new_galaxies, select_generated, smote, with_matched_noise
from galaxy_diffusion.classifiers.unlabelled import load_teacher, pseudo_labelled, retrieved
from galaxy_diffusion.shared.image_folder import load_generated
from galaxy_diffusion.shared.run_folder import FREE
from galaxy_diffusion.shared.seen_images import refuse_if_seen
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.command_line import parse_counts
from gz2_dataset.galaxy_stream import GalaxyStream
from gz2_dataset.images import header_of
from gz2_dataset.loading import first_image
from gz2_dataset.ranges import Checked, at_least, between
from gz2_dataset.splits import RESERVE
from gz2_dataset.streaming import first_streamed_image, load_stream

ADDED = ("smote", "duplicates", "reserve", "pseudo_labels", "retrieval")
"""Settings that add images to classes, by number."""


@dataclass
class TrainingImagesConfig(Checked):
    """Settings of what is learned from."""

    data: str = field(metadata=FREE)
    """Folder of python -m gz2_dataset build, Hub id, or a folder with one subfolder per class."""
    _: KW_ONLY
    streaming: bool = False
    """Read training galaxies from the Hub as they are needed, without a local copy; the test and validation splits
    are read into memory once. ``data`` is then a Hub id or a folder of python -m gz2_dataset build."""
    resolution: int = field(default=224, metadata=between(1, 4096))
    """Side of the images in pixels."""
    augment_with: str | None = field(default=None, metadata=FREE)
    """Folder of generated images that are added to the training split."""
    augment_ratio: float | None = field(default=None, metadata=at_least(0))
    """At most this many generated images for each real one of their class, the smallest seeds first; None takes all."""
    augment_block: tuple[int, int] | None = field(default=None, metadata=FREE | at_least(0))
    """Take only one of several equal blocks of the generated images of each class, in the order of their seeds: [0, 3]
    is the first of three. Trainings with a block each see whether other images would have done as well."""
    filtered: bool = False
    """Take only the generated images that have the verdict "kept" in their metadata.jsonl."""
    match_noise: bool = False
    """Add noise to generated images whose sky is quieter than that of a real galaxy of their class, drawn for each."""
    synthetic_only: bool = False
    """Train on the generated images alone."""
    smote: str | None = None
    """Images to interpolate between real ones of a class, such as cigar_shaped_smooth=442 (Chawla et al. 2002)."""
    duplicates: str | None = None
    """Real images of a class to repeat: cigar_shaped_smooth=442 makes it as common as 442 generated images do."""
    reserve: str | None = None
    """New real galaxies to add, such as edge_on=328, of those that gz2_dataset build --keep has set aside."""
    pseudo_labels: str | None = None
    """Unlabelled galaxies to add to a class, such as cigar_shaped_smooth=442: those that the teacher finds most
    probable."""
    retrieval: str | None = None
    """Unlabelled galaxies to add to a class: those that look most like its training galaxies to the teacher (Burg et
    al. 2023)."""
    teacher: str | None = field(default=None, metadata=FREE)
    """Classifier that chooses for pseudo_labels and retrieval: the output folder of a training on the real galaxies of
    the same data, and on them alone."""
    seed: int = field(default=0, metadata=between(0, 2**32 - 1))
    """Determines the initial weights, order, flips, augmentation and dropout."""


def load_split(config: TrainingImagesConfig, split: str) -> GalaxyArrays | GalaxyStream:
    """A split in memory, or the train split as a stream where the training streams."""
    arguments = (config.data, split, config.resolution)
    if not config.streaming:
        return load_arrays(*arguments, jpeg=True)
    stream = load_stream(*arguments, jpeg=True)
    return stream if split == "train" else stream.to_arrays()


def image_side(config: TrainingImagesConfig) -> int:
    """Shorter side in pixels of the data's files, judged by the first."""
    content = first_streamed_image(config.data) if config.streaming else first_image(config.data)
    return min(header_of(content)[:2])


def training_images(
    config: TrainingImagesConfig, train: GalaxyArrays | GalaxyStream, held_out: dict[str, GalaxyArrays]
) -> dict[str, GalaxyArrays | GalaxyStream]:
    """What to train on, by origin.

    Parameters
    ----------
    config : TrainingImagesConfig
    train : GalaxyArrays or GalaxyStream
        The real galaxies.
    held_out : dict
        The splits validation and test: a generator of added images must not have seen them.

    Returns
    -------
    dict
        Keys of `card.ORIGIN_TITLES`.

    Raises
    ------
    UserError
        If what the settings ask for cannot be had.
    """
    parts = {} if config.synthetic_only else {"real": train}
    if config.augment_with:
        refuse_if_seen(config.augment_with, {**held_out, RESERVE: load_split(config, RESERVE)})  # pyright: ignore[reportArgumentType]
        generated = load_generated(config.augment_with, train.class_names, config.resolution, train.center_crop)
        choice = train.counts, config.augment_ratio, config.filtered, config.augment_block
        parts["generated"] = select_generated(config.augment_with, generated, *choice)
        if config.match_noise:
            parts["generated"] = with_matched_noise(parts["generated"], train, config.seed)  # pyright: ignore[reportArgumentType]
    counts = {name: parse_counts(name, text, train.class_names) for name in ADDED if (text := getattr(config, name))}
    if name := next((name for name, of_class in counts.items() if not all(of_class.values())), None):
        raise UserError(f"{name} {getattr(config, name)}: nothing to add to a class with 0; leave the class out")
    if "smote" in counts:
        parts["smote"] = smote(train, counts["smote"], config.seed)  # pyright: ignore[reportArgumentType]
    if "duplicates" in counts:
        parts["duplicates"] = duplicates(train, counts["duplicates"], config.seed)  # pyright: ignore[reportArgumentType]
    if "reserve" in counts:
        parts["reserve"] = new_galaxies(load_split(config, RESERVE), counts["reserve"], config.seed)  # pyright: ignore[reportArgumentType]
    if config.teacher:
        teacher = load_teacher(Path(config.teacher), train, held_out["test"], config.resolution)  # pyright: ignore[reportArgumentType]
        unlabelled = load_split(config, "unlabelled")
        if "pseudo_labels" in counts:
            parts["pseudo_labels"] = pseudo_labelled(teacher, unlabelled, counts["pseudo_labels"])  # pyright: ignore[reportArgumentType]
        if "retrieval" in counts:
            parts["retrieval"] = retrieved(teacher, unlabelled, train, counts["retrieval"])  # pyright: ignore[reportArgumentType]
    return parts


def check_images(config: TrainingImagesConfig) -> None:
    """Refuse settings that contradict each other or have no effect.

    Raises
    ------
    UserError
    """
    of_generated = {
        "augment_ratio": config.augment_ratio is not None,
        "augment_block": config.augment_block is not None,
        "filtered": config.filtered,
        "match_noise": config.match_noise,
        "synthetic_only": config.synthetic_only,
    }
    if not config.augment_with and (name := next((name for name, wanted in of_generated.items() if wanted), None)):
        raise UserError(f"{name} is about generated images, and there are none; name their folder with --augment_with")
    if config.augment_block and not 0 <= config.augment_block[0] < config.augment_block[1]:
        raise UserError(
            f"augment_block {list(config.augment_block)}: not one of the blocks; of three, the last is [2, 3]"
        )
    if config.synthetic_only and (name := next((name for name in ADDED if getattr(config, name)), None)):
        raise UserError(
            f"{name} adds images of real galaxies, but synthetic_only trains on none; give only one of them"
        )
    if bool(config.teacher) != bool(config.pseudo_labels or config.retrieval):
        raise UserError("pseudo_labels or retrieval, and a teacher that chooses: give both, or none of them")
