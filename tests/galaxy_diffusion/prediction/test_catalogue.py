"""Catalogues come back from each format with the values and the gaps that they had."""

import numpy as np
import pytest
from astropy import units
from astropy.table import MaskedColumn, Table

from galaxy_diffusion.prediction.catalogue import FORMATS, format_of, read_catalogue, write_catalogue
from gz2_dataset import UserError

OBJID = 1237648720693755918
"""As SDSS has them: beyond 2^53, where a float64 would lose the last digits."""


@pytest.fixture
def table() -> Table:
    return Table(
        {
            "objid": MaskedColumn([OBJID, 0, 3], mask=[False, True, False]),
            "ra": [180.25, 0.1, 359.99999999],
            "name": ['a/"x", b.jpg', "007", "NA"],
            "z": MaskedColumn(np.array([0.1, 0.2, 0.3], np.float32), mask=[False, False, True]),
        }
    )


@pytest.mark.parametrize("suffix", FORMATS)
def test_values_and_gaps_come_back(table, tmp_path, suffix):
    write_catalogue(table, tmp_path / f"t{suffix}")
    found = read_catalogue(tmp_path / f"t{suffix}")
    assert found.colnames == table.colnames
    assert found["objid"].tolist() == [OBJID, None, 3]
    assert found["ra"].tolist() == [180.25, 0.1, 359.99999999]
    assert found["name"].tolist() == ['a/"x", b.jpg', "007", "NA"]
    assert found["z"].tolist()[:2] == pytest.approx([0.1, 0.2])
    last = found["z"][2]
    assert np.ma.is_masked(last) or np.isnan(last)


def test_a_csv_column_is_a_number_only_if_nothing_is_lost(tmp_path):
    (tmp_path / "t.csv").write_text(f"a,b,c,d,e\n007,1,{OBJID},1.50,\n8,x,,,\n")
    found = read_catalogue(tmp_path / "t.csv")
    assert {name: found[name].tolist() for name in found.colnames} == {
        "a": ["007", "8"],
        "b": ["1", "x"],
        "c": [OBJID, None],
        "d": [1.5, None],
        "e": [None, None],
    }


@pytest.mark.parametrize("suffix", [".fits", ".vot", ".ecsv"])
def test_units_are_kept(tmp_path, suffix):
    write_catalogue(Table({"ra": [1.0] * units.deg}), tmp_path / f"t{suffix}")
    assert read_catalogue(tmp_path / f"t{suffix}")["ra"].unit == units.deg


@pytest.mark.parametrize(("suffix", "column"), [(".csv", np.zeros((2, 3))), (".fits", ["é", "b"])])
def test_what_a_format_cannot_hold_is_one_line_and_leaves_nothing(tmp_path, suffix, column):
    with pytest.raises(UserError, match=r"cannot be written .* take another of") as error:
        write_catalogue(Table({"x": column}), tmp_path / f"t{suffix}")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_an_unknown_suffix_names_the_known_ones(tmp_path):
    with pytest.raises(
        UserError, match=r"--output t\.doc: no format has the suffix '\.doc'; take one of \.csv, .*fits"
    ):
        format_of(tmp_path.relative_to(tmp_path) / "t.doc", "--output")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_damaged_catalogue_is_one_line(tmp_path, suffix):
    (tmp_path / f"t{suffix}").write_bytes(b'"\x00\xff\n1,2\n' * 9)
    with pytest.raises(UserError, match=f"t{suffix}: cannot be read as a catalogue"):
        read_catalogue(tmp_path / f"t{suffix}")
