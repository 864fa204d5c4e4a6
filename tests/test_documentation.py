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
