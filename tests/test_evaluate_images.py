"""evaluate_images.py from folders to figures, on toy galaxies of which one class is copied and one is drawn anew."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import evaluate_images
from evaluate_images import Config
from galaxy_diffusion.features import FeatureNet
from gz2_dataset import UserError, build, load_arrays
from gz2_dataset.arrays import encode_jpeg
from gz2_dataset.command_line import run
from tests.conftest import draw_toy_galaxy, write_class_list

COPIED, DRAWN = "in_between_smooth", "edge_on"
N = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("evaluated")
    source = write_class_list(folder / "source", {COPIED: 110, DRAWN: 110}, seed=5)
    build(source, folder / "data", test_per_class=30, validation_per_class=30)
    return str(folder / "data")


@pytest.fixture(scope="module")
def generated(data, tmp_path_factory) -> Path:
    """Turned training galaxies as COPIED, new ones of the right shape as DRAWN."""
    folder = tmp_path_factory.mktemp("generated")
    train = load_arrays(data, "train", 32)
    rng = np.random.default_rng(9)
    copied = train.images[train.labels == train.class_names.index(COPIED)][:N]
    images = [(COPIED, Image.fromarray(np.rot90(image, i % 4).copy())) for i, image in enumerate(copied)]
    images += [(DRAWN, draw_toy_galaxy(DRAWN, rng).resize((32, 32), Image.Resampling.LANCZOS)) for _ in range(N)]
    rows = []
    for i, (name, image) in enumerate(images):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / f"{i:08d}.jpg").write_bytes(encode_jpeg(image))
        rows.append({"file_name": f"{name}/{i:08d}.jpg", "label": name, "seed": i})
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    seen = {"image_id": train.image_ids, "sha256": train.digests}
    pd.DataFrame(seen).to_csv(folder / "seen_images.csv", index=False)
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_net():
    """In place of Inception: the image in 4 x 4 pixels, which say where the light is."""
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    net = FeatureNet("inception", model, 32, [0.0], [255.0], "small net")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galaxy_diffusion.features.load_net", lambda _: net)
        patch.setattr(evaluate_images, "load_net", lambda _: net)
        yield


@pytest.fixture(scope="module")
def output(data, generated, small_net, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    evaluate_images.main(Config(real=data, generated=str(generated), output_dir=folder))
    return folder


@pytest.fixture(scope="module")
def results(output) -> dict:
    return json.loads((output / "fidelity.json").read_text())


def test_each_class_and_all_have_every_figure_with_interval_floor_and_sizes(results, data):
    metrics = {"fid", "kid", "precision", "recall", "density", "coverage", "copy_rate", "duplicate_rate"}
    assert list(results) == ["all", COPIED, DRAWN]
    for figures in results.values():
        assert set(figures) == metrics
        for figure in figures.values():
            assert {"value", "low", "high", "n_real", "n_generated", "floor"} <= set(figure)
            assert figure["low"] <= figure["value"] <= figure["high"]
    unseen = [load_arrays(data, split, 32) for split in ("validation", "test")]
    n_unseen = sum(int((part.labels == part.class_names.index(DRAWN)).sum()) for part in unseen)
    assert (results[DRAWN]["fid"]["n_real"], results[DRAWN]["fid"]["n_generated"]) == (n_unseen, N)
    assert (results["all"]["fid"]["n_real"], results["all"]["fid"]["n_generated"]) == (2 * N, 2 * N)


def test_galaxies_drawn_anew_lie_within_the_floor(results):
    for metric in ("fid", "kid", "precision", "recall", "coverage"):
        figure = results[DRAWN][metric]
        assert figure["low"] <= figure["floor_high"], metric
        assert figure["high"] >= figure["floor_low"], metric


def test_the_copied_class_is_found_copied_and_the_drawn_one_is_not(results, output):
    assert results[COPIED]["copy_rate"]["value"] == 1
    assert results[COPIED]["copy_rate"]["p_value"] < 1e-6
    assert results[DRAWN]["copy_rate"]["value"] < 0.2
    assert results["all"]["copy_rate"]["n_generated"] == 2 * N
    table = pd.read_csv(output / "copies.csv")
    assert table["is_copy"][table["label"] == COPIED].all()
    assert len(table) == 2 * N


def test_the_copied_galaxy_itself_is_named(output, data):
    train = load_arrays(data, "train", 32)
    expected = [name for name, c in zip(train.image_ids, train.labels, strict=True) if train.class_names[c] == COPIED]
    table = pd.read_csv(output / "copies.csv")
    assert table["image_id"][table["label"] == COPIED].tolist() == expected[:N]


def test_pictures_summary_and_provenance_are_written_and_nothing_is_left_aside(output):
    pictures = {"fidelity.png", "samples.png", "copies.png", "nearest_generated.png", "nearest_test.png"}
    assert {path.name for path in output.iterdir()} == pictures | {
        "fidelity.json",
        "fidelity.md",
        "copies.csv",
        "run.json",
    }
    for name in pictures:
        assert np.ptp(np.asarray(Image.open(output / name).convert("L"))) > 100
    assert json.loads((output / "run.json").read_text())["config"]["nets"] == ["inception"]
    assert "| KID |" in (output / "fidelity.md").read_text()


def test_the_same_seed_gives_the_same_figures(results, data, generated, tmp_path):
    evaluate_images.main(Config(real=data, generated=str(generated), output_dir=tmp_path, batch_size=7))
    again = json.loads((tmp_path / "fidelity.json").read_text())
    for name, figures in results.items():
        for metric, figure in figures.items():
            assert again[name][metric] == pytest.approx(figure), (name, metric)


def test_too_few_images_are_said_to_be_too_few_and_still_searched_for_copies(data, generated, tmp_path, capsys):
    folder = tmp_path / "few"
    shutil.copytree(generated, folder)
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    (folder / "metadata.jsonl").write_text("\n".join(lines[:5]))
    evaluate_images.main(Config(real=data, generated=str(folder), output_dir=tmp_path / "out"))
    assert f"{COPIED}: fewer than 10 images a side" in capsys.readouterr().out
    figures = json.loads((tmp_path / "out" / "fidelity.json").read_text())[COPIED]
    assert set(figures) == {"copy_rate", "duplicate_rate"}
    assert (figures["copy_rate"]["value"], figures["copy_rate"]["n_generated"]) == (1, 5)


def test_a_generator_that_saw_a_test_galaxy_is_refused(data, generated, tmp_path):
    folder = tmp_path / "cheat"
    shutil.copytree(generated, folder)
    test = load_arrays(data, "test", 32)
    seen = pd.read_csv(folder / "seen_images.csv", dtype=str)
    seen.loc[0] = [test.image_ids[0], test.digests[0]]
    seen.to_csv(folder / "seen_images.csv", index=False)
    with pytest.raises(UserError, match="saw"):
        evaluate_images.main(Config(real=data, generated=str(folder), output_dir=tmp_path / "out"))


def test_data_of_another_generator_are_refused(data, generated, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(generated, folder)
    (folder / "seen_images.csv").write_text("image_id,sha256\nsomebody,0\n")
    with pytest.raises(UserError, match="none of its galaxies"):
        evaluate_images.main(Config(real=data, generated=str(folder), output_dir=tmp_path / "out"))


def test_two_nets_of_one_name_are_refused(data, generated, tmp_path):
    with pytest.raises(UserError, match="share a name"):
        evaluate_images.main(Config(data, str(generated), tmp_path, nets=["inception", "inception"]))


def test_help_explains_the_fields(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["evaluate_images.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        run(evaluate_images.main, Config, evaluate_images.__doc__)
    assert "Output folder of generate.py" in capsys.readouterr().out
