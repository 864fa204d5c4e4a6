"""Each number that can be set has a range, and a value out of it is one line before anything is done."""

import math
import typing
from dataclasses import fields

import pytest

import adopt_images
import evaluate_images
import generate
import predict
import train_autoregressive
import train_classifier
import train_ddpm
import train_sagan
import train_vae
from gz2_dataset import UserError
from gz2_dataset.plan import GalaxyZoo2Config
from gz2_dataset.ranges import above, at_least, between

TRAININGS = (train_ddpm, train_sagan, train_vae, train_autoregressive, train_classifier)
SCRIPTS = {module.__name__: module.Config for module in (*TRAININGS, generate, evaluate_images, predict, adopt_images)}
REQUIRED = dict.fromkeys(
    ("data", "output_dir", "model", "num_images", "real", "generated", "images", "output", "seen", "resolution"), 1
)


def kinds(hint: object) -> set[type]:
    """The plain types in a type hint."""
    inner = typing.get_args(hint)
    return set().union(*map(kinds, inner)) if inner and typing.get_origin(hint) is not typing.Literal else {hint}


def numbers(config: type) -> list[str]:
    hints = typing.get_type_hints(config)
    return [field.name for field in fields(config) if kinds(hints[field.name]) & {int, float}]


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_number_of_a_script_has_a_range(name):
    ranges = {field.name: field.metadata.get("range") for field in fields(SCRIPTS[name])}
    assert [number for number in numbers(SCRIPTS[name]) if ranges[number] is None] == []


CASES = [
    (script, field.name, field.metadata["range"])
    for script, config in SCRIPTS.items()
    for field in fields(config)
    if "range" in field.metadata
]


@pytest.mark.parametrize(("script", "name", "allowed"), CASES, ids=[f"{script} {name}" for script, name, _ in CASES])
def test_a_value_out_of_its_range_is_one_line(script, name, allowed):
    config = SCRIPTS[script]
    required = {field.name: 1 for field in fields(config) if field.name in REQUIRED}
    for value in (allowed.low - 1, math.nan, math.inf, *([allowed.high + 1] if math.isfinite(allowed.high) else [])):
        with pytest.raises(UserError, match=rf"^{name} \S+: must be {allowed}$"):
            config(**{**required, name: value})


def test_the_ends_of_a_range_belong_to_it_unless_it_is_open():
    closed, low, opened = between(0, 1)["range"], at_least(1)["range"], above(0, 1)["range"]
    assert [value in closed for value in (-1, 0, 0.5, 1, 2)] == [False, True, True, True, False]
    assert [value in low for value in (0, 1, 10**12)] == [False, True, True]
    assert [value in opened for value in (0, 1e-9, 1, 1.1)] == [False, True, True, False]


@pytest.mark.parametrize(
    "change", [{"test_per_class": -5}, {"num_folds": 10**8}, {"center_crop": -1}, {"draw": -1}, {"num_folds": 0}]
)
def test_a_build_checks_its_numbers_too(change):
    with pytest.raises(UserError, match=f"{next(iter(change))} {next(iter(change.values()))}: must be"):
        GalaxyZoo2Config(data_dir="x", **change)
