"""The error at a noise level does not depend on what a net predicts."""

from types import SimpleNamespace

import pytest
import torch

from benchmarks.loss_by_noise import velocity_error
from galaxy_diffusion.generators.objective import make_noise_scheduler
from galaxy_diffusion.sampling.ddpm_pipeline import ImageFormat


class Imagines:
    """Predicts as if the clean image were ``image``."""

    def __init__(self, image: torch.Tensor, prediction_type: str):
        self.scheduler = make_noise_scheduler("squaredcos_cap_v2", 1000, prediction_type, clip_sample=False)
        self.image, self.image_format, self.unet = image, ImageFormat((-0.8,) * 3, 0.25, 2), self.predict

    def predict(self, patches, timesteps, labels, return_dict):
        noisy = torch.nn.functional.pixel_shuffle(patches, 2)
        alpha = self.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        clean = self.image_format.standardize(self.image)
        noise = (noisy - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        kinds = {"epsilon": noise, "sample": clean, "v_prediction": velocity}
        return (torch.nn.functional.pixel_unshuffle(kinds[self.scheduler.config.prediction_type], 2),)


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_a_wrong_image_costs_the_same_whatever_is_predicted(prediction_type, sigma):
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    labels = torch.zeros(4, dtype=torch.int64)
    right = SimpleNamespace(**vars(Imagines(images, prediction_type)))
    assert velocity_error(right, images, labels, sigma) == pytest.approx(0, abs=1e-4)
    wrong = SimpleNamespace(**vars(Imagines(images + 0.05, prediction_type)))
    expected = (0.05 / 0.25) ** 2 * (1 + 1 / sigma**2)  # the error of the image over sigma^2 / (1 + sigma^2)
    assert velocity_error(wrong, images, labels, sigma) == pytest.approx(expected, rel=0.05)
