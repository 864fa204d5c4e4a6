"""The licences of the packages that the project names as its dependencies, as their metadata give them.

``python docs/licences.py`` prints the table; on the documentation site ``{licences}`` shows it.
"""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent


class Licences(SphinxDirective):
    """The table of the licences."""

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(table())


def table() -> str:
    """A Markdown table: each package, what it is for (an extra, or every command), and its licence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"every command": project["dependencies"], **project["optional-dependencies"]}
    uses: dict[str, list[str]] = {}
    for group, requirements in groups.items():
        for requirement in requirements:
            uses.setdefault(re.split(r"[\[<>=~!; ]", requirement)[0], []).append(group)
    rows = [f"| {name} | {', '.join(groups)} | {licence_of(name)} |" for name, groups in sorted(uses.items())]
    return "\n".join(["| package | for | licence |", "|---|---|---|", *rows])


def licence_of(package: str) -> str:
    """The licence that the metadata of an installed package state."""
    try:
        found = metadata(package)
    except PackageNotFoundError:
        return "not installed where this was made"
    classifiers = [line.split(" :: ")[-1] for line in found.get_all("Classifier", []) if line.startswith("License ::")]
    stated = found.get("License-Expression") or ", ".join(classifiers) or (found.get("License") or "").split("\n")[0]
    return "not stated" if stated in ("", "UNKNOWN") else stated.replace("|", "/")


if __name__ == "__main__":
    print(table())
