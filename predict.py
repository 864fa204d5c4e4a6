"""Apply trained classifiers to a survey. To continue after an interruption, run the same command again."""

import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
import transformers
from tqdm.auto import tqdm

from galaxy_diffusion.prediction.catalogue import check_catalogue, format_of, write_catalogue
from galaxy_diffusion.prediction.ensemble import Ensemble, load_ensemble
from galaxy_diffusion.prediction.known import known_galaxies
from galaxy_diffusion.prediction.page import render
from galaxy_diffusion.prediction.parts import Part, Parts, joined
from galaxy_diffusion.prediction.probabilities import fit_temperature, parse_prior, predict, prior_shift
from galaxy_diffusion.prediction.reading import prepared_batches
from galaxy_diffusion.prediction.results import class_columns, vote_columns, with_columns, write_embeddings
from galaxy_diffusion.prediction.survey import Survey, open_survey, sha256, shown
from galaxy_diffusion.shared.classifier_folder import read_validation
from galaxy_diffusion.shared.machine import cores, use_all_cores
from galaxy_diffusion.shared.run_folder import FREE, fixed_settings, same_run, write_json
from gz2_dataset import UserError
from gz2_dataset.aside import write_whole, written_aside
from gz2_dataset.command_line import provenance, run
from gz2_dataset.ranges import Checked, at_least

RESULTS = ("html", "unreadable.csv", "embeddings.parquet")
"""What is written beside the output and the folder of the run's record, after its stem."""


@dataclass
class Config(Checked):
    """Settings of a prediction."""

    model: list[str] = field(metadata=FREE)
    """Output folders of train_classifier.py; the probabilities of several, such as seeds of an arm, are averaged. One
    with target votes gives vote fractions."""
    images: str = field(metadata=FREE)
    """A folder with its subfolders, a zip, a pattern such as "cutouts/*.jpg", or a catalogue (CSV, ECSV, FITS table,
    Parquet, VOTable) with a column of file names. Files as the survey gives them (JPEG, PNG, TIFF, FITS): they are
    stretched and cropped as in training."""
    output: Path = field(metadata=FREE)
    """The catalogue to write, in the format of its suffix: .csv, .ecsv, .fits, .parquet or .vot. Beside it go
    .html, .run and, if there is need, .unreadable.csv and .embeddings.parquet."""
    image_column: str = "file_name"
    """The catalogue's column of file names, relative to the catalogue."""
    class_prior: str | None = None
    """Share of each class in the survey, such as ring=0.01,spiral=0.99: corrects the probabilities for it. None
    leaves the mix of classes of the training."""
    temperature: bool = False
    """Calibrate each model's probabilities on the validation galaxies of its training."""
    embeddings: bool = False
    """Also write what each net sees in each image, its penultimate features."""
    known: str | None = None
    """With embeddings, the data that the classifiers were trained on: each image gets its nearest training galaxies."""
    page_images: int = field(default=12, metadata=at_least(0))
    """Images of each class on the page of the most probable ones; 0 writes no page."""
    batch_size: int = field(default=64, metadata=FREE | at_least(1))
    """Images at a time."""
    num_workers: int = field(default=0, metadata=FREE | at_least(0))
    """Threads that read and prepare images; 0 takes one for each core."""
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    """Precision of the nets."""


def main(config: Config) -> None:
    use_all_cores()
    transformers.logging.disable_progress_bar()
    format_of(config.output, "--output")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ensemble = load_ensemble(config.model, device, config.mixed_precision, votes=True)
    check(config, ensemble)
    temperatures, shift = corrections(config, ensemble)
    survey = open_survey(config.images, config.image_column, ensemble.files_side_by_side)
    class_names, members = ensemble.class_names, len(ensemble.members)

    def columns(logits: np.ndarray) -> dict[str, np.ndarray]:
        if ensemble.votes:
            return vote_columns(logits[0], class_names)
        return class_columns(predict(logits, temperatures, shift), class_names, members)

    nothing = columns(np.zeros((members, 0, len(class_names))))
    check_catalogue(with_columns(survey.table, nothing, np.arange(0)), config.output)
    if is_finished(config, ensemble, survey):
        print(f"already finished: {config.output}")
        return

    parts = Parts(beside(config, "run") / "parts", len(survey))
    speed = classify(config, ensemble, survey, parts)

    found = joined([replace(part, features=()) for _, part in parts])
    rows = np.flatnonzero(found.readable)
    unreadable = len(survey) - len(rows)
    if unreadable:
        names = shown([survey.names[row] for row in np.flatnonzero(~found.readable)])
        table = pd.DataFrame({config.image_column: names, "problem": found.problems[~found.readable]})
        with written_aside(beside(config, "unreadable.csv")) as aside:
            table.to_csv(aside, index=False)
    if config.embeddings:
        known = known_galaxies(config.known, ensemble, config.batch_size) if config.known else None
        write_embeddings(beside(config, "embeddings.parquet"), survey, parts, config.image_column, members, known)
    prediction = None if ensemble.votes else predict(found.logits, temperatures, shift)
    if prediction and config.page_images:
        seen = ensemble.members[0].view.prepare
        page = render(survey, prediction, rows, class_names, seen, config.page_images, config.images, config.model)
        write_whole(beside(config, "html"), page)
    write_catalogue(with_columns(survey.table, columns(found.logits), rows), config.output)
    counts = np.bincount(prediction.label, minlength=len(class_names)).tolist() if prediction else []
    record = {
        "images": len(survey),
        "unreadable": unreadable,
        "predicted": dict(zip(class_names, counts, strict=True)) if prediction else None,
        "temperatures": None if temperatures is None else temperatures.tolist(),
        **speed,
    }
    write_json(beside(config, "run") / "run.json", provenance(config) | record)
    shutil.rmtree(parts.folder)
    print(f"{len(survey):,} images, {unreadable:,} of them unreadable -> {config.output}")


def check(config: Config, ensemble: Ensemble) -> None:
    """Refuse settings that do not go together."""
    if config.known and not config.embeddings:
        raise UserError("known: the nearest galaxies are written beside the embeddings; give --embeddings true too")
    of_classes = {"class_prior": config.class_prior, "temperature": config.temperature}
    if ensemble.votes and (name := next((name for name, wanted in of_classes.items() if wanted), None)):
        raise UserError(f"{name} is about classes, and {config.model[0]} predicts votes; leave it out")


def beside(config: Config, suffix: str) -> Path:
    """A file or folder beside the output."""
    return config.output.with_name(f"{config.output.stem}.{suffix}")


def is_finished(config: Config, ensemble: Ensemble, survey: Survey) -> bool:
    """Whether this run has been finished before; refuse to write over anything that is not of this run."""
    record = beside(config, "run")
    if not (record / "settings.json").exists():
        results = config.output, *(beside(config, suffix) for suffix in RESULTS)
        if foreign := next((path for path in results if path.exists()), None):
            raise UserError(f"{foreign}: is there already, and not from this command; give another --output")
    of_content = {
        "output": config.output.name,
        "models": [sha256(member.folder / "model.safetensors") for member in ensemble.members],
        "images_fingerprint": survey.fingerprint,
    }
    same_run(record / "settings.json", fixed_settings(config) | of_content, "--output")
    return config.output.exists() and (record / "run.json").exists()


def corrections(config: Config, ensemble: Ensemble) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The members' temperatures, and what the prior of the survey adds to their logits; None where it is not wanted."""
    temperatures = shift = None
    if config.temperature:
        validation = (read_validation(member.folder, ensemble.class_names) for member in ensemble.members)
        temperatures = np.array([fit_temperature(*galaxies) for galaxies in validation])
    if config.class_prior:
        prior = parse_prior(config.class_prior, ensemble.class_names)
        if missing := next((member for member in ensemble.members if member.log_shares is None), None):
            raise UserError(
                f"{missing.folder}: its metrics.json does not say how common each class was in its training, which "
                "class_prior corrects for; leave out --class_prior, or train it again"
            )
        shift = prior_shift(prior, np.stack([member.log_shares for member in ensemble.members]))
    return temperatures, shift


def classify(config: Config, ensemble: Ensemble, survey: Survey, parts: Parts) -> dict[str, float]:
    """Compute the parts that are missing; returns how fast it was."""
    missing = parts.missing()
    ends = {rows.stop: rows for rows in missing}
    batches = [
        range(start, min(start + config.batch_size, rows.stop))
        for rows in missing
        for start in range(rows.start, rows.stop, config.batch_size)
    ]
    to_do = sum(map(len, missing))
    workers = config.num_workers or cores()
    pieces, started = [], time.monotonic()
    with tqdm(total=len(survey), initial=len(survey) - to_do, desc="predict", unit="image") as bar:
        for batch, images, problems in prepared_batches(survey, batches, ensemble.prepare, workers):
            logits, features = ensemble(images)
            pieces.append(Part(logits, features if config.embeddings else (), np.array(problems)))
            if batch.stop in ends:
                parts.save(ends[batch.stop], joined(pieces))
                pieces = []
            bar.update(len(batch))
    seconds = time.monotonic() - started
    return {"seconds": seconds, "images_per_second": to_do / seconds} if to_do else {}


if __name__ == "__main__":
    run(main, Config, __doc__)
