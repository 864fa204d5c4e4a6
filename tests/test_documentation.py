"""The examples of the documentation run, its links lead somewhere, and its claims hold."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from galaxy_diffusion.generators.model_card import snippet
from tests.conftest import ROOT
from tests.gz2_dataset.fits_files import fits_bytes, galaxy

PAGES = ("README.md", "docs/tutorials/first_galaxies.md", "docs/tutorials/your_own_galaxies.md")
"""Pages whose code is run from top to bottom, as a reader does, in a folder like a fresh clone."""
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>bash|python)\n(?P<code>.*?)^```", re.M | re.S
)
TINY = {
    "--num_images 600": "--num_images 150",
    "--test_per_class 20 --validation_per_class 5": "--test_per_class 4 --validation_per_class 2",
    "--config ddpm_64_finetune": "--config ddpm_64_finetune --total_images 16 --batch_size 8 --sample_images 0",
    "cigar_shaped_smooth=100": "cigar_shaped_smooth=2 --num_inference_steps 2",
    "ring=500": "ring=2 --num_inference_steps 2",
    "evaluate         --real": 'evaluate --nets "[]" --probe false --morphology false --real',
    "--config classifier_efficientnetv2_tiny": "--config classifier_tiny --total_images 32 --batch_size 16",
    "--model galaxies-64": "--model galaxies-64 --num_inference_steps 3",
    "num_inference_steps=35": "num_inference_steps=2",
}
"""What is made smaller in a test: the text of a page, and what is run in its place."""


def blocks(page: str) -> list[re.Match]:
    return list(BLOCK.finditer((ROOT / page).read_text()))


def made_tiny(code: str) -> str:
    for text, smaller in TINY.items():
        code = code.replace(text, smaller)
    return code


@pytest.fixture
def clone(tmp_path) -> Path:
    """A folder with what a clone has, in which runs/ is empty, and a survey of the reader's own beside it."""
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name not in {"runs", "build", "dist"}:
            (tmp_path / path.name).symlink_to(path)
    files = [f"galaxies/{name}/{i}.fits" for name in ("ring", "spiral") for i in range(20)]
    for seed, file in enumerate(files):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(fits_bytes(galaxy(2000.0 if "ring" in file else 200.0, seed=seed)))
    (tmp_path / "survey.csv").write_text("\n".join(["file_name", *files]) + "\n")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("warm_python")
@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs_from_top_to_bottom(page, clone):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = [found for found in blocks(page) if not found["reason"]]
    assert ran
    for found in ran:
        command = ["bash", "-euc"] if found["language"] == "bash" else [sys.executable, "-c"]
        outcome = subprocess.run(
            [*command, made_tiny(found["code"])], cwd=clone, env=environment, capture_output=True, text=True
        )
        assert outcome.returncode == 0, f"{found['code']}\n{outcome.stderr[-2000:]}"
    if any("galaxy-diffusion report" in found["code"] for found in ran):
        said = json.loads((clone / "runs/mine/classifiers/tiny/diffusion/seed0/metrics.json").read_text())["n_train"]
        report = (clone / "runs/mine/report/index.html").read_text()
        assert [counts["generated"] for counts in said.values() if counts.get("generated")] == [2]
        assert "one training run" in report
        assert "Fidelity of the images in generated" in report


def test_what_is_made_smaller_is_in_the_pages():
    shown = "".join(found["code"] for page in PAGES for found in blocks(page) if not found["reason"])
    assert [text for text in TINY if text not in shown] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("warm_python")
def test_the_site_is_built_without_a_warning(tmp_path):
    """A link or anchor that leads nowhere within the site is a warning, too."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path)]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    commands = (tmp_path / "reference/commands.html").read_text()
    assert "--noise_shift" in commands
    assert "an eighth of the resolution" in commands, "the docstring below the field"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_the_links_of_a_page_lead_to_files(page):
    text = (ROOT / page).read_text()
    targets = re.findall(r"\]\(([^)\s#:]+)(?:#[^)\s]*)?\)", text) + re.findall(r'<img src="([^"]+)"', text)
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs/images").iterdir()), ids=lambda path: path.name)
def test_a_picture_is_small_and_shown(path):
    assert path.stat().st_size < 1e6
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(f"images/{path.name}" in page.read_text() for page in pages if "_build" not in page.parts)


def test_the_examples_in_docstrings_are_run(pytestconfig):
    assert pytestconfig.getoption("doctestmodules")
    assert {"galaxy_diffusion", "gz2_dataset"} <= set(pytestconfig.getini("testpaths"))


def test_the_readme_draws_as_a_model_card_does():
    shown = next(found["code"] for found in blocks("README.md") if found["language"] == "python")
    code, card = (ast.unparse(ast.parse(text)) for text in (shown, snippet("pretrained/galaxies-64", "spiral")))
    assert code.startswith(card)


def test_every_fault_that_is_listed_has_its_test():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/reliability.md").read_text()))
    there = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert named
    assert named <= there
