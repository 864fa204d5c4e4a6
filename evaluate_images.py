"""Compare generated images with real ones, class by class: fidelity, copies, morphology, labels and shortcuts."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from galaxy_diffusion import fidelity, fidelity_figures, morphology_figures
from galaxy_diffusion.copies import find_copies
from galaxy_diffusion.estimates import rate_beside_floor
from galaxy_diffusion.features import features, load_net
from galaxy_diffusion.fidelity_section import fidelity_section
from galaxy_diffusion.filter import Verdicts, within_class
from galaxy_diffusion.floors import MIN_IMAGES, compare
from galaxy_diffusion.generated import write_verdicts
from galaxy_diffusion.label_agreement import axis_ratio_agrees, load_independent
from galaxy_diffusion.morphology import INSTALL, is_available, morphology
from galaxy_diffusion.morphology_comparison import compare_morphology, failures, morphology_table
from galaxy_diffusion.real_and_generated import load_real_and_generated
from galaxy_diffusion.run_state import write_json
from galaxy_diffusion.saliency import mean_saliency, saliency_figure
from galaxy_diffusion.shortcut import pixel_features, probe, spectrum_features
from galaxy_diffusion.spectrum import power_spectra
from galaxy_diffusion.study import title
from gz2_dataset import UserError
from gz2_dataset.aside import write_whole
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
        Becomes a folder with fidelity.json, fidelity.md, copies.csv, morphology.csv and pictures.
    nets : list[str]
        Feature nets. With inception come FID, KID, precision, recall, density and coverage; any other
        (efficientnet_lite0, dinov2, a timm name, the folder of a classifier) adds a Fréchet distance of that name.
    classifier : str | None
        Output folder of train_classifier.py, trained without generated images: does it agree with the labels?
    morphology : bool | None
        Measure every galaxy with statmorph, once, in about 0.3 s (32 px) to 2 s (224 px) of one core; None where it is
        installed.
    probe : bool
        Look for shortcuts: can a probe tell generated from real galaxies of a class?
    write_verdicts : bool
        Write into the metadata.jsonl of the generated folder which images to keep; needs morphology.
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
    classifier: str | None = None
    morphology: bool | None = None
    probe: bool = True
    write_verdicts: bool = False
    center_crop: int = 224
    batch_size: int = 64
    seed: int = 0


def main(config: Config) -> None:
    measured = is_available() if config.morphology is None else config.morphology
    if config.write_verdicts and not measured:
        raise UserError(f"write_verdicts needs morphology; give --morphology true, and if it is missing: {INSTALL}")
    pair = load_real_and_generated(config.real, config.generated, config.center_crop)
    real, generated = pair.real, pair.generated
    sets = pair.sets(config.seed)
    results = {name: {} for name in sets}
    classifier = load_independent(Path(config.classifier), pair) if config.classifier else None

    for net in config.nets:
        vectors = [features(galaxies.images, net, config.batch_size) for galaxies in (real, generated)]
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
    pictures = {
        "samples": fidelity_figures.samples(pair, SHOWN // 2),
        "copies": fidelity_figures.relative_distances(copies),
        **{f"nearest_{k}": fidelity_figures.nearest_pairs(*p, k) for k, p in copies.closest(SHOWN).items()},
    }
    tables = {"copies": copies.table()}
    for name in sets:
        results[name] |= copies.rates(pair.rows(name))

    spectra = [power_spectra(galaxies.images) for galaxies in (real, generated)]
    by_class = {
        name: (real.labels == real.class_names.index(name), generated.labels == generated.class_names.index(name))
        for name in pair.class_names
    }
    pictures["power_spectra"] = morphology_figures.power_figure(
        {title(name): tuple(s[rows] for s, rows in zip(spectra, both, strict=True)) for name, both in by_class.items()}
    )

    rates = {}  # by name, whether something is true of each real and of each generated image
    if measured:
        shapes = [morphology(galaxies.images) for galaxies in (real, generated)]
        tables["morphology"] = morphology_table(pair, *shapes)
        for name, chosen in sets.items():
            results[name] |= compare_morphology(*shapes, chosen, f"morphology, {name}", config.seed)
        for name, both in by_class.items():
            of_class = (table[rows] for table, rows in zip(shapes, both, strict=True))
            pictures[f"morphology_{name}"] = morphology_figures.histograms(*of_class, title(name))
        train = shapes[0][~pair.unseen], real.labels[~pair.unseen]
        rates["morphology_failed"] = [failures(table) for table in shapes]
        for name, agrees in (("axis_ratio_agreement", axis_ratio_agrees), ("morphology_agreement", within_class)):
            rates[name] = [
                agrees(*train, table, galaxies.labels)
                for table, galaxies in zip(shapes, (real, generated), strict=True)
            ]
    else:
        print(f"no morphology, axis ratios and verdicts; for these: {INSTALL}")
    if classifier:
        rates["label_agreement"] = [classifier.predict(g.images) == g.labels for g in (real, generated)]
        maps = {
            name: [
                mean_saliency(classifier.net, galaxies.images[rows], real.class_names.index(name))
                for galaxies, rows in zip((real, generated), both, strict=True)
            ]
            for name, both in by_class.items()
        }
        pictures["saliency"] = saliency_figure(maps)
    for name in sets:
        for key, (of_real, of_generated) in rates.items():
            results[name][key] = rate_beside_floor(of_generated[pair.rows(name)], of_real[pair.unseen_rows(name)])

    if config.probe:
        before_jpeg = load_real_and_generated(config.real, config.generated, config.center_crop, jpeg=False).real
        of_net = partial(features, net=config.nets[0], batch_size=config.batch_size)
        spaces = {load_net(config.nets[0]).name: of_net, "pixels": pixel_features, "spectrum": spectrum_features}
        for space, describe in spaces.items():
            described = describe(generated.images)
            for suffix, galaxies in (("", real), ("_before_jpeg", before_jpeg)):
                known = describe(galaxies.images)
                for name in pair.class_names:
                    results[name] |= probe(known, described, sets[name][0], space + suffix, config.seed)
        pictures["probe"] = fidelity_figures.beside_floor(results, probes=True)
    pictures["fidelity"] = fidelity_figures.beside_floor(results)

    record = {"copies": {"threshold": copies.threshold, "expected_false_positives": copies.false_positives}}
    if measured:
        label = rates.get("label_agreement", rates["axis_ratio_agreement"])[1]
        verdicts = Verdicts(~tables["copies"]["is_copy"].to_numpy(), label, rates["morphology_agreement"][1])
        record["filter"] = {name: verdicts.counts(pair.rows(name)) for name in sets}
        if config.write_verdicts:
            write_verdicts(Path(config.generated), verdicts.by_file(generated.image_ids))

    output = config.output_dir
    files = {f"{name}.png": png for name, png in pictures.items()}
    files |= {f"{name}.csv": table.to_csv(index=False) for name, table in tables.items()}
    forget_others(output, files)
    write_json(output / "fidelity.json", results)
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
