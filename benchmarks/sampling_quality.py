"""Quality against steps for every scheduler: KID of each class against the galaxies that the model has learned from.

Against its own training galaxies a model looks better than it is, but every setting does so alike: this compares
samplers of one model, not models. To go on after an interruption, run the same command again.

Rule: a setting is not worse than the reference (ddpm, the most steps) when its KID, averaged over the classes, is not
above the upper end of the reference's 95 % interval, and in no class does its whole interval lie above the reference's.
The choice is the setting that is not worse with the fewest calls of the UNet.
"""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.drawn_images import drawn_images
from galaxy_diffusion.evaluation.distances import kid
from galaxy_diffusion.evaluation.features import inception_features
from galaxy_diffusion.evaluation.jackknife import Estimate
from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE
from galaxy_diffusion.sampling.schedulers import SCHEDULERS
from galaxy_diffusion.sampling.seeded_images import check_sampler, load_pipeline, weights_hash
from galaxy_diffusion.shared.run_folder import same_run, write_json
from gz2_dataset import load_arrays
from gz2_dataset.command_line import provenance, run


@dataclass
class Config:
    """Settings of the measurement.

    Attributes
    ----------
    model : str
        Output folder of train_ddpm.py or Hub id.
    data : str
        The data that it was trained with.
    output_dir : Path
        Gets results.jsonl (a line a setting), table.md and figure.png.
    num_images : int
        Generated images of each class, the same seeds for every setting.
    max_real : int
        Galaxies of each class that they are compared with, at most.
    schedulers : list[str]
        As in generate.py.
    steps : list[int]
        Denoising steps of each scheduler.
    reference_steps : int
        Denoising steps of ddpm as the reference.
    guidance_scale : float
        Weight of the class.
    center_crop : int
        As in training.
    batch_size : int
        Images at a time.
    torch_compile : bool
        Compile the UNet.
    seed : int
        Of the first image of each class.
    """

    model: str
    data: str
    output_dir: Path
    num_images: int = 500
    max_real: int = 1000
    schedulers: list[str] = field(default_factory=lambda: list(SCHEDULERS))
    steps: list[int] = field(default_factory=lambda: [5, 10, 15, 25, 50, 100, 250])
    reference_steps: int = 1000
    guidance_scale: float = DEFAULT_GUIDANCE
    center_crop: int = 224
    batch_size: int = 100
    torch_compile: bool = False
    seed: int = 0


def main(config: Config) -> None:
    device = PartialState().device
    pipeline = load_pipeline(config.model, "ddpm", device)
    class_names, resolution = pipeline.class_names, pipeline.image_shape[-1]
    real = load_arrays(config.data, "train", resolution, config.center_crop, jpeg=True)
    same = {key: getattr(config, key) for key in ("num_images", "max_real", "seed", "guidance_scale")}
    same |= {"checkpoint": weights_hash(pipeline), "data_fingerprint": real.fingerprint}
    same_run(config.output_dir / "settings.json", same)
    members = {c: np.flatnonzero(real.labels == real.class_names.index(c))[: config.max_real] for c in class_names}
    real_features = {c: inception_features(real.images[members[c]]) for c in class_names}
    seeds = range(config.seed, config.seed + config.num_images)
    unet = torch.compile(pipeline.unet) if config.torch_compile else pipeline.unet

    results = config.output_dir / "results.jsonl"
    rows = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    done = {(row["scheduler"], row["steps"]) for row in rows}
    reference = ("ddpm", config.reference_steps)
    wanted = [reference, *((name, steps) for steps in config.steps for name in config.schedulers)]
    for name, steps in tqdm([setting for setting in wanted if setting not in done], desc="settings"):
        pipeline = load_pipeline(config.model, name, device)
        pipeline.unet = unet
        check_sampler(pipeline, steps, 1.0, None)
        scores = {}
        for c in class_names:
            kept = config.output_dir / "images" / f"{name}-{steps}-{c}.npz"
            images = drawn_images(kept, pipeline, c, seeds, config.guidance_scale, steps, config.batch_size)
            sizes = {"n_real": len(real_features[c]), "n_generated": len(images)}
            scores[c] = asdict(kid(real_features[c], inception_features(images))) | sizes
        row = {
            "scheduler": name,
            "steps": steps,
            "unet_calls": len(pipeline.scheduler.timesteps),
            "kid": scores,
        }
        rows.append(row)
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")

    table = markdown(rows, reference)
    (config.output_dir / "table.md").write_text(table)
    plot(rows, reference, config.output_dir / "figure.png")
    write_json(config.output_dir / "run.json", provenance(config))
    print(table)


def mean_kid(row: dict) -> Estimate:
    """The mean over the classes, whose errors are independent of each other."""
    scores = list(row["kid"].values())
    value = float(np.mean([score["value"] for score in scores]))
    half = float(np.sqrt(sum(((score["high"] - score["low"]) / 2) ** 2 for score in scores)) / len(scores))
    return Estimate(value, value - half, value + half)


def not_worse(row: dict, than: dict) -> bool:
    """The rule at the top of this file."""
    overall = mean_kid(row).value <= mean_kid(than).high
    return overall and all(score["low"] <= than["kid"][name]["high"] for name, score in row["kid"].items())


def markdown(rows: list[dict], reference: tuple[str, int]) -> str:
    """The table, in 1000 KID, and what follows from it by the rule."""
    (than,) = [row for row in rows if (row["scheduler"], row["steps"]) == reference]
    names = list(than["kid"])
    lines = [
        f"| scheduler | steps | UNet calls | mean of classes | {' | '.join(names)} | not worse |",
        "|---|" + "---:|" * (len(names) + 3) + "---|",
    ]
    for row in sorted(rows, key=lambda row: (row["scheduler"], row["steps"])):
        scores = [mean_kid(row), *(Estimate(*(row["kid"][c][k] for k in ("value", "low", "high"))) for c in names)]
        cells = [f"{1e3 * s.value:.2f} [{1e3 * s.low:.2f}, {1e3 * s.high:.2f}]" for s in scores]
        verdict = "reference" if row is than else "yes" if not_worse(row, than) else "no"
        start = f"| {row['scheduler']} | {row['steps']} | {row['unet_calls']} | "
        lines.append(f"{start}{' | '.join(cells)} | {verdict} |")
    good = [row for row in rows if not_worse(row, than)]
    best = min(good, key=lambda row: (row["unet_calls"], mean_kid(row).value))
    sizes = ", ".join(f"{c} {than['kid'][c]['n_real']}" for c in names)
    n = than["kid"][names[0]]["n_generated"]
    return "\n".join(
        [
            *lines,
            "",
            f"1000 KID with 95 % intervals; {n} generated images a class; real ones: {sizes}.",
            f"{len(rows) - 1} settings were compared with the reference, {reference[0]} with {reference[1]} steps.",
            f"Fewest calls that are not worse: {best['scheduler']} with {best['steps']} steps.",
            "",
        ]
    )


def plot(rows: list[dict], reference: tuple[str, int], path: Path) -> None:
    """Mean KID against steps, a line a scheduler, and the reference as a band."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name in dict.fromkeys(row["scheduler"] for row in rows):
        mine = sorted((row for row in rows if row["scheduler"] == name), key=lambda row: row["steps"])
        scores = [mean_kid(row) for row in mine]
        half = [1e3 * (score.high - score.value) for score in scores]
        values = [1e3 * score.value for score in scores]
        axes.errorbar([row["steps"] for row in mine], values, half, marker="o", capsize=3, label=name)
    (than,) = [mean_kid(row) for row in rows if (row["scheduler"], row["steps"]) == reference]
    label = f"{reference[0]}, {reference[1]} steps, 95 %"
    axes.axhspan(1e3 * than.low, 1e3 * than.high, color="0.85", zorder=0, label=label)
    axes.set_xscale("log")
    axes.set_xticks(sorted({row["steps"] for row in rows}))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Denoising steps")
    axes.set_ylabel("1000 KID, mean of the classes")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    with torch.inference_mode():
        run(main, Config, __doc__)
