"""Runs notebooks from their .py source and keeps what they show: python notebooks/execute.py --notebooks 01 03

With --small true they take the settings of the tests; a line below the settings then says so.
"""

import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_output

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from gz2_dataset import UserError
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import run

SMALL = {
    "01": """\
GALAXIES = 1
from functools import partial
from galaxy_diffusion.sampling import settings
settings.Sampling = partial(settings.Sampling, num_inference_steps=4)""",
    "02": """\
RARE, MOCK_GALAXIES, HELD_OUT, RESOLUTION = "spiral", 60, 2, 32
GENERATOR, GENERATOR_IMAGES, INTERRUPT_AFTER = "ddpm_tiny", 2000, 20
GENERATOR_OPTIONS = "--log_images 40 --sample_images 0 --checkpoint_images 1000"
GENERATED, GENERATE_OPTIONS = 4, "--num_inference_steps 2"
CLASSIFIER, CLASSIFIER_IMAGES = "classifier_tiny", 160""",
    "03": "REPLICATES = 400",
    "04": """\
DATA_DIR, GENERATOR, STUDY = "mock", "ddpm_tiny", "study_demo"
BUILD_OPTIONS = "--test_per_class 2 --validation_per_class 1"
!galaxy-diffusion data mock --output mock --num_images 60""",
    "05": 'MOCK_GALAXIES, HELD_OUT, GENERATOR, GENERATOR_IMAGES, STEPS = 60, 2, "ddpm_tiny", 16, 2',
    "06": "MOCK_GALAXIES, HELD_OUT, RESOLUTION, IMAGES = 60, 2, 32, 64",
}
"""Settings with which a notebook shows that it runs, as a cell below its own settings."""
OURS = {"tags": ["removed afterwards"]}


@dataclass
class Config:
    """What to run."""

    notebooks: list[str] = field(default_factory=lambda: sorted(SMALL))
    """Their numbers, such as 01."""
    small: bool = False
    """Take the settings of the tests."""


def main(config: Config) -> None:
    for number in config.notebooks:
        source = next(iter(HERE.glob(f"{number}_*.py")), None)
        if source is None:
            raise UserError(f"{number}: no such notebook in {HERE}; there are {', '.join(sorted(SMALL))}")
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(source, SMALL[number] if config.small else "", Path(folder))
        write_whole(source.with_suffix(".ipynb"), nbformat.writes(notebook) + "\n")
        print(source.with_suffix(".ipynb"))


def execute(source: Path, settings: str, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook without a network.

    Parameters
    ----------
    source : Path
        Its .py file.
    settings : str
        Code that is run below the notebook's own settings.
    folder : Path
        Working directory.

    Returns
    -------
    NotebookNode
        With its outputs.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell, or a command in one, fails.
    """
    notebook = jupytext.read(source)
    notebook.metadata.pop("jupytext", None)
    cells = []
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:02}"
        cells.append(cell)
        if "parameters" in cell.metadata.get("tags", []) and settings:
            cells.append(new_code_cell(settings, metadata=OURS))
        if any(line.startswith("!") for line in cell.source.splitlines()):
            cells.append(new_code_cell("assert _exit_code == 0", metadata=OURS))
    notebook.cells = cells
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PATH": programs,
        "TQDM_DISABLE": "1",
        "TQDM_MININTERVAL": "60",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": folder}}, record_timing=False
    )
    client.execute(env=environment)
    notebook.cells = [cell for cell in notebook.cells if cell.metadata != OURS]
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []) and settings:
            cell.outputs = [new_output("stream", name="stdout", text=f"This run:\n{settings}\n")]
        for output in cell.get("outputs", []):
            if "image/jpeg" in output.get("data", {}):  # of galaxies, a tenth of the size
                output.data.pop("image/png", None)
    return notebook


if __name__ == "__main__":
    run(main, Config, __doc__)
