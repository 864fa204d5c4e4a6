"""Images that show the same piece of sky: flipped, turned, recompressed, resized, brightened or slightly shifted.

Two smooth galaxies look alike, but no two pieces of sky have the same neighbours and the same noise. So an image is
described by its fine structure: what smoothing removes, divided by its local strength, so that a bright core counts no
more than a patch of sky. Pairs are found in three steps: equal descriptions; a short code of which the symmetries of
the square change only the sign; and the correlation of the descriptions in all eight orientations. Two cutouts of
different size on the sky, such as an image and its centre, are not recognised.
"""

from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO

import numpy as np
from PIL import Image
from scipy import fft, ndimage

from .images import decode

SIDE = 64
"""Cells per side of a signature: few enough to even out resizing and JPEG, enough to show the noise of the sky."""
SMOOTHING, NEIGHBOURHOOD, GREY_LEVEL = 1.5, 2.0, 1.0
STEPS = 16
"""Integers per unit of fine structure in a signature."""
LEAST_STRUCTURE = 0.05
"""An image with a smaller mean square is too plain to be told from others."""
LEAST_CODE_CORRELATION, LEAST_CORRELATION = 0.45, 0.4
LARGEST_SHIFT = 1
TILE, BATCH = 4096, 128


def signature(image_bytes: bytes) -> np.ndarray:
    """Fine structure of an image.

    Parameters
    ----------
    image_bytes : bytes
        A JPEG or PNG file.

    Returns
    -------
    ndarray of int8, shape (64, 64)
        Brightness less the smoothed brightness, over the local root mean square of this difference. The root mean
        square is at least one grey level, so that rounding and compression do not count as structure.

    Raises
    ------
    OSError
        If the file cannot be decoded.
    """
    try:
        with Image.open(BytesIO(image_bytes)) as image:
            image.draft("L", (2 * SIDE, 2 * SIDE))
            grey = Image.fromarray(decode(image_bytes)) if image.mode.startswith("I") else image  # 16 bits
            small = grey.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    except (SyntaxError, ValueError, AssertionError, Image.DecompressionBombError) as error:
        raise OSError(str(error) or "damaged") from None
    brightness = np.asarray(small, np.float32)
    fine = brightness - ndimage.gaussian_filter(brightness, SMOOTHING, mode="nearest")
    power = ndimage.gaussian_filter(fine**2, NEIGHBOURHOOD, mode="nearest")
    return (STEPS * fine / np.sqrt(power + GREY_LEVEL**2)).round().clip(-127, 127).astype(np.int8)


def near_duplicates(signatures: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of images that show the same sky.

    Parameters
    ----------
    signatures : ndarray of int8, shape (N, 64, 64)
        Of `signature`.

    Returns
    -------
    list of tuple of int
        Pairs (i, j), i < j, in order. Of images with equal signatures only the first is compared with other images;
        the rest are each paired with it, so a group of copies is connected, but not all of its pairs are listed.

    Examples
    --------
    >>> sky = np.random.default_rng(0).normal(0, 16, (3, 64, 64)).astype(np.int8)
    >>> near_duplicates(np.stack([*sky, np.rot90(sky[1])]))
    [(1, 3)]
    """
    first_of: dict[bytes, int] = {}
    first = np.array([first_of.setdefault(sha256(s.tobytes()).digest(), i) for i, s in enumerate(signatures)], int)
    structured = np.array([enough_structure(s) for s in signatures], bool)
    pairs = [(int(first[i]), int(i)) for i in np.flatnonzero(structured & (first != np.arange(len(first))))]
    kept = np.flatnonzero(structured & (first == np.arange(len(first))))
    for candidates in alike_codes(codes(signatures, kept)):
        i, j = kept[candidates].T
        same = correlation(signatures[i], signatures[j]) >= LEAST_CORRELATION
        pairs += zip(i[same].tolist(), j[same].tolist(), strict=True)
    return sorted(pairs)


def enough_structure(signed: np.ndarray) -> bool:
    return np.square(signed, dtype=np.float32).mean() >= LEAST_STRUCTURE * STEPS**2


def codes(signatures: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Unit vectors of which the symmetries of the square change only the sign; shape (len(rows), 120).

    They are the part of an image that changes sign under every reflection. Round and elliptical galaxies lack that part
    if their axes lie along the grid or its diagonals, and have little of it otherwise.
    """
    half, quarter = SIDE // 2, SIDE // 4
    above_diagonal = np.triu_indices(quarter, 1)
    out = np.empty((len(rows), len(above_diagonal[0])), np.float32)
    for start in range(0, len(rows), TILE):
        cells = signatures[rows[start : start + TILE]].reshape(-1, half, 2, half, 2).sum((2, 4), dtype=np.float32)
        folded = cells - cells[:, ::-1]
        folded = folded - folded[:, :, ::-1]
        folded = folded - folded.transpose(0, 2, 1)
        out[start : start + TILE] = folded[:, *above_diagonal]
    norm = np.linalg.norm(out, axis=1, keepdims=True)
    return out / np.maximum(norm, np.finfo(np.float32).tiny)


def alike_codes(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """Rows i < j whose codes are similar, in batches of shape (at most 128, 2)."""
    for top in range(0, len(vectors), TILE):
        for left in range(top, len(vectors), TILE):
            product = vectors[top : top + TILE] @ vectors[left : left + TILE].T
            found = np.argwhere(np.abs(product, out=product) >= LEAST_CODE_CORRELATION) + np.array([top, left])
            found = found[found[:, 0] < found[:, 1]]
            for start in range(0, len(found), BATCH):
                yield found[start : start + BATCH]


def correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Largest correlation coefficient of two signatures in any orientation, shifted by at most one cell.

    Parameters
    ----------
    first, second : ndarray of int8, shape (N, 64, 64)

    Returns
    -------
    ndarray, shape (N,)
    """
    first, second = first.astype(np.float32), second.astype(np.float32)
    norm = np.sqrt(np.square(first).sum((1, 2)) * np.square(second).sum((1, 2)))
    turned = [np.rot90(a, quarter, (1, 2)) for a in (first, first[:, ::-1]) for quarter in range(4)]
    spectrum = fft.rfft2(np.stack(turned)) * fft.rfft2(second).conj()
    by_shift = fft.irfft2(spectrum, s=(SIDE, SIDE))
    shifts = np.arange(-LARGEST_SHIFT, LARGEST_SHIFT + 1)
    return by_shift[:, :, shifts[:, None], shifts].max((0, 2, 3)) / norm
