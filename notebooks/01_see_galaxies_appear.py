# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # See galaxies appear
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/USER/galaxy-diffusion/blob/main/notebooks/01_see_galaxies_appear.ipynb)
#
# A small diffusion model comes with the project: 64 px, trained on 7,523 galaxies of Galaxy Zoo 2 in five minutes of a GPU. Three minutes
# on a CPU are enough for this notebook.

# %%
REPOSITORY = "USER/galaxy-diffusion"  # @param {type:"string"}

import importlib.util
from importlib.metadata import version
from pathlib import Path

if importlib.util.find_spec("galaxy_diffusion") is None:
    # Colab's torch fits the driver of its GPUs, so pip is told to leave it as it is.
    Path("keep.txt").write_text("".join(f"{name}=={version(name)}\n" for name in ("torch", "torchvision")))
    # !pip install --quiet -c keep.txt "galaxy-diffusion[morphology] @ git+https://github.com/{REPOSITORY}"
print("galaxy-diffusion", version("galaxy-diffusion"), "with torch", version("torch"))

# %%
import torch

from galaxy_diffusion.shared.machine import gpu_precision

PRECISION = gpu_precision()  # bf16, or fp16 on a T4, which has no bf16; "no" without a GPU
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU:", "mixed precision", PRECISION)

# %% tags=["parameters"]
MODEL = "galaxies-64"  # @param {type:"string"}
GALAXIES = 3  # @param {type:"integer"}

# %% [markdown]
# ## Galaxies of five classes
#
# One row for each class: completely round, in-between, cigar, edge-on, spiral. A column starts from the same noise, so its galaxies
# are relatives. An image depends only on its class, its seed, the model and the sampler: on your machine it is the same.

# %%
from IPython.display import Image as Shown
from PIL import Image

from galaxy_diffusion.sampling.contact_sheets import tile
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling


def show(images, scale=2):
    """Rows of galaxies, (rows, columns, H, W, 3), as one picture."""
    picture = Image.fromarray(tile(images))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)


sampling = Sampling()
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pipe = load_pipeline(MODEL, sampling.scheduler, device, PRECISION)
classes = range(len(pipe.class_names))
images = generate_batch(
    pipe,
    [label for label in classes for _ in range(GALAXIES)],
    [seed for _ in classes for seed in range(GALAXIES)],
    **sampling.kwargs,
)
images = images.reshape(len(classes), GALAXIES, *images.shape[1:])
print(*pipe.class_names, sep="\n")
show(images)

# %% [markdown]
# ## One of your own choice
#
# `guidance_scale` is the weight of the class: 1 follows it as trained.

# %%
CLASS = "spiral"  # @param ["completely_round_smooth", "in_between_smooth", "cigar_shaped_smooth", "edge_on", "spiral"]
SEED = 3  # @param {type:"integer"}
GUIDANCE = 1.0  # @param {type:"slider", min:0, max:6, step:0.5}

wish = Sampling(guidance_scale=GUIDANCE)
galaxy = generate_batch(pipe, [pipe.label_of(CLASS)], [SEED], **wish.kwargs)
show(galaxy[None], 6)

# %% [markdown]
# ## From noise to galaxy
#
# The model is shown noise and asked what of it is not galaxy; that is taken away, a little at a time. All classes start from the same
# noise.

# %%
from pathlib import Path

from galaxy_diffusion.sampling.contact_sheets import save_animation
from galaxy_diffusion.sampling.journeys import generate_trajectory, interpolate

frames, timesteps = generate_trajectory(pipe, seed=SEED, every=100, **sampling.kwargs)
save_animation(Path("noise_to_galaxy.webp"), frames)
Shown(filename="noise_to_galaxy.webp", format="webp")

# %% [markdown]
# ## How much guidance?
#
# More guidance makes the class plainer, and the galaxies more alike. statmorph measures the axis ratio of each. A guidance above 1 costs
# twice the time.

# %%
import numpy as np

from galaxy_diffusion.evaluation.quartiles import shape_of

scales = [1.0, 2.0, 4.0]
strip = [
    generate_batch(pipe, [pipe.label_of("cigar_shaped_smooth")], [SEED], **Sampling(guidance_scale=scale).kwargs)[0]
    for scale in scales
]
for scale, image in zip(scales, strip, strict=True):
    print(f"guidance {scale}: axis ratio {shape_of(image)['axis_ratio']:.2f}")
show(np.stack(strip)[None])

# %% [markdown]
# ## From one class to another
#
# Between two class embeddings lies a galaxy that is a bit of both.

# %%
ends = [("completely_round_smooth", SEED), ("spiral", SEED)]
show(interpolate(pipe, ends, 7, **sampling.kwargs)[None], 1)

# %% [markdown]
# ## Further
#
# `galaxy-diffusion generate --model galaxies-64 --num_images spiral=100 --output_dir spirals` writes a folder of images.
# [What this model draws beside real galaxies, and what is still wrong](../docs/results/galaxies_64/README.md).
# Next: [your own galaxies](02_your_own_galaxies.ipynb).
