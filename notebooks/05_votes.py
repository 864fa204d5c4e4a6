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
# # Votes instead of classes
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/USER/galaxy-diffusion/blob/main/notebooks/05_votes.ipynb)
#
# Volunteers answered 37 questions about each galaxy of Galaxy Zoo 2. A generator that is told these vote fractions instead of a class draws what lies
# between the classes: from smooth to featured, step by step. Ten minutes on a T4. Here with drawn galaxies, whose volunteers are simulated.

# %%
REPOSITORY = "USER/galaxy-diffusion"  # @param {type:"string"}

import importlib.util
from importlib.metadata import version
from pathlib import Path

if importlib.util.find_spec("galaxy_diffusion") is None:
    # Colab's torch fits the driver of its GPUs, so pip is told to leave it as it is.
    Path("keep.txt").write_text("".join(f"{name}=={version(name)}\n" for name in ("torch", "torchvision")))
    # !pip install --quiet -c keep.txt "galaxy-diffusion[mock] @ git+https://github.com/{REPOSITORY}"
print("galaxy-diffusion", version("galaxy-diffusion"), "with torch", version("torch"))

# %%
import torch

from galaxy_diffusion.shared.machine import gpu_precision

PRECISION = gpu_precision()  # bf16, or fp16 on a T4, which has no bf16; "no" without a GPU
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU:", "mixed precision", PRECISION)

# %% tags=["parameters"]
FOLDER = "mock"  # @param {type:"string"}
RUNS = "runs"  # @param {type:"string"}
MOCK_GALAXIES = 1200  # @param {type:"integer"}
GENERATOR = "ddpm_64_finetune"  # @param {type:"string"}
GENERATOR_IMAGES = 40_000  # @param {type:"integer"}
GENERATOR_OPTIONS = ""
STEPS = 35
HELD_OUT = 20

# %%
# !galaxy-diffusion data mock --output {FOLDER} --num_images {MOCK_GALAXIES}

# %% [markdown]
# `galaxy_zoo_2` keeps all galaxies with their votes, not only those of a clean class.

# %%
# !galaxy-diffusion data build --data_dir {FOLDER} --output {RUNS}/votes_data --config_name galaxy_zoo_2 --test_per_class {HELD_OUT} --validation_per_class {HELD_OUT // 2}

# %%
# !galaxy-diffusion train-ddpm --config {GENERATOR} --conditioning votes --data {RUNS}/votes_data --output_dir {RUNS}/votes --total_images {GENERATOR_IMAGES} --mixed_precision {PRECISION} {GENERATOR_OPTIONS}

# %% [markdown]
# ## From smooth to featured in nine steps
#
# The votes of a smooth galaxy and of a spiral, and what lies between; one seed for all.

# %%
import numpy as np
from PIL import Image

from galaxy_diffusion.sampling.contact_sheets import tile
from galaxy_diffusion.sampling.seeded_images import generate_batch, load_pipeline
from galaxy_diffusion.sampling.settings import Sampling
from gz2_dataset import load_arrays
from gz2_dataset.votes import VOTE_COLUMNS


def show(images, scale=2):
    """Rows of galaxies, (rows, columns, H, W, 3), as one picture."""
    picture = Image.fromarray(tile(images))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)


sampling = Sampling(num_inference_steps=STEPS)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
pipe = load_pipeline(f"{RUNS}/votes", sampling.scheduler, device, PRECISION)
galaxies = load_arrays(f"{RUNS}/votes_data", "train", pipe.image_shape[-1])
smooth, spiral = (
    galaxies.votes[galaxies.of_class(name)].mean(axis=0) for name in ("completely_round_smooth", "spiral")
)
share = np.linspace(0, 1, 9, dtype=np.float32)[:, None]
votes = torch.from_numpy((1 - share) * smooth + share * spiral)
frames = generate_batch(pipe, None, [3] * 9, vote_fractions=votes, **sampling.kwargs)
show(frames[None], 1)

# %% [markdown]
# ## A galaxy with votes of its own
#
# Change a question: here more and more volunteers say that it is seen edge-on (Task 2).

# %%
column = VOTE_COLUMNS.index("Class2.1")
changed = torch.from_numpy(np.repeat(spiral[None], 5, axis=0))
changed[:, column] = torch.linspace(0, 1, 5)
changed[:, column + 1] = 1 - changed[:, column]
show(generate_batch(pipe, None, [3] * 5, vote_fractions=changed, **sampling.kwargs)[None], 1)

# %% [markdown]
# ## Variations of a real one
#
# The galaxy gets noise and loses it again: the more, the further its variations are from it. Left the galaxy itself, then strengths 0.2 to 0.9.

# %%
row = int(galaxies.of_class("spiral")[0])
original = galaxies.images[row]
strengths = [0.2, 0.4, 0.6, 0.9]
start = original[None].astype(np.float32) / 255
its_votes = torch.from_numpy(galaxies.votes[[row]])
varied = [
    generate_batch(
        pipe,
        None,
        [3],
        vote_fractions=its_votes,
        image=start,
        **Sampling(num_inference_steps=STEPS, strength=strength).kwargs,
    )[0]
    for strength in strengths
]
show(np.stack([original, *varied])[None])
