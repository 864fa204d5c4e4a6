"""What every command of the project shares: arguments from a dataclass or functions, one-line errors, provenance."""

import atexit
import contextlib
import dataclasses
import importlib.metadata
import inspect
import os
import platform
import signal
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, set_parsing_settings

from .folder_lock import lock_beside, only_writer
from .foreign_flags import refuse_foreign
from .interruption import Interrupted, heed_signals
from .reading import read_yaml
from .shortage import remedy_of
from .user_error import UserError

set_parsing_settings(docstring_parse_attribute_docstrings=True)  # each field is described in the docstring below it

PACKAGES = ("accelerate", "datasets", "diffusers", "numpy", "pillow", "timm", "torch", "torchvision", "transformers")


def how_to_install(extra: str) -> str:
    """The command for the packages of an extra: from the clone, because the project is not on a package index.

    Examples
    --------
    >>> print(how_to_install("mock"))
    pip install ".[mock]" in the folder of the clone
    """
    return f'pip install ".[{extra}]" in the folder of the clone'


class OneLineParser(ArgumentParser):
    """jsonargparse's parser, with errors of one line and exit status 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        fail(f"{' '.join(str(message).split())} (see --help)")


def fail(message: str) -> NoReturn:
    """Print one line on stderr and leave with exit status 2."""
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def run(main: Callable[[Any], None], config_class: type, description: str) -> None:
    """Run a script: parse its arguments into ``config_class`` and call ``main`` with them.

    Arguments come from ``--config FILE.yaml`` and from ``--field value``, which takes precedence; a list takes one or
    more values. An unknown option or key, or a `UserError`, ends the script with one line on stderr and exit status 2.

    Parameters
    ----------
    main : callable
        Takes the filled-in ``config_class``.
    config_class : type
        A dataclass; the descriptions below its fields become ``--help``.
    description : str
        First paragraph of ``--help``.

    Examples
    --------
    >>> run(main, Config, "Trains a class-conditional diffusion model.")  # doctest: +SKIP
    """
    set_parsing_settings(add_print_completion_argument=True)  # --print_completion jsonschema: an editor checks presets
    parser = OneLineParser(description=description)
    parser.add_argument("--config", action="config", help="YAML file with any of the fields below")
    parser.add_class_arguments(config_class)

    def begin() -> None:
        for file in presets_of(sys.argv[1:]):
            read_yaml(Path(file))  # refuses what the parser would trust
        arguments = parser.parse_args(spelled_out(sys.argv[1:], typing.get_type_hints(config_class)))
        alone(main, config_class(**{field.name: arguments[field.name] for field in dataclasses.fields(config_class)}))

    call(begin)


def alone(main: Callable[[Any], None], config: Any) -> None:
    """Call ``main`` as the only command that writes its ``output_dir`` or ``output``; the first process says so."""
    with contextlib.ExitStack() as stack:
        if os.environ.get("RANK", "0") == "0":
            if hasattr(config, "output_dir"):
                stack.enter_context(only_writer(config.output_dir))
            elif hasattr(config, "output"):
                stack.enter_context(only_writer(config.output, lock_beside(config.output)))
        main(config)


def presets_of(arguments: Sequence[str]) -> list[str]:
    """The files that ``--config`` names.

    Examples
    --------
    >>> presets_of(["--config", "a.yaml", "--seed", "1", "--config=b.yaml"])
    ['a.yaml', 'b.yaml']
    """
    after = [argument for option, argument in pairwise(arguments) if option == "--config"]
    return after + [argument.removeprefix("--config=") for argument in arguments if argument.startswith("--config=")]


def spelled_out(arguments: Sequence[str], hints: Mapping[str, Any]) -> list[str]:
    """Arguments as jsonargparse takes them.

    ``--name A B`` of a list becomes ``--name=[] --name+=A --name+=B``; ``--name`` of a boolean alone ``--name=true``.

    Parameters
    ----------
    arguments : sequence of str
        As typed.
    hints : mapping
        The type of each option by its name.

    Raises
    ------
    UserError
        If one of them is known to be a flag of another tool.

    Examples
    --------
    >>> spelled_out(["--dry_run", "--nets", "a", "b"], {"dry_run": bool, "nets": list[str]})
    ['--dry_run=true', '--nets=[]', '--nets+=a', '--nets+=b']
    """
    kinds = {name: (hint, typing.get_origin(hint), *typing.get_args(hint)) for name, hint in hints.items()}
    lists = {f"--{name}" for name, kind in kinds.items() if list in (*kind, *map(typing.get_origin, kind))}
    flags = {f"--{name}" for name, kind in kinds.items() if bool in kind}
    found, name = [], ""
    for argument, following in zip(arguments, [*arguments[1:], "--"], strict=False):
        refuse_foreign(argument, hints)
        if argument in lists:
            name = argument
            found.append(f"{name}=[]")
        elif argument in flags and following.startswith("--"):
            name = ""
            found.append(f"{argument}=true")
        elif argument.startswith("--"):
            name = ""
            found.append(argument)
        elif name:
            found.append(f"{name}={argument}" if argument.startswith("[") else f"{name}+={argument}")
        else:
            found.append(argument)
    return found


def run_functions(functions: dict[str, Callable], description: str) -> None:
    """Run one of several functions as a subcommand: keyword-only parameters are options, others positional."""
    parser = OneLineParser(prog="python -m gz2_dataset", description=description)
    commands = parser.add_subcommands(dest="command")
    for name, function in functions.items():
        parameters = inspect.signature(function).parameters.values()
        positional = any(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters)
        command = OneLineParser(description=(inspect.getdoc(function) or "").partition("\n")[0])
        command.add_function_arguments(function, as_positional=positional)
        commands.add_subcommand(name, command, help=command.description)

    def begin() -> None:
        function = functions.get(sys.argv[1]) if sys.argv[1:] else None
        hints = typing.get_type_hints(function) if function else {}
        arguments = parser.parse_args(spelled_out(sys.argv[1:], hints))
        functions[arguments.command](**arguments[arguments.command].as_dict())

    call(begin)


def call(function: Callable, *args: Any, **kwargs: Any) -> None:
    """Call ``function``; turn an error that a user can fix into one line, and a signal into the usual exit status."""
    try:
        heed_signals()
        function(*args, **kwargs)
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt as error:
        number = signal.Signals(error.number if isinstance(error, Interrupted) else signal.SIGINT)
        print(f"\ninterrupted by {number.name}; the same command continues from what is done", file=sys.stderr)
        leave_at_once(128 + number)
    except Exception as error:
        if remedy := remedy_of(error):
            fail(remedy)
        raise


def leave_at_once(status: int) -> NoReturn:
    """End the process as soon as what was registered with `atexit` has run.

    Python would look through all of torch for garbage first, which takes seconds that a cluster may not grant.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def parse_counts(option: str, text: str, class_names: Sequence[str]) -> dict[str, int]:
    """Galaxies or images of each class as an option gives them.

    Parameters
    ----------
    option : str
        Its name, for errors.
    text : str
        ``"spiral=3,edge_on=2"``, or ``"8"`` for 8 of every class.
    class_names : sequence of str

    Raises
    ------
    UserError
        If a class is unknown or a count is not a number.

    Examples
    --------
    >>> parse_counts("num_images", "8", ["spiral", "edge_on"])
    {'spiral': 8, 'edge_on': 8}
    """
    pairs = [pair.partition("=") for pair in text.split(",")] if "=" in text else [(c, "=", text) for c in class_names]
    wanted = {name.strip(): count.strip() for name, _, count in pairs}
    for name, count in wanted.items():
        if name not in class_names:
            raise UserError(f"{option} {text!r}: no class {name!r}; there are {', '.join(class_names)}")
        if not count.isdecimal():
            raise UserError(f"{option} {text!r}: {count!r} is not a number; write for instance {class_names[0]}=100")
    return {name: int(count) for name, count in wanted.items()}


def provenance(config: Any) -> dict[str, Any]:
    """What is saved with every result: the resolved config, library versions and the platform.

    Parameters
    ----------
    config : dataclass instance
        The resolved configuration.

    Returns
    -------
    dict
        Keys ``config``, ``versions``, ``platform`` and ``device``; JSON-serialisable.
    """
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    import torch  # here: the commands of gz2_dataset do without it and so start in a third of the time

    values = {k: str(v) if isinstance(v, Path) else v for k, v in dataclasses.asdict(config).items()}
    return {
        "config": values,
        "versions": {"python": platform.python_version(), **versions},
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} CPU cores",
    }
