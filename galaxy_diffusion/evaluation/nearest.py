"""The nearest galaxy of a gallery, even if it is moved, turned, mirrored, zoomed, dimmed or brightened.

Galaxies are compared on rings in their own frame (see `rings`) at every relative angle. What most galaxies share, such
as a bright round middle, says little about which galaxy it is, so rings are whitened with the covariance of the
gallery's galaxies; as that is taken over galaxies at all angles, harmonics are independent and only rings mix. The
distance is 1 less the cosine: 0 for the same galaxy, about 1 for two that have nothing in common.

The nearest few are compared again, with the frame slightly moved and zoomed, because moments are not exact.

The distance alone would make every plain round galaxy a copy, because all of those look alike. So it is divided by the
mean distance to the next fifty, after [1]_: 1 where the nearest is like many others, near 0 for a copy.

References
----------
.. [1] Carlini, N. et al. 2023, USENIX Security Symposium, 5253
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from tqdm.auto import tqdm

from galaxy_diffusion.evaluation.rings import HARMONICS, Galaxies, harmonics

NEIGHBOURS = 50
"""Number of galaxies after the nearest whose mean distance is the unit."""
REFINED = 12
"""This many of the nearest are compared again."""
FLOOR = 8.0
"""Added to the variance of each component, in units of the mean variance: weak ones are mostly noise."""
COARSE, FINE = 32, 128
"""Number of angles by which galaxies are turned at first, and for the nearest few."""
ZOOMS = torch.tensor([0.9, 0.95, 1.0, 1.05, 1.1])
SHIFTS = 0.4 * torch.tensor([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
"""The frame is off by at most this much; shifts in pixels of an image 32 pixels wide."""
PAIRS_AT_ONCE = 2**18


@dataclass(frozen=True)
class Nearest:
    """The nearest galaxy of each image, shapes (N,).

    Attributes
    ----------
    index : ndarray of int
        Row of the gallery.
    mirrored : ndarray of bool
        Whether the image is a mirror image, to be turned upside down first.
    angle : ndarray
        Degrees by which it is then turned clockwise relative to the gallery's galaxy.
    distance : ndarray
        From 0 to 2.
    relative : ndarray
        In units of the mean distance to the next `NEIGHBOURS`.
    """

    index: np.ndarray
    mirrored: np.ndarray
    angle: np.ndarray
    distance: np.ndarray
    relative: np.ndarray


class Gallery:
    """Galaxies among which the nearest one is looked for.

    Parameters
    ----------
    galaxies : Galaxies
        M of them, at least 1.
    like : Gallery, optional
        Whose frames and whitening to use; by default those that suit ``galaxies``.

    Examples
    --------
    >>> gallery = Gallery(measure(training.images))  # doctest: +SKIP
    >>> gallery.nearest(measure(generated.images)).relative.min()  # doctest: +SKIP
    0.41
    """

    def __init__(self, galaxies: Galaxies, like: "Gallery | None" = None):
        self.galaxies = galaxies
        self.unit = float(galaxies.size.median()) if like is None else like.unit
        described = torch.cat([harmonics(part, self.unit) for part in parts(galaxies)], dim=1)
        self.mean, self.whitening = whitening(described) if like is None else (like.mean, like.whitening)
        self.vectors = self.whiten(described)

    def whiten(self, described: torch.Tensor) -> torch.Tensor:
        """The result of `rings.harmonics`, whitened and normalised to unit vectors, of the same shape."""
        vectors = (described - self.mean) @ self.whitening
        return vectors / vectors.abs().square().sum(dim=(0, 2)).sqrt().clamp(min=1e-9)[:, None]

    @torch.inference_mode()
    def nearest(self, galaxies: Galaxies) -> Nearest:
        """Find the nearest of each of N galaxies."""
        return self.in_batches(galaxies, None)

    @torch.inference_mode()
    def nearest_few(self, galaxies: Galaxies, count: int) -> Nearest:
        """Find the nearest few of each of N galaxies, the nearest first.

        Parameters
        ----------
        galaxies : Galaxies
            At least 1.
        count : int
            At most `REFINED`, and no more than the gallery has.

        Returns
        -------
        Nearest
            Of shape (N, count); all are relative to the galaxies that follow the nearest.
        """
        return self.nearest_of(galaxies, None, count)

    @torch.inference_mode()
    def nearest_others(self, rows: np.ndarray | None = None) -> Nearest:
        """Find the nearest other galaxy for some of the gallery's own galaxies, by default for all.

        If there is no other, distances are infinite.
        """
        rows = np.arange(len(self.galaxies)) if rows is None else rows
        return self.in_batches(self.galaxies.take(rows), torch.from_numpy(rows))

    def in_batches(self, galaxies: Galaxies, mine: torch.Tensor | None) -> Nearest:
        """The nearest of each, except its own row ``mine`` (N,)."""
        if not len(galaxies) or (mine is not None and len(self.galaxies) == 1):
            far, zero = np.full(len(galaxies), np.inf), np.zeros(len(galaxies), int)
            return Nearest(zero, zero.astype(bool), zero.astype(float), far, far)
        size = max(1, min(64, PAIRS_AT_ONCE // self.vectors.shape[1]))
        batches = [
            self.nearest_of(galaxies.take(rows), None if mine is None else mine[rows], 1)
            for start in tqdm(range(0, len(galaxies), size), desc="look for copies", unit="batch", leave=False)
            for rows in [slice(start, start + size)]
        ]
        return Nearest(*(np.concatenate([getattr(b, f.name)[:, 0] for b in batches]) for f in fields(Nearest)))

    def nearest_of(self, galaxies: Galaxies, mine: torch.Tensor | None, count: int) -> Nearest:
        """`nearest_few` for a few galaxies, each of them without its own row ``mine`` (N,)."""
        rows = torch.arange(len(galaxies))
        cosine = self.cosines(self.whiten(harmonics(galaxies, self.unit)))
        if mine is not None:
            cosine[rows, mine] = -torch.inf
        others = self.vectors.shape[1] - (mine is not None)
        close, index = cosine.topk(min(NEIGHBOURS + 1, others), dim=1)
        refined, turned = self.refine(galaxies, index[:, :REFINED])
        cosine, order = refined.sort(dim=1, descending=True, stable=True)
        # Refinement may change which is nearest; the unit is made of all the others.
        unit = (1 - close).sum(dim=1) - (1 - close[rows, order[:, 0]])
        order = order[:, :count]
        distance = (1 - cosine[:, :count]).clamp(min=0)
        relative = distance / (unit / max(1, close.shape[1] - 1)).clamp(min=1e-6)[:, None]
        turn = turned.gather(1, order)
        found = (index.gather(1, order), turn >= FINE, (turn % FINE) * 360.0 / FINE, distance, relative)
        return Nearest(*(column.numpy() for column in found))

    def cosines(self, vectors: torch.Tensor) -> torch.Tensor:
        """The largest cosine of vectors (HARMONICS, N, D) with each of the gallery's at any angle, (N, M)."""
        gallery = self.vectors.conj().transpose(1, 2)
        best = None
        for side in (vectors, vectors.conj()):  # mirrored, a ring runs backwards
            product = (side @ gallery).permute(1, 2, 0)
            found = at_all_angles(product, COARSE).amax(dim=2)
            best = found if best is None else torch.maximum(best, found)
        return best

    def refine(self, galaxies: Galaxies, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Largest cosine with some of the gallery's galaxies, and its angle, for frames that are slightly off.

        Parameters
        ----------
        galaxies : Galaxies
        index : Tensor of int, shape (N, K)

        Returns
        -------
        cosine : Tensor, shape (N, K)
        turn : Tensor of int, shape (N, K)
            Which of the `FINE` angles; plus `FINE` where the galaxy is mirrored.
        """
        shifts = SHIFTS * galaxies.light.shape[2] / 32
        zoom, shift = ZOOMS.repeat_interleave(len(shifts)), shifts.repeat(len(ZOOMS), 1)
        described = self.whiten(harmonics(galaxies, self.unit, zoom, shift))
        described = described.view(HARMONICS, len(galaxies), len(zoom), -1)
        known = self.vectors[:, index].conj().transpose(2, 3)  # (HARMONICS, N, RINGS, K)
        found = []
        for side in (described, described.conj()):
            product = (side @ known).permute(1, 3, 2, 0)  # (N, K, frames, HARMONICS)
            found.append(at_all_angles(product, FINE).amax(dim=2))
        return torch.cat(found, dim=2).max(dim=2)


def parts(galaxies: Galaxies, size: int = 1024) -> list[Galaxies]:
    return [galaxies.take(slice(start, start + size)) for start in range(0, max(1, len(galaxies)), size)]


def whitening(described: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean of rings (HARMONICS, M, D) over all angles, and a matrix that makes their covariance nearly white.

    Returns
    -------
    mean : Tensor of complex64, shape (HARMONICS, 1, D)
        Zero except for the rings' mean light; a median, so that no star dominates.
    whitening : Tensor of complex64, shape (HARMONICS, D, D)
    """
    mean = torch.zeros_like(described[:, :1])
    mean[0] = described[0].real.median(dim=0).values
    offset = described - mean
    offset = offset / offset.abs().square().sum(dim=(0, 2)).sqrt().clamp(min=1e-9)[:, None]
    covariance = (offset.transpose(1, 2) @ offset.conj()).real / offset.shape[1]
    least = FLOOR * covariance.diagonal(dim1=1, dim2=2).mean()
    values, axes = torch.linalg.eigh(covariance + least * torch.eye(covariance.shape[1]))
    return mean, ((axes * values.rsqrt()[:, None]) @ axes.transpose(1, 2)).to(described.dtype)


def at_all_angles(product: torch.Tensor, count: int) -> torch.Tensor:
    """Real part of the sum over harmonics (..., HARMONICS), each turned by ``count`` angles, shape (..., count)."""
    phase = torch.arange(HARMONICS)[:, None] * torch.arange(count) * (2 * torch.pi / count)
    waves = torch.stack([torch.cos(phase), -torch.sin(phase)], dim=1).flatten(0, 1)
    return torch.view_as_real(product.contiguous()).flatten(-2) @ waves
