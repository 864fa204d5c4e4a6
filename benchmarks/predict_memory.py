"""Memory of predict.py over many files: run, killed at half and run again, with the same bytes in the end?

    taskset -c 1 python benchmarks/predict_memory.py --model DIR --work_dir WORK --num_images 100000

The files are hard links to a few drawn pictures of 64 px, so that nothing but the run itself grows.
"""

import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.watching import Look, blurred_noise, watch  # noqa: E402
from galaxy_diffusion.shared.run_folder import write_json  # noqa: E402
from gz2_dataset import UserError  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402
from gz2_dataset.ranges import Checked, at_least  # noqa: E402

LINKS_OF_A_FILE = 25_000


@dataclass
class Config(Checked):
    """Settings of the measurement."""

    model: Path
    """A folder of train_classifier.py."""
    work_dir: Path
    """Receives the links, both catalogues and memory.json."""
    num_images: int = field(default=100_000, metadata=at_least(10_000))
    """Files."""


def main(config: Config) -> None:
    images = config.work_dir / "images"
    if images.exists():
        raise UserError(f"{images}: exists; give another --work_dir")
    images.mkdir(parents=True)
    for start in range(0, config.num_images, LINKS_OF_A_FILE):
        first = images / f"{start:07d}.jpg"
        blurred_noise(first, start)
        for i in range(start + 1, min(start + LINKS_OF_A_FILE, config.num_images)):
            (images / f"{i:07d}.jpg").hardlink_to(first)

    killed, resumed = (watched(config, "killed.csv", share) for share in (0.5, 1))
    whole = watched(config, "whole.csv", 1)
    same = (config.work_dir / "killed.csv").read_bytes() == (config.work_dir / "whole.csv").read_bytes()
    print(f"killed at half and run again: {'the same bytes' if same else 'OTHER BYTES'}")
    record = {"killed": killed, "resumed": resumed, "whole": whole, "same_bytes": same}
    write_json(config.work_dir / "memory.json", provenance(config) | record)


def watched(config: Config, output: str, share: float) -> list[Look]:
    """Run predict.py, killed when it has this share of its parts; what was seen of it."""
    parts = config.work_dir / f"{Path(output).stem}.run/parts"
    command = [ROOT / "predict.py", "--model", config.model, "--batch_size", 256, "--output", config.work_dir / output]

    def done() -> int:
        return max((int(path.stem[13:]) for path in parts.glob("[0-9]*.npz")), default=0)

    killed_at = share * config.num_images if share < 1 else math.inf
    looks = watch([*command, "--images", config.work_dir / "images"], done, killed_at)
    tenths = {10 * look.done // config.num_images: look.memory for look in looks}
    steps = ", ".join(f"{10 * tenth} % {memory:.3f}" for tenth, memory in tenths.items())
    print(f"{output}: GB by images done: {steps}; at most {max(look.memory for look in looks):.3f}", flush=True)
    return looks


if __name__ == "__main__":
    run(main, Config, __doc__)
