"""Draw the tables and figures of a study into one self-contained HTML page."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galaxy_diffusion.evaluation.section import fidelity_section
from galaxy_diffusion.shared import drawing
from galaxy_diffusion.shared.names import class_title
from galaxy_diffusion.shared.run_folder import refuse_links
from galaxy_diffusion.study import arm_figures, arm_tables, dataset_tables, generator_figures
from galaxy_diffusion.study.arms import BASELINE, QUESTION
from galaxy_diffusion.study.calibration import calibration
from galaxy_diffusion.study.comparison import compare
from galaxy_diffusion.study.exchange import exchange
from galaxy_diffusion.study.folder import first_by_seed, read_study
from galaxy_diffusion.study.page import Page, markdown, render
from galaxy_diffusion.study.shortcut import shortcut_table, shortcuts
from galaxy_diffusion.study.verdict import Verdict, judge
from gz2_dataset import UserError, load_arrays
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import run

GALAXIES_PER_ROW, SEEN_PER_ROW = 6, 12


@dataclass
class Config:
    """What to report on."""

    study: list[Path] | Path
    """Folder of the study, as the workflow writes it; the report names what is not there yet. Several folders,
    given as --study FOLD0 FOLD1, are the folds of a cross-validation, whose test galaxies are pooled; or, where they
    all test the same galaxies, draws of a class made rare, whose differences are part of the intervals."""
    output_dir: Path
    """Folder for index.html, the tables as CSV files, tables.md and the figures as PNG files."""


def main(config: Config) -> None:
    folders = config.study if isinstance(config.study, list) else [config.study]
    study = read_study(folders)
    refuse_links(config.output_dir)
    page = Page(study, Verdict("missing", "No classifier has been trained yet: there is nothing to compare."))

    if study.build:
        if study.build.rules or dataset_tables.of_the_paper(study.build):
            page.tables["table1"] = dataset_tables.selection(study.build)
        page.tables["table2"] = dataset_tables.composition(study.build, study.generated)
    if study.runs:
        classifiers(page)
    for name, makers in (("figure3", "ddpm"), ("figure5", "sagan")):
        showcase(page, name, makers)
    seen(page)
    trajectory = study.folder / "showcase" / "trajectory.npz"
    if trajectory.exists():
        page.images["figure4"] = denoising(trajectory, study.class_names)
        animation = trajectory.with_suffix(".webp")
        page.animation = animation.read_bytes() if animation.is_file() else b""
    training(page)
    for finished in sorted((study.folder / "fidelity").glob("*/fidelity.json")):
        page.fidelity[finished.parent.name] = fidelity_section(finished.parent)

    command = f"python report.py --study {' '.join(map(str, folders))} --output_dir {config.output_dir}"
    html = render(page, command)
    for name, png in page.all_images.items():
        write_whole(config.output_dir / f"{name}.png", png)
    for name, table in page.tables.items():
        if table.frame is not None:
            write_whole(config.output_dir / f"{name}.csv", table.frame.to_csv(index=False))
    write_whole(config.output_dir / "tables.md", markdown(page))
    write_whole(config.output_dir / "index.html", html)
    print(f"report: {config.output_dir / 'index.html'}")


def classifiers(page: Page) -> None:
    """The verdict, the endpoints, Tables 3 to 5 and the charts of the arms."""
    study, runs = page.study, page.study.runs
    page.comparison = comparison = compare(runs, study.question, study.generators, study.ceilings, study.makers)
    page.verdict = verdict = judge(comparison)

    page.tables["endpoints"] = arm_tables.endpoints(comparison)
    if study.build:
        real = study.build.per_class("train")[study.rare_class]
        if table := exchange(comparison, real, study.added, study.ceilings):
            page.tables["exchange"] = table
    if study.on_generated:
        learned_from = {arm for arm, images in study.images.items() if study.preset.get("shortcut") in images}
        found = shortcuts(runs, study.on_generated, study.rare_class, learned_from)
        if not found.empty:
            page.tables["shortcut"] = shortcut_table(found, study.rare_class)
    page.tables |= arm_tables.per_class(comparison, study.steps)
    page.tables["table4"] = arm_tables.macro(comparison, study.steps)
    groups = dict.fromkeys(run[:2] for run in runs.probabilities)
    probabilities = {key: np.stack([p for run, p in runs.probabilities.items() if run[:2] == key]) for key in groups}
    calibrated = {key: calibration(runs.labels, p) for key, p in probabilities.items()}
    page.tables["table5"] = arm_tables.calibrations(calibrated, len(runs.labels))
    of_question = {key: found for key, found in calibrated.items() if key[1] in (BASELINE, QUESTION)}
    if any(len(found.readable) > 1 for found in of_question.values()):
        page.images["reliability"] = arm_figures.reliability(of_question)

    if not verdict.findings.empty:
        page.tables["comparisons"] = arm_tables.comparisons(comparison)
        for name, beside, caption in (
            ("differences", "arm", "Arm − original, 95 % interval"),
            ("rivals", "reference", "Diffusion − the remedy on the left, 95 % interval"),
        ):
            with_original = comparison.differences["reference"] == BASELINE
            shown = comparison.differences[with_original if beside == "arm" else ~with_original]
            if not shown.empty:
                page.images[name] = arm_figures.forest(shown, comparison, beside, caption)

    ratios = {run.arm: study.ratio(run) for run in runs.probabilities if study.is_in_sweep(run)}
    ratios = {arm: ratio for arm, ratio in ratios.items() if ratio is not None}
    if len(ratios) > 2:
        rare = comparison.figures[comparison.figures["galaxy_class"] == study.rare_class]
        page.images["sweep"] = arm_figures.sweep(rare, ratios)

    for backbone in runs.backbones:
        arms = [arm for arm in runs.arms if runs.trainings(backbone, arm)]
        shown = [arm for arm in arms if arm in (BASELINE, QUESTION)] or arms[:1]
        page.images[f"confusion_{backbone}"] = arm_figures.confusion(runs, backbone, shown)
        if others := [arm for arm in arms if arm not in shown]:
            page.images[f"others_{backbone}"] = arm_figures.confusion(runs, backbone, others)


def showcase(page: Page, name: str, maker: str) -> None:
    """Fig. 3 of the diffusion model, or Fig. 5 of SAGAN: real galaxies beside generated ones."""
    study = page.study
    folder = study.folder / ("showcase" if maker == "ddpm" else f"{maker}_showcase")
    generated = first_by_seed(folder, study.class_names, GALAXIES_PER_ROW)
    if generated is None or not study.build:
        return
    resolution = generated.shape[2]
    galaxies = load_arrays(str(study.folder / "data"), "train", resolution)
    chosen = [galaxies.of_class(name)[:GALAXIES_PER_ROW] for name in galaxies.class_names]
    count = min(map(len, chosen))
    real = np.stack([galaxies.images[rows[:count]] for rows in chosen])
    page.images[name] = drawing.real_beside_generated(real, generated, study.class_names)
    page.resolutions[name] = resolution


def seen(page: Page) -> None:
    """The rare class as the classifiers read it: real training galaxies, and those of each folder that is added."""
    study = page.study
    sides = {study.settings(run).get("resolution") for run in study.runs.probabilities} if study.runs else set()
    if not study.build or len(sides) != 1 or None in sides:
        return
    side, rare = sides.pop(), study.rare_class
    train = load_arrays(str(study.folder / "data"), "train", side, jpeg=True)
    rows = {"Real": train.images[train.of_class(rare)[:SEEN_PER_ROW]]}
    for name in study.generated:
        images = first_by_seed(study.folder / name, (rare,), SEEN_PER_ROW)
        if images is not None and images.shape[2] == side:
            rows[name.replace("_", " ").capitalize()] = images[0]
    page.images["seen"] = drawing.rows_of_galaxies(rows, f"{class_title(rare)}, {side} × {side} pixels")


def denoising(path: Path, class_names: tuple[str, ...]) -> bytes:
    try:
        with np.load(path) as trajectory:
            frames, timesteps = trajectory["frames"], trajectory["timesteps"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); remove it and generate the showcase again") from None
    if len(frames) != len(class_names):
        raise UserError(f"{path}: {len(frames)} classes instead of {len(class_names)}; generate the showcase again")
    return drawing.denoising(frames, timesteps, class_names)


def training(page: Page) -> None:
    """What the generators' trainings left behind: the diffusion model's loss, and sample sheets."""
    logged = [(row["images_seen"], row["loss"]) for row in page.study.training if {"images_seen", "loss"} <= row.keys()]
    if len(logged) > 1:
        page.images["training"] = generator_figures.training_loss(*np.array(logged).T)
    for name, maker in (("samples", "ddpm"), ("sagan_samples", "sagan")):
        if sheets := sorted((page.study.folder / maker / "samples").glob("[0-9]*.png")):
            page.images[name] = generator_figures.sample_history(sheets)


if __name__ == "__main__":
    run(main, Config, "Draws the tables and figures of a study into one self-contained HTML page.")
