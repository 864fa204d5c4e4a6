"""Which module may import which: one folder per command, built on shared/ and what it shows or draws with.

Also checks that ARCHITECTURE.md and CONTRIBUTING.md name the files that exist.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

LEANS_ON = {
    "shared": set(),
    "__main__": {"shared"},
    "sampling": {"shared"},
    "generators": {"shared", "sampling"},
    "classifiers": {"shared"},
    "evaluation": {"shared"},
    "prediction": {"shared"},
    "study": {"shared"},
    "app": {"shared", "sampling", "evaluation", "prediction"},
}
"""Folders of galaxy_diffusion that each of them, and the command, may import, beside itself and gz2_dataset."""
SCRIPTS = {path.stem for path in ROOT.glob("*.py")}


def modules(package: str) -> dict[str, Path]:
    """Modules of a package by their dotted name."""
    paths = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return dict(zip(names, paths, strict=True))


@cache
def parsed(path: Path) -> list[ast.AST]:
    """All nodes of a file."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported(path: Path, known: set[str]) -> Iterator[str]:
    """The modules that a file imports: of ``known`` ones the module itself, else the dotted name as written."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in parsed(path):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            yield from {f"{source}.{name.name}" if f"{source}.{name.name}" in known else source for name in node.names}


def folder_of(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def broken_rules(package: dict[str, Path], known: set[str]) -> list[str]:
    """The imports of galaxy_diffusion that go where they may not."""
    broken = []
    for module, path in package.items():
        for target in imported(path, known):
            first = target.split(".")[0]
            own, other = folder_of(module), folder_of(target)
            within = first == "galaxy_diffusion" and own and other and other != own
            if first in SCRIPTS or (within and other not in LEANS_ON[own]):
                broken.append(f"{module} imports {target}")
    return broken


@pytest.fixture(scope="module")
def known() -> set[str]:
    return {*modules("galaxy_diffusion"), *modules("gz2_dataset")}


def test_a_folder_leans_on_what_it_may(known):
    assert not broken_rules(modules("galaxy_diffusion"), known)


def test_the_dataset_knows_nothing_of_what_is_made_of_it(known):
    for module, path in modules("gz2_dataset").items():
        wrong = [name for name in imported(path, known) if name.split(".")[0] in {"galaxy_diffusion", *SCRIPTS}]
        assert not wrong, f"{module} imports {wrong}"


def test_nothing_imports_what_windows_lacks(known):
    packages = modules("galaxy_diffusion") | modules("gz2_dataset")
    for path in [*packages.values(), *ROOT.glob("*.py")]:
        assert not {"resource", "fcntl"} & set(imported(path, known)), path
        assert not re.search(r"os\.(pread|pwrite|fork)\b", path.read_text(encoding="utf-8")), path


def test_text_is_utf_8_whatever_the_system_would_take(known):
    """Windows and some clusters have another default."""
    packages = modules("galaxy_diffusion") | modules("gz2_dataset")
    for path in [*packages.values(), *ROOT.glob("*.py")]:
        for node in parsed(path):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("read_text", "write_text"):
                assert "encoding" in [keyword.arg for keyword in node.keywords], f"{path}:{node.lineno}"


@pytest.mark.parametrize("package", ["galaxy_diffusion", "gz2_dataset"])
def test_nothing_imports_in_a_circle(package, known):
    graph = {name: set(imported(path, known)) & known - {name} for name, path in modules(package).items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize(
    "line",
    [
        "from galaxy_diffusion.study.arms import Run",
        "from galaxy_diffusion.evaluation import prdc",
        "import train_ddpm",
    ],
)
def test_an_import_against_the_rule_is_found(line, tmp_path, monkeypatch, known):
    monkeypatch.setattr("tests.test_architecture.ROOT", tmp_path)
    path = tmp_path / "galaxy_diffusion/shared/wrong.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"{line}\n")
    assert broken_rules({"galaxy_diffusion.shared.wrong": path}, known)


def drawn_tree(text: str) -> list[str]:
    """Files in the tree of ARCHITECTURE.md: two spaces deeper is one folder deeper, a folder ends with a slash."""
    block = text.partition("## Every module")[2].split("```")[1]
    files, folders = [], []
    for line in filter(str.strip, block.splitlines()):
        name, depth = line.split()[0], (len(line) - len(line.lstrip())) // 2
        folders = folders[:depth]
        if name.endswith("/"):
            folders.append(name)
        else:
            files.append("".join([*folders, name]))
    return files


def test_the_tree_in_the_documentation_is_the_tree():
    drawn = drawn_tree((ROOT / "ARCHITECTURE.md").read_text())
    there = {
        path.relative_to(ROOT).as_posix()
        for package in ("galaxy_diffusion", "gz2_dataset")
        for path in (ROOT / package).rglob("*.*")
        if path.suffix in {".py", ".html", ".yaml", ".csv", ".md"} and path.name != "__init__.py"
    }
    assert len(drawn) == len(set(drawn))
    assert there - set(drawn) == set(), "not in the tree of ARCHITECTURE.md"
    assert set(drawn) - there == set(), "in the tree of ARCHITECTURE.md, but there is no such file"


@pytest.mark.parametrize("document", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_that_the_documentation_names_is_there(document):
    """Names in capitals stand for files to come."""
    named = re.findall(r"`([a-z0-9_/.]+/[a-z0-9_.]+\.[a-z]+)`", (ROOT / document).read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_tree_is_read_by_its_indentation():
    tree = ["a/    one", "  b.py  two", "  c/    three", "    d.py  four", "e/    five", "  f.csv  six"]
    text = "\n".join(["## Every module", "```", *tree, "```"])
    assert drawn_tree(text) == ["a/b.py", "a/c/d.py", "e/f.csv"]
