"""A galaxy in its own frame: its light on rings around its centre, in units of its size and of its flux.

Centre and size come from moments under a Gaussian window that follows the galaxy, after [1]_. A galaxy that is moved,
zoomed, dimmed or brightened has the same rings. If it is turned, its rings are turned: only the phases of their Fourier
components along the angle change.

References
----------
.. [1] Bernstein, G. M. & Jarvis, M. 2002, AJ, 123, 583 (adaptive moments)
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d, grid_sample

SIDE = 32
"""Larger images are shrunk to this width."""
RINGS, ANGLES, HARMONICS = 16, 64, 16
"""Rings, points on each, and Fourier components kept of each: higher ones hold noise that no copy keeps."""
REACH = 0.4375
"""Radius of the outermost ring of a galaxy of median size, in widths of the image."""
WINDOW, ITERATIONS = 0.125, 12
"""First width of the window, in widths of the image, and rounds in which it follows the galaxy."""


@dataclass(frozen=True)
class Galaxies:
    """Galaxies with their centres and sizes.

    Attributes
    ----------
    light : Tensor, shape (N, 3, S, S)
        Red, green and blue above the sky, in grey levels; S is at most `SIDE`.
    x, y : Tensor, shape (N,)
        Centre, in pixels from the middle of the image.
    size : Tensor, shape (N,)
        Standard deviation of the window, in pixels.
    """

    light: torch.Tensor
    x: torch.Tensor
    y: torch.Tensor
    size: torch.Tensor

    def __len__(self) -> int:
        return len(self.light)

    def take(self, rows: np.ndarray | slice) -> "Galaxies":
        """Some of them."""
        return Galaxies(self.light[rows], self.x[rows], self.y[rows], self.size[rows])


def together(parts: Sequence[Galaxies]) -> Galaxies:
    """Several sets of galaxies as one."""
    return Galaxies(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(Galaxies)))


def measure(images: np.ndarray, batch_size: int = 1024) -> Galaxies:
    """Find centre and size of the galaxies of uint8 images (N, H, H, 3)."""
    side = min(SIDE, images.shape[1])
    light = torch.cat(
        [
            adaptive_avg_pool2d(
                torch.from_numpy(np.array(images[i : i + batch_size])).permute(0, 3, 1, 2).float(), side
            )
            for i in range(0, max(1, len(images)), batch_size)
        ]
    )
    edge = torch.ones(side, side, dtype=torch.bool)
    width = max(1, side // 8)
    edge[width:-width, width:-width] = False
    light = light - light[:, :, edge].median(dim=2).values[..., None, None]
    return Galaxies(light, *moments(light.mean(dim=1).clamp(min=0)))


def moments(light: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centre x, y and size, shapes (N,), of light (N, S, S) that is nowhere negative."""
    side = light.shape[2]
    place = torch.arange(side) - (side - 1) / 2
    x, y, size = torch.zeros(len(light)), torch.zeros(len(light)), torch.full((len(light),), WINDOW * side)
    for _ in range(ITERATIONS):
        # The window is a product of one in x and one in y, each times 1, the offset and its square.
        across, down = (powers(place - centre[:, None], size[:, None]) for centre in (x, y))
        sums = torch.einsum("npy,nyx,nqx->npq", down, light, across)
        flux = sums[:, 0, 0].clamp(min=1e-6)
        # Under the window, light that is a Gaussian as wide as it has half its variance in each direction.
        size = ((sums[:, 0, 2] + sums[:, 2, 0]) / flux).clamp(min=0).sqrt().clamp(side / 32, side / 5)
        # Such a window shows half of the centre's offset; a step of 1.5 times that is quick and never overshoots.
        x = (x + 1.5 * sums[:, 0, 1] / flux).clamp(-side / 8, side / 8)
        y = (y + 1.5 * sums[:, 1, 0] / flux).clamp(-side / 8, side / 8)
    return x, y, size


def powers(offset: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """A Gaussian window (N, S) times 1, the offset and its square, shape (N, 3, S)."""
    window = torch.exp(-(offset**2) / (2 * size**2))
    return torch.stack([window, window * offset, window * offset**2], dim=1)


def harmonics(
    galaxies: Galaxies, unit: float, zoom: torch.Tensor | None = None, shift: torch.Tensor | None = None
) -> torch.Tensor:
    """Fourier components of the rings of galaxies, in units of each galaxy's flux.

    Parameters
    ----------
    galaxies : Galaxies
    unit : float
        Size of a galaxy whose outermost ring has the radius `REACH`, in pixels.
    zoom : Tensor, shape (K,), optional
        Factors by which the rings are wider than the size says; by default 1.
    shift : Tensor, shape (K, 2), optional
        Offsets of the centre from that of the galaxy, in pixels for a galaxy of size ``unit``.

    Returns
    -------
    Tensor of complex64, shape (HARMONICS, N * K, 3 * RINGS)
        Red, green and blue one after another. Scaled so that sums of squares are those over the pixels: by the root of
        the radius, and by the root of 2 from the first harmonic on. Outside the image is sky.
    """
    zoom = torch.ones(1) if zoom is None else zoom
    shift = torch.zeros(1, 2) if shift is None else shift
    side = galaxies.light.shape[2]
    radius = (torch.arange(RINGS) + 0.5) * REACH * side / RINGS
    angle = torch.arange(ANGLES) * 2 * torch.pi / ANGLES
    circle = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
    rings = radius[:, None, None] * circle  # (RINGS, ANGLES, 2)
    rings = zoom[:, None, None, None] * rings + shift[:, None, None]  # (K, RINGS, ANGLES, 2)
    scale = (galaxies.size / unit)[:, None, None, None, None]
    centres = torch.stack([galaxies.x, galaxies.y], dim=1)[:, None, None, None]
    # All of a galaxy's rings are read from its image at once, one below another.
    places = (2 / side) * (centres + scale * rings)
    light = grid_sample(galaxies.light, places.flatten(1, 2), mode="bicubic", align_corners=False)
    light = light.view(len(galaxies), 3, len(zoom), RINGS, ANGLES).transpose(1, 2).flatten(0, 1)  # (N * K, 3, ...)
    weights = radius * torch.exp(-(radius**2) / (2 * (WINDOW * side) ** 2))
    flux = (light.mean(dim=(1, 3)) @ weights).clamp(min=1.0)
    found = torch.fft.rfft(light / flux[:, None, None, None], dim=3)[..., :HARMONICS] * radius.sqrt()[:, None]
    found[..., 1:] *= 2**0.5
    return found.flatten(1, 2).permute(2, 0, 1)
