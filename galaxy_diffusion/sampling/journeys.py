"""Images on their way: from noise to galaxy, and from one galaxy to another."""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
            frames.append(as_the_net_sees(pipeline, state["latents"], timestep))

    generate_batch(pipeline, labels, [seed] * len(labels), callback_on_step_end=record, **options)
    images = np.stack([to_pixels(pipeline, frame) for frame in frames], axis=1)
    return images, np.array([end, *wanted])


def emerging(pipeline: ClassConditionalDDPMPipeline, label: int, seed: int, **options: Any) -> Iterator[np.ndarray]:
    """One image while it forms: after each step, and at the end as `generate_batch` gives it.

    A caller that stops early stops the sampler at its next step.

    Parameters
    ----------
    pipeline : ClassConditionalDDPMPipeline
    label, seed : int
    **options
        More arguments of the pipeline, such as those of `Sampling.kwargs`.

    Yields
    ------
    ndarray of uint8, shape (H, W, 3)
    """
    frames, abandoned = queue.SimpleQueue(), threading.Event()

    def record(_, step: int, timestep: torch.Tensor, state: dict[str, torch.Tensor]) -> None:
        if abandoned.is_set():
            raise InterruptedError("nobody looks at this image any more")
        frames.put(to_pixels(pipeline, as_the_net_sees(pipeline, state["latents"], timestep))[0])

    with ThreadPoolExecutor(1) as pool:
        image = pool.submit(generate_batch, pipeline, [label], [seed], callback_on_step_end=record, **options)
        image.add_done_callback(lambda _: frames.put(None))
        try:
            while (frame := frames.get()) is not None:
                yield frame
        finally:
            abandoned.set()
        yield image.result()[0]


def as_the_net_sees(
    pipeline: ClassConditionalDDPMPipeline, latents: torch.Tensor, timestep: torch.Tensor
) -> torch.Tensor:
    """The images of a step in the scale of the UNet's input: in that of some schedulers the noise would grow."""
    return pipeline.scheduler.scale_model_input(latents, timestep).cpu()


def to_pixels(pipeline: ClassConditionalDDPMPipeline, standardized: torch.Tensor) -> np.ndarray:
    """Standardised images (B, 3, H, W) as uint8 (B, H, W, 3)."""
    images = pipeline.image_format.restore(standardized).permute(0, 2, 3, 1) / 2 + 0.5
    return to_uint8(images.clamp(0, 1).numpy())


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
