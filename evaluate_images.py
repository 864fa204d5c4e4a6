"""Compare generated images with real ones, class by class: fidelity, copies, morphology, labels and shortcuts."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxy_diffusion.evaluation import distances, figures, morphology_figures
from galaxy_diffusion.evaluation.copies import Copies, find_copies
from galaxy_diffusion.evaluation.features import features, load_net
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, compare
from galaxy_diffusion.evaluation.jackknife import rate_beside_floor
from galaxy_diffusion.evaluation.keep import Verdicts, within_class
from galaxy_diffusion.evaluation.label_agreement import Classifier, axis_ratio_agrees, load_independent
from galaxy_diffusion.evaluation.morphology import INSTALL, is_available, morphology
from galaxy_diffusion.evaluation.morphology_distances import compare_morphology, failures, morphology_table
from galaxy_diffusion.evaluation.pair import RealAndGenerated, load_real_and_generated
from galaxy_diffusion.evaluation.probe import pixel_features, probe, spectrum_features
from galaxy_diffusion.evaluation.saliency import mean_saliency, saliency_figure
from galaxy_diffusion.evaluation.section import fidelity_section
from galaxy_diffusion.evaluation.spectrum import power_spectra
from galaxy_diffusion.shared.image_folder import write_verdicts
from galaxy_diffusion.shared.names import class_title
from galaxy_diffusion.shared.run_folder import write_json
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import provenance, run

SHOWN = 12
"""Images in a row of a picture."""


@dataclass
class Config:
    """What to compare."""

    real: str
    """Data of the generator: folder of python -m gz2_dataset build, Hub id, or a folder of images a class."""
    generated: str
    """Output folder of generate.py."""
    output_dir: Path
    """Becomes a folder with fidelity.json, fidelity.md, copies.csv, morphology.csv and pictures."""
    nets: list[str] = field(default_factory=lambda: ["inception"])
    """Feature nets. With inception come FID, KID, precision, recall, density and coverage; any other
    (efficientnet_lite0, dinov2, a timm name, the folder of a classifier) adds a Fréchet distance of that name."""
    classifier: str | None = None
    """Output folder of train_classifier.py, trained without generated images: does it agree with the labels?"""
    morphology: bool | None = None
    """Measure every galaxy with statmorph, which takes about 0.4 s of a core each at 32 px, once; None: where it is
    installed."""
    probe: bool = True
    """Look for shortcuts: can a probe tell generated from real galaxies of a class?"""
    write_verdicts: bool = False
    """Write into the metadata.jsonl of the generated folder which images to keep; needs morphology."""
    center_crop: int = 224
    """Side in pixels of the central square kept of each real image, as in the generator's training."""
    batch_size: int = 64
    """Images at a time; has no influence on the figures."""
    seed: int = 0
    """Of the random splits and groups behind floors and intervals."""


class Findings:
    """What is found out about generated images, as it comes.

    Parameters
    ----------
    pair : RealAndGenerated
    seed : int
        Of the random splits.

    Attributes
    ----------
    sets : dict
        Rows of both sides that are compared, by class, and over all of them.
    by_class : dict of str to (ndarray of bool, ndarray of bool)
        All rows of a class, real and generated.
    results : dict
        Figures by set and metric.
    pictures : dict of str to bytes
    tables : dict of str to DataFrame
    shares : dict of str to (ndarray of bool, ndarray of bool)
        Whether something is true of each real and of each generated image.
    """

    def __init__(self, pair: RealAndGenerated, seed: int):
        self.pair, self.seed, self.sets = pair, seed, pair.sets(seed)
        self.by_class = {
            name: tuple(side.labels == side.class_names.index(name) for side in (pair.real, pair.generated))
            for name in pair.class_names
        }
        self.results: dict[str, dict] = {name: {} for name in self.sets}
        self.pictures: dict[str, bytes] = {}
        self.tables: dict[str, pd.DataFrame] = {}
        self.shares: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def of_both(self, measure: Callable[[GalaxyArrays], Any]) -> tuple[Any, Any]:
        """Measure the real and the generated galaxies alike."""
        return measure(self.pair.real), measure(self.pair.generated)

    def of_class(self, name: str, both: tuple[Any, Any]) -> tuple[Any, Any]:
        """The rows of a class among what was measured of both."""
        return tuple(values[rows] for values, rows in zip(both, self.by_class[name], strict=True))


def main(config: Config) -> None:
    measured = is_available() if config.morphology is None else config.morphology
    if config.write_verdicts and not measured:
        raise UserError(f"write_verdicts needs morphology; give --morphology true, and if it is missing: {INSTALL}")
    pair = load_real_and_generated(config.real, config.generated, config.center_crop)
    found = Findings(pair, config.seed)
    classifier = load_independent(Path(config.classifier), pair) if config.classifier else None

    for net in config.nets:
        compare_features(found, net, config.batch_size)
    copies = look_for_copies(found)
    compare_spectra(found)
    if measured:
        compare_shapes(found)
    else:
        print(f"no morphology, axis ratios and verdicts; for these: {INSTALL}")
    if classifier:
        ask_classifier(found, classifier)
    for name, metrics in found.results.items():
        for key, (of_real, of_generated) in found.shares.items():
            metrics[key] = rate_beside_floor(of_generated[pair.rows(name)], of_real[pair.unseen_rows(name)])
    if config.probe:
        look_for_shortcuts(found, config)
    found.pictures["fidelity"] = figures.beside_floor(found.results)

    record = {"copies": {"threshold": copies.threshold, "expected_false_positives": copies.false_positives}}
    if measured:
        verdicts = judge(found)
        record["filter"] = {name: verdicts.counts(pair.rows(name)) for name in found.sets}
        if config.write_verdicts:
            write_verdicts(Path(config.generated), verdicts.by_file(pair.generated.image_ids))
    save(found, config, record)


def compare_features(found: Findings, net: str, batch_size: int) -> None:
    """Distances between real and generated images in the features of a net."""
    vectors = found.of_both(lambda galaxies: features(galaxies.images, net, batch_size))
    net_name = load_net(net).name
    estimates = partial(distances.estimates, net=net_name, seed=found.seed)
    values = partial(distances.values, net=net_name)
    for name, chosen in found.sets.items():
        metrics = compare(estimates, values, *vectors, chosen, f"{net_name}, {name}", found.seed)
        if not metrics:
            print(f"{name}: fewer than {MIN_IMAGES} images a side, so no metrics of {net_name}")
        if found.results[name].keys() & metrics.keys():
            raise UserError(f"nets: two of them are a {net_name}, so their metrics would share a name; give one")
        found.results[name] |= metrics


def look_for_copies(found: Findings) -> Copies:
    """Nearest training galaxies, the rate of copies, and pictures of both kinds of image."""
    copies = find_copies(found.pair)
    found.pictures |= {
        "samples": figures.samples(found.pair, SHOWN // 2),
        "copies": figures.relative_distances(copies),
        **{f"nearest_{k}": figures.nearest_pairs(*p, k) for k, p in copies.closest(SHOWN).items()},
    }
    found.tables["copies"] = copies.table()
    for name, metrics in found.results.items():
        metrics |= copies.rates(found.pair.rows(name))
    return copies


def compare_spectra(found: Findings) -> None:
    """The power spectra of each class."""
    spectra = found.of_both(lambda galaxies: power_spectra(galaxies.images))
    found.pictures["power_spectra"] = morphology_figures.power_figure(
        {class_title(name): found.of_class(name, spectra) for name in found.by_class}
    )


def compare_shapes(found: Findings) -> None:
    """Distributions of what statmorph measures, and whether shapes are those of the class."""
    pair, shapes = found.pair, found.of_both(lambda galaxies: morphology(galaxies.images))
    found.tables["morphology"] = morphology_table(pair, *shapes)
    for name, chosen in found.sets.items():
        found.results[name] |= compare_morphology(*shapes, chosen, f"morphology, {name}", found.seed)
    for name in found.by_class:
        histograms = morphology_figures.histograms(*found.of_class(name, shapes), class_title(name))
        found.pictures[f"morphology_{name}"] = histograms
    train = shapes[0][~pair.unseen], pair.real.labels[~pair.unseen]
    found.shares["morphology_failed"] = tuple(failures(table) for table in shapes)
    for name, agrees in (("axis_ratio_agreement", axis_ratio_agrees), ("morphology_agreement", within_class)):
        found.shares[name] = tuple(
            agrees(*train, table, galaxies.labels)
            for table, galaxies in zip(shapes, (pair.real, pair.generated), strict=True)
        )


def ask_classifier(found: Findings, classifier: Classifier) -> None:
    """Whether a classifier sees the class of each image, and where it looks."""
    found.shares["label_agreement"] = found.of_both(lambda g: classifier.predict(g.images) == g.labels)
    images, label_of = found.of_both(lambda galaxies: galaxies.images), found.pair.real.class_names.index
    found.pictures["saliency"] = saliency_figure(
        {
            name: tuple(mean_saliency(classifier.net, side, label_of(name)) for side in found.of_class(name, images))
            for name in found.by_class
        }
    )


def look_for_shortcuts(found: Findings, config: Config) -> None:
    """Whether a probe can tell generated from real galaxies of a class, before and after the common JPEG path."""
    pair = found.pair
    before_jpeg = load_real_and_generated(config.real, config.generated, config.center_crop, jpeg=False).real
    of_net = partial(features, net=config.nets[0], batch_size=config.batch_size)
    spaces = {load_net(config.nets[0]).name: of_net, "pixels": pixel_features, "spectrum": spectrum_features}
    for space, describe in spaces.items():
        described = describe(pair.generated.images)
        for suffix, galaxies in (("", pair.real), ("_before_jpeg", before_jpeg)):
            known = describe(galaxies.images)
            for name in pair.class_names:
                rows = found.sets[name][0]
                found.results[name] |= probe(known, described, rows, space + suffix, found.seed)
    found.pictures["probe"] = figures.beside_floor(found.results, probes=True)


def judge(found: Findings) -> Verdicts:
    """Which generated images are no copies, agree with their label and lie within the morphology of their class."""
    label = found.shares.get("label_agreement", found.shares["axis_ratio_agreement"])[1]
    is_copy = found.tables["copies"]["is_copy"].to_numpy()
    return Verdicts(~is_copy, label, found.shares["morphology_agreement"][1])


def save(found: Findings, config: Config, record: dict) -> None:
    """Write figures, tables and pictures, and with them what the report shows of them."""
    output = config.output_dir
    files = {f"{name}.png": png for name, png in found.pictures.items()}
    files |= {f"{name}.csv": table.to_csv(index=False) for name, table in found.tables.items()}
    forget_others(output, files)
    write_json(output / "fidelity.json", found.results)
    for name, content in files.items():
        write_whole(output / name, content)
    write_json(output / "run.json", {**provenance(config), **record, "files": list(files)})
    shown, _ = fidelity_section(output)
    write_whole(output / "fidelity.md", "\n".join(table.markdown for table in shown.values()))
    print(f"figures: {output / 'fidelity.md'}")


def forget_others(folder: Path, files: Iterable[str]) -> None:
    """Remove what an earlier evaluation wrote and this one does not, such as pictures of a class that is gone."""
    record = folder / "run.json"
    earlier = json.loads(record.read_text()).get("files", []) if record.exists() else []
    for name in set(earlier) - set(files):
        (folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, Config, __doc__)
