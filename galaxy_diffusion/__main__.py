"""The command ``galaxy-diffusion NAME ...``: runs a script of the project, from a clone or from an installed wheel."""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from galaxy_diffusion.shared.shipped import HOME

# Snakemake's options for a study; those that the user gives come later and take precedence.
STUDY_OPTIONS = [
    "--cores",
    "all",
    "--rerun-triggers",
    "mtime",
    "params",
    "--rerun-incomplete",
    "--nolock",
    "--quiet",
    "host",
]


@dataclass(frozen=True)
class Command:
    """What a name stands for.

    Attributes
    ----------
    summary : str
        Line of ``galaxy-diffusion --help``.
    target : str
        What Python runs: a script of `HOME`, which ends in .py, or a module.
    launched : bool
        Whether accelerate starts it, on as many GPUs as there are.
    """

    summary: str
    target: str
    launched: bool = False


COMMANDS = {
    "data": Command("make a dataset: mock, build, audit, push", "gz2_dataset"),
    "train-ddpm": Command("train a class-conditional diffusion model", "train_ddpm.py", launched=True),
    "train-sagan": Command("train a class-conditional SAGAN, the baseline", "train_sagan.py", launched=True),
    "train-vae": Command("train a VAE, a baseline", "train_vae.py", launched=True),
    "train-autoregressive": Command("train an autoregressive model", "train_autoregressive.py", launched=True),
    "generate": Command("generate labelled galaxies with a trained model", "generate.py", launched=True),
    "adopt": Command("take another generator's images, with what it has seen", "adopt_images.py"),
    "train-classifier": Command("train a galaxy classifier and test it", "train_classifier.py", launched=True),
    "predict": Command("apply trained classifiers to a survey", "predict.py"),
    "evaluate": Command("compare generated galaxies with real ones", "evaluate_images.py"),
    "report": Command("draw the tables and figures of a study", "report.py"),
    "app": Command("open a page in the browser: dream, vary, classify", "app.py"),
    "study": Command("run a whole study, from data to report", "snakemake"),
}


def presets(folder: Path = HOME / "configs") -> list[str]:
    """Names that ``--config`` knows: the presets of the project, without .yaml; those of accelerate are left out."""
    names = (path.relative_to(folder).as_posix().removesuffix(".yaml") for path in folder.rglob("*.yaml"))
    return sorted(name for name in names if not name.startswith("accelerate/"))


def find_preset(name: str, folder: str = "") -> str:
    """The file of a preset that is given as a path or by name.

    Parameters
    ----------
    name : str
        A file, as ``my_presets/ddpm.yaml``, or a preset of the project, as ``ddpm_32`` or ``configs/ddpm_32.yaml``.
        A file of that name in the working directory comes first.
    folder : str
        Folder of configs/ in which ``name`` is looked for.

    Returns
    -------
    str
        A file that exists, or ``name`` if there is none; the script then says so.
    """
    configs = HOME / "configs" / folder
    candidates = (Path(name), configs / f"{name}.yaml", configs / name, HOME / name)
    return str(next((path for path in candidates if path.is_file()), name))


def with_preset_files(arguments: Sequence[str]) -> list[str]:
    """The arguments of a script, with a preset's name after ``--config`` replaced by its file."""
    found = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        key, equals, value = argument.partition("=")
        if before == "--config":
            found.append(find_preset(argument))
        elif key == "--config" and equals:
            found.append(f"{key}={find_preset(value)}")
        else:
            found.append(argument)
    return found


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command names; what follows a name is left to its script."""
    parser = argparse.ArgumentParser(
        prog="galaxy-diffusion",
        description="Diffusion models for rare galaxy classes. Options of a command: galaxy-diffusion NAME --help. "
        "Commands that train or generate also take --accelerate PRESET, such as multi_gpu.",
        epilog=f"A preset is a YAML file or one of these names: {', '.join(presets())}",
        allow_abbrev=False,
        formatter_class=partial(argparse.HelpFormatter, max_help_position=24),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('galaxy-diffusion')}")
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    for name, command in COMMANDS.items():
        is_study = name == "study"
        options = names.add_parser(name, help=command.summary, add_help=is_study, allow_abbrev=False)
        if command.launched:
            options.add_argument("--accelerate", metavar="PRESET")
        if is_study:
            options.description = "Run a whole study, from data to report. Further options go to snakemake."
            options.add_argument("--config", metavar="PRESET", required=True, help="such as study_demo, or a YAML file")
    return parser


def refuse_damaged(preset: str, parser: argparse.ArgumentParser) -> None:
    """End with one line if a preset is damaged or has no end: snakemake would take all memory for it."""
    from gz2_dataset.reading import read_yaml  # here, because it takes seconds and --help should not
    from gz2_dataset.user_error import UserError

    try:
        read_yaml(Path(preset))
    except UserError as error:
        parser.error(str(error))


def command_line(arguments: Sequence[str]) -> list[str]:
    """What Python is to run for the arguments of ``galaxy-diffusion``.

    Parameters
    ----------
    arguments : sequence of str
        As typed. ``--accelerate PRESET`` is a configuration of accelerate, such as ``multi_gpu``; all else after the
        name goes to the script.

    Returns
    -------
    list of str
        Arguments of the Python interpreter.

    Examples
    --------
    >>> command_line(["data", "mock", "--output", "drawn"])
    ['-m', 'gz2_dataset', 'mock', '--output', 'drawn']
    """
    parser = make_parser()
    known, rest = parser.parse_known_args(arguments)
    command = COMMANDS[known.name]
    if known.name == "study":
        if find_spec(command.target) is None:
            from gz2_dataset.command_line import how_to_install  # here, because it takes seconds and --help should not

            parser.error(f"a study needs snakemake; run {how_to_install('study')}")
        preset = find_preset(known.config)
        if not Path(preset).is_file():
            parser.error(f"no file or preset {known.config!r}; give a YAML file, or study_demo")
        refuse_damaged(preset, parser)
        files = ["-s", str(HOME / "workflow" / "Snakefile"), "--configfile", preset]
        return ["-m", command.target, *files, *STUDY_OPTIONS, *rest]
    target = [str(HOME / command.target)] if command.target.endswith(".py") else ["-m", command.target]
    rest = with_preset_files(rest)
    only_prints = any(argument == "-h" or argument.startswith(("--help", "--print_")) for argument in rest)
    if not command.launched or only_prints:
        return [*target, *rest]
    configuration = ["--config_file", find_preset(known.accelerate, "accelerate")] if known.accelerate else []
    return ["-m", "galaxy_diffusion.launch", "--quiet", *configuration, *target, *rest]


def main() -> None:
    """Become the script, so that signals reach it and its exit status is this command's."""
    command = [sys.executable, *command_line(sys.argv[1:])]
    # The study calls python and accelerate: those of this environment, activated or not.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    if os.name == "nt":  # where exec would return to the prompt at once
        sys.exit(subprocess.call(command))
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
