"""The nearest training image of each image, however it is turned.

Images are compared as blurred thumbnails of their luminance, so that neither sky noise nor JPEG, which halves the
resolution of colours, decides. The distance to the nearest training image alone would call every small round galaxy a
copy, as those all look alike. So it is divided by the mean distance to the next fifty, after [1]_: 1 where the nearest
is like many others, near 0 for a copy.

References
----------
.. [1] Carlini, N. et al. 2023, USENIX Security Symposium, 5253
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import adaptive_avg_pool2d
from tqdm.auto import tqdm

from galaxy_diffusion.evaluation.luminance import luminance
from galaxy_diffusion.shared.symmetry import turn

SIDE, BLUR = 32, 1.0
"""Thumbnail's side and the standard deviation of its Gaussian blur, in pixels of the thumbnail."""
NEIGHBOURS = 50
"""Training images after the nearest whose mean distance is the unit."""


@dataclass(frozen=True)
class Nearest:
    """The nearest training image of each image, shapes (N,).

    Attributes
    ----------
    index : ndarray of int
        Row of the training image.
    symmetry : ndarray of int
        0 to 7, as `generators.batches.turn` numbers them: what turns the image towards the training image.
    distance : ndarray
        Root mean square difference of the thumbnails, whose pixels are in [0, 1].
    relative : ndarray
        In units of the mean distance to the next `NEIGHBOURS`.
    """

    index: np.ndarray
    symmetry: np.ndarray
    distance: np.ndarray
    relative: np.ndarray


def thumbnails(images: np.ndarray, batch_size: int = 1024) -> torch.Tensor:
    """Blurred thumbnails, float32 (N, 1, S, S) in [0, 1] with S at most `SIDE`, of uint8 images (N, H, W, 3)."""
    side = min(SIDE, images.shape[1])
    small = [
        adaptive_avg_pool2d(torch.from_numpy(luminance(images[i : i + batch_size]))[:, None], side)
        for i in range(0, len(images), batch_size)
    ]
    return torch.from_numpy(gaussian_filter(torch.cat(small).numpy(), (0, 0, BLUR, BLUR)))


@torch.inference_mode()
def nearest(
    images: torch.Tensor,
    training: torch.Tensor,
    same: bool = False,
    device: torch.device | str | None = None,
    batch_size: int = 64,
) -> Nearest:
    """Find the nearest training image of each image under all eight flips and quarter turns.

    Parameters
    ----------
    images, training : Tensor, shape (N, 1, S, S) and (M, 1, S, S)
        Thumbnails; M at least 3.
    same : bool
        They are the same images: none is its own neighbour.
    device : torch.device or str, optional
        By default the GPU where there is one.
    batch_size : int
        Images at a time; has no influence on the result.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    flat = training.flatten(1).to(device)
    pixels, lengths = flat.shape[1], flat.square().sum(dim=1)
    count = min(NEIGHBOURS + 1, len(training) - same)
    columns = []
    for start in tqdm(range(0, len(images), batch_size), desc="look for copies", unit="batch"):
        batch = images[start : start + batch_size].to(device)
        turned = torch.stack([turn(batch, torch.full((len(batch),), s, device=device)).flatten(1) for s in range(8)])
        squared = lengths - 2 * turned @ flat.T + turned.square().sum(dim=2, keepdim=True)
        squared, symmetry = squared.min(dim=0)
        if same:
            rows = torch.arange(len(batch), device=device)
            squared[rows, start + rows] = torch.inf
        best, index = squared.topk(count, largest=False)
        distance = (best.clamp(min=0) / pixels).sqrt().double()
        relative = distance[:, 0] / distance[:, 1:].mean(dim=1).clamp(min=1e-9)
        columns.append((index[:, 0], symmetry.gather(1, index[:, :1])[:, 0], distance[:, 0], relative))
    return Nearest(*(torch.cat(column).cpu().numpy() for column in zip(*columns, strict=True)))
