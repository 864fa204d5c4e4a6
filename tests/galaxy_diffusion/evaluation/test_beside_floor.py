"""The record of fidelity.json: the same format as ever, and a share with Wilson's interval."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from galaxy_diffusion.evaluation.beside_floor import BesideFloor, read_metrics, share_beside_floor, write_metrics
from gz2_dataset import UserError


def test_what_is_written_is_read_again_and_no_key_without_a_value_is_written_but_that_of_the_floor(tmp_path):
    metrics = {
        "spiral": {
            "fid": BesideFloor(2.0, 1.0, 3.0, 20, 30, 1.5, 1.2, 1.9),
            "copy_rate": BesideFloor(0.1, 0.05, 0.2, 900, 30, None, n_floor=0, p_value=1.0),
        },
        "edge_on": {},
    }
    write_metrics(tmp_path / "fidelity.json", metrics)
    written = json.loads((tmp_path / "fidelity.json").read_text())
    always = ["value", "low", "high", "n_real", "n_generated", "floor", "floor_low", "floor_high"]
    assert list(written["spiral"]["fid"]) == always
    assert list(written["spiral"]["copy_rate"]) == [*always, "n_floor", "p_value"]
    assert written["spiral"]["copy_rate"]["floor"] is None
    assert read_metrics(tmp_path / "fidelity.json") == metrics


def test_a_file_of_the_first_version_is_read(tmp_path):
    figure = {"value": 87.65, "low": 80.0, "high": 95.0, "n_real": 25, "n_generated": 30, "floor": 43.21}
    (tmp_path / "fidelity.json").write_text(json.dumps({"all": {"fid": figure}}))
    assert read_metrics(tmp_path / "fidelity.json") == {"all": {"fid": BesideFloor(87.65, 80.0, 95.0, 25, 30, 43.21)}}


@pytest.mark.parametrize("content", ["{", "[1]", '{"all": {"fid": 3}}', '{"all": {"fid": {"value": 3}}}'])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "fidelity.json").write_text(content)
    with pytest.raises(UserError, match=r"fidelity\.json: .*run evaluate_images.py again"):
        read_metrics(tmp_path / "fidelity.json")


def test_a_share_has_wilsons_interval_and_no_floor_without_real_images():
    found = share_beside_floor(np.arange(40) < 4, np.zeros(0, bool))
    expected = binomtest(4, 40).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.floor, found.floor_low, found.n_real) == (None, None, 0)
