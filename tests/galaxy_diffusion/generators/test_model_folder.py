"""A model's folder is complete if its index exists, and says what it is made of."""

import ast
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from diffusers import DDPMScheduler
from huggingface_hub import ModelCard

import train_ddpm
import train_sagan
from galaxy_diffusion.generators import model_folder
from galaxy_diffusion.generators.model_card import model_card, snippet
from galaxy_diffusion.generators.model_folder import (
    begin_saving,
    files_of_model,
    is_finished,
    save_in_half_precision,
    save_pipeline,
)
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.schedulers import DEFAULT, SCHEDULERS, make_scheduler
from galaxy_diffusion.shared.card_metadata import told
from galaxy_diffusion.shared.hub_target import HubConfig, push
from galaxy_diffusion.shared.run_folder import write_json
from generate import Config
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.command_line import provenance
from tests.cards import HOSTILE, as_shown, check_safe, tables
from tests.galaxy_diffusion.sampling.test_ddpm_pipeline import untrained
from tests.gz2_dataset.test_hub import FakeHub, changes


def galaxies(*image_ids: str) -> GalaxyArrays:
    labels = np.zeros(len(image_ids), np.int64)
    return GalaxyArrays(
        np.zeros((len(image_ids), 8, 8, 3), np.uint8),
        labels,
        list(image_ids),
        [f"sha-{i}" for i in image_ids],
        ("a", "b"),
    )


def test_a_model_is_finished_when_index_and_record_agree(tmp_path):
    assert not is_finished(tmp_path, 64)
    begin_saving(tmp_path)
    write_json(tmp_path / "run.json", {"images_seen": 64})
    assert not is_finished(tmp_path, 64), "killed before the pipeline"
    save_pipeline(untrained(), tmp_path)
    assert is_finished(tmp_path, 64)
    assert not is_finished(tmp_path, 128), "trained on since"
    begin_saving(tmp_path)
    assert not is_finished(tmp_path, 64)


def test_a_pipeline_killed_while_saving_has_no_index(tmp_path, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(model_folder.Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_pipeline(untrained(), tmp_path)
    assert not (tmp_path / "model_index.json").exists()
    save_pipeline(untrained(), tmp_path)
    assert (tmp_path / "model_index.json").exists()
    assert not (tmp_path / ".pipeline").exists()


def test_an_unfinished_training_is_not_shipped(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match="no finished model"):
        save_in_half_precision(tmp_path / "run", tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_what_the_card_shows_draws_as_generate_does(tmp_path):
    """Run with diffusers alone."""
    save_pipeline(untrained("ddpm"), tmp_path)
    record = {"images_seen": 64}
    card = model_card(str(tmp_path), {"data": "data", "resolution": 8}, galaxies("1"), 0, record, None)
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1].replace('"a"', '"bright"')
    assert "galaxy_diffusion" not in code
    exec(code, shown := {})
    pipeline = ClassConditionalDDPMPipeline.from_pretrained(tmp_path)
    assert isinstance(pipeline.scheduler, DDPMScheduler), "others start their training from it"
    expected = make_scheduler(DEFAULT, pipeline.scheduler)
    expected.set_timesteps(SCHEDULERS[DEFAULT].steps)
    used = shown["pipe"].scheduler
    assert type(used) is type(expected)
    assert (used.timesteps.tolist(), used.sigmas.tolist()) == (expected.timesteps.tolist(), expected.sigmas.tolist())
    assert f"guidance_scale={Config('', '', '').guidance_scale}," in code
    assert shown["image"].size == (8, 8)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_bring_no_code_into_the_snippet(name):
    tree = ast.parse(snippet(name, name))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert len(calls) == 3  # two from_pretrained, one drawing
    assert [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)] == ["diffusers"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    assert texts.count(name) == 3  # two as the model's name, one as the class's


def test_hostile_names_stay_in_their_places():
    named = replace(galaxies("1"), class_names=HOSTILE)
    for name in HOSTILE:
        config = {"data": name, "resolution": 8, "run": name}
        record = {"images_seen": 64, f"validation_loss/{name}": 0.5}
        text = model_card(name, config, named, 0, record, None, findings=[name])
        check_safe(text, headings=5)
        assert ModelCard(text).data.library_name == "diffusers"
        settings = re.search(r"^(`{3,})yaml\n(.*?)^\1$", text, re.DOTALL | re.MULTILINE)[2]
        assert yaml.safe_load(settings) == told(config)
        of_classes, of_losses = tables(text)
        assert of_classes[2:] == [[as_shown(label), str(int(i == 0))] for i, label in enumerate(HOSTILE)]
        assert of_losses[2:] == [[as_shown(f"validation_loss/{name}"), "0.50000"]]


def test_the_metadata_says_what_is_known_and_nothing_else(tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: other\nlicense_name: sdss\n---\n")

    def stated(**settings) -> dict:
        config = {"resolution": 8, **settings}
        return ModelCard(model_card("m", config, galaxies("1"), 0, {"images_seen": 64}, None)).data.to_dict()

    of_folder = stated(data=str(tmp_path), init_from=str(tmp_path))
    assert (of_folder["license"], of_folder["license_name"]) == ("other", "sdss")
    assert not {"base_model", "datasets"} & set(of_folder), "neither has an id"
    of_hub = stated(data="someone/galaxies", init_from="someone/model")
    assert (of_hub["datasets"], of_hub["base_model"]) == (["someone/galaxies"], "someone/model")
    assert "license" not in of_hub, "its card cannot be read without a network"
    (tmp_path / "README.md").write_text("---\n{broken\n---\n")
    assert "license" not in stated(data=str(tmp_path))


def test_the_card_counts_the_classes_and_names_the_rare_ones():
    config = {"data": "data", "resolution": 8, "conditioning": "class", "seed": 3, "batch_size": 16}
    record = {"images_seen": 64, "loss": 0.25, "validation_loss/a": 0.5, "seconds": 1.0}
    text = model_card("me/model", config, galaxies("1", "2"), 7, record, "samples/64.png")
    for said in (
        "| a | 2 |",
        "| b | 0 |",
        "7 galaxies without a class",
        "a (2), b (0)",
        "| validation_loss/a | 0.50000 |",
    ):
        assert said in text
    assert 'from_pretrained("me/model", trust_remote_code=True)' in text
    assert "![One row per class, in the order of the table below](samples/64.png)" in text
    assert "seconds" not in text
    assert "![" not in model_card("m", config, galaxies("1"), 0, record, None)


@pytest.mark.parametrize(("script", "kind"), [(train_ddpm, "diffusion"), (train_sagan, "gan")])
def test_the_card_lists_every_setting_and_no_path_of_a_machine(script, kind):
    config = provenance(script.Config("/home/me/galaxies", Path("/home/me/model"), total_images=64))["config"]
    card = model_card("m", config, galaxies("1"), 0, {"images_seen": 64}, None, kind)
    listed = yaml.safe_load(re.search(r"```yaml\n(.*?)```", card, re.DOTALL)[1])
    assert listed == {key: value for key, value in config.items() if key != "output_dir"} | {"data": "galaxies"}
    assert "/home/me" not in card
    assert list(config) == [field.name for field in fields(script.Config)]


def test_the_finished_model_alone_is_uploaded(tmp_path, monkeypatch, capsys):
    """In one commit, replacing an earlier model's files; neither the training's own files nor others in the folder."""
    records = dict.fromkeys(("README.md", "run.json", "settings.json", "metrics.jsonl", "seen_images.csv"), b"{}")
    others = (
        "checkpoints/images-64/model.safetensors",
        ".pipeline/unet/x",
        "samples/.half.png",
        "unet/.x",
        "thesis.txt",
    )
    for name, content in {**records, "samples/64.png": b"png", **dict.fromkeys(others, b"private")}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    untrained().save_pretrained(tmp_path)
    hub = FakeHub(there=("unet/diffusion_pytorch_model.bin", "unet/config.json", "LICENSE"))
    monkeypatch.setattr("gz2_dataset.hub.HfApi", lambda: hub)
    push(HubConfig(push_to_hub=True, hub_model_id="me/model"), tmp_path, files_of_model(tmp_path), "model")
    assert capsys.readouterr().out == "uploaded: https://hub/me/model/commit/1\n"
    ((repo_id, repo_type, operations),) = hub.commits
    assert (repo_id, repo_type) == ("me/model", "model")
    added, deleted = changes(operations)
    assert deleted == {"unet/diffusion_pytorch_model.bin"}
    weights = {"unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler/scheduler_config.json"}
    assert set(added) == {*records, *weights, "samples/64.png", "model_index.json", "pipeline.py"}
    assert b"private" not in added.values()


def test_a_damaged_record_is_written_again(tmp_path):
    """A model whose record cannot be read is not finished, so that the same command saves it again."""
    (tmp_path / "model_index.json").write_text("{}")
    (tmp_path / "run.json").write_text('{"images_seen": 8}')
    assert is_finished(tmp_path, 8)
    for content in ("", "{", "[]"):
        (tmp_path / "run.json").write_text(content)
        assert not is_finished(tmp_path, 8)


def test_a_model_that_cannot_be_written_leaves_nothing_half_written(tmp_path, monkeypatch):
    pipeline = untrained()
    save = type(pipeline).save_pretrained

    def full(self, folder, **options):
        save(self, folder, **options)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(pipeline), "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        save_pipeline(pipeline, tmp_path)
    assert list(tmp_path.iterdir()) == []
