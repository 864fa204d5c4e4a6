"""Compare generated images with real ones, class by class, and look for copies of training images."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from galaxy_diffusion import fidelity, fidelity_figures
from galaxy_diffusion.copies import find_copies
from galaxy_diffusion.features import features, load_net
from galaxy_diffusion.floors import MIN_IMAGES, compare
from galaxy_diffusion.real_and_generated import load_real_and_generated
from galaxy_diffusion.run_state import write_json
from gz2_dataset import UserError
from gz2_dataset.command_line import provenance, run

SHOWN = 12
"""Images in a row of a picture."""


@dataclass
class Config:
    """What to compare.

    Attributes
    ----------
    real : str
        Data of the generator: folder of python -m gz2_dataset build, Hub id, or a folder of images a class.
    generated : str
        Output folder of generate.py.
    output_dir : Path
        Becomes a folder with fidelity.json, fidelity.md, copies.csv and pictures.
    nets : list[str]
        Feature nets. With inception come FID, KID, precision, recall, density and coverage; any other
        (efficientnet_lite0, dinov2, a timm name, the folder of a classifier) adds a Fréchet distance of that name.
    center_crop : int
        Side in pixels of the central square kept of each real image, as in the generator's training.
    batch_size : int
        Images at a time; has no influence on the figures.
    seed : int
        Of the random splits and groups behind floors and intervals.
    """

    real: str
    generated: str
    output_dir: Path
    nets: list[str] = field(default_factory=lambda: ["inception"])
    center_crop: int = 224
    batch_size: int = 64
    seed: int = 0


def main(config: Config) -> None:
    pair = load_real_and_generated(config.real, config.generated, config.center_crop)
    sets = pair.sets(config.seed)
    results = {name: {} for name in sets}

    for net in config.nets:
        vectors = [features(images, net, config.batch_size) for images in (pair.real.images, pair.generated.images)]
        net_name = load_net(net).name
        estimates = partial(fidelity.estimates, net=net_name, seed=config.seed)
        values = partial(fidelity.values, net=net_name)
        for name, chosen in sets.items():
            figures = compare(estimates, values, *vectors, chosen, f"{net_name}, {name}", config.seed)
            if not figures:
                print(f"{name}: fewer than {MIN_IMAGES} images a side, so no figures of {net_name}")
            if results[name].keys() & figures.keys():
                raise UserError(f"nets: two of them are a {net_name}, so their figures would share a name; give one")
            results[name] |= figures

    copies = find_copies(pair)
    for name in sets:
        results[name] |= copies.rates(pair.rows(name))

    output = config.output_dir
    write_json(output / "fidelity.json", results)
    write(output / "fidelity.md", fidelity_figures.summary(results).markdown.encode())
    write(output / "copies.csv", copies.table().to_csv(index=False).encode())
    write(output / "fidelity.png", fidelity_figures.beside_floor(results))
    write(output / "samples.png", fidelity_figures.samples(pair, SHOWN // 2))
    write(output / "copies.png", fidelity_figures.relative_distances(copies))
    for name, pairs in copies.closest(SHOWN).items():
        write(output / f"nearest_{name}.png", fidelity_figures.nearest_pairs(*pairs, name))
    found = {"threshold": copies.threshold, "expected_false_positives": copies.false_positives}
    write_json(output / "run.json", {**provenance(config), "copies": found})
    print(f"figures: {output / 'fidelity.md'}")


def write(path: Path, content: bytes) -> None:
    """Write aside and rename."""
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)


if __name__ == "__main__":
    run(main, Config, __doc__)
