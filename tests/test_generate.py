"""generate.py: the generated images contract."""

import json
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import generate
from galaxy_diffusion.generated import load_generated
from gz2_dataset import CLASS_NAMES, UserError, load_arrays

from .conftest import launch_two_processes

WANTED = "cigar_shaped_smooth=5,spiral=3"


def settings(model: Path, output: Path, **changes) -> generate.Config:
    fast = {"num_images": WANTED, "num_inference_steps": 3, "batch_size": 4, "seed": 10}
    return generate.Config(model=str(model), output_dir=output, **{**fast, **changes})


@pytest.fixture(scope="module")
def generated(tiny_model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    generate.main(settings(tiny_model, folder))
    return folder


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {str(p.relative_to(folder)): np.asarray(Image.open(p)).astype(int) for p in sorted(folder.glob("*/*.jpg"))}


def test_the_folder_is_as_the_contract_says(generated, tiny_model):
    rows = [json.loads(line) for line in (generated / "metadata.jsonl").read_text().splitlines()]
    assert [(row["label"], row["seed"]) for row in rows] == [
        *(("cigar_shaped_smooth", seed) for seed in range(10, 15)),
        *(("spiral", seed) for seed in range(10, 13)),
    ]
    expected = {"file_name", "label", "seed", "scheduler", "steps", "guidance_scale", "checkpoint"}
    assert all(set(row) == expected and (generated / row["file_name"]).exists() for row in rows)
    assert (generated / "seen_images.csv").read_bytes() == (tiny_model / "seen_images.csv").read_bytes()
    assert {image.shape for image in pixels(generated).values()} == {(32, 32, 3)}


def test_stock_imagefolder_reads_it(generated):
    opened = datasets.load_dataset("imagefolder", data_dir=str(generated), split="train")
    assert len(opened) == 8
    assert set(opened["label"]) == {"cigar_shaped_smooth", "spiral"}
    assert opened[0]["image"].size == (32, 32)


def test_it_reads_as_arrays(generated):
    arrays = load_generated(str(generated), CLASS_NAMES, 32)
    np.testing.assert_array_equal(arrays.images[0], pixels(generated)[arrays.image_ids[0]])
    assert arrays.images.shape == (8, 32, 32, 3)
    assert np.bincount(arrays.labels, minlength=5).tolist() == [0, 0, 5, 0, 3]
    with pytest.raises(UserError, match="is none of the data's"):
        load_generated(str(generated), ("edge_on", "spiral"), 32)


def test_images_of_another_size_are_refused(generated):
    with pytest.raises(UserError, match="32 x 32 pixels instead of 64"):
        load_generated(str(generated), CLASS_NAMES, 64)


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_the_batch_size_has_no_influence(generated, tiny_model, tmp_path, batch_size):
    generate.main(settings(tiny_model, tmp_path, batch_size=batch_size))
    for name, image in pixels(generated).items():
        assert np.abs(pixels(tmp_path)[name] - image).max() <= 1


@pytest.mark.two_processes
def test_two_processes_draw_the_same(generated, tiny_model, tmp_path):
    options = ["--num_images", WANTED, "--num_inference_steps", 3, "--batch_size", 4, "--seed", 10]
    launch_two_processes("generate.py", "--model", tiny_model, "--output_dir", tmp_path, *options)
    assert pixels(tmp_path).keys() == pixels(generated).keys()
    assert all(np.abs(pixels(tmp_path)[name] - image).max() <= 1 for name, image in pixels(generated).items())
    assert (tmp_path / "metadata.jsonl").read_text() == (generated / "metadata.jsonl").read_text()


def test_an_interrupted_run_goes_on_without_touching_what_is_there(generated, tiny_model, tmp_path, monkeypatch):
    real, calls = generate.generate_batch, []

    def killed(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    with monkeypatch.context() as context:
        context.setattr(generate, "generate_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            generate.main(settings(tiny_model, tmp_path))
    assert not (tmp_path / "metadata.jsonl").exists()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.jpg")}
    assert len(times) == 4
    generate.main(settings(tiny_model, tmp_path))
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    for name, image in pixels(generated).items():
        assert np.abs(pixels(tmp_path)[name] - image).max() <= 1


def test_more_images_are_added_and_other_settings_refused(generated, tiny_model, tmp_path):
    generate.main(settings(tiny_model, tmp_path, num_images="spiral=2"))
    generate.main(settings(tiny_model, tmp_path, num_images="spiral=3"))
    assert sum(1 for _ in (tmp_path / "metadata.jsonl").open()) == 3
    with pytest.raises(UserError, match="another guidance_scale"):
        generate.main(settings(tiny_model, tmp_path, guidance_scale=3.0))


def test_a_trajectory_for_figure_4(tiny_model, tmp_path):
    generate.main(
        settings(tiny_model, tmp_path, num_images="1", scheduler="ddpm", num_inference_steps=20, trajectory=True)
    )
    with np.load(tmp_path / "trajectory.npz") as saved:
        assert saved["frames"].shape == (5, 11, 32, 32, 3)
        assert saved["timesteps"].tolist() == list(range(1000, -1, -100))


@pytest.mark.parametrize(
    ("num_images", "complaint"),
    [("ring=3", "no class 'ring'"), ("spiral=many", "'many' is no number"), ("-4", "'-4' is no number")],
)
def test_what_is_asked_must_make_sense(tiny_model, tmp_path, num_images, complaint):
    with pytest.raises(UserError, match=complaint):
        generate.main(settings(tiny_model, tmp_path / "out", num_images=num_images))
    assert not (tmp_path / "out").exists()


def test_test_galaxies_are_not_among_what_the_generator_saw(generated, toy_data):
    seen = pd.read_csv(generated / "seen_images.csv")
    assert not set(seen["image_id"]) & set(load_arrays(str(toy_data), "test", 32).image_ids)
