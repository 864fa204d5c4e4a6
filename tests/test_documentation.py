"""The examples of the documentation run, and its claims hold."""

import re

from galaxy_diffusion.generators.model_card import snippet
from tests.conftest import ROOT


def test_the_examples_in_docstrings_are_run(pytestconfig):
    assert pytestconfig.getoption("doctestmodules")
    assert {"galaxy_diffusion", "gz2_dataset"} <= set(pytestconfig.getini("testpaths"))


def test_the_readme_draws_as_a_model_card_does():
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    assert shown == snippet("runs/mine/ddpm", "ring")


def test_every_fault_that_is_listed_has_its_test():
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/reliability.md").read_text()))
    there = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert named
    assert named <= there
