"""The notebooks run without a network, and what is kept of them is their source with its outputs."""

import re
from pathlib import Path

import jupytext
import nbformat
import pytest

from notebooks.execute import SMALL, execute
from tests.conftest import ROOT

SOURCES = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("[0-9]*.py"))}
NEEDS = {"01": "statmorph", "02": "galsim", "04": "snakemake", "05": "galsim", "06": "galsim"}


def outputs_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_every_notebook_has_small_settings():
    assert SOURCES.keys() == SMALL.keys()
    table = (ROOT / "notebooks/README.md").read_text()
    assert [path.name for path in SOURCES.values() if f"({path.stem}.ipynb)" not in table] == []


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda path: path.stem)
def test_what_is_kept_is_the_source_with_its_outputs(source):
    file = source.with_suffix(".ipynb")
    kept, written = nbformat.read(file, as_version=4), jupytext.read(source)
    assert [(cell.cell_type, cell.source) for cell in kept.cells] == [
        (cell.cell_type, cell.source) for cell in written.cells
    ]
    assert outputs_of(kept)
    assert not [output for output in outputs_of(kept) if output.output_type == "error"]
    assert file.stat().st_size < 1e6


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda path: path.stem)
def test_nothing_is_kept_of_the_machine_that_ran_it(source):
    kept = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    texts = [str(output.get("text", "") or output.get("data", {}).get("text/plain", "")) for output in outputs_of(kept)]
    assert not [text for text in texts if re.search(r"(^|[\s\"'(])/(work|tmp|home|root|usr)/", text)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize("number", SMALL)
def test_it_runs_with_small_settings_and_without_a_network(number, tmp_path: Path):
    if number in NEEDS:
        pytest.importorskip(NEEDS[number])
    notebook = execute(SOURCES[number], SMALL[number], tmp_path)
    assert outputs_of(notebook)
