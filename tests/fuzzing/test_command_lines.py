"""Whatever is typed or stands in a preset, a command takes it or says in one line what is wrong with it."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import generate
import train_classifier
import train_ddpm
import train_sagan
from galaxy_diffusion.prediction.probabilities import parse_prior
from gz2_dataset.command_line import parse_counts, run
from gz2_dataset.stretch import parse_bands

from ..conftest import ROOT
from .damage import VALUES, WORDS, OneLine, damaged, put, records

SCRIPTS = ("adopt_images", "app", "evaluate_images", "generate", "predict", "report", "train_autoregressive")
SCRIPTS += ("train_classifier", "train_ddpm", "train_sagan", "train_vae")
"""The commands that take their settings from a dataclass; imported by their tests alone, which saves seconds."""


def decoded(text: bytes) -> str:
    """What a terminal types, as Python gives it to a command."""
    return text.decode(errors="surrogateescape").replace("\0", "")


TYPED = st.one_of(
    st.sampled_from([decoded(word) for word in WORDS] + [json.dumps(value) for value in VALUES]),
    st.text(st.characters(exclude_characters="\0"), max_size=8),
)


def check_end(monkeypatch, capsys, begin, *arguments: str) -> None:
    """A command with these arguments ends well, or with one line and the status of a wrong setting."""
    monkeypatch.setattr(sys, "argv", ["command", *arguments])
    sys.stderr.reconfigure(errors="backslashreplace")  # as Python's own is, which can say what is not UTF-8
    status = 0
    try:
        begin()
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr().err
    assert status == 0 or (status == 2 and said.count("\n") == 1), f"status {status}: {said!a}"


def needed(script: ModuleType) -> list[str]:
    """The settings of a script that have no default."""
    missing = dataclasses.MISSING
    return [f.name for f in dataclasses.fields(script.Config) if f.default is missing and f.default_factory is missing]


@pytest.mark.parametrize("name", SCRIPTS)
@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_command_line(name, folder, monkeypatch, capsys, data):
    script = importlib.import_module(name)
    names = [field.name for field in dataclasses.fields(script.Config)] + ["config", "help", "print_config", "lr", ""]
    options = data.draw(st.lists(st.tuples(st.sampled_from(names), TYPED), max_size=3))
    whole = {name: str(folder / "new") for name in needed(script)} | dict(options)
    arguments = [f"--{name}={value}" for name, value in whole.items()]
    check_end(monkeypatch, capsys, lambda: run(lambda config: None, script.Config, "Does nothing."), *arguments)


PRESETS = {train_ddpm: "ddpm_tiny", train_sagan: "sagan_tiny", train_classifier: "classifier_tiny"}


@pytest.mark.parametrize("script", PRESETS, ids=lambda script: script.__name__)
@settings(max_examples=settings().max_examples // 2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_preset(script, folder, monkeypatch, capsys, data):
    text = (ROOT / f"configs/{PRESETS[script]}.yaml").read_bytes()
    content = data.draw(st.one_of(damaged(text), records(yaml.safe_load(text))))
    arguments = [f"--config={put(folder / 'preset.yaml', content)}", "--data=x", f"--output_dir={folder / 'new'}"]
    check_end(monkeypatch, capsys, lambda: run(lambda config: None, script.Config, "Does nothing."), *arguments)


@given(
    text=st.one_of(TYPED, damaged(b"ring=3,spiral=2", b"8", b"ring=0.5,spiral=0.5", b"ring:3,spiral:3").map(decoded))
)
def test_counts_priors_bands_and_ends(text):
    with OneLine():
        parse_counts("num_images", text, ["ring", "spiral"])
    with OneLine():
        parse_prior(text, ["ring", "spiral"])
    with OneLine():
        parse_bands(text)
    with OneLine():
        generate.parse_ends(generate.Config("m", "1", Path("o"), interpolate=text), ["ring", "spiral"])
