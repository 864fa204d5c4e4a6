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
# # A folder of galaxies to an augmented classifier, and a table of predictions
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/USER/galaxy-diffusion/blob/main/notebooks/02_your_own_galaxies.ipynb)
#
# A rare class, a generator that starts from the project's own, more of the rare class, a classifier with and without them, and its
# predictions for a survey. Here with drawn galaxies, for which nothing has to be downloaded; set `FOLDER` to yours: one subfolder for each
# class, or any other of [these sources](../docs/data.md). About 20 minutes on a T4 with the settings below.
#
# A free session of Colab may end at any time: put `RUNS` on your Drive (`from google.colab import drive; drive.mount("/content/drive")`), and
# the same commands go on where they were.

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
RARE = "cigar_shaped_smooth"  # @param {type:"string"}
MOCK_GALAXIES = 1200  # @param {type:"integer"}
HELD_OUT = 20  # @param {type:"integer"}
GENERATOR = "ddpm_64_finetune"  # @param {type:"string"}
GENERATOR_IMAGES = 40_000  # @param {type:"integer"}
INTERRUPT_AFTER = 8  # @param {type:"integer"}
GENERATED = 300  # @param {type:"integer"}
CLASSIFIER = "classifier_efficientnetv2_tiny"  # @param {type:"string"}
CLASSIFIER_IMAGES = 25_600  # @param {type:"integer"}
RESOLUTION = 64  # @param {type:"integer"}
GENERATE_OPTIONS = ""
GENERATOR_OPTIONS = ""

# %% [markdown]
# ## The galaxies
#
# Leave this cell out if `FOLDER` holds your own.

# %%
# !galaxy-diffusion data mock --output {FOLDER} --num_images {MOCK_GALAXIES}

# %%
# !galaxy-diffusion data build --data_dir {FOLDER} --output {RUNS}/data --test_per_class {HELD_OUT} --validation_per_class {HELD_OUT // 2}

# %% [markdown]
# ## As the net sees them
#
# A build keeps the central square of each image. Whatever lies outside of it, the net never sees; `--center_crop` takes another.

# %%
import json
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import Image as Shown
from PIL import Image

from galaxy_diffusion.sampling.contact_sheets import tile
from gz2_dataset import load_arrays


def show(images, scale=2):
    """Rows of galaxies, (rows, columns, H, W, 3), as one picture."""
    picture = Image.fromarray(tile(images))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.BICUBIC)


train = load_arrays(f"{RUNS}/data", "train", RESOLUTION)
some = [np.resize(train.of_class(name), 8) for name in train.class_names if len(train.of_class(name))]
print(dict(zip(train.class_names, train.counts.tolist(), strict=True)))
show(train.images[np.stack(some)], 1)

# %% [markdown]
# ## Fit for use?

# %%
# !galaxy-diffusion data audit {RUNS}/data --output {RUNS}/audit || true

# %% [markdown]
# ## A generator, interrupted and resumed
#
# It starts from `galaxies-64`, whose classes it knows by name. Here it is ended after `INTERRUPT_AFTER` lines of its log, 1,000 images each, as
# Colab may end it; the same command then goes on, and ends with the same weights to the bit.

# %%
import shlex
import subprocess
import time

from filelock import FileLock

command = f"galaxy-diffusion train-ddpm --config {GENERATOR} --data {RUNS}/data --output_dir {RUNS}/ddpm --total_images {GENERATOR_IMAGES} --mixed_precision {PRECISION} {GENERATOR_OPTIONS}"
log_file = Path(f"{RUNS}/ddpm/metrics.jsonl")

training = subprocess.Popen(shlex.split(command))
while training.poll() is None and not (log_file.exists() and log_file.read_text().count("\n") >= INTERRUPT_AFTER):
    time.sleep(0.1)
training.terminate()
training.wait()
with FileLock(log_file.with_name(".lock")):  # its processes hold this until their checkpoint is written
    interrupted_at = pd.read_json(log_file, lines=True)["images_seen"].max()
print(f"interrupted after {interrupted_at:,} of {GENERATOR_IMAGES:,} images")

# %%
# !{command}

# %% [markdown]
# The loss goes on where it was:

# %%
log = pd.read_json(log_file, lines=True)
before, after = log[log["images_seen"] <= interrupted_at], log[log["images_seen"] >= interrupted_at]
axes = before.plot(x="images_seen", y="loss", label="until the interruption", figsize=(6, 2.5))
axes.axvline(interrupted_at, color="grey", linestyle=":")
axes = after.plot(x="images_seen", y="loss", label="gone on", ax=axes, ylabel="loss", xlabel="images seen")

# %% [markdown]
# ## More of the rare class
#
# The first of them by seed, not picked.

# %%
# !galaxy-diffusion generate --model {RUNS}/ddpm --num_images {RARE}={GENERATED} --output_dir {RUNS}/generated --grid true --mixed_precision {PRECISION} {GENERATE_OPTIONS}

# %%
Shown(filename=f"{RUNS}/generated/grid.png")

# %% [markdown]
# ## Copies?
#
# A copy of a training galaxy would teach nothing. `evaluate_images.py` searches for them at any angle; with the extra `fidelity` it also
# compares what nets see in real and generated galaxies, with `morphology` their shapes.

# %%
# !galaxy-diffusion evaluate --real {RUNS}/data --generated {RUNS}/generated --output_dir {RUNS}/fidelity --nets [] --morphology false --probe false

# %%
found = json.loads(Path(f"{RUNS}/fidelity/fidelity.json").read_text())
pd.DataFrame(found[RARE]).T[["value", "low", "high", "floor", "n_generated"]]

# %% [markdown]
# ## A classifier without and with them
#
# Everything else is the same: the settings, the number of steps, the test galaxies, none of which the generator has seen.

# %%
# !galaxy-diffusion train-classifier --config {CLASSIFIER} --data {RUNS}/data --output_dir {RUNS}/without --resolution {RESOLUTION} --total_images {CLASSIFIER_IMAGES} --mixed_precision {PRECISION}

# %%
# !galaxy-diffusion train-classifier --config {CLASSIFIER} --data {RUNS}/data --output_dir {RUNS}/with --resolution {RESOLUTION} --total_images {CLASSIFIER_IMAGES} --mixed_precision {PRECISION} --augment_with {RUNS}/generated

# %%
without, augmented = (pd.read_csv(f"{RUNS}/{arm}/predictions.csv") for arm in ("without", "with"))
for name, table in (("without", without), ("with", augmented)):
    print(f"\n{name} generated galaxies: rows true, columns predicted")
    print(pd.crosstab(table["label"], table["prediction"]))

# %% [markdown]
# The difference, on the same test galaxies, with a 95 % interval from drawing these galaxies anew. The first figure is the average
# precision of the rare class, because it does not depend on how common the class is in training, which generated images change. One training
# of each is a hint: [reading a study](03_reading_a_study.ipynb) says why.

# %%
from galaxy_diffusion.study.bootstrap import drawn_weights
from galaxy_diffusion.study.endpoints import average_precision

labels = without["label"].astype("category").cat.codes.to_numpy()
weights = np.concatenate([np.ones((1, len(labels))), drawn_weights(labels, 2000, np.random.default_rng(0))])
rare = (without["label"] == RARE).to_numpy()
precision = [average_precision(table[f"p_{RARE}"].to_numpy(), rare, weights) for table in (without, augmented)]
difference, low, high = (
    precision[1][0] - precision[0][0],
    *np.quantile((precision[1] - precision[0])[1:], [0.025, 0.975]),
)
print(f"average precision of {RARE}: {precision[0][0]:.3f} without, {precision[1][0]:.3f} with")
print(f"difference {difference:+.3f} [{low:+.3f}, {high:+.3f}], {rare.sum()} test galaxies of the class")

# %% [markdown]
# ## The survey
#
# Whole files, as a survey gives them: they are cropped as in the training. The table is a VOTable, which TOPCAT opens; `.fits`, `.csv` and
# `.parquet` work as well.

# %%
# !galaxy-diffusion predict --model {RUNS}/with --images {FOLDER} --output {RUNS}/found.vot

# %%
from astropy.table import Table

found = Table.read(f"{RUNS}/found.vot").to_pandas().sort_values(f"probability_{RARE}", ascending=False)
found[["file_name", "predicted_class", f"probability_{RARE}", "entropy"]].head(12)

# %%
from gz2_dataset.crop import prepare_image
from gz2_dataset.images import decode

best = [
    prepare_image(decode((Path(FOLDER) / name).read_bytes()), RESOLUTION, train.center_crop)
    for name in found["file_name"][:12]
]
show(np.stack(best)[None], 1)

# %% [markdown]
# `found.html` beside it shows the most probable galaxies of each class. In Colab: `from google.colab import files; files.download("runs/found.vot")`.
