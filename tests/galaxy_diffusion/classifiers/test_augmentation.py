"""Augmentations: what they do to a galaxy of known shape, torchvision as reference, and draws that follow positions."""

import math

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as tv

from galaxy_diffusion.classifiers.augmentation import (
    BLOCK,
    DRAWS,
    STREAMS,
    geometric,
    photometric,
    random_erasing,
    uniform_draws,
)

HALF = torch.full((1, DRAWS), 0.5, dtype=torch.float64)


def half_but(**changes: float) -> torch.Tensor:
    """Draws of 0.5 except for some columns, given as ``_0=0.1``."""
    draws = HALF.clone()
    for column, value in changes.items():
        draws[:, int(column[1:])] = value
    return draws


def bar(angle: float = 0.0, size: int = 65) -> torch.Tensor:
    """An elongated Gaussian at an angle to the horizontal, anticlockwise on the screen, shape (1, 3, size, size)."""
    y, x = torch.meshgrid(*[torch.arange(size) - (size - 1) / 2] * 2, indexing="ij")
    along, across = x * math.cos(angle) - y * math.sin(angle), y * math.cos(angle) + x * math.sin(angle)
    return (200 * torch.exp(-(along**2 / 72 + across**2 / 8))).expand(1, 3, -1, -1)


def moments(image: torch.Tensor) -> tuple[float, float, float, float, float]:
    """Centre (x, y), widths along the two principal axes, and angle of the first, modulo pi."""
    light = image[0, 0].double()
    size = light.shape[0]
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) - (size - 1) / 2] * 2, indexing="ij")
    centre = [float((light * c).sum() / light.sum()) for c in (x, y)]
    offsets = torch.stack([x - centre[0], y - centre[1]])
    covariance = torch.einsum("iab,jab,ab->ij", offsets, offsets, light) / light.sum()
    values, vectors = torch.linalg.eigh(covariance)
    angle = math.atan2(-vectors[1, 1], vectors[0, 1]) % math.pi
    return *centre, math.sqrt(values[1]), math.sqrt(values[0]), angle


def test_draws_of_a_half_change_nothing():
    images = torch.rand(1, 3, 16, 16) * 255
    torch.testing.assert_close(geometric(images, HALF), images, atol=1e-3, rtol=0)
    torch.testing.assert_close(photometric(images, half_but(_4=0.0)), images, atol=1e-3, rtol=0)
    assert torch.equal(random_erasing(images, HALF, torch.zeros(3, 1, 1)), images)


@pytest.mark.parametrize(("draw", "degrees"), [(0.0, -45), (0.25, -22.5), (1.0, 45)])
def test_a_bar_is_turned_by_the_angle_drawn_and_keeps_its_shape(draw, degrees):
    x, y, long, short, angle = moments(geometric(bar(), half_but(_0=draw)))
    assert abs((angle + math.radians(degrees) + math.pi / 2) % math.pi - math.pi / 2) < 0.02
    assert [x, y] == pytest.approx([0, 0], abs=0.1)
    assert [long, short] == pytest.approx(moments(bar())[2:4], rel=0.05)


def test_zoom_and_shift_are_those_drawn():
    _, _, long, short, _ = moments(geometric(bar(), half_but(_2=1.0)))
    assert [long, short] == pytest.approx([1.25 * width for width in moments(bar())[2:4]], rel=0.05)
    x, y, *_ = moments(geometric(bar(), half_but(_3=1.0, _4=0.0)))
    assert [x, y] == pytest.approx([6.5, -6.5], abs=0.2)  # a tenth of 65 pixels


def test_photometric_is_torchvisions_chain_with_factors_of_each_image():
    torch.manual_seed(0)
    images = (torch.rand(6, 3, 12, 12) * 255).round()
    draws = torch.rand(6, DRAWS, dtype=torch.float64)
    draws[:, 4] = 0  # no noise
    expected = []
    for image, row in zip(images / 255, 2 * draws - 1, strict=True):
        image = tv.adjust_brightness(image, 1 + 0.2 * row[0].item())
        image = tv.adjust_contrast(image, 1 + 0.2 * row[1].item())
        image = tv.adjust_saturation(image, 1 + 0.2 * row[2].item())
        expected.append(tv.adjust_sharpness(image, 1 + row[3].item()))
    torch.testing.assert_close(photometric(images, draws), 255 * torch.stack(expected), atol=0.01, rtol=0)


def test_noise_has_the_width_drawn():
    grey = torch.full((1, 3, 64, 64), 128.0)
    noise = photometric(grey, half_but(_4=0.7)) - grey
    assert noise.mean().item() == pytest.approx(0, abs=0.3)
    assert noise.std().item() == pytest.approx(7, rel=0.05)


def test_every_second_image_loses_a_rectangle_of_the_area_drawn():
    torch.manual_seed(0)
    fill = torch.tensor([10.0, 20.0, 30.0]).view(3, 1, 1)
    erased = random_erasing(torch.full((4000, 3, 32, 32), -1.0), torch.rand(4000, DRAWS, dtype=torch.float64), fill)
    covered = erased[:, 0] == 10
    assert torch.equal(erased[:, 2] == 30, covered)
    share = covered.float().mean(dim=(1, 2))
    assert (share > 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert share.max() < 0.36
    assert share[share > 0].mean().item() == pytest.approx(0.17, abs=0.02)
    # A rectangle: the rows covered times the columns covered.
    assert torch.equal(covered, covered.any(dim=2, keepdim=True) & covered.any(dim=1, keepdim=True))


def test_draws_follow_seed_purpose_and_position_alone():
    positions = np.array([0, 5, BLOCK - 1, BLOCK, 3 * BLOCK + 2])
    together = uniform_draws(1, "geometric", positions)
    for position, row in zip(positions, together, strict=True):
        assert torch.equal(uniform_draws(1, "geometric", np.array([position]))[0], row)
    others = [uniform_draws(2, "geometric", positions)] + [uniform_draws(1, p, positions) for p in STREAMS]
    assert sum(torch.equal(other, together) for other in others) == 1


def test_draws_are_uniform_and_independent():
    draws = uniform_draws(0, "photometric", np.arange(3 * BLOCK)).numpy()
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.02
    assert np.abs(draws.var(axis=0) - 1 / 12).max() < 0.005
    assert np.abs(np.corrcoef(draws.T) - np.eye(DRAWS)).max() < 0.05
