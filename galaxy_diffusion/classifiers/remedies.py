"""What is added to a classifier's training images, or how often they are drawn, to help the rare classes."""

import hashlib

import numpy as np

from galaxy_diffusion.shared.image_folder import read_metadata
from galaxy_diffusion.shared.sky import sky_amplitude, with_noise
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.arrays import jpeg_round_trip
from gz2_dataset.command_line import how_to_install

NEIGHBOURS = 5
"""SMOTE interpolates between an image and one of this many nearest ones, as in its paper; fewer in smaller classes."""


def select_generated(
    folder: str,
    generated: GalaxyArrays,
    real_counts: np.ndarray,
    ratio: float | None,
    filtered: bool,
    block: tuple[int, int] | None = None,
) -> GalaxyArrays:
    """The generated images that an arm trains on.

    Parameters
    ----------
    folder : str
        Folder of the images and their ``metadata.jsonl``.
    generated : GalaxyArrays
        All images, in the order of ``metadata.jsonl``.
    real_counts : ndarray of int, shape (classes,)
        Real training images of each class.
    ratio : float or None
        At most this many generated images per real image of each class, the smallest seeds first; None for all.
    filtered : bool
        Only those with the verdict ``"kept": true``.
    block : tuple of int, optional
        Which of how many equal blocks of each class, in the order of the seeds; filter and ratio apply within it.

    Raises
    ------
    UserError
        If images have no verdict, or none is left.
    """
    rows = read_metadata(folder)
    by_seed = np.argsort([row["seed"] for row in rows], kind="stable")
    members = [by_seed[generated.labels[by_seed] == label] for label in range(len(real_counts))]
    if block is not None:
        number, blocks = block
        members = [np.array_split(of_class, blocks)[number] for of_class in members]
    if filtered:
        if unjudged := next((row["file_name"] for row in rows if "kept" not in row), None):
            raise UserError(f"{folder}/metadata.jsonl: {unjudged} has no filter verdict; run evaluate_images.py on it")
        kept = np.array([row["kept"] for row in rows])
        members = [of_class[kept[of_class]] for of_class in members]
    if ratio is not None:
        wanted = (ratio * real_counts).astype(int)
        members = [of_class[:count] for of_class, count in zip(members, wanted, strict=True)]
    chosen = np.sort(np.concatenate(members))
    if not len(chosen):
        raise UserError(f"{folder}: no image is left to train on; generate more, or give a larger --augment_ratio")
    return generated.take(chosen)


def with_matched_noise(generated: GalaxyArrays, real: GalaxyArrays, seed: int) -> GalaxyArrays:
    """Generated images as noisy as real ones: the control for a net that tells them by their quiet sky.

    The sky of each gets at least the amplitude of a training galaxy of its class, drawn at random. They go through the
    same JPEG compression again.

    Parameters
    ----------
    generated : GalaxyArrays
    real : GalaxyArrays
        Training galaxies; a class without any leaves its images as they are.
    seed : int
    """
    rng, wanted = np.random.default_rng(seed), np.zeros(len(generated))
    for label in np.unique(generated.labels):
        amplitudes = sky_amplitude(real.images[real.labels == label])
        amplitudes = amplitudes[np.isfinite(amplitudes)]
        rows = generated.labels == label
        wanted[rows] = rng.choice(amplitudes, rows.sum()) if len(amplitudes) else 0.0
    noisy = with_noise(generated.images, wanted, seed)
    images = np.stack([jpeg_round_trip(image) for image in noisy])
    digests = [hashlib.sha256(image).hexdigest() for image in images]
    about = generated.labels, generated.image_ids, digests, generated.class_names
    return GalaxyArrays(images, *about, center_crop=generated.center_crop)


def balanced_rows(labels: np.ndarray, seed: int) -> np.ndarray:
    """Indices in which every class that occurs has exactly the same share: oversampling.

    Every class occurs as often as the largest class has images. Its images are repeated equally often, give or take
    one; the seed decides which of them occur once more.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
    seed : int

    Returns
    -------
    ndarray of int, shape (classes x images of the largest,)

    Examples
    --------
    >>> balanced_rows(np.array([0, 0, 0, 1]), seed=0).tolist()
    [2, 0, 1, 3, 3, 3]
    """
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return np.concatenate([np.resize(rows, max(map(len, members))) for rows in members])


def duplicates(real: GalaxyArrays, counts: dict[str, int], seed: int) -> GalaxyArrays:
    """Real images once more: the control that makes a class as common as generated images do, and says nothing new.

    The images of a class are repeated equally often, give or take one; the seed decides which occur once more.

    Parameters
    ----------
    real : GalaxyArrays
        With images of each class in ``counts``.
    counts : dict
        Number of images to add, by class.
    seed : int
    """
    rng = np.random.default_rng(seed)
    return real.take(np.concatenate([np.resize(rng.permutation(real.of_class(c)), n) for c, n in counts.items()]))


def new_galaxies(reserve: GalaxyArrays, counts: dict[str, int], seed: int) -> GalaxyArrays:
    """Real galaxies that were set aside: the ceiling of what as many generated ones may give.

    Parameters
    ----------
    reserve : GalaxyArrays
        Of `gz2_dataset.rarity.make_rare`.
    counts : dict
        Number of galaxies to add, by class.
    seed : int
        Decides which they are; more of them include the fewer.

    Raises
    ------
    UserError
        If fewer were set aside.
    """
    rng, rows = np.random.default_rng(seed), []
    for name, count in counts.items():
        members = rng.permutation(reserve.of_class(name))
        if count > len(members):
            raise UserError(
                f"reserve {name}={count}: the data has set aside {len(members)} galaxies of the class; ask for fewer, "
                f"or build it with a smaller --keep {name}"
            )
        rows.append(members[:count])
    return reserve.take(np.concatenate(rows))


def smote(real: GalaxyArrays, counts: dict[str, int], seed: int) -> GalaxyArrays:
    """Images between an image and one of its nearest neighbours in its class [1]_, pixel by pixel.

    They go through the same JPEG compression as real and generated images.

    Parameters
    ----------
    real : GalaxyArrays
    counts : dict
        Number of images to make, by class.
    seed : int

    Returns
    -------
    GalaxyArrays

    Raises
    ------
    UserError
        If imbalanced-learn is not installed, or a class has fewer than two images.

    References
    ----------
    .. [1] Chawla, N. V. et al. 2002, J. Artif. Intell. Res., 16, 321
    """
    try:
        from imblearn.over_sampling import SMOTE
    except ImportError:
        raise UserError(f"smote needs imbalanced-learn; run {how_to_install('remedies')}") from None
    images, labels = [], []
    for name, count in counts.items():
        label, members = real.class_names.index(name), real.images[real.of_class(name)]
        if len(members) < 2:
            raise UserError(f"smote {name}={count}: the class has {len(members)} training images, but two are needed")
        pixels = members.reshape(len(members), -1).astype(np.float32)
        # Neighbours are only looked for within the class, but the sampler refuses to start without a second class.
        of_two = np.arange(len(members) + 1) < len(members)
        sampler = SMOTE(
            sampling_strategy={True: len(members) + count},
            k_neighbors=min(NEIGHBOURS, len(members) - 1),
            random_state=seed,
        )
        made, _ = sampler.fit_resample(np.vstack([pixels, pixels[:1]]), of_two)
        made = made[len(of_two) :].round().astype(np.uint8).reshape(count, *members.shape[1:])
        images += [jpeg_round_trip(image) for image in made]
        labels += [label] * count
    digests = [hashlib.sha256(image).hexdigest() for image in images]
    ids = [f"smote-{i}" for i in range(len(images))]
    labels = np.array(labels, np.int64)
    return GalaxyArrays(np.stack(images), labels, ids, digests, real.class_names, center_crop=real.center_crop)
