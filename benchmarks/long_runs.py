"""Memory and open files of a long training and a long generation of a tiny net: does either grow?

    taskset -c 1 python benchmarks/long_runs.py --output_dir OUT --steps 20000 --num_images 20000

Ends with status 1 if either grows by more than its limit over the last half of a run.
"""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.watching import Look, blurred_noise, growth, last_half, watch  # noqa: E402
from galaxy_diffusion.shared.drawing import chart  # noqa: E402
from galaxy_diffusion.shared.run_folder import write_json  # noqa: E402
from gz2_dataset import UserError  # noqa: E402
from gz2_dataset.aside import write_whole  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402
from gz2_dataset.ranges import Checked, at_least  # noqa: E402

CLASSES, PICTURES = ("round", "spiral"), 50
BATCH = 8
NET = {"resolution": 8, "patch_size": 1, "block_out_channels": [8], "attention_levels": []}
"""What makes the net of the test preset smaller still."""


@dataclass
class Config(Checked):
    """Settings of the measurement."""

    output_dir: Path
    """Receives both runs, looks.csv, long_runs.png and long_runs.json; must not hold any."""
    steps: int = field(default=20_000, metadata=at_least(100))
    """Of the training."""
    num_images: int = field(default=20_000, metadata=at_least(100))
    """Images that are generated."""
    most_memory: float = field(default=10, metadata=at_least(0))
    """MB that the last half of a run may add."""
    most_files: int = field(default=1, metadata=at_least(0))
    """Open files that the last half of a run may add."""


def main(config: Config) -> None:
    if config.output_dir.exists() and any(config.output_dir.glob("[!.]*")):
        raise UserError(f"{config.output_dir}: is not empty; give another --output_dir")
    looks = {"train_ddpm.py": training(config), "generate.py": generation(config)}
    tables = [pd.DataFrame(seen).assign(script=script) for script, seen in looks.items()]
    write_whole(config.output_dir / "looks.csv", pd.concat(tables).to_csv(index=False))
    write_whole(config.output_dir / "long_runs.png", plot(looks))
    found = {script: record(seen) for script, seen in looks.items()}
    write_json(config.output_dir / "long_runs.json", provenance(config) | found)
    for script, entry in found.items():
        before, after = entry["from"], entry["to"]
        print(
            f"{script}: after a half {before['memory']:.3f} GB and {before['files']} files, at the end "
            f"{after['memory']:.3f} GB and {after['files']}; the line through the last half adds "
            f"{entry['added_mb']:+.1f} MB and {entry['added_files']:+.1f} files"
        )
    limits = {"added_mb": config.most_memory, "added_files": config.most_files}
    if grown := [script for script, entry in found.items() if any(entry[key] > limits[key] for key in limits)]:
        raise SystemExit(f"{' and '.join(grown)}: more than {config.most_memory} MB or {config.most_files} files added")


def training(config: Config) -> list[Look]:
    """Train on pictures of noise, with a checkpoint every 500 steps and four grids of samples."""
    data, output, total = config.output_dir / "pictures", config.output_dir / "model", config.steps * BATCH
    for label, name in enumerate(CLASSES):
        (data / name).mkdir(parents=True)
        for i in range(PICTURES):
            blurred_noise(data / name / f"{i}.jpg", PICTURES * label + i)
    rare = {"log_images": 100 * BATCH, "checkpoint_images": 500 * BATCH, "sample_images": total // 4}
    preset = yaml.safe_load((ROOT / "configs/ddpm_tiny.yaml").read_text()) | NET | rare
    (config.output_dir / "net.yaml").write_text(yaml.safe_dump(preset | {"batch_size": BATCH, "total_images": total}))

    def done() -> int:
        metrics = output / "metrics.jsonl"
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        return json.loads(lines[-1])["images_seen"] // BATCH if lines else 0

    options = ["--config", config.output_dir / "net.yaml", "--data", data, "--output_dir", output]
    return watch([ROOT / "train_ddpm.py", *options], done)


def generation(config: Config) -> list[Look]:
    """Draw images of both classes with the trained net, in two steps each."""
    output, each = config.output_dir / "images", config.num_images // len(CLASSES)

    def done() -> int:
        return sum(len(os.listdir(output / name)) for name in CLASSES if (output / name).exists())

    options = ["--model", config.output_dir / "model", "--num_images", each, "--num_inference_steps", 2]
    return watch([ROOT / "generate.py", *options, "--output_dir", output], done)


def record(looks: list[Look]) -> dict[str, Any]:
    """The last half of a run: what was seen at its beginning and end, and what the line through it adds."""
    half, (memory, files) = last_half(looks), growth(looks)
    return {"from": half[0]._asdict(), "to": half[-1]._asdict(), "added_mb": 1e3 * memory, "added_files": files}


def plot(looks: dict[str, list[Look]]) -> bytes:
    """Memory above and open files below, one column for each run."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    panels = figure.subplots(2, len(looks), sharex="col", squeeze=False)
    for column, (script, seen) in zip(panels.T, looks.items(), strict=True):
        done, memory, files, _ = zip(*seen, strict=True)
        for axes, values, title in zip(column, (memory, files), ("Resident memory in GB", "Open files"), strict=True):
            axes.plot(done, values, ".", markersize=3)
            axes.set_ylim(bottom=0)
            axes.set_ylabel(title)
        column[0].set_title(script)
        column[1].locator_params(axis="x", nbins=4)
        column[1].set_xlabel("Steps" if script.startswith("train") else "Images")
    return chart(figure)


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
