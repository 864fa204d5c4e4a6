"""How the generator trained: its loss, and what it drew along the way."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from galaxy_diffusion.shared.drawing import DPI, PALE, SKY, chart, photograph, plain, read_picture


def training_loss(images_seen: np.ndarray, loss: np.ndarray) -> bytes:
    """The generator's loss and its running mean against images seen."""
    figure = Figure(figsize=(11.6, 2.8), layout="constrained")
    axes = figure.subplots()
    smooth = pd.Series(loss).rolling(max(1, len(loss) // 30), min_periods=1).mean()
    axes.plot(images_seen, loss, color="#b9c3d6", linewidth=0.8, label="as logged")
    axes.plot(images_seen, smooth, color="#2457c5", linewidth=1.8, label="running mean")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel("Training images seen")
    axes.set_ylabel("Loss")
    axes.legend(frameon=False, fontsize=9)
    plain(axes)
    return chart(figure)


def sample_history(files: list[Path], at_most: int = 4) -> bytes:
    """Some sample sheets of a training, evenly spaced from first to last, labelled with the images seen by then."""
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, at_most).round().astype(int))]
    sheets = [read_picture(file) for file in chosen]
    width, title_height = 310, 24
    height = width * sheets[0].shape[0] / sheets[0].shape[1]
    size = len(chosen) * width / DPI, (height + title_height) / DPI
    figure = Figure(figsize=size, facecolor=SKY)
    for axes, file, sheet in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, sheets, strict=True):
        axes.imshow(sheet, interpolation="lanczos")
        axes.set_title(f"{int(file.stem):,} images", color=PALE, fontsize=9)
        axes.axis("off")
    figure.subplots_adjust(0.005, 0.005, 0.995, height / (height + title_height), wspace=0.02)
    return photograph(figure, bits=5)
