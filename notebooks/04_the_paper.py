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
# # The paper, from Kaggle to its tables and figures
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/USER/galaxy-diffusion/blob/main/notebooks/04_the_paper.ipynb)
#
# Zhao, Wang & Lv, *High-Resolution Galaxy Image Generation Based on Diffusion Models*: 61,578 galaxies at 224 px, a diffusion model and a SAGAN,
# 5,163 generated cigars, six classifiers. **This takes days of a large GPU.** What it costs is measured before anything starts; every step
# continues after an interruption when its cell is run again.

# %%
REPOSITORY = "USER/galaxy-diffusion"  # @param {type:"string"}

import importlib.util
from importlib.metadata import version
from pathlib import Path

if importlib.util.find_spec("galaxy_diffusion") is None:
    # Colab's torch fits the driver of its GPUs, so pip is told to leave it as it is.
    Path("keep.txt").write_text("".join(f"{name}=={version(name)}\n" for name in ("torch", "torchvision")))
    # !pip install --quiet -c keep.txt "galaxy-diffusion[kaggle,mock,study] @ git+https://github.com/{REPOSITORY}"
print("galaxy-diffusion", version("galaxy-diffusion"), "with torch", version("torch"))

# %%
import torch

from galaxy_diffusion.shared.machine import gpu_precision

PRECISION = gpu_precision()  # bf16, or fp16 on a T4, which has no bf16; "no" without a GPU
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU:", "mixed precision", PRECISION)

# %% tags=["parameters"]
DATA_DIR = ""  # @param {type:"string"}
STUDY = "study_paper"  # @param {type:"string"}
GENERATOR = "ddpm_224"  # @param {type:"string"}
PRICE_PER_HOUR = 2.0  # @param {type:"number"}
BUILD_OPTIONS = "--validation_per_class 0"
RUN = False  # @param {type:"boolean"}

# %% [markdown]
# ## Login
#
# The images are those of the [Galaxy Zoo challenge](https://www.kaggle.com/c/galaxy-zoo-the-galaxy-challenge): accept its rules there with your
# account, make a token under Settings, and enter it here. Not needed if `DATA_DIR` is a folder or zip with the competition's files.

# %%
if not DATA_DIR:
    import kagglehub

    from gz2_dataset.sources.kaggle import download_from_kaggle

    kagglehub.login()
    DATA_DIR = download_from_kaggle()
print(DATA_DIR)

# %% [markdown]
# ## The galaxies: Table 1
#
# The paper's rules on the votes, and the counts.

# %%
# !galaxy-diffusion data build --data_dir {DATA_DIR} --output runs/cost_data {BUILD_OPTIONS}

# %% [markdown]
# ## What it costs, before anything starts
#
# The arithmetic of the generator's training is counted and its speed measured on this machine.

# %%
# told = !galaxy-diffusion train-ddpm --config {GENERATOR} --data runs/cost_data --output_dir runs/cost --mixed_precision {PRECISION} --dry_run true
cost = [line for line in told if line.startswith(("parameters:", "arithmetic:", "memory", "time:"))]
print(*cost or told, sep="\n")

# %%
import re

from galaxy_diffusion.__main__ import find_preset
from galaxy_diffusion.study.arms import planned_runs, read_preset

preset = read_preset(Path(find_preset(STUDY)))
hours = float(re.search(r"about ([\d,.]+) hours", " ".join(cost))[1].replace(",", ""))
print(f"generator: {hours:,.1f} hours, {hours * PRICE_PER_HOUR:,.0f} at {PRICE_PER_HOUR:g} an hour")
print(f"classifiers: {len(planned_runs(preset)):,} trainings besides")

# %% [markdown]
# The classifiers: one training of the smallest, on a few images, says how fast this machine is; multiply by the number above. The study below
# trains all of them; take arms and seeds out of a copy of its preset to make it cheaper.

# %% [markdown]
# ## The study
#
# Generators, generated images, classifiers, report, in their order. Set `RUN`, and run the cell again after every interruption.

# %%
options = "" if RUN else "--dry-run --quiet rules host"
# !galaxy-diffusion study --config {STUDY} {options}

# %% [markdown]
# ## Tables 1 to 4 and Figures 3 to 5

# %%
report = Path(preset["output_dir"]) / "report"
tables = sorted(report.glob("table*.csv"))
print(*[path.name for path in tables] or ["no report yet"], sep="\n")

# %%
import pandas as pd
from IPython.display import Image, display

for path in tables[:4]:
    display(path.stem, pd.read_csv(path).head(12))
for figure in sorted(report.glob("figure[345].png")):
    display(Image(filename=figure))

# %% [markdown]
# `report/index.html` is the whole report. What the paper leaves open, and its misprints, is said in the presets.
