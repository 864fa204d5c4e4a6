"""The report as one self-contained HTML page, and as Markdown."""

import base64
from dataclasses import dataclass, field
from importlib.resources import files

import jinja2
import yaml

from galaxy_diffusion.shared.names import GENERATOR_TITLES, class_title
from galaxy_diffusion.shared.tables import Table
from galaxy_diffusion.study.arm_tables import paper_tables
from galaxy_diffusion.study.arms import generators
from galaxy_diffusion.study.bootstrap import REPLICATES
from galaxy_diffusion.study.calibration import READABLE
from galaxy_diffusion.study.comparison import Comparison
from galaxy_diffusion.study.dataset_tables import duration, of_the_paper, run_records
from galaxy_diffusion.study.folder import GENERATED, Study
from galaxy_diffusion.study.verdict import Verdict


@dataclass
class Page:
    """What the report shows, gathered part by part; a missing part is named with the command that makes it.

    Attributes
    ----------
    study : Study
    verdict : Verdict
    comparison : Comparison or None
    tables : dict
        `Table` by name: endpoints, exchange, shortcut, comparisons, table1 to table5.
    images : dict
        PNG files by name.
    fidelity : dict
        Tables and PNG files of `evaluate_images.py` by the folder of images.
    resolutions : dict
        Side in pixels of the galaxies in figure3 and figure5.
    animation : bytes
        WebP of one galaxy of each class from noise; empty where there is none.
    """

    study: Study
    verdict: Verdict
    comparison: Comparison | None = None
    tables: dict[str, Table] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    fidelity: dict[str, tuple[dict[str, Table], dict[str, bytes]]] = field(default_factory=dict)
    resolutions: dict[str, int] = field(default_factory=dict)
    animation: bytes = b""

    @property
    def all_images(self) -> dict[str, bytes]:
        """All images, those of the fidelity sections under the name of their folder."""
        sections = {
            f"fidelity_{folder}_{name}": png
            for folder, (_, pngs) in self.fidelity.items()
            for name, png in pngs.items()
        }
        return self.images | sections

    @property
    def collapse(self) -> str:
        """What SAGAN's training found about collapse; empty where none was trained."""
        record = self.study.provenance.get("sagan", {})
        if "collapsed" not in record:
            return ""
        return f"{'; '.join(record['collapsed']) or 'none'} (lowest diversity of a class {record['diversity']:.2f})"

    @property
    def caveats(self) -> list[str]:
        """The caveats of the verdict, what the images lack that it is about, and which runs are not there yet."""
        missing = [run.path for run in self.study.missing]
        shown = ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else "")
        lines = [f"{len(missing)} runs of the preset are missing: {shown}. make study trains them."] if missing else []
        if len(self.study.folders) > 1 and self.study.runs and self.study.runs.draws == 1:
            lines.append(
                f"The test galaxies of {len(self.study.folders)} folds are pooled, each judged by the nets of its fold."
            )
        if GENERATED in self.fidelity:
            lines += [f"The generated images: {note}." for note in self.fidelity[GENERATED][0]["metrics"].notes]
        return self.verdict.caveats + lines


def markdown(page: Page) -> str:
    """The verdict and all tables."""
    findings = "".join(f"- {line}\n" for line in [*page.verdict.sentences, *page.caveats])
    every = [*page.tables.values(), *(table for shown, _ in page.fidelity.values() for table in shown.values())]
    return "\n".join([f"**{page.verdict.headline}**\n\n{findings}", *(table.markdown for table in every)])


def tiles(study: Study) -> list[tuple[str, str]]:
    """The numbers that a reader wants to see first."""
    rare, train = study.rare_class, study.build.per_class("train") if study.build else {}
    shown = []
    if rare in train:
        shown.append((f"{train[rare]:,}", f"real {class_title(rare).lower()} galaxies for training"))
    if counts := study.generated.get(GENERATED):
        shown.append((f"{sum(counts.values()):,}", "generated galaxies added"))
    if runs := study.runs:
        of_rare = dict(zip(runs.class_names, runs.galaxies_per_class, strict=True)).get(rare, 0)  # pyright: ignore[reportArgumentType, reportCallIssue]
        shown.append((f"{len(runs.labels):,}", f"test galaxies, {of_rare} of the rare class"))
        sizes = [
            (len(runs.backbones), "backbone"),
            (len(runs.arms), "arm"),
            (len({r.seed for r in runs.probabilities}), "seed"),
        ]
        text = ", ".join(f"{count} {name}{'s' * (count > 1)}" for count, name in sizes)
        trained = len(runs.probabilities) * len(study.folders) // runs.draws
        shown.append((f"{trained:,}", f"classifiers trained: {text}"))
    return shown


def facts(page: Page, command: str) -> list[tuple[str, str]]:
    """Command, hardware, versions and time, from what the runs recorded."""
    study, records = page.study, page.study.provenance.values()
    seeds = sorted({run.seed for run in study.runs.probabilities}) if study.runs else []
    versions = sorted({f"{name} {v}" for r in records for name, v in r.get("versions", {}).items()})
    hardware = sorted({str(r[key]) for r in records for key in ("device", "platform") if key in r})
    seconds = sum(s for r in records if isinstance(s := r.get("seconds"), int | float))
    given = {name: study.preset.get(name, {}).get("model") for name in generators(study.preset)}
    comparisons = len(page.comparison.differences) if page.comparison else 0
    rows = {
        "Study": "make study CONFIG=FILE with the preset below" if study.preset else "",
        "Report": command,
        "Data": study.build.source.replace("_", " ") if study.build else "",
        "Generators taken as they are": ", ".join(f"{name}: {model}" for name, model in given.items() if model),
        "Hardware": ", ".join(hardware),
        "Versions": ", ".join(versions),
        "Seeds of the classifiers": ", ".join(map(str, seeds)),
        "Time of all training runs": duration(seconds) if seconds else "",
        "Comparisons in all": f"{comparisons:,} differences with intervals" if comparisons else "",
        "Comparisons of the verdict": str(len(page.verdict.findings) or ""),
    }
    return [(name, value) for name, value in rows.items() if value]


def render(page: Page, command: str) -> str:
    """The page, with every image embedded; ``command`` is the one that made it."""
    template = files("galaxy_diffusion.study").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    study = page.study
    models = {name: images["model"] for name, images in study.preset.get("generated", {}).items()}
    makers = {name: models.get(name, "ddpm") for name in page.fidelity}
    return environment.from_string(template).render(
        title=study.preset.get("title", f"Study {study.folder.resolve().name}"),
        study=str(study.folder),
        verdict=page.verdict,
        caveats=page.caveats,
        tiles=tiles(study),
        images={name: base64.b64encode(png).decode() for name, png in page.all_images.items()},
        widths={name: int.from_bytes(png[16:20]) for name, png in page.all_images.items()},
        animation=base64.b64encode(page.animation).decode(),
        tables=page.tables,
        fidelity=page.fidelity,
        makers={name: GENERATOR_TITLES.get(maker, maker) for name, maker in makers.items()},
        paper_tables=paper_tables() if study.build and of_the_paper(study.build) else (),
        resolutions=page.resolutions,
        collapse=page.collapse,
        facts=facts(page, command),
        runs=run_records(study.provenance) if study.provenance else None,
        preset=yaml.safe_dump(study.preset, sort_keys=False) if study.preset else "",
        replicates=REPLICATES,
        readable=READABLE,
    )
