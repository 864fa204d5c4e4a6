"""What the documentation shows is run."""


def test_the_examples_in_docstrings_are_run(pytestconfig):
    assert pytestconfig.getoption("doctestmodules")
    assert {"galaxy_diffusion", "gz2_dataset"} <= set(pytestconfig.getini("testpaths"))
