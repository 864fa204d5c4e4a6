"""Draw the tables and figures of a study into one self-contained HTML page."""

import base64
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import yaml

from galaxy_diffusion import figures, tables
from galaxy_diffusion.comparison import Verdict, compare, judge
from galaxy_diffusion.statistics import REPLICATES
from galaxy_diffusion.study import Study, first_by_seed, read_study, title
from gz2_dataset import UserError, load_arrays
from gz2_dataset.command_line import run

GALAXIES_PER_ROW = 6


@dataclass
class Config:
    """What to report on.

    Attributes
    ----------
    study : Path
        Folder of the study, as the workflow writes it; what is not there yet is named in the report.
    output_dir : Path
        Folder for index.html, table1.csv to table4.csv, tables.md and the figures as PNG files.
    """

    study: Path
    output_dir: Path


def main(config: Config) -> None:
    study = read_study(config.study)

    shown: dict[str, tables.Table] = {}
    drawn: dict[str, bytes] = {}
    if study.build:
        shown["table1"] = tables.selection(study.build)
        shown["table2"] = tables.composition(study.build, study.generated)

    verdict = Verdict(
        "missing", "No classifier has been trained yet: there is nothing to compare.", pd.DataFrame(), [], []
    )
    if study.backbones:
        comparison = compare(study.backbones)
        verdict = judge(comparison, study.rare_class)
        shown["table3"] = tables.per_class(comparison)
        shown["table4"] = tables.macro(comparison)
        drawn |= {f"confusion_{name}": figures.confusion(name, runs) for name, runs in study.backbones.items()}
    if not verdict.findings.empty:
        drawn["differences"] = figures.differences(verdict.findings)

    generated = first_by_seed(study.folder / "showcase", study.class_names, GALAXIES_PER_ROW)
    if generated is not None and study.build:
        real = first_real(study, resolution=generated.shape[2])
        drawn["figure3"] = figures.real_beside_generated(real, generated, study.class_names)
    trajectory = study.folder / "showcase" / "trajectory.npz"
    if trajectory.exists():
        drawn["figure4"] = denoising(trajectory, study.class_names)

    drawn |= training_figures(study)

    page = render(config, study, shown, drawn, verdict, None if generated is None else generated.shape[2])
    output = config.output_dir
    output.mkdir(parents=True, exist_ok=True)
    for name, png in drawn.items():
        write(output / f"{name}.png", png)
    for name, table in shown.items():
        write(output / f"{name}.csv", table.frame.to_csv(index=False).encode())
    write(output / "tables.md", markdown(verdict, shown).encode())
    write(output / "index.html", page.encode())
    print(f"report: {output / 'index.html'}")


def markdown(verdict: Verdict, shown: dict[str, tables.Table]) -> str:
    """The verdict and all tables."""
    findings = "".join(f"- {line}\n" for line in [*verdict.sentences, *verdict.caveats])
    return "\n".join([f"**{verdict.headline}**\n\n{findings}", *(table.markdown for table in shown.values())])


def first_real(study: Study, resolution: int) -> np.ndarray:
    """The first training galaxies of each class, as the generator saw them."""
    crop = study.provenance.get("ddpm", {}).get("config", {}).get("center_crop", 224)
    galaxies = load_arrays(str(study.folder / "data"), "train", resolution, center_crop=crop)
    chosen = [np.flatnonzero(galaxies.labels == c)[:GALAXIES_PER_ROW] for c in range(len(galaxies.class_names))]
    count = min(map(len, chosen))
    return np.stack([galaxies.images[rows[:count]] for rows in chosen])


def denoising(path: Path, class_names: tuple[str, ...]) -> bytes:
    try:
        with np.load(path) as trajectory:
            frames, timesteps = trajectory["frames"], trajectory["timesteps"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: damaged ({error}); remove it and generate the showcase again") from None
    if len(frames) != len(class_names):
        raise UserError(f"{path}: {len(frames)} classes instead of {len(class_names)}; generate the showcase again")
    return figures.denoising(frames, timesteps, class_names)


def training_figures(study: Study) -> dict[str, bytes]:
    """What the generator's training left behind: its loss and its sample sheets."""
    logged = [(row["images_seen"], row["loss"]) for row in study.training if "loss" in row]
    sheets = sorted((study.folder / "ddpm" / "samples").glob("[0-9]*.png"))
    drawn = {"training": figures.training_loss(*np.array(logged).T)} if logged else {}
    return drawn | ({"samples": figures.sample_history(sheets)} if sheets else {})


def tiles(study: Study) -> list[tuple[str, str]]:
    """The sizes that a reader wants first."""
    rare, train = study.rare_class, study.build.get("counts", {}).get("train", {})
    shown = []
    if rare in train:
        shown.append((f"{train[rare]:,}", f"real {title(rare).lower()} galaxies for training"))
    if study.generated:
        shown.append((f"{sum(study.generated.values()):,}", "generated galaxies added"))
    if study.backbones:
        runs = next(iter(study.backbones.values()))
        of_rare = dict(zip(runs.class_names, runs.galaxies_per_class, strict=True)).get(rare, 0)
        shown.append((f"{len(runs.labels):,}", f"test galaxies, {of_rare} of the rare class"))
        trained = sum(len(r.arms) * len(r.seeds) for r in study.backbones.values())
        seeds = "one seed" if len(runs.seeds) == 1 else f"{len(runs.seeds)} seeds"
        shown.append((str(trained), f"classifiers trained: {len(study.backbones)} backbones, {seeds} an arm"))
    return shown


def facts(config: Config, study: Study, comparisons: int) -> list[tuple[str, str]]:
    """Command, hardware, versions and time, from what the runs recorded."""
    records = study.provenance.values()
    seeds = sorted({s for runs in study.backbones.values() for s in runs.seeds})
    versions = sorted({f"{name} {v}" for r in records for name, v in r.get("versions", {}).items()})
    hardware = sorted({str(r[key]) for r in records for key in ("device", "platform") if key in r})
    seconds = sum(r.get("seconds", 0) for r in records)
    rows = {
        "Study": "make study CONFIG=FILE with the preset below" if study.preset else "",
        "Report": f"python report.py --study {config.study} --output_dir {config.output_dir}",
        "Data": study.build.get("source", "").replace("_", " "),
        "Hardware": ", ".join(hardware),
        "Versions": ", ".join(versions),
        "Seeds of the classifiers": ", ".join(map(str, seeds)),
        "Time of all training runs": tables.duration(seconds) if seconds else "",
        "Comparisons in all": f"{comparisons} differences with intervals" if comparisons else "",
    }
    return [(name, value) for name, value in rows.items() if value]


def render(
    config: Config,
    study: Study,
    shown: dict[str, tables.Table],
    drawn: dict[str, bytes],
    verdict: Verdict,
    resolution: int | None,
) -> str:
    """The page, with every image in it."""
    template = files("galaxy_diffusion").joinpath("report_template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    compared = [shown[name].frame["difference"].notna().sum() for name in ("table3", "table4") if name in shown]
    return environment.from_string(template).render(
        title=study.preset.get("title", f"Study {study.folder.resolve().name}"),
        study=str(config.study),
        verdict=verdict,
        tiles=tiles(study),
        images={name: base64.b64encode(png).decode() for name, png in drawn.items()},
        tables=shown,
        paper_tables=tables.paper_tables(),
        confusions=[name for name in drawn if name.startswith("confusion_")],
        resolution=resolution,
        facts=facts(config, study, int(sum(compared))),
        runs=tables.run_records(study.provenance) if study.provenance else None,
        preset=yaml.safe_dump(study.preset, sort_keys=False) if study.preset else "",
        replicates=REPLICATES,
    )


def write(path: Path, content: bytes) -> None:
    """Write aside and rename."""
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    aside.write_bytes(content)
    aside.replace(path)


if __name__ == "__main__":
    run(main, Config, "Draws the tables and figures of a study into one self-contained HTML page.")
