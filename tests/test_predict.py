"""predict.py: what a classifier says about the files of a survey, in every form that they come and go."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from astropy import units
from astropy.table import Table
from PIL import Image
from safetensors.torch import load_file, save_file

import predict
from galaxy_diffusion.classifiers.model import make_model, save_model
from galaxy_diffusion.prediction.catalogue import FORMATS, read_catalogue, write_catalogue
from galaxy_diffusion.prediction.ensemble import Ensemble
from galaxy_diffusion.prediction.parts import Parts
from galaxy_diffusion.prediction.probabilities import fit_temperature
from galaxy_diffusion.shared.classifier_folder import read_classifier, read_validation
from gz2_dataset import CLASS_NAMES, VOTE_COLUMNS, UserError, load_arrays
from tests.conftest import ROOT

CLASSES = CLASS_NAMES[:3]
COLUMNS = [f"probability_{name}" for name in CLASSES]


def apply(model, images, output: Path, **changes) -> pd.DataFrame:
    """The predictions, indexed by the stem of the file's name."""
    models = model if isinstance(model, list) else [model]
    config = predict.Config([str(m) for m in models], str(images), output, **{"page_images": 0, **changes})
    predict.main(config)
    table = read_catalogue(output).to_pandas()
    return table.set_index(table[config.image_column].map(lambda name: Path(name).stem))


def trained(model: Path, file: str = "predictions.csv") -> pd.DataFrame:
    """What the training itself said about the galaxies that it held out."""
    table = pd.read_csv(model / file, index_col="image_id")
    return table.rename(columns=lambda name: name.replace("p_", "probability_", 1))[COLUMNS]


@pytest.fixture(scope="session")
def second_classifier(tiny_classifier, tmp_path_factory) -> Path:
    """A classifier that looks at the whole image and leans towards the last class."""
    folder = tmp_path_factory.mktemp("second") / "classifier"
    shutil.copytree(tiny_classifier, folder)
    weights = load_file(folder / "model.safetensors")
    weights["timm_model.classifier.bias"][-1] += 2
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    record = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(record | {"center_crop": 0}))
    return folder


@pytest.fixture
def few(cutouts, tmp_path) -> Path:
    """Ten cutouts, some in a subfolder."""
    folder = tmp_path / "few"
    (folder / "deep/er").mkdir(parents=True)
    for i, path in enumerate(sorted((cutouts / "images").iterdir())[::6]):
        shutil.copy(path, (folder if i % 2 else folder / "deep/er") / path.name)
    return folder


@pytest.mark.parametrize("file", ["predictions.csv", "validation_predictions.csv"])
def test_a_raw_file_gets_the_probabilities_of_the_training(tiny_classifier, cutouts, tmp_path, file):
    """The files have 424 px; the training saw them cropped, resized and compressed."""
    found, expected = apply(tiny_classifier, cutouts / "images", tmp_path / "c.csv"), trained(tiny_classifier, file)
    assert expected.to_numpy().std() > 0.1, "a classifier that says the same of all would prove nothing"
    np.testing.assert_allclose(found.loc[expected.index, COLUMNS], expected, atol=1e-4)
    labels = [CLASSES[label] for label in expected.to_numpy().argmax(axis=1)]
    assert found.loc[expected.index, "predicted_class"].tolist() == labels


def test_a_folder_a_zip_a_pattern_and_a_catalogue_are_the_same_images(tiny_classifier, few, tmp_path):
    expected = apply(tiny_classifier, few, tmp_path / "folder.csv")
    assert len(expected) == 10
    assert expected["file_name"].str.startswith("deep/er/").sum() == 5
    with zipfile.ZipFile(tmp_path / "few.zip", "w") as archive:
        for name in expected["file_name"]:
            archive.write(few / name, name)
    Table({"file_name": expected["file_name"].tolist()}).write(few / "catalogue.csv")
    for images in (tmp_path / "few.zip", few / "**/*.jpg", few / "catalogue.csv"):
        found = apply(tiny_classifier, images, tmp_path / "other.csv")
        pd.testing.assert_frame_equal(found[COLUMNS].loc[expected.index], expected[COLUMNS])
        shutil.rmtree(tmp_path / "other.run")
        (tmp_path / "other.csv").unlink()


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_catalogue_keeps_its_columns_rows_and_order(tiny_classifier, few, tmp_path, suffix):
    names = sorted((path.relative_to(few).as_posix() for path in few.rglob("*.jpg")), reverse=True)
    rows = np.arange(len(names) + 1)
    known = Table({"objid": 1237648720693755900 + rows, "ra": rows / 7 * units.deg, "cutout": [*names, names[0]]})
    write_catalogue(known, few / f"known{suffix}")
    apply(tiny_classifier, few / f"known{suffix}", tmp_path / f"out{suffix}", image_column="cutout")
    found = read_catalogue(tmp_path / f"out{suffix}")
    assert found.colnames == ["objid", "ra", "cutout", "predicted_class", *COLUMNS, "entropy"]
    for name in known.colnames:
        assert found[name].tolist() == known[name].tolist()
    if suffix in (".fits", ".vot", ".ecsv"):
        assert found["ra"].unit == units.deg
    probabilities = np.stack([np.asarray(found[name]) for name in COLUMNS], axis=1)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities[0], probabilities[-1], rtol=1e-5)


def test_several_models_give_mean_spread_and_agreement(tiny_classifier, second_classifier, few, tmp_path):
    """Each sees its own crop of an image."""
    both = [tiny_classifier, second_classifier]
    each = np.stack([apply(model, few, tmp_path / f"{i}.csv")[COLUMNS].to_numpy() for i, model in enumerate(both)])
    found = apply(both, few, tmp_path / "both.csv")
    np.testing.assert_allclose(found[COLUMNS], each.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found[[f"{name}_std" for name in COLUMNS]], each.std(axis=0, ddof=1), atol=1e-6)
    labels = each.mean(axis=0).argmax(axis=1)
    np.testing.assert_allclose(found["agreement"], (each.argmax(axis=2) == labels).mean(axis=0))
    assert set(found["agreement"]) == {0.5, 1.0}


def test_a_prior_corrects_for_the_mix_of_the_training(tiny_classifier, few, tmp_path):
    """Odds are multiplied by the wanted ones and divided by those of the training."""
    plain = apply(tiny_classifier, few, tmp_path / "plain.csv")[COLUMNS].to_numpy()
    shares = np.array([0.9, 0.09, 0.01])
    prior = ",".join(f"{name}={share}" for name, share in zip(CLASSES, shares, strict=True))
    found = apply(tiny_classifier, few, tmp_path / "prior.csv", class_prior=prior)[COLUMNS]
    n_train = json.loads((tiny_classifier / "metrics.json").read_text())["n_train"]
    odds = plain * shares / [n_train[name]["real"] for name in CLASSES]
    np.testing.assert_allclose(found, odds / odds.sum(axis=1, keepdims=True), atol=1e-5)


def test_a_temperature_is_that_of_the_validation_galaxies(tiny_classifier, few, tmp_path):
    plain = apply(tiny_classifier, few, tmp_path / "plain.csv")[COLUMNS].to_numpy()
    found = apply(tiny_classifier, few, tmp_path / "calibrated.csv", temperature=True)[COLUMNS].to_numpy()
    (temperature,) = json.loads((tmp_path / "calibrated.run/run.json").read_text())["temperatures"]
    assert temperature == fit_temperature(*read_validation(tiny_classifier, CLASSES)) != 1
    powers = plain ** (1 / temperature)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), atol=1e-4)


def test_embeddings_are_what_the_last_layer_reads(tiny_classifier, few, tmp_path):
    (few / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    found = apply(tiny_classifier, few, tmp_path / "out.csv", embeddings=True)
    table = pd.read_parquet(tmp_path / "out.embeddings.parquet")
    assert table["file_name"].tolist() == found["file_name"].tolist()
    readable = found["predicted_class"].notna().to_numpy()
    assert table["embedding"].isna().tolist() == (~readable).tolist()
    last = read_classifier(tiny_classifier).timm_model.get_classifier()
    weight, bias = (values.detach().numpy() for values in (last.weight, last.bias))
    odds = np.exp(np.stack(table["embedding"][readable]) @ weight.T + bias)
    np.testing.assert_allclose(found[COLUMNS][readable], odds / odds.sum(axis=1, keepdims=True), atol=1e-5)


def test_the_nearest_known_galaxy_of_a_training_image_is_itself(tiny_classifier, cutouts, few, tmp_path):
    data = str(tiny_classifier.with_name("cutouts"))
    with pytest.raises(UserError, match="give --embeddings true too"):
        apply(tiny_classifier, few, tmp_path / "out.csv", known=data)
    apply(tiny_classifier, cutouts / "images", tmp_path / "out.csv", known=data, embeddings=True)
    table = pd.read_parquet(tmp_path / "out.embeddings.parquet")
    table.index = table["file_name"].map(lambda name: Path(name).stem)
    train = load_arrays(data, "train", 32)
    for image_id, label in zip(train.image_ids, train.labels, strict=True):
        row = table.loc[image_id]
        assert (row["nearest_image_id"][0], row["nearest_class"][0]) == (image_id, train.class_names[label])
        assert row["nearest_distance"][0] == pytest.approx(0, abs=1e-5)
        assert (np.diff(row["nearest_distance"]) >= 0).all()


def test_a_classifier_of_votes_gives_fractions_with_their_intervals(few, tmp_path):
    folder = tmp_path / "votes"
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text())
    torch.manual_seed(0)
    model = make_model(preset["backbone"], preset["model_args"], False, preset["resolution"], VOTE_COLUMNS)
    model.config.target = "votes"
    save_model(model, folder, 224, 424)
    (folder / "metrics.json").write_text('{"center_crop": 224}')
    (few / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    found = apply(folder, few, tmp_path / "out.csv", page_images=2)
    assert found.columns.tolist()[1:5] == ["Class1.1", "Class1.1_low", "Class1.1_high", "Class1.2"]
    assert found.loc["torn"][1:].isna().all()
    found = found.drop("torn")
    np.testing.assert_allclose(found[["Class1.1", "Class1.2", "Class1.3"]].sum(axis=1), 1, rtol=1e-5)
    for name in VOTE_COLUMNS:
        assert (found[f"{name}_low"] < found[name]).all()
        assert (found[name] < found[f"{name}_high"]).all()
    assert not (tmp_path / "out.html").exists()
    for changes in ({"temperature": True}, {"class_prior": "a=1"}):
        with pytest.raises(UserError, match=r"is about classes, and .* predicts votes"):
            apply(folder, few, tmp_path / "other.csv", **changes)
    with pytest.raises(UserError, match="one model at a time"):
        apply([folder, folder], few, tmp_path / "other.csv")


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tiny_classifier, second_classifier, few, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("galaxy_diffusion.prediction.parts.IMAGES_A_PART", 4)
    (few / "torn.jpg").write_bytes(b"\xff\xd8 torn")
    arguments = [tiny_classifier, second_classifier], few
    settings = {"embeddings": True, "page_images": 2, "batch_size": 3}
    apply(*arguments, tmp_path / "whole/out.csv", **settings)

    save = Parts.save

    def killed(parts: Parts, rows: range, part) -> None:
        if rows.start:
            raise KeyboardInterrupt
        save(parts, rows, part)

    with monkeypatch.context() as context:
        context.setattr(Parts, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            apply(*arguments, tmp_path / "resumed/out.csv", **settings)
    assert [path.name for path in (tmp_path / "resumed").iterdir()] == ["out.run"]
    prepared, prepare = [], Ensemble.prepare
    monkeypatch.setattr(Ensemble, "prepare", lambda self, content: prepared.append(1) or prepare(self, content))
    apply(*arguments, tmp_path / "resumed/out.csv", **settings)
    assert len(prepared) == 7, "the first four of the eleven files were done"

    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert names == {f"out.{end}" for end in ("csv", "run", *predict.RESULTS)}
    assert {path.name for path in (tmp_path / "resumed/out.run").iterdir()} == {"settings.json", "run.json"}
    for name in names - {"out.run"}:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes(), name
    apply(*arguments, tmp_path / "resumed/out.csv", **settings)
    assert "already finished" in capsys.readouterr().out
    assert len(prepared) == 7


@pytest.mark.parametrize("part", [1, 100])
def test_unreadable_files_are_listed_and_do_not_stop_the_run(tiny_classifier, few, tmp_path, monkeypatch, part):
    monkeypatch.setattr("galaxy_diffusion.prediction.parts.IMAGES_A_PART", part)
    whole = sorted(few.rglob("*.jpg"))
    (few / "empty.jpg").touch()
    (few / "torn.jpg").write_bytes(whole[0].read_bytes()[:-500])
    (few / "text.png").write_text("no image")
    names = [*(path.relative_to(few).as_posix() for path in whole), "empty.jpg", "torn.jpg", "text.png", "gone.jpg"]
    Table({"file_name": names, "z": np.arange(len(names))}).write(few / "all.csv")
    found = apply(tiny_classifier, few / "all.csv", tmp_path / "out.csv")
    listed = pd.read_csv(tmp_path / "out.unreadable.csv")
    assert listed["file_name"].tolist() == names[-4:]
    assert listed["problem"].str.len().min() > 5
    assert found["z"].tolist() == list(range(len(names)))
    assert found[[*COLUMNS, "predicted_class", "entropy"]].isna().all(axis=1).tolist() == [False] * 10 + [True] * 4
    assert json.loads((tmp_path / "out.run/run.json").read_text())["unreadable"] == 4


def test_the_page_shows_the_most_probable_of_each_class_and_no_markup_of_others(tiny_classifier, few, tmp_path):
    hostile = '<img src=x onerror="alert(1)">.jpg'
    first, second, *_ = few.glob("*.jpg")
    first.rename(few / hostile)
    second.rename(few / os.fsdecode(b"not utf-8 \xff.jpg"))
    found = apply(tiny_classifier, few, tmp_path / "out.csv", page_images=3, embeddings=True)
    page = (tmp_path / "out.html").read_text()
    assert page.count("<img ") == 9
    assert hostile not in page
    for column in COLUMNS:
        for _, row in found.nlargest(3, column).iterrows():
            assert f"{row[column]:.3f}<span>" in page


def test_it_reads_no_labels_from_names(tiny_classifier, cutouts, tmp_path):
    """Kaggle's test images, which no data set is built from, are a survey like another."""
    folder = tmp_path / "images_test_rev1"
    folder.mkdir()
    shutil.copy(next((cutouts / "images").iterdir()), folder / "100018.jpg")
    assert len(apply(tiny_classifier, tmp_path / "images_test_rev1", tmp_path / "a.csv")) == 1
    assert len(apply(tiny_classifier, tmp_path, tmp_path / "b.csv")) == 1


def write_models_of_other_classes(model: Path, folder: Path) -> Path:
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"label_names": ["a", "b", "c"]}))
    return folder


def test_what_cannot_be_done_is_one_line(tiny_classifier, few, tmp_path):
    def refused(complaint: str, images=few, output="out.csv", model=tiny_classifier, **changes) -> None:
        with pytest.raises(UserError, match=complaint) as error:
            apply(model, images, tmp_path / output, **changes)
        assert "\n" not in str(error.value)

    (tmp_path / "webp").mkdir()
    (tmp_path / "webp/a.webp").touch()
    Table({"path": ["a.jpg"], "ra": [1.0]}).write(tmp_path / "known.csv")
    Table({"file_name": [next(few.glob("*.jpg")).name], "Entropy": [1.0]}).write(few / "conflict.csv")
    refused("no images found", images=tmp_path / "nowhere")
    refused(r"no images found, only 1 with \.webp; they must be JPEG, PNG, TIFF or F", images=tmp_path / "webp")
    refused("no such file", images=tmp_path / "gone.zip")
    refused("no such file", images=tmp_path / "gone.csv")
    refused("no column 'file_name'; .* one of path, ra", images=tmp_path / "known.csv")
    refused("none of its 1 files is there such as", images=tmp_path / "known.csv", image_column="path")
    refused("has a column 'entropy' already", images=few / "conflict.csv")
    refused(r"no format has the suffix '\.doc'; take one of \.csv", output="out.doc")
    refused("no classifier", model=tmp_path)
    refused("no folder is given", model=[])
    others = write_models_of_other_classes(tiny_classifier, tmp_path / "others")
    refused("others: has the classes a, b, c, but .* give models of the same", model=[tiny_classifier, others])
    refused("each class once", class_prior="spiral=1")
    refused("at least", batch_size=0)
    (others / "validation_predictions.csv").unlink()
    refused("nothing to calibrate on", model=others, temperature=True)
    assert not list(tmp_path.glob("out.*"))


def test_results_of_another_run_are_not_written_over(tiny_classifier, second_classifier, few, tmp_path):
    (tmp_path / "elsewhere").symlink_to("/")  # a working directory may hold links to wherever images are
    (tmp_path / "mine.csv").write_text("a,b\n")
    with pytest.raises(UserError, match=r"mine\.csv: is there already, and not from this command"):
        apply(tiny_classifier, few, tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "a,b\n"
    apply(tiny_classifier, few, tmp_path / "out.csv")
    with pytest.raises(UserError, match=r"another models .* give another --output"):
        apply(second_classifier, few, tmp_path / "out.csv")
    with pytest.raises(UserError, match="another output"):
        apply(tiny_classifier, few, tmp_path / "out.fits")
    Image.new("RGB", (64, 64)).save(few / "new.png")
    with pytest.raises(UserError, match="another images_fingerprint"):
        apply(tiny_classifier, few, tmp_path / "out.csv")
