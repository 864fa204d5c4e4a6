"""Images per second of predict.py against timm's own way to classify a folder, with the same net and the same files.

    taskset -c 1 python benchmarks/predict_throughput.py --model DIR --images FOLDER --output OUT.json

timm's script inference.py is not in its package; what it does is done here with the functions it is made of:
create_dataset, create_loader, the net, softmax, the five most probable classes. Its transform cuts and resizes as the
config.json of the classifier says; predict.py also compresses each image as the training did, and saves its results.
Both take turns in one process with the same net, in channels_last; seconds are those of the processor, which other
programs on the machine disturb less than the clock's.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.stats import bootstrap
from timm.data import create_dataset, create_loader

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import predict  # noqa: E402
from galaxy_diffusion.prediction.ensemble import Ensemble, load_ensemble  # noqa: E402
from galaxy_diffusion.prediction.parts import Parts  # noqa: E402
from galaxy_diffusion.prediction.survey import open_survey  # noqa: E402
from galaxy_diffusion.shared.classifier_folder import read_classifier  # noqa: E402
from galaxy_diffusion.shared.machine import use_all_cores  # noqa: E402
from galaxy_diffusion.shared.run_folder import write_json  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402
from gz2_dataset.ranges import Checked, at_least  # noqa: E402


@dataclass
class Config(Checked):
    """Settings of the comparison."""

    model: Path
    """A folder of train_classifier.py."""
    images: Path
    """A folder of JPEG or PNG images."""
    output: Path
    """JSON file of the result."""
    turn: int = field(default=256, metadata=at_least(1))
    """Images of a turn."""
    turns: int = field(default=11, metadata=at_least(2))
    """Turns of each; the first is not counted."""
    batch_size: int = field(default=64, metadata=at_least(1))
    """Images at a time."""


def main(config: Config) -> None:
    use_all_cores()
    ensemble = load_ensemble([str(config.model)], torch.device("cpu"))
    prepared = read_classifier(config.model).config.pretrained_cfg
    files = sorted(path for path in config.images.iterdir() if path.is_file())
    seconds: dict[str, list[float]] = {"predict.py": [], "timm": []}
    for turn in range(config.turns):
        chosen = [files[i % len(files)] for i in range(turn * config.turn, (turn + 1) * config.turn)]
        with tempfile.TemporaryDirectory() as folder:
            links = Path(folder) / "images"
            links.mkdir()
            for i, path in enumerate(chosen):
                (links / f"{i:06d}{path.suffix}").symlink_to(path.resolve())
            survey = open_survey(str(links), "file_name")
            settings = predict.Config([str(config.model)], str(links), Path(folder) / "out.csv")
            settings.batch_size, settings.num_workers = config.batch_size, 1
            parts = Parts(Path(folder) / "parts", len(survey))
            seconds["predict.py"].append(timed(partial(predict.classify, settings, ensemble, survey, parts)))
            seconds["timm"].append(timed(partial(its, config, ensemble, prepared, links)))
    rates = {name: config.turn / np.array(values[1:]) for name, values in seconds.items()}
    for name, values in rates.items():
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        print(f"{name:12s} {middle:8.1f} images per second of a core ({low:.1f} to {high:.1f} in 9 of 10 turns)")
    pair = np.array(seconds["timm"][1:]), np.array(seconds["predict.py"][1:])
    low, high = bootstrap(
        pair, lambda a, b: a.sum(-1) / b.sum(-1), paired=True, vectorized=False, rng=0
    ).confidence_interval
    ratio = pair[0].sum() / pair[1].sum()
    print(f"predict.py does {ratio:.3f} [{low:.3f}, {high:.3f}] times as many, {config.turns - 1} pairs of turns")
    found = {"seconds_a_turn": seconds, "ratio": ratio, "ratio_low": low, "ratio_high": high}
    write_json(config.output, provenance(config) | found)


@torch.inference_mode()
def its(config: Config, ensemble: Ensemble, prepared: dict, images: Path) -> None:
    """What timm's script does; ``prepared`` says how the net wants its images."""
    net = ensemble.members[0].net
    keys = ("input_size", "interpolation", "mean", "std", "crop_pct")
    loader = create_loader(
        create_dataset(name="", root=str(images)),
        batch_size=config.batch_size,
        num_workers=0,
        persistent_workers=False,
        device=torch.device("cpu"),
        **{key: prepared[key] for key in keys},
    )
    found = []
    for batch, _ in loader:
        probabilities = net(batch.contiguous(memory_format=torch.channels_last)).softmax(-1)
        found.append([values.numpy() for values in probabilities.topk(min(5, probabilities.shape[1]))])


def timed(work: Callable[[], object]) -> float:
    """Seconds of the processor, in all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    run(main, Config, __doc__)
