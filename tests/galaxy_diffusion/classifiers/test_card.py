"""The classifier's card, whatever its classes and its folder are called; a whole run's is in test_classifier_arms."""

import ast
import re

import pytest
import yaml
from huggingface_hub import ModelCard

from galaxy_diffusion.classifiers.card import classifier_card, snippet
from galaxy_diffusion.shared.card_metadata import told
from tests.cards import HOSTILE, as_shown, check_safe, tables

BACKBONE = "tf_efficientnetv2_s"


def results(*class_names: str, **settings) -> dict:
    figures = {"precision": 0.25, "recall": 0.5, "f1": 1 / 3}
    config = {"data": "data", "backbone": BACKBONE, "pretrained": False, "resolution": 8}
    return {
        "config": {**config, "batch_size": 4, "seed": 0, **settings},
        "per_class": {name: {**figures, "n": 3} for name in class_names},
        "macro": figures,
        "accuracy": 0.75,
        "center_crop": 224,
        "n_train": {name: {"real": 1200, "generated": 0, "smote": 2} for name in class_names},
        "steps": 5,
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_in_their_places(name):
    found = results(*HOSTILE, data=name, augmentations=[name])
    text = classifier_card(name, found)
    check_safe(text, headings=5)
    card = ModelCard(text)
    title = name.rstrip("/").rpartition("/")[2]
    assert card.data.model_name == title
    assert {result.metric_type: result.metric_value for result in card.data.eval_results} == {
        "accuracy": 0.75,
        **found["macro"],
    }
    settings = re.search(r"^(`{3,})yaml\n(.*?)^\1$", text, re.DOTALL | re.MULTILINE)[2]
    assert yaml.safe_load(settings) == told(found["config"])
    of_training, of_test = tables(text)
    assert of_training[0] == ["class", "real", "interpolated (SMOTE)"]
    assert of_training[2:] == [[as_shown(label), "1,200", "2"] for label in HOSTILE]
    assert of_test[2:] == [[as_shown(label), "0.250", "0.500", "0.333", "3"] for label in HOSTILE]
    code = ast.parse(snippet(name))
    assert [node.value for node in ast.walk(code) if isinstance(node, ast.Constant)].count(name) == 1
    called = {ast.unparse(node.func) for node in ast.walk(code) if isinstance(node, ast.Call)}
    assert called == {"pipeline", "classify"}


def test_the_model_it_started_from_is_named_where_there_is_one():
    scratch, tuned = (ModelCard(classifier_card("m", results("a", pretrained=p))) for p in (False, True))
    assert scratch.data.base_model is None
    assert "trained from scratch" in scratch.text
    assert tuned.data.base_model == f"timm/{BACKBONE}.in21k_ft_in1k"
    assert "fine-tuned from pretrained weights" in tuned.text
    assert "datasets" not in scratch.data.to_dict()
    assert "license" not in scratch.data.to_dict()
