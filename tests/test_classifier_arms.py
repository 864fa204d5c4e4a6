"""Every arm from the command line on the toy survey; remedies that resume; early stopping; the model card."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from sklearn.metrics import precision_recall_fscore_support
from transformers import Trainer

import report
import train_classifier
from galaxy_diffusion.classifiers.card import ORIGIN_TITLES
from galaxy_diffusion.classifiers.data import TrainingBatches
from galaxy_diffusion.classifiers.remedies import balanced_rows
from galaxy_diffusion.classifiers.training_images import load_split, training_images
from galaxy_diffusion.shared.card_metadata import told
from galaxy_diffusion.study.arms import TAUGHT, options_of, read_preset
from gz2_dataset import CLASS_NAMES, UserError, load_arrays
from gz2_dataset.arrays import encode_jpeg
from gz2_dataset.command_line import run
from train_classifier import Config, main

from .conftest import ROOT, draw_toy_galaxy

CIGAR = "cigar_shaped_smooth"
STUDY = read_preset(ROOT / "configs/study_gz2_real.yaml")
STUDY["generated"]["generated"]["num_images"] = f"{CIGAR}=5"
REMEDIES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / "configs/arms").glob("*.yaml"))}
ARMS = {name: REMEDIES.get(name, {}) | options_of(STUDY, name) for name in STUDY["arms"]}
WITH_IMAGES = [name for name, arm in STUDY["arms"].items() if "images" in arm]
ONE_OF_EACH_KIND = [
    *("original", "oversampling", "class_weights", "focal_loss", "random_erasing", "cutmix", "smote"),
    *(
        "diffusion_filtered",
        "diffusion_noise_matched",
        "diffusion_x0.5",
        "synthetic_only",
        "duplicates",
        "pseudo_labels",
        "retrieval",
    ),
]
"""Arms that are each trained; the others have another value of the same setting, or images of another generator."""
SIZE = 32
BATCH = 16
"""Resolution of the test preset."""


@pytest.fixture(scope="module")
def generated(toy_data, tmp_path_factory) -> Path:
    """Eight generated images of each class, every second one kept by the filter."""
    folder, rng = tmp_path_factory.mktemp("arms") / "generated", np.random.default_rng(1)
    lines = []
    for name in CLASS_NAMES:
        (folder / name).mkdir(parents=True)
        for seed in range(8):
            file_name = f"{name}/{seed:08d}.jpg"
            (folder / file_name).write_bytes(encode_jpeg(draw_toy_galaxy(name, rng, SIZE)))
            lines.append({"file_name": file_name, "label": name, "seed": seed, "kept": seed % 2 == 0})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    train = load_arrays(str(toy_data), "train", SIZE)
    seen = pd.DataFrame({"image_id": train.image_ids, "sha256": train.digests})
    seen.to_csv(folder / "seen_images.csv", index=False)
    (folder / "run.json").write_text(json.dumps({"center_crop": train.center_crop}))
    return folder


def tiny(data: Path, output: Path, **changes) -> Config:
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text())
    length = {"total_images": 4 * BATCH, "validation_images": 4 * BATCH}
    return Config(data=str(data), output_dir=output, **{**preset, **length, **changes})


def results(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


SMALL = {
    "tf_efficientnetv2": {"channel_multiplier": 0.125, "depth_multiplier": 0.1, "output_stride": 16},
    "swin": {"patch_size": 4, "window_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2]},
}


def with_predictions_moved(trained: Path, folder: Path, rows: int) -> None:
    """A run as another backbone might have left it: each galaxy gets the predictions of one some rows below."""
    shutil.copytree(trained, folder)
    table = pd.read_csv(folder / "predictions.csv")
    moved = ["prediction", *(name for name in table.columns if name.startswith("p_"))]
    table[moved] = np.roll(table[moved].to_numpy(), rows, axis=0)
    table.to_csv(folder / "predictions.csv", index=False)


@pytest.mark.slow
def test_tables_3_and_4_of_the_six_backbones_of_the_paper_come_from_one_command(toy_data, generated, tmp_path):
    """Both arms of a small net of each family represent all; figures are scikit-learn's on the predictions."""
    study = read_preset(ROOT / "configs/study_paper.yaml")
    backbones, trained = list(study["classifiers"]), {}
    for number, (name, preset) in enumerate(study["classifiers"].items()):
        backbone = yaml.safe_load((ROOT / preset).read_text())["backbone"]
        family = next(key for key in SMALL if backbone.startswith(key))
        for arm, images in (("original", None), ("diffusion", str(generated))):
            folder = tmp_path / "classifiers" / name / arm / "seed0"
            if (family, arm) in trained:
                with_predictions_moved(trained[family, arm], folder, number)
                continue
            main(tiny(toy_data, folder, augment_with=images, backbone=backbone, model_args=SMALL[family]))
            trained[family, arm] = folder
    assert len(trained) == 4
    planned = {"classifiers": study["classifiers"], "arms": {"original": {}, "diffusion": {}}, "seeds": [0]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(planned, sort_keys=False))
    report.main(report.Config([tmp_path], tmp_path / "report"))
    table3, table4 = (pd.read_csv(tmp_path / "report" / f"table{i}.csv") for i in (3, 4))
    assert len(backbones) == 6
    for table in (table3, table4):
        assert list(dict.fromkeys(table["backbone"])) == ["mean of backbones", *backbones]
    for backbone in backbones:
        for arm in ("original", "diffusion"):
            predictions = pd.read_csv(tmp_path / "classifiers" / backbone / arm / "seed0" / "predictions.csv")
            known = predictions["label"], predictions["prediction"]
            expected = precision_recall_fscore_support(*known, labels=CLASS_NAMES, zero_division=0)
            rows = table3[(table3["backbone"] == backbone) & (table3["arm"] == arm)]
            for values, metric in zip(expected, ("precision", "recall", "f1"), strict=False):
                found = rows[rows["metric"] == metric].set_index("galaxy_class")["value"]
                np.testing.assert_allclose(found[list(CLASS_NAMES)], values)


def test_every_remedy_is_an_arm_of_the_study_and_every_other_arm_has_images_or_options():
    others = {name for name in ARMS if name in WITH_IMAGES or "options" in STUDY["arms"][name]}
    assert sorted(REMEDIES) == sorted(ARMS.keys() - {"original"} - (others - {"smote"}))


@pytest.fixture(scope="module")
def teacher(toy_data, tmp_path_factory) -> Path:
    """The arm original, trained until it knows the classes of the toy survey a little."""
    folder = tmp_path_factory.mktemp("teacher") / "original"
    main(tiny(toy_data, folder, total_images=20 * BATCH))
    return folder


def command_line(arm: str, data: Path, generated: Path, teacher: Path, *more: object) -> list[str]:
    words = ["--config", ROOT / "configs/classifier_tiny.yaml"]
    words += ["--config", ROOT / f"configs/arms/{arm}.yaml"] if arm in REMEDIES else []
    options = options_of(STUDY, arm) | ({"teacher": str(teacher)} if arm in TAUGHT else {})
    words += [word for key, value in options.items() for word in (f"--{key}", json.dumps(value).strip('"'))]
    words += ["--data", data, *(["--augment_with", generated] if arm in WITH_IMAGES else []), *more]
    return ["train_classifier.py", *map(str, words)]


def cigars(arm: str) -> dict[str, int]:
    """Training images of the rare class by origin; of 10 galaxies 3 are for testing and 1 for validation."""
    count = {"diffusion_filtered": 4, "diffusion_x0.5": 3, "diffusion_x1": 6}.get(arm, 8 if arm in WITH_IMAGES else 0)
    added = {arm: 5} if arm in ORIGIN_TITLES else {}
    return dict.fromkeys(ORIGIN_TITLES, 0) | {"real": 0 if arm == "synthetic_only" else 6, "generated": count} | added


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_takes_the_images_it_names(arm, toy_data, generated, teacher, tmp_path, monkeypatch):
    """From the command line to the training images."""
    monkeypatch.setattr("sys.argv", command_line(arm, toy_data, generated, teacher, "--output_dir", tmp_path))
    received = []
    run(received.append, Config, "")
    config = received[0]
    assert {key: getattr(config, key) for key in ARMS[arm]} == ARMS[arm]
    train_classifier.check_settings(config)
    held_out = {split: load_split(config, split) for split in ("validation", "test")}
    parts = training_images(config, load_split(config, "train"), held_out)
    counts = {name: int(part.counts[CLASS_NAMES.index(CIGAR)]) for name, part in parts.items()}
    assert dict.fromkeys(ORIGIN_TITLES, 0) | counts == cigars(arm)


@pytest.mark.parametrize("arm", ONE_OF_EACH_KIND)
@pytest.mark.slow
def test_an_arm_trains_from_the_command_line(arm, toy_data, generated, teacher, tmp_path, monkeypatch):
    words = "--output_dir", tmp_path / "run", "--total_images", 2 * BATCH
    monkeypatch.setattr("sys.argv", command_line(arm, toy_data, generated, teacher, *words))
    run(main, Config, "")
    found = results(tmp_path / "run")
    assert {key: found["config"][key] for key in ARMS[arm]} == ARMS[arm]
    assert found["steps"] == 2
    assert found["n_train"][CIGAR] == cigars(arm)


EVERYTHING = {
    "augmentations": ["geometric", "photometric", "random_erasing"],
    "mixing": "cutmix",
    "smote": f"{CIGAR}=5",
    "oversampling": True,
    "class_weights": True,
    "focal_gamma": 1.0,
    "label_smoothing": 0.1,
}


def main_interrupted(config: Config, method: str, at_step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run until a method of `Trainer` is called at a step, where the power fails."""
    original = getattr(Trainer, method)

    def failing(self, *args, **kwargs):
        if self.state.global_step == at_step:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, method, failing)
        with pytest.raises(KeyboardInterrupt):
            main(config)


def log_without_times(folder: Path) -> list[dict]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.slow
def test_with_all_remedies_resumed_equals_uninterrupted(toy_data, tmp_path, monkeypatch):
    """The power fails at step 9: the same command continues from step 8 and ends where the other run ended."""
    steps = {"total_images": 12, "checkpoint_images": 4, "validation_images": 6, "log_images": 2}
    settings = EVERYTHING | {name: number * BATCH for name, number in steps.items()}
    main(tiny(toy_data, tmp_path / "whole", **settings))
    main_interrupted(tiny(toy_data, tmp_path / "run", **settings), "training_step", 9, monkeypatch)
    (tmp_path / "run/checkpoint-10").mkdir()  # died while it was being written
    step, steps = Trainer.training_step, []
    monkeypatch.setattr(Trainer, "training_step", lambda *a, **k: steps.append(1) or step(*a, **k))
    main(tiny(toy_data, tmp_path / "run", **settings))
    assert len(steps) == 4
    for name in ("predictions.csv", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert log_without_times(tmp_path / "run") == log_without_times(tmp_path / "whole")


@pytest.mark.parametrize("mixing", ["mixup", "cutmix", "sample_pairing"])
def test_with_all_remedies_an_image_is_the_same_however_batches_are_cut(toy_data, mixing):
    train = load_arrays(str(toy_data), "train", SIZE)
    rows = balanced_rows(train.labels, seed=0)
    batches = TrainingBatches([train], [0.5] * 3, [0.5] * 3, 300, 0, rows, EVERYTHING["augmentations"], mixing)
    whole = batches.__getitems__(range(300))
    piece = batches.__getitems__([260, 7, 50])
    for key in ("pixel_values", "labels"):
        torch.testing.assert_close(piece[key], whole[key][[260, 7, 50]], atol=1e-5, rtol=0)


def test_an_oversampled_epoch_shows_each_class_equally_often(toy_data):
    train = load_arrays(str(toy_data), "train", SIZE)
    rows = balanced_rows(train.labels, seed=0)
    labels = TrainingBatches([train], [0.0] * 3, [1.0] * 3, len(rows), 0, rows).__getitems__(range(len(rows)))["labels"]
    assert len(set(np.bincount(train.labels).tolist())) > 1
    assert len(set(labels.bincount().tolist())) == 1


def test_a_streamed_training_is_augmented_and_weighted_too(toy_data, tmp_path):
    settings = {"augmentations": ["geometric"], "class_weights": True, "focal_gamma": 2.0}
    main(tiny(toy_data, tmp_path / "run", streaming=True, **settings))
    assert results(tmp_path / "run")["steps"] == 4


@pytest.fixture
def f1_scores(monkeypatch):
    """Give the looks at the validation split these macro F1 scores, the test split 0.5."""
    evaluate = Trainer.evaluate

    def fix(scores: list[float]) -> None:
        left = iter(scores)

        def scored(self, *args, **kwargs):
            metric = self.compute_metrics
            score = next(left)
            self.compute_metrics = lambda outcome: {**metric(outcome), "f1": score}
            try:
                return evaluate(self, *args, **kwargs)
            finally:
                self.compute_metrics = metric

        monkeypatch.setattr(Trainer, "evaluate", scored)

    return fix


STOPPING = {
    "early_stopping_patience": 2,
    "total_images": 20 * BATCH,
    "validation_images": 2 * BATCH,
    "checkpoint_images": 7 * BATCH,
}


def test_early_stopping_keeps_the_best_of_the_looks_at_the_validation_split(toy_data, tmp_path, f1_scores):
    f1_scores([0.2, 0.6, 0.6, 0.3, 0.9])  # the best is at step 4, the patience ends at step 8
    main(tiny(toy_data, tmp_path / "stopped", **STOPPING))
    found = results(tmp_path / "stopped")
    assert (found["steps"], found["best_step"]) == (8, 4)
    log = [json.loads(line) for line in (tmp_path / "stopped/metrics.jsonl").read_text().splitlines()]
    assert max(line["images_seen"] for line in log) == 8 * BATCH
    assert not list((tmp_path / "stopped").glob("checkpoint-*"))


@pytest.mark.slow
def test_a_stopped_run_that_is_resumed_ends_with_the_same_weights(toy_data, tmp_path, f1_scores, monkeypatch):
    f1_scores([0.2, 0.6, 0.6, 0.3])
    main(tiny(toy_data, tmp_path / "whole", **STOPPING))
    config = tiny(toy_data, tmp_path / "run", **STOPPING)
    f1_scores([0.2, 0.6, 0.6])
    main_interrupted(config, "training_step", 7, monkeypatch)  # between the two looks without an improvement
    f1_scores([0.3])
    main_interrupted(config, "predict", 8, monkeypatch)  # after it has stopped
    f1_scores([])
    main(config)
    for name in ("predictions.csv", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert results(tmp_path / "run")["best_step"] == 4


@pytest.mark.slow
def test_compiled_weights_are_saved_under_their_own_names(toy_data, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, *_, **__: compiled.append(type(self).__name__))
    main(tiny(toy_data, tmp_path / "compiled", compile=True))
    main(tiny(toy_data, tmp_path / "plain"))
    assert compiled == ["EfficientNet"]
    for name in ("predictions.csv", "model.safetensors"):
        assert (tmp_path / "compiled" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_the_card_says_what_the_model_learned_from_and_how_good_it_is(toy_data, generated, tmp_path, monkeypatch):
    main(tiny(toy_data, tmp_path / "run", augment_with=str(generated), mixing="mixup", focal_gamma=2.0))
    card, found = ModelCard.load(tmp_path / "run/README.md"), results(tmp_path / "run")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "image-classification")
    assert f"| {CIGAR} | 6 | 8 |" in card.text
    assert yaml.safe_load(re.search(r"```yaml\n(.*?)```", card.text, re.DOTALL)[1]) == told(found["config"])
    for name, figures in found["per_class"].items():
        row = " | ".join(f"{figures[key]:.3f}" for key in ("precision", "recall", "f1"))
        assert f"| {name} | {row} | {figures['n']} |" in card.text
    stated = {result.metric_type: result for result in card.data.eval_results}
    assert {key: result.metric_value for key, result in stated.items()} == {
        "accuracy": found["accuracy"],
        **found["macro"],
    }
    assert {(result.dataset_name, result.dataset_split) for result in stated.values()} == {("toy", "test")}
    draw_toy_galaxy(CIGAR, np.random.default_rng(0), SIZE).save(tmp_path / "galaxy.jpg")
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", card.text, re.DOTALL)[1], shown := {})
    assert {answer["label"] for answer in shown["classify"]("galaxy.jpg")} == set(CLASS_NAMES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"streaming": True, "oversampling": True}, "oversampling draws from all images"),
        ({"streaming": True, "mixing": "mixup"}, "mixing draws from all images"),
        ({"streaming": True, "smote": f"{CIGAR}=3"}, "smote draws from all images"),
        ({"synthetic_only": True}, "synthetic_only is about generated images"),
        ({"filtered": True}, "filtered is about generated images"),
        ({"augment_ratio": 2.0}, "augment_ratio is about generated images"),
        ({"streaming": True, "retrieval": f"{CIGAR}=3", "teacher": "original"}, "retrieval draws from all images"),
        ({"smote": "merger=3"}, "no class 'merger'"),
        ({"duplicates": f"{CIGAR}=0"}, "duplicates cigar_shaped_smooth=0: nothing to add"),
        ({"reserve": f"{CIGAR}=3"}, "reserve cigar_shaped_smooth=3: the data has set aside 0 galaxies"),
        ({"pseudo_labels": f"{CIGAR}=3"}, "a teacher that chooses"),
        ({"teacher": "original"}, "a teacher that chooses"),
        ({"focal_gamma": -1.0}, "at least 0"),
    ],
)
def test_settings_that_contradict_each_other_are_one_clear_line(toy_data, tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        main(tiny(toy_data, tmp_path / "run", **changes))
    assert "\n" not in str(error.value)


def test_images_of_a_generator_that_saw_what_a_rare_class_has_set_aside_are_refused(rare_data, generated, tmp_path):
    with pytest.raises(UserError, match="of the reserve split"):
        main(tiny(rare_data, tmp_path / "run", augment_with=str(generated)))


def test_the_ceiling_is_new_real_galaxies_of_which_more_include_the_fewer(rare_data, tmp_path):
    """The seed decides which they are, and none of them is in train."""
    main(tiny(rare_data, tmp_path / "run", reserve="edge_on=4"))
    assert results(tmp_path / "run")["n_train"]["edge_on"] == dict.fromkeys(ORIGIN_TITLES, 0) | {
        "real": 3,
        "reserve": 4,
    }
    train, held_out = load_arrays(str(rare_data), "train", SIZE), {}

    def added(count: int, seed: int) -> set[str]:
        config = tiny(rare_data, tmp_path, reserve=f"edge_on={count}", seed=seed)
        return set(training_images(config, train, held_out)["reserve"].image_ids)

    assert added(4, 0) < added(8, 0)
    assert added(8, 0) != added(8, 1)
    assert not added(12, 0) & set(train.image_ids)
    with pytest.raises(UserError, match="has set aside 12 galaxies"):
        added(13, 0)


def test_a_teacher_that_has_learned_from_anything_but_the_real_galaxies_of_the_data_is_refused(
    toy_data, rare_data, generated, teacher, tmp_path
):
    wanted = {"pseudo_labels": f"{CIGAR}=3"}
    main(tiny(toy_data, tmp_path / "helped", augment_with=str(generated)))
    for data, chooser in ((toy_data, tmp_path / "helped"), (rare_data, teacher)):
        with pytest.raises(UserError, match="has not learned from the real training galaxies"):
            main(tiny(data, tmp_path / "run", **wanted, teacher=str(chooser)))
    with pytest.raises(UserError, match="no classifier"):
        main(tiny(toy_data, tmp_path / "run", **wanted, teacher=str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match="13 unlabelled galaxies wanted, but the data has 12"):
        main(tiny(toy_data, tmp_path / "run", pseudo_labels=f"{CIGAR}=13", teacher=str(teacher)))


def test_early_stopping_needs_a_validation_split(toy_data, tmp_path, monkeypatch):
    def load(source, split, *args, **kwargs):
        return load_arrays(source, "absent" if split == "validation" else split, *args, **kwargs)

    monkeypatch.setattr("galaxy_diffusion.classifiers.training_images.load_arrays", load)
    with pytest.raises(UserError, match="no validation split to stop by"):
        main(tiny(toy_data, tmp_path / "run", early_stopping_patience=1))


def test_a_class_without_generated_images_cannot_be_learned_from_them_alone(toy_data, generated, tmp_path):
    metadata = (generated / "metadata.jsonl").read_text().splitlines()
    folder = shutil.copytree(generated, tmp_path / "some")
    (folder / "metadata.jsonl").write_text("\n".join(line for line in metadata if CIGAR in line) + "\n")
    with pytest.raises(UserError, match="class completely_round_smooth is in test but has no training images"):
        main(tiny(toy_data, tmp_path / "run", augment_with=str(folder), synthetic_only=True))
