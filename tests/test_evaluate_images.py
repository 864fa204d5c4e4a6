"""evaluate_images.py from folders to figures, on toy galaxies of which one class is copied and one is drawn anew."""

import json
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import evaluate_images
from evaluate_images import Config
from galaxy_diffusion.evaluation.features import FeatureNet
from galaxy_diffusion.evaluation.luminance import luminance
from galaxy_diffusion.evaluation.metrics import METRICS
from galaxy_diffusion.evaluation.morphology import FLAGS, MEASURES
from galaxy_diffusion.evaluation.section import fidelity_section
from galaxy_diffusion.shared.image_folder import read_metadata
from gz2_dataset import UserError, build, load_arrays
from gz2_dataset.arrays import encode_jpeg
from gz2_dataset.command_line import run
from tests.conftest import draw_toy_galaxy, write_class_list

pytestmark = pytest.mark.slow

COPIED, DRAWN = "in_between_smooth", "edge_on"
N = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("evaluated")
    source = write_class_list(folder / "source", {COPIED: 110, DRAWN: 110}, seed=5)
    build(source, folder / "data", test_per_class=30, validation_per_class=30)
    return str(folder / "data")


def as_surveyed(image: Image.Image) -> Image.Image:
    """Through the survey's JPEG: without its traces the probes recognise a galaxy at once."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


@pytest.fixture(scope="module")
def generated(data, tmp_path_factory) -> Path:
    """Turned training galaxies as COPIED, new ones of the right shape as DRAWN."""
    folder = tmp_path_factory.mktemp("generated")
    train = load_arrays(data, "train", 32)
    rng = np.random.default_rng(9)
    copied = train.images[train.labels == train.class_names.index(COPIED)][:N]
    images = [(COPIED, Image.fromarray(np.rot90(image, i % 4).copy())) for i, image in enumerate(copied)]
    images += [
        (DRAWN, as_surveyed(draw_toy_galaxy(DRAWN, rng)).resize((32, 32), Image.Resampling.LANCZOS)) for _ in range(N)
    ]
    rows = []
    for i, (name, image) in enumerate(images):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / f"{i:08d}.jpg").write_bytes(encode_jpeg(image))
        rows.append({"file_name": f"{name}/{i:08d}.jpg", "label": name, "seed": i})
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    seen = {"image_id": train.image_ids, "sha256": train.digests}
    pd.DataFrame(seen).to_csv(folder / "seen_images.csv", index=False)
    (folder / "run.json").write_text(json.dumps({"center_crop": train.center_crop}))
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_net():
    """In place of Inception: the image in 4 x 4 pixels, which show where the light is."""
    model = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten())
    net = FeatureNet("inception", model, 32, [0.0], [255.0], "small net")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("galaxy_diffusion.evaluation.features.load_net", lambda _: net)
        patch.setattr(evaluate_images, "load_net", lambda _: net)
        patch.setattr("galaxy_diffusion.evaluation.questions.load_net", lambda _: net)
        yield


@pytest.fixture(scope="module", autouse=True)
def quick_morphology():
    """In place of statmorph: second moments, which know how long a toy galaxy is; the rest stays 0."""

    def moments(images: np.ndarray) -> pd.DataFrame:
        light = (luminance(images).astype(float) - 0.12).clip(0)
        y, x = np.mgrid[: images.shape[1], : images.shape[2]] - (images.shape[1] - 1) / 2
        xx, yy, xy = ((light * square).sum(axis=(1, 2)) for square in (x * x, y * y, x * y))
        root = np.hypot(xx - yy, 2 * xy)
        table = pd.DataFrame(0.0, index=range(len(images)), columns=[*MEASURES, *FLAGS])
        return table.assign(ellipticity=1 - np.sqrt((xx + yy - root) / (xx + yy + root)))

    def without_photutils(images: np.ndarray, radii: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"colour_gradient": images.mean(axis=(1, 2, 3)), "point_source_width": np.nan + radii})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate_images, "morphology", moments)
        patch.setattr(evaluate_images, "apertures", without_photutils)
        patch.setattr(evaluate_images, "is_available", lambda: True)
        patch.setattr("galaxy_diffusion.evaluation.floors.SPLITS", 8)  # most of the time goes into floors
        yield


@pytest.fixture(scope="module")
def output(data, generated, small_net, quick_morphology, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("output")
    evaluate_images.main(Config(real=data, generated=str(generated), output_dir=folder))
    return folder


@pytest.fixture(scope="module")
def results(output) -> dict:
    return json.loads((output / "fidelity.json").read_text())


def test_each_class_and_all_have_every_figure_with_interval_floor_and_sizes(results, data):
    metrics = {"fid", "kid", "precision", "recall", "density", "coverage", "copy_rate", "duplicate_rate"}
    shapes = {"wasserstein_ellipticity", "ks_ellipticity"}
    metrics |= shapes | {f"equal_noise_{name}" for name in shapes} | {"morphology_failed"}
    metrics |= {"axis_ratio_agreement", "morphology_agreement", "colour_gradient"}
    metrics |= {"noise_red", "noise_green", "noise_blue"}
    metrics |= {f"noise_correlation_{pair}" for pair in ("red_green", "red_blue", "green_blue")}
    metrics |= {name for row in METRICS for name in row.measure(np.zeros((2, 32, 32, 3), np.uint8))}
    spaces = ("inception", "pixels", "spectrum")
    probes = {f"probe_auc_{space}{suffix}" for space in spaces for suffix in ("", "_before_jpeg")}
    assert list(results) == ["all", COPIED, DRAWN]
    for name, figures in results.items():
        assert set(figures) == (metrics if name == "all" else metrics | probes)
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
    pictures |= {"power_spectra.png", "probe.png", "relations.png"}
    pictures |= {f"{kind}_{name}.png" for kind in ("morphology", "relations") for name in (COPIED, DRAWN)}
    assert {path.name for path in output.iterdir()} == pictures | {
        "fidelity.json",
        "fidelity.md",
        "copies.csv",
        "copies_power.csv",
        "morphology.csv",
        "run.json",
    }
    for name in pictures:
        assert np.ptp(np.asarray(Image.open(output / name).convert("L"))) > 100
    assert json.loads((output / "run.json").read_text())["config"]["nets"] == ["inception"]
    assert "| KID |" in (output / "fidelity.md").read_text()


def test_galaxies_drawn_anew_cannot_be_told_from_real_ones_and_have_their_shapes(results):
    for metric in ("wasserstein_ellipticity", "ks_ellipticity", "probe_auc_pixels", "probe_auc_spectrum"):
        assert results[DRAWN][metric]["low"] <= results[DRAWN][metric]["floor_high"], metric
    assert results[DRAWN]["axis_ratio_agreement"]["high"] >= results[DRAWN]["axis_ratio_agreement"]["floor_low"]


def test_morphology_csv_has_a_row_an_image_with_source_class_and_flag(output, data):
    table = pd.read_csv(output / "morphology.csv")
    assert table["source"].value_counts()["generated"] == 2 * N
    assert {"image", "label", *MEASURES, *FLAGS} <= set(table)
    parts = {split: load_arrays(data, split, 32) for split in ("train", "validation", "test")}
    assert (table["source"] == "real").sum() == sum(map(len, parts.values()))
    unseen = table[(table["source"] == "real") & (table["seen"] == False)]  # noqa: E712
    assert set(unseen["image"]) == {*parts["validation"].image_ids, *parts["test"].image_ids}


def test_the_section_of_a_report_has_every_table_and_picture(output):
    tables, pictures = fidelity_section(output)
    assert list(tables) == ["metrics", "copies_power", "morphology", "equal_noise", "relations", "filter"]
    assert set(pictures) == {path.stem for path in output.glob("*.png")}
    for table in tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert table.markdown in (output / "fidelity.md").read_text()
    with pytest.raises(UserError, match=r"run evaluate_images\.py again"):
        fidelity_section(output / "nowhere")


def test_verdicts_keep_what_is_no_copy_and_a_shuffle_of_labels_is_found(data, generated, tmp_path):
    folder = tmp_path / "generated"
    shutil.copytree(generated, folder)
    config = Config(data, str(folder), tmp_path / "out", probe=False, write_verdicts=True)
    evaluate_images.main(config)
    rows = read_metadata(folder)
    assert not any(row["kept"] or row["filter"]["no_copy"] for row in rows if row["label"] == COPIED)
    assert np.mean([row["kept"] for row in rows if row["label"] == DRAWN]) > 0.5
    counts = json.loads((tmp_path / "out" / "run.json").read_text())["filter"]
    assert counts["all"]["kept"] == sum(row["kept"] for row in rows)

    other = {COPIED: DRAWN, DRAWN: COPIED}
    shuffled = [row | {"label": other[row["label"]]} for row in rows]
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in shuffled))
    evaluate_images.main(config)
    assert not any(row["kept"] for row in read_metadata(folder))
    figure = json.loads((tmp_path / "out" / "fidelity.json").read_text())["all"]["axis_ratio_agreement"]
    assert figure["high"] < 0.2 < figure["floor_low"]


def test_without_statmorph_a_line_says_how_to_get_it_and_pictures_of_an_earlier_evaluation_do_not_stay(
    data, generated, tmp_path, monkeypatch, capsys
):
    earlier = ["fidelity.png", f"morphology_{COPIED}.png", "morphology.csv"]
    for name in [*earlier, "mine.png"]:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "run.json").write_text(json.dumps({"files": earlier}))
    monkeypatch.setattr(evaluate_images, "is_available", lambda: False)
    evaluate_images.main(Config(data, str(generated), tmp_path, probe=False))
    assert 'pip install ".[morphology]"' in capsys.readouterr().out
    assert not {"morphology.csv", f"morphology_{COPIED}.png"} & {path.name for path in tmp_path.iterdir()}
    assert (tmp_path / "fidelity.png").stat().st_size > 0
    assert (tmp_path / "mine.png").exists()
    with pytest.raises(UserError, match=r"\.\[morphology\]"):
        evaluate_images.main(Config(data, str(generated), tmp_path, write_verdicts=True))


def test_the_same_seed_gives_the_same_figures(results, data, generated, tmp_path):
    evaluate_images.main(Config(real=data, generated=str(generated), output_dir=tmp_path, batch_size=7, probe=False))
    again = json.loads((tmp_path / "fidelity.json").read_text())
    for name, figures in results.items():
        for metric, figure in figures.items():
            if not metric.startswith("probe"):
                assert again[name][metric] == pytest.approx(figure), (name, metric)


def test_too_few_images_are_said_to_be_too_few_and_still_searched_for_copies(data, generated, tmp_path, capsys):
    folder = tmp_path / "few"
    shutil.copytree(generated, folder)
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    (folder / "metadata.jsonl").write_text("\n".join(lines[:5]))
    evaluate_images.main(Config(real=data, generated=str(folder), output_dir=tmp_path / "out", morphology=False))
    assert f"{COPIED}: fewer than 10 images on one side" in capsys.readouterr().out
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


def test_a_probe_without_a_net_to_see_with_is_refused(tmp_path):
    with pytest.raises(UserError, match="--probe false"):
        evaluate_images.main(Config("data", "generated", tmp_path, nets=[]))


def test_help_explains_the_fields(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["evaluate_images.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        run(evaluate_images.main, Config, evaluate_images.__doc__)
    assert "Output folder of generate.py" in capsys.readouterr().out
