"""Quartiles of real shapes: those of known galaxies, and the same after a journey through their file."""

import numpy as np
import pandas as pd
import pytest

from galaxy_diffusion.evaluation import quartiles
from galaxy_diffusion.evaluation.quartiles import SHAPES, class_quartiles, read_quartiles, to_quartiles, write_quartiles
from gz2_dataset import GalaxyArrays, UserError
from tests.conftest import draw_toy_galaxy

COUNT = 12


@pytest.fixture(scope="module")
def galaxies() -> GalaxyArrays:
    rng = np.random.default_rng(0)
    kinds = ["completely_round_smooth", "cigar_shaped_smooth"]
    images = np.stack([np.asarray(draw_toy_galaxy(kind, rng, 48)) for kind in kinds for _ in range(COUNT)])
    names = [str(i) for i in range(2 * COUNT)]
    return GalaxyArrays(images, np.repeat([0, 1], COUNT), names, names, ("round", "cigar", "nothing"))


@pytest.fixture(scope="module")
def table(galaxies) -> pd.DataFrame:
    return class_quartiles(galaxies, measured=6)


def test_the_axis_ratios_are_those_that_were_drawn(table):
    found = to_quartiles(table)
    assert set(found) == {"round", "cigar"}, "a class without galaxies has no quartiles"
    assert found["round"]["axis_ratio"].median == pytest.approx(1.0, abs=0.06)
    assert found["cigar"]["axis_ratio"].median == pytest.approx(0.25, abs=0.08)
    for shapes in found.values():
        for shape in shapes.values():
            assert shape.low <= shape.median <= shape.high
            assert 0 < shape.n <= 6


def test_a_generated_image_is_measured_like_them(galaxies):
    shape = quartiles.shape_of(galaxies.images[-1])
    assert list(shape) == list(SHAPES)
    assert shape["axis_ratio"] == pytest.approx(0.25, abs=0.1)
    assert all(np.isnan(value) for value in quartiles.shape_of(np.zeros((32, 32, 3), np.uint8)).values())


def test_the_file_holds_the_table(table, tmp_path):
    write_quartiles(tmp_path, table)
    found = read_quartiles(tmp_path / quartiles.FILE)
    for name, shapes in to_quartiles(table).items():
        for shape, expected in shapes.items():
            assert found[name][shape] == pytest.approx(expected, abs=1e-4)


def test_another_file_is_refused(tmp_path):
    (tmp_path / quartiles.FILE).write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="no column class_name"):
        read_quartiles(tmp_path / quartiles.FILE)
