"""Make a trained model small enough to ship: averaged weights in half precision, with its records and its card.

python pretrained/ship.py --model runs/galaxies_64 --output_dir pretrained/galaxies-64
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from galaxy_diffusion.evaluation.quartiles import class_quartiles, write_quartiles
from galaxy_diffusion.generators.model_folder import save_in_half_precision
from gz2_dataset import load_arrays
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import run


@dataclass
class Config:
    """What to ship."""

    model: Path
    """Output folder of train_ddpm.py."""
    output_dir: Path
    """Becomes a pipeline folder, which every command loads in full precision again."""
    fidelity: Path | None = None
    """Output folder of evaluate_images.py, whose table goes into the card."""
    shapes_of: str | None = None
    """The data of the training: the shapes of its galaxies go into real_shapes.csv, which app.py shows."""


def main(config: Config) -> None:
    save_in_half_precision(config.model, config.output_dir)
    if config.fidelity:
        card = config.output_dir / "README.md"
        measured = (config.fidelity / "fidelity.md").read_text()
        write_whole(card, f"{card.read_text().rstrip()}\n\n## Beside real galaxies\n\n{measured}")
    if config.shapes_of:
        resolution = json.loads((config.output_dir / "run.json").read_text())["config"]["resolution"]
        write_quartiles(config.output_dir, class_quartiles(load_arrays(config.shapes_of, "train", resolution, jpeg=True)))
    size = sum(path.stat().st_size for path in config.output_dir.rglob("*") if path.is_file())
    print(f"model: {config.output_dir} ({size / 1e6:.1f} MB)")


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
