"""A study of many classifiers: its plan, its memory, what is done again after SIGKILL, and its report.

    taskset -c 1 python benchmarks/many_classifiers.py --study RUN --output_dir OUT --seeds 100

RUN is the folder of a finished study of the preset study_tiny, whose data, generator and images are taken as they are.
Its two arms get more seeds, and `stand_in.py` takes the place of train_classifier.py: the workflow and the report are
measured, not the trainings.
"""

import math
import os
import shutil
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.watching import Look, watch  # noqa: E402
from galaxy_diffusion.__main__ import command_line  # noqa: E402
from galaxy_diffusion.shared.run_folder import write_json  # noqa: E402
from gz2_dataset import UserError  # noqa: E402
from gz2_dataset.command_line import provenance, run  # noqa: E402
from gz2_dataset.ranges import Checked, at_least  # noqa: E402

PYTHON = """#!/bin/sh
case "$1" in *train_classifier.py) exec {python} -IS {stand_in} "$@";; esac
exec {python} "$@"
"""
"""The python of the study."""
KILLED_AT = (0.25, 0.5, 0.75)
"""Shares of the classifiers after which the study is killed."""


@dataclass
class Config(Checked):
    """Settings of the measurement."""

    study: Path
    """A finished study of the preset study_tiny."""
    output_dir: Path
    """Receives the study and many_classifiers.json; must not hold any."""
    seeds: int = field(default=100, metadata=at_least(1))
    """Classifiers of each of the two arms."""


def main(config: Config) -> None:
    if (config.output_dir / "run").exists():
        raise UserError(f"{config.output_dir}: holds a run; give another --output_dir")
    prepare(config)
    os.chdir(config.output_dir)
    classifiers = 2 * config.seeds
    study = [*command_line(["study", "--config", "many.yaml", "--cores", "1"]), "--until", "train_classifier"]
    found: dict[str, Any] = {"plan": summary(watch([*study, "--dry-run"], ended))}
    for share in (*KILLED_AT, math.inf):
        looks = watch(study, ended, share * classifiers)
        found[f"killed at {share:.0%}" if share < 1 else "to the end"] = summary(looks)
    report = [ROOT / "report.py", "--study", "run", "--output_dir", "report"]
    found["report"] = summary(watch(report, ended))

    lines = Counter(Path("journal.txt").read_text().splitlines())
    finished = [count for line, count in lines.items() if line.startswith("ended")]
    found["classifiers"] = {"planned": classifiers, "finished": len(finished), "finished twice": finished.count(2)}
    found["classifiers"]["begun again"] = sum(lines.values()) - sum(finished) - len(finished)
    for name, entry in found.items():
        print(f"{name}: {', '.join(f'{value} {key}' for key, value in entry.items())}")
    write_json(Path("many_classifiers.json"), provenance(config) | found)
    if len(finished) < classifiers or max(finished) > 1:
        raise SystemExit("a classifier is missing or was trained twice")


def prepare(config: Config) -> None:
    """The study with what is before its classifiers, its preset, and the python that it will call."""
    made_later = shutil.ignore_patterns("classifiers", "report", "logs", "study.yaml")
    shutil.copytree(config.study, config.output_dir / "run", ignore=made_later)
    own = {"config": str(ROOT / "configs/study_tiny.yaml"), "output_dir": "run", "seeds": [*range(config.seeds)]}
    (config.output_dir / "many.yaml").write_text(yaml.safe_dump(own))
    program = config.output_dir.absolute() / "bin/python"
    program.parent.mkdir()
    program.write_text(PYTHON.format(python=sys.executable, stand_in=ROOT / "benchmarks/stand_in.py"))
    program.chmod(0o755)
    os.environ["PATH"] = os.pathsep.join([str(program.parent), os.environ["PATH"]])


def ended() -> int:
    """How many classifiers are finished."""
    journal = Path("journal.txt")
    return journal.read_text().count("ended ") if journal.exists() else 0


def summary(looks: list[Look]) -> dict[str, float]:
    """Memory in GB and seconds of processor time of what was watched, without the processes that it has started."""
    found = {"seconds": round(looks[-1].seconds, 1), "GB at most": round(max(look.memory for look in looks), 3)}
    working = [look for look in looks if look.done > looks[0].done]
    if working and (jobs := working[-1].done - working[0].done):
        each = (working[-1].seconds - working[0].seconds) / jobs
        memory = {"GB after its first classifier": working[0].memory, "GB after its last": working[-1].memory}
        found |= {"seconds a classifier": round(each, 3)} | {key: round(gb, 3) for key, gb in memory.items()}
    return found


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
