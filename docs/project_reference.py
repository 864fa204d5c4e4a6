"""A small Sphinx extension: options of the commands and the presets, as the code has them.

``{command} train_ddpm`` lists the settings of a script and ``{command} gz2_dataset.build`` those of a function, from
the same docstrings as ``--help``. ``{presets} ddpm_*`` shows configs/ddpm_*.yaml. Links that leave docs/, as a reader
on a forge follows them, go to the page that includes the file, or download it.
"""

import dataclasses
import importlib
import inspect
import os
import re
import sys
from pathlib import Path

from docstring_parser import parse, parse_from_object
from docutils import nodes
from licences import Licences
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

DOCS = Path(__file__).parent
ROOT = DOCS.parent
INCLUDED = {
    "ARCHITECTURE.md": "architecture",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
}
"""Files of the project's root by the page that includes each."""
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


class Command(SphinxDirective):
    """The options of one command: name, type, default, and what its docstring says."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        settings = settings_of(self.arguments[0])
        return self.parse_text_to_nodes("\n\n".join(setting.markdown for setting in settings))


class Presets(SphinxDirective):
    """The presets of configs/ that match a pattern, in full."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        shown = []
        for path in sorted((ROOT / "configs").glob(self.arguments[0] + ".yaml")):
            name = path.relative_to(ROOT / "configs").with_suffix("").as_posix()
            shown.append(f":::{{dropdown}} `{name}`\n```yaml\n{path.read_text()}```\n:::")
        if not shown:
            raise self.error(f"no preset matches {self.arguments[0]}")
        return self.parse_text_to_nodes("\n\n".join(shown))


@dataclasses.dataclass(frozen=True)
class Setting:
    """One option of a command, as ``--help`` describes it."""

    name: str
    kind: object
    default: object
    description: str
    range: str = ""

    @property
    def markdown(self) -> str:
        """A definition."""
        missing = self.default is dataclasses.MISSING or self.default is inspect.Parameter.empty
        facts = [f"*{type_name(self.kind)}*", *filter(None, [self.range])]
        facts.append("required" if missing else f"default `{self.default}`")
        text = " ".join(self.description.split()).replace("*", r"\*").replace("<", r"\<")
        return f"`--{self.name}` {', '.join(facts)}\n: {text}"


def settings_of(name: str) -> list[Setting]:
    """The options of a script (the fields of its ``Config``) or of a command of gz2_dataset, ``gz2_dataset.NAME``."""
    module, _, function = name.partition(".")
    if function:
        target = getattr(importlib.import_module(f"{module}.__main__"), function)
        described = {p.arg_name: p.description for p in parse(target.__doc__).params}
        parameters = inspect.signature(target).parameters.values()
        return [Setting(p.name, p.annotation, p.default, described[p.name]) for p in parameters]
    config = importlib.import_module(module).Config
    kinds = reversed(config.__mro__[:-1])
    described = {p.arg_name: p.description for kind in kinds for p in parse_from_object(kind).params}
    return [
        Setting(f.name, f.type, default_of(f), described[f.name], str(f.metadata.get("range", "")))
        for f in dataclasses.fields(config)
    ]


def default_of(field: dataclasses.Field) -> object:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def type_name(annotation: object) -> str:
    """A type as a reader sees it: choices by their values."""
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = re.sub(r"Optional\[(.*)\]$", r"\1 | None", re.sub(r"\b(?:[a-z_]+\.)+", "", text))
    return re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace("'", "").replace(", ", " | "), text)


def from_the_root(app: Sphinx, docname: str, source: list[str]) -> None:
    """Fill a page that shows a file of the root, and lead links that leave docs/ to such a page or to the file."""
    page = DOCS / f"{docname}.md"
    shown = next((ROOT / file for file, name in INCLUDED.items() if name == docname), page)
    if shown != page:
        app.env.note_dependency(str(shown))
        source[0] = shown.read_text()

    def replace(found: re.Match) -> str:
        mark, text, target, anchor = found.groups()
        path = (shown.parent / target).resolve()
        if ":" in target or not path.exists() or not path.is_relative_to(ROOT):
            return found[0]
        if path.parent == ROOT and path.name in INCLUDED:
            path = DOCS / f"{INCLUDED[path.name]}.md"
        address = os.path.relpath(path, page.parent)
        if path.is_relative_to(DOCS):
            return f"{mark}[{text}]({address}{anchor or ''})"
        return f"{{download}}`{text.strip('`')} <{address}>`" if path.is_file() else f"`{target}`"

    source[0] = LINK.sub(replace, source[0])


def with_references(app: Sphinx, what: str, name: str, target: object, options: object, lines: list[str]) -> None:
    """Give a docstring the references of its module that it cites."""
    module = sys.modules[getattr(target, "__module__", None) or "builtins"]
    known = dict(re.findall(r"^\.\. \[(\d+)\] (.+)$", inspect.getdoc(module) or "", re.MULTILINE))
    text = "\n".join(lines)
    cited = [key for key in dict.fromkeys(re.findall(r"\[(\d+)\]_", text)) if f".. [{key}]" not in text]
    if found := [f".. [{key}] {known[key]}" for key in cited if key in known]:
        lines += ["", "References", "----------", *found]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command", Command)
    app.add_directive("presets", Presets)
    app.add_directive("licences", Licences)
    app.connect("source-read", from_the_root)
    app.connect("autodoc-process-docstring", with_references, priority=400)  # before numpydoc
    return {"parallel_read_safe": True, "parallel_write_safe": True}
