"""Compare generated images with real ones, class by class: fidelity, copies, morphology, labels and shortcuts."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from galaxy_diffusion.evaluation import questions
from galaxy_diffusion.evaluation.apertures import apertures
from galaxy_diffusion.evaluation.beside_floor import write_metrics
from galaxy_diffusion.evaluation.copies import find_copies
from galaxy_diffusion.evaluation.equal_noise import at_equal_noise
from galaxy_diffusion.evaluation.features import load_net
from galaxy_diffusion.evaluation.figures import RELATIONS, beside_floor
from galaxy_diffusion.evaluation.good_enough import not_good_enough
from galaxy_diffusion.evaluation.keep import Verdicts, shape_agreement
from galaxy_diffusion.evaluation.label_agreement import load_independent
from galaxy_diffusion.evaluation.metrics import METRICS
from galaxy_diffusion.evaluation.morphology import INSTALL, is_available, morphology
from galaxy_diffusion.evaluation.pair import Both, load_real_and_generated
from galaxy_diffusion.evaluation.questions import Answer
from galaxy_diffusion.evaluation.section import fidelity_section
from galaxy_diffusion.shared.image_folder import write_verdicts
from galaxy_diffusion.shared.run_folder import refuse_links, write_json
from gz2_dataset import UserError
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import provenance, run
from gz2_dataset.folder_lock import only_writer
from gz2_dataset.ranges import Checked, at_least
from gz2_dataset.reading import read_json


@dataclass
class Config(Checked):
    """What to compare."""

    real: str
    """The generator's data: folder of python -m gz2_dataset build, Hub id, or a folder with one subfolder per class."""
    generated: str
    """Output folder of generate.py."""
    output_dir: Path
    """Becomes a folder with fidelity.json, fidelity.md, copies.csv, copies_power.csv, morphology.csv and pictures."""
    nets: list[str] = field(default_factory=lambda: ["inception"])
    """Feature nets. With inception come FID, KID, precision, recall, density and coverage; any other
    (efficientnet_lite0, dinov2, a timm name, hf_hub:USER/NAME, local-dir:FOLDER, the folder of a classifier) adds a
    Fréchet distance of that name."""
    classifier: str | None = None
    """Output folder of train_classifier.py, trained without generated images: does it agree with the labels?"""
    morphology: bool | None = None
    """Measure every galaxy with statmorph, which takes about 0.4 s of one core per galaxy at 32 px, but only once; None
    measures if statmorph is installed."""
    probe: bool = True
    """Look for shortcuts: can a probe tell the generated galaxies of a class from the real ones?"""
    write_verdicts: bool = False
    """Write into the metadata.jsonl of the generated folder which images to keep; needs morphology."""
    batch_size: int = field(default=64, metadata=at_least(1))
    """Images processed at a time; does not affect the figures."""
    seed: int = field(default=0, metadata=at_least(0))
    """Seed of the random splits and groups behind the floors and intervals."""


def main(config: Config) -> None:
    measured = is_available() if config.morphology is None else config.morphology
    if config.write_verdicts and not measured:
        raise UserError(f"write_verdicts needs morphology; give --morphology true, and if it is missing: {INSTALL}")
    if config.probe and not config.nets:
        raise UserError("nets []: the probe needs one, to see with; name a net, or give --probe false")
    refuse_nets_of_one_name(config.nets)
    pair = load_real_and_generated(config.real, config.generated)
    classifier = load_independent(Path(config.classifier), pair) if config.classifier else None
    sets, seed = pair.sets(config.seed), config.seed

    answers = [questions.first_images(pair)]
    answers += [questions.feature_distances(pair, sets, net, config.batch_size, seed) for net in config.nets]
    copies = find_copies(pair)
    answers += [questions.copied(pair, sets, copies), questions.spectra(pair)]
    answers += [questions.of_images(metric, pair, sets, seed) for metric in METRICS]
    true_of = {}
    if measured:
        shapes = pair.both(lambda galaxies: morphology(galaxies.images))
        true_of |= shape_agreement(pair, shapes)
        answers.append(questions.shapes(pair, sets, shapes, seed))
        equal = at_equal_noise(pair, shapes, morphology, seed)
        answers.append(questions.shapes_at_equal_noise(sets, equal, seed))
        radii = Both(*(table["half_light_radius"].to_numpy() for table in shapes))
        within = Both(apertures(pair.real.images, radii.real), apertures(pair.generated.images, radii.generated))
        answers.append(questions.relations(pair, sets, shapes, within, seed))
    elif config.morphology is None:  # where it is false, nobody wants to hear of it
        print(f"no morphology, axis ratios and verdicts; for these: {INSTALL}")
    if classifier:
        true_of["label_agreement"] = pair.both(classifier.agrees)
        answers.append(questions.attention(pair, classifier))
    answers.append(questions.shares(pair, sets, true_of))
    if config.probe:
        before_jpeg = load_real_and_generated(config.real, config.generated, jpeg=False).real
        answers.append(questions.shortcuts(pair, sets, before_jpeg, config.nets[0], config.batch_size, seed))
    answer = questions.merged(answers)

    thresholds = {pair.generated.class_names[c]: asdict(t) for c, t in copies.search.thresholds.items()}
    record = {"copies": {"thresholds": thresholds}}
    if measured:
        label = true_of["axis_ratio_agreement"].generated
        if classifier:
            label = classifier.looks_like(pair.generated, pair.validation)
        verdicts = Verdicts(~copies.is_copy, label, true_of["morphology_agreement"].generated)
        record["filter"] = {name: asdict(verdicts.counts(pair.rows(name))) for name in sets}
        if config.write_verdicts:
            with only_writer(Path(config.generated)):
                write_verdicts(Path(config.generated), verdicts.by_file(pair.generated.image_ids))
    save(answer, config, record)


def refuse_nets_of_one_name(nets: list[str]) -> None:
    """Metrics are named after the net: those of two nets with the same name could not be told apart."""
    names = [load_net(net).name for net in nets]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"nets: {twice.pop()} is given twice, so its metrics would share a name; give it once")


def save(answer: Answer, config: Config, record: dict) -> None:
    """Write the figures, tables and pictures, and the summary that the report shows."""
    output = config.output_dir
    refuse_links(output)
    files = {"fidelity.png": beside_floor(answer.metrics)}
    if any(metric.startswith(RELATIONS) for figures in answer.metrics.values() for metric in figures):
        files["relations.png"] = beside_floor(answer.metrics, RELATIONS)
    files |= {f"{name}.png": png for name, png in answer.pictures.items()}
    files |= {f"{name}.csv": table.to_csv(index=False) for name, table in answer.tables.items()}
    forget_others(output, files)
    write_metrics(output / "fidelity.json", answer.metrics)
    for name, content in files.items():
        write_whole(output / name, content)
    write_json(output / "run.json", {**provenance(config), **record, "files": list(files)})
    shown, _ = fidelity_section(output)
    write_whole(output / "fidelity.md", "\n".join(table.markdown for table in shown.values()))
    for sentence in not_good_enough(answer.metrics):
        print(f"warning: {sentence}")
    print(f"figures: {output / 'fidelity.md'}")


def forget_others(folder: Path, files: Iterable[str]) -> None:
    """Remove what an earlier evaluation wrote and this one does not, such as pictures of a former class."""
    record = folder / "run.json"
    earlier = read_json(record, "remove it").get("files", []) if record.exists() else []
    names = [name for name in earlier if isinstance(name, str)] if isinstance(earlier, list) else []
    for name in names:
        if name not in files and name == Path(name).name and name.endswith((".png", ".csv")):
            (folder / name).unlink(missing_ok=True)


if __name__ == "__main__":
    run(main, Config, __doc__)
