"""What a tab of the page does, as Python that anybody can run."""

from collections.abc import Sequence

from galaxy_diffusion.app.artist import DETERMINISTIC, FRAMES, VARIATIONS


def dream_snippet(model: str, class_name: str, seed: int, guidance_scale: float, scheduler: str) -> str:
    """Ends with ``image``, a galaxy."""
    return f"""\
import torch
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling

pipe = load_pipeline({model!r}, {scheduler!r}, torch.device("cpu"))
sampling = Sampling({scheduler!r}, guidance_scale={guidance_scale!r})
image = generate_batch(pipe, [pipe.label_of({class_name!r})], [{seed}], **sampling.kwargs)[0]"""


def novelty_snippet(model: str, data: str, class_name: str, seed: int) -> str:
    """Ends with ``found``, its nearest training galaxies."""
    return f"""\
import torch
from galaxy_diffusion.app.novelty import load_seen_galaxies
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling

sampling = Sampling()
pipe = load_pipeline({model!r}, sampling.scheduler, torch.device("cpu"))
image = generate_batch(pipe, [pipe.label_of({class_name!r})], [{seed}], **sampling.kwargs)[0]
found = load_seen_galaxies({data!r}, {model!r}, len(image)).nearest(image, {class_name!r})
print(found.is_copy, [neighbour.relative for neighbour in found.neighbours])"""


def between_snippet(model: str, first: tuple[str, int], last: tuple[str, int]) -> str:
    """Ends with ``frames``."""
    return f"""\
import torch
from galaxy_diffusion.sampling.journeys import interpolate
from galaxy_diffusion.sampling.seeded_images import load_pipeline
from galaxy_diffusion.sampling.settings import Sampling

pipe = load_pipeline({model!r}, {DETERMINISTIC!r}, torch.device("cpu"))
frames = interpolate(pipe, [{first!r}, {last!r}], {FRAMES}, **Sampling({DETERMINISTIC!r}).kwargs)"""


def vary_snippet(model: str, file: str, class_name: str, seed: int, strength: float, center_crop: int) -> str:
    """Ends with ``images``, variations of the picture in a file."""
    return f"""\
from pathlib import Path
import torch
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling
from gz2_dataset.crop import prepare_image
from gz2_dataset.images import decode

sampling = Sampling(strength={strength!r})
pipe = load_pipeline({model!r}, sampling.scheduler, torch.device("cpu"))
galaxy = prepare_image(decode(Path({file!r}).read_bytes()), pipe.image_shape[-1], {center_crop}) / 255
labels, seeds = [pipe.label_of({class_name!r})] * {VARIATIONS}, list(range({seed}, {seed + VARIATIONS}))
images = generate_batch(pipe, labels, seeds, image=galaxy[None].repeat({VARIATIONS}, axis=0), **sampling.kwargs)"""


def classify_snippet(classifiers: Sequence[str], file: str) -> str:
    """Ends with ``prediction``, of the picture in a file."""
    return f"""\
from pathlib import Path
import torch
from galaxy_diffusion.prediction.ensemble import load_ensemble
from galaxy_diffusion.prediction.probabilities import predict

ensemble = load_ensemble({list(classifiers)!r}, torch.device("cpu"))
logits, _ = ensemble([ensemble.prepare(Path({file!r}).read_bytes())])
prediction = predict(logits)
print(dict(zip(ensemble.class_names, prediction.mean[0])))"""
