"""Images on their way: from noise to galaxy, and from one galaxy to another."""

from typing import Any

import numpy as np
import torch

from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.seeded_images import generate_batch, seeded, to_uint8


def generate_trajectory(
    pipeline: ClassConditionalDDPMPipeline, seed: int, every: int, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """One image per class on its way from noise to galaxy (the paper's Fig. 4).

    Parameters
    ----------
    pipeline : ClassConditionalDDPMPipeline
    seed : int
        Of the noise, the same for all classes.
    every : int
        Training timesteps between two frames.
    **options
        More arguments of the pipeline, such as those of `Sampling.kwargs`.

    Returns
    -------
    frames : ndarray of uint8, shape (classes, F, H, W, 3)
    timesteps : ndarray of int64, shape (F,)
        Multiples of ``every`` from T down to 0; each frame is the first state at or below its timestep.
    """
    labels = list(range(len(pipeline.class_names)))
    noise = torch.randn(1, *pipeline.image_shape, generator=seeded(seed))
    end = pipeline.scheduler.config.num_train_timesteps
    frames, wanted = [noise.expand(len(labels), -1, -1, -1)], list(range(end - every, -1, -every))

    def record(_, step: int, timestep: torch.Tensor, state: dict[str, torch.Tensor]) -> None:
        remaining = pipeline.scheduler.timesteps[step + 1 :]
        reached = float(remaining[0]) if len(remaining) else 0.0
        while len(frames) <= len(wanted) and reached <= wanted[len(frames) - 1]:
            # As some schedulers scale images, noise grows rather than the galaxy fading; not so in the UNet's input.
            frames.append(pipeline.scheduler.scale_model_input(state["latents"], timestep).cpu())

    generate_batch(pipeline, labels, [seed] * len(labels), callback_on_step_end=record, **options)
    restored = [pipeline.image_format.restore(frame) for frame in frames]
    images = (torch.stack(restored, dim=1).permute(0, 1, 3, 4, 2) / 2 + 0.5).clamp(0, 1)
    return to_uint8(images.numpy()), np.array([end, *wanted])


def interpolate(
    pipeline: ClassConditionalDDPMPipeline, ends: list[tuple[str, int]], num_frames: int, **options: Any
) -> np.ndarray:
    """Images between two: spherically between their noise, linearly between their class embeddings.

    Parameters
    ----------
    pipeline : ClassConditionalDDPMPipeline
    ends : two pairs of str and int
        Class and seed of the first and of the last image. Different seeds need a scheduler that adds no noise on
        the way, because that noise would make all frames alike.
    num_frames : int
        At least 2, the ends included.
    **options
        More arguments of the pipeline, such as those of `Sampling.kwargs`.

    Returns
    -------
    ndarray of uint8, shape (num_frames, H, W, 3)
        The first and the last are the images of the two ends.

    Examples
    --------
    >>> interpolate(pipe, [("cigar_shaped_smooth", 3), ("edge_on", 3)], 9, **Sampling().kwargs).shape  # doctest: +SKIP
    (9, 32, 32, 3)
    """
    (first_class, first_seed), (last_class, last_seed) = ends
    generators = [seeded(first_seed) for _ in range(num_frames)]  # all frames share the noise added on the way
    first_noise = torch.stack([torch.randn(pipeline.image_shape, generator=generator) for generator in generators])[0]
    last_noise = torch.randn(pipeline.image_shape, generator=seeded(last_seed))
    share = torch.linspace(0, 1, num_frames)
    embeddings = pipeline.embed_classes([first_class, last_class])
    images = pipeline(
        class_embeddings=torch.lerp(embeddings[0], embeddings[1], share[:, None].to(embeddings)),
        latents=slerp(first_noise, last_noise, share),
        generator=generators,
        output_type="np",
        **options,
    ).images  # pyright: ignore[reportAttributeAccessIssue]
    return to_uint8(images)


def slerp(first: torch.Tensor, last: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Points on the arc between two tensors, which keeps the length that a denoiser expects of noise (Shoemake 1985).

    Parameters
    ----------
    first, last : Tensor, shape (...)
    share : Tensor, shape (F,)
        0 gives ``first``, 1 ``last``.

    Returns
    -------
    Tensor, shape (F, ...)
    """
    angle = torch.nn.functional.cosine_similarity(first.flatten(), last.flatten(), dim=0).clamp(-1, 1).acos()
    share = share.view(-1, *[1] * first.dim())
    if angle < 1e-3:
        return torch.lerp(first, last, share)
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(angle)
