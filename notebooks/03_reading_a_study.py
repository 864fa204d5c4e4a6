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
# # Reading a study
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/USER/galaxy-diffusion/blob/main/notebooks/03_reading_a_study.ipynb)
#
# What the tables and figures of a report say, and what they do not: intervals, the class prior, controls, power. With the published figures
# of [a study on real galaxies](../docs/results/gz2_real_64/README.md), in which the rare class has 41 galaxies to learn from and 19 to be
# judged by. Five minutes, no GPU.

# %%
REPOSITORY = "USER/galaxy-diffusion"  # @param {type:"string"}

import importlib.util
from importlib.metadata import version
from pathlib import Path

if importlib.util.find_spec("galaxy_diffusion") is None:
    # Colab's torch fits the driver of its GPUs, so pip is told to leave it as it is.
    Path("keep.txt").write_text("".join(f"{name}=={version(name)}\n" for name in ("torch", "torchvision")))
    # !pip install --quiet -c keep.txt "galaxy-diffusion[test] @ git+https://github.com/{REPOSITORY}"
print("galaxy-diffusion", version("galaxy-diffusion"), "with torch", version("torch"))

# %%
import torch

from galaxy_diffusion.shared.machine import gpu_precision

PRECISION = gpu_precision()  # bf16, or fp16 on a T4, which has no bf16; "no" without a GPU
print(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU:", "mixed precision", PRECISION)

# %% tags=["parameters"]
RESULTS = ""  # @param {type:"string"}
REPLICATES = 4000  # @param {type:"integer"}

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from galaxy_diffusion.shared.names import arm_title
from galaxy_diffusion.shared.shipped import HOME

local = HOME / "docs/results/gz2_real_64"
online = f"https://raw.githubusercontent.com/{REPOSITORY}/main/docs/results/gz2_real_64"
results = RESULTS or (str(local) if local.is_dir() else online)
comparisons, endpoints = (
    pd.read_csv(f"{results}/{name}.csv").query("backbone == 'mean of backbones'")
    for name in ("comparisons", "endpoints")
)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Did it help?
#
# Each line is one remedy minus training on the original galaxies, on the same test galaxies: the average precision of cigars, the first
# endpoint, with its 95 % interval. The grey ones were trained once: they are hints. **An interval that contains 0 is no evidence of a difference; it is
# not evidence of none.** "Diffusion" adds 442 generated cigars to the 41 real ones; "Duplicates" repeats the real ones as often.

# %%
cigars = comparisons.query("reference == 'original'").sort_values("difference")
figure, axes = plt.subplots(figsize=(7, 6))
for place, row in enumerate(cigars.itertuples()):
    colour = "tab:blue" if row.seeds > 1 else "0.65"
    axes.plot([row.low, row.high], [place, place], color=colour)
    axes.plot(row.difference, place, "o", color=colour)
axes.axvline(0, color="0.3", linewidth=0.8)
_ = axes.set(
    yticks=range(len(cigars)),
    yticklabels=[arm_title(arm) for arm in cigars["arm"]],
    xlabel="average precision of cigars, minus that of the original training set",
)

# %% [markdown]
# ## What an interval is
#
# 19 test cigars, of which a classifier finds 9. Draw 19 of them with replacement, again and again: how far does the share of those found
# move? That is how much of it is luck of the draw.

# %%
found = np.arange(19) < 9
drawn = rng.choice(found, size=(REPLICATES, 19)).mean(axis=1)
low, high = np.quantile(drawn, [0.025, 0.975])
figure, axes = plt.subplots(figsize=(6, 2.5))
axes.hist(drawn, bins=np.arange(-0.5, 20) / 19, color="tab:blue")
_ = axes.set(xlabel="share of the cigars that are found", ylabel="draws")
print(f"{found.mean():.2f} [{low:.2f}, {high:.2f}]: with 19 galaxies a recall is known to about {(high - low) / 2:.2f}")

# %% [markdown]
# If none of the 19 is found, every draw gives 0 and the interval has no width, which cannot be right. Wilson's interval does better, and
# the project's tables never print an interval of no width.

# %%
from galaxy_diffusion.evaluation.jackknife import share_interval

nothing = share_interval(0.0, 0.0, 19)
print(f"0 of 19: {nothing.value:.2f} [{nothing.low:.2f}, {nothing.high:.2f}]")

# %% [markdown]
# ## Why one seed is a hint
#
# Two trainings that differ in nothing but their seed do not make the same classifier. Below, a remedy that does nothing: the true recall of
# each training scatters by 0.08 around the same 0.45, and 19 cigars judge it. How often does it look 0.1 better than the original, with one seed
# of each and with five?


# %%
def looks_better(seeds):
    true = rng.normal(0.45, 0.08, size=(2, REPLICATES, seeds)).clip(0, 1)
    recall = rng.binomial(19, true).mean(axis=2) / 19
    return (recall[1] - recall[0] >= 0.1).mean()


for seeds in (1, 5):
    print(f"{seeds} seed{'s' if seeds > 1 else ''}: looks 0.1 better in {looks_better(seeds):.0%} of studies")

# %% [markdown]
# ## The class prior
#
# Adding generated cigars makes cigars more common in training. A classifier that has learned *nothing new* then says "cigar" more often, and
# F1 at the largest probability rises. Below, one and the same score for 19 cigars and 400 others; only the prior is changed, which is what the project
# calls the free remedy. F1 moves; the average precision, which asks only for the order, does not. That is why it is the first endpoint.

# %%
from sklearn.metrics import average_precision_score, f1_score

from galaxy_diffusion.prediction.probabilities import predict, prior_shift

is_cigar = np.arange(419) < 19
evidence = rng.normal(np.where(is_cigar, 2.0, 0.0), 1.2)
trained_with = np.log([41 / 2804, 2763 / 2804])
logits = np.stack([evidence, np.zeros(419)], axis=1) + trained_with
for cigars_share in (41 / 2804, 0.05, 0.15, 0.3):
    shift = prior_shift(np.array([cigars_share, 1 - cigars_share]), trained_with[None])
    said = predict(logits[None], shift=shift).mean[:, 0]
    print(
        f"cigars are {cigars_share:5.1%}: F1 {f1_score(is_cigar, said > 0.5):.2f}, "
        f"average precision {average_precision_score(is_cigar, said):.3f}"
    )

# %% [markdown]
# The same in the study: with whatever makes cigars more common F1 rises from 0; what the average precision does is another question.

# %%
of_cigars = endpoints.query("galaxy_class == 'cigar_shaped_smooth'")
shown = of_cigars.pivot(index="arm", columns="metric", values="value")[["f1", "average_precision"]]
shown.rename(index=arm_title).sort_values("average_precision").round(2)

# %% [markdown]
# ## Controls: compared with what?
#
# "Better than nothing" is a low bar: repeating the 41 real cigars costs nothing and gives the same prior. What counts is the difference to the
# cheap remedies. Read it together with how long the nets were trained: after three times as many images repeats gave the fine-tuned net no more
# than could be seen ([the study](../docs/results/gz2_real_64/README.md), "Trained three times as long").

# %%
rivals = comparisons.query("arm == 'diffusion' and reference != 'original'")
rivals[["reference", "seeds", "difference", "low", "high", "p_holm", "outcome"]].round(3).set_index("reference")

# %% [markdown]
# ## Power: how many cigars would you need?
#
# `detectable` is the difference that this study finds with 80 % power. It shrinks with the root of the number of test galaxies.

# %%
question = cigars.set_index("arm").loc["diffusion"]
for wanted in (0.2, 0.1, 0.05):
    needed = int(np.ceil(question["n"] * (question["detectable"] / wanted) ** 2))
    print(
        f"to find a difference of {wanted:.2f} in average precision: about {needed:,} test cigars, instead of {question['n']:.0f}"
    )

# %% [markdown]
# Few rare galaxies? `galaxy-diffusion data build --num_folds 5 --fold 0` to `4` builds five datasets with disjoint test galaxies, so that each
# is tested once, and `galaxy-diffusion report --study A B C D E` pools them. Or ask a common class that was
# [made rare on purpose](../docs/data.md#a-class-made-rare-on-purpose).
