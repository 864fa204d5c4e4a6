"""generate.py: the generated images contract."""

import json
import shutil
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

import generate
from galaxy_diffusion.shared.image_folder import load_generated
from gz2_dataset import CLASS_NAMES, UserError, load_arrays
from gz2_dataset.crop import WHOLE

from .conftest import launch_two_processes
from .gz2_dataset.test_hub import FakeHub, changes

WANTED = "cigar_shaped_smooth=5,spiral=3"
KINDS = {
    "plain": {"scheduler": "heun"},
    "noisy": {"scheduler": "sde-dpmsolver++", "guidance_interval": (0.1, 5.0)},
    "varied": {"strength": 0.7, "scheduler": "ddpm", "num_inference_steps": 5},
}


def settings(model: Path, output: Path, **changes) -> generate.Config:
    fast = {"num_images": WANTED, "num_inference_steps": 3, "batch_size": 4, "seed": 10, "guidance_scale": 2.0}
    return generate.Config(model=str(model), output_dir=output, **{**fast, **changes})


@pytest.fixture(scope="module")
def generated(tiny_model, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    generate.main(settings(tiny_model, folder))
    return folder


@pytest.fixture(scope="module", params=KINDS)
def reference(request, tiny_model, toy_data, tmp_path_factory) -> tuple[Path, dict]:
    """A folder of each kind of generation, and its settings."""
    changes = KINDS[request.param] | ({"variations_of": str(toy_data)} if request.param == "varied" else {})
    folder = tmp_path_factory.mktemp(request.param)
    generate.main(settings(tiny_model, folder, **changes))
    return folder, changes


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {str(p.relative_to(folder)): np.asarray(Image.open(p)).astype(int) for p in sorted(folder.glob("*/*.jpg"))}


def test_the_folder_is_as_the_contract_says(generated, tiny_model):
    rows = [json.loads(line) for line in (generated / "metadata.jsonl").read_text().splitlines()]
    assert [(row["label"], row["seed"]) for row in rows] == [
        *(("cigar_shaped_smooth", seed) for seed in range(10, 15)),
        *(("spiral", seed) for seed in range(10, 13)),
    ]
    expected = {"file_name", "label", "seed", "scheduler", "timestep_spacing", "steps", "guidance_scale", "checkpoint"}
    assert all(set(row) == expected and (generated / row["file_name"]).exists() for row in rows)
    assert (generated / "seen_images.csv").read_bytes() == (tiny_model / "seen_images.csv").read_bytes()
    assert {image.shape for image in pixels(generated).values()} == {(32, 32, 3)}


def test_its_card_says_synthetic_and_shows_datasets_the_images(generated):
    card = DatasetCard.load(generated / "README.md")
    assert {"synthetic", "astronomy"} <= set(card.data.tags)
    assert "**8 synthetic images: no galaxy in the sky looks like one of them.**" in card.text
    assert "| cigar_shaped_smooth | 5 |" in card.text
    assert "Population statistics" in card.text.partition("## What they are not for")[2]
    opened = datasets.load_dataset(str(generated), split="train")
    assert sorted(opened["seed"]) == sorted([*range(10, 15), *range(10, 13)])
    assert opened[0]["image"].size == (32, 32)


def test_a_finished_folder_is_uploaded_as_a_dataset(generated, tiny_model, monkeypatch):
    hub = FakeHub()
    monkeypatch.setattr("gz2_dataset.hub.HfApi", lambda: hub)
    generate.main(settings(tiny_model, generated, push_to_hub=True, hub_model_id="me/cigars"))
    ((repo_id, repo_type, operations),) = hub.commits
    assert (repo_id, repo_type) == ("me/cigars", "dataset")
    images = {str(path.relative_to(generated)) for path in generated.glob("*/*.jpg")}
    records = {"README.md", "metadata.jsonl", "run.json", "settings.json", "seen_images.csv"}
    added = changes(operations)[0]
    assert set(added) == images | records
    assert 'load_dataset("me/cigars", split="train")' in added["README.md"].decode()


def test_stock_imagefolder_reads_it(generated):
    opened = datasets.load_dataset("imagefolder", data_dir=str(generated), split="train")
    assert len(opened) == 8
    assert set(opened["label"]) == {"cigar_shaped_smooth", "spiral"}
    assert opened[0]["image"].size == (32, 32)


def test_it_reads_as_arrays(generated):
    arrays = load_generated(str(generated), CLASS_NAMES, 32, WHOLE)
    np.testing.assert_array_equal(arrays.images[0], pixels(generated)[arrays.image_ids[0]])
    assert arrays.images.shape == (8, 32, 32, 3)
    assert np.bincount(arrays.labels, minlength=5).tolist() == [0, 0, 5, 0, 3]
    with pytest.raises(UserError, match="is not one of the data's"):
        load_generated(str(generated), ("edge_on", "spiral"), 32, WHOLE)


def test_images_of_another_size_are_refused(generated):
    with pytest.raises(UserError, match="32 x 32 pixels instead of 64"):
        load_generated(str(generated), CLASS_NAMES, 64, WHOLE)


DRAWN: dict[Path, np.ndarray] = {}


@pytest.fixture(scope="module", autouse=True)
def drawn_pixels():
    """Keep images as they are before JPEG, which turns one grey level moved by rounding into several."""
    save = generate.save_image
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "save_image", lambda path, image: [DRAWN.update({path: image}), save(path, image)])
        yield


def same_images(first: Path, second: Path) -> bool:
    """Within one grey level; if another process has drawn them, equal except for what JPEG makes of that."""
    one, other = pixels(first), pixels(second)
    if one.keys() != other.keys():
        return False
    drawn = [(DRAWN.get(first / name), DRAWN.get(second / name)) for name in one]
    if any(image is None for pair in drawn for image in pair):
        return all(np.abs(one[name] - other[name]).mean() < 0.1 for name in one)
    return all(np.abs(a.astype(int) - b).max() <= 1 for a, b in drawn)


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_the_batch_size_has_no_influence(reference, tiny_model, tmp_path, batch_size):
    folder, changes = reference
    generate.main(settings(tiny_model, tmp_path, batch_size=batch_size, **changes))
    assert same_images(folder, tmp_path)


@pytest.mark.two_processes
@pytest.mark.parametrize("reference", ["varied"], indirect=True)
def test_two_processes_draw_the_same(reference, tiny_model, tmp_path):
    folder, changes = reference
    config = {"num_images": WANTED, "num_inference_steps": 3, "guidance_scale": 2.0, "batch_size": 3, "seed": 10}
    config |= changes
    options = [part for key, value in config.items() for part in (f"--{key}", json.dumps(value).strip('"'))]
    launch_two_processes("generate.py", "--model", tiny_model, "--output_dir", tmp_path, *options)
    assert same_images(folder, tmp_path)
    assert (tmp_path / "metadata.jsonl").read_text() == (folder / "metadata.jsonl").read_text()


def test_an_interrupted_run_goes_on_without_touching_what_is_there(reference, tiny_model, tmp_path, monkeypatch):
    folder, changes = reference
    real, calls = generate.generate_batch, []

    def killed(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **options)

    with monkeypatch.context() as context:
        context.setattr(generate, "generate_batch", killed)
        with pytest.raises(KeyboardInterrupt):
            generate.main(settings(tiny_model, tmp_path, **changes))
    assert not (tmp_path / "metadata.jsonl").exists()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/*.jpg")}
    assert len(times) == 4
    generate.main(settings(tiny_model, tmp_path, **changes))
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert same_images(folder, tmp_path)
    assert (tmp_path / "metadata.jsonl").read_text() == (folder / "metadata.jsonl").read_text()


def test_with_seeds_of_its_own_a_class_has_no_twin_in_another(generated, tiny_model, tmp_path):
    generate.main(settings(tiny_model, tmp_path / "own", class_seeds=True))
    seeds = {row["label"]: row["seed"] for row in map(json.loads, (tmp_path / "own" / "metadata.jsonl").open())}
    assert seeds == {"cigar_shaped_smooth": 2_000_014, "spiral": 4_000_012}
    generate.main(settings(tiny_model, tmp_path / "later", seed=4_000_010))
    spirals = [{k: v for k, v in pixels(tmp_path / name).items() if "spiral" in k} for name in ("own", "later")]
    assert [list(part) for part in spirals] == [[f"spiral/040000{i}.jpg" for i in (10, 11, 12)]] * 2
    assert all(np.array_equal(spirals[0][name], spirals[1][name]) for name in spirals[0])
    with pytest.raises(UserError, match="another class_seeds"):
        generate.main(settings(tiny_model, tmp_path / "own"))


def test_more_images_are_added_and_other_settings_refused(generated, tiny_model, tmp_path):
    generate.main(settings(tiny_model, tmp_path, num_images="spiral=2"))
    generate.main(settings(tiny_model, tmp_path, num_images="spiral=3"))
    assert sum(1 for _ in (tmp_path / "metadata.jsonl").open()) == 3
    with pytest.raises(UserError, match="another guidance_scale"):
        generate.main(settings(tiny_model, tmp_path, guidance_scale=3.0))


def test_pictures_lie_where_stock_imagefolder_does_not_stumble(tiny_model, tmp_path):
    options = {
        "grid": True,
        "trajectory": True,
        "interpolate": "spiral:1,edge_on:2",
        "num_frames": 4,
        "scheduler": "heun",
    }
    generate.main(settings(tiny_model, tmp_path, num_images="2", num_inference_steps=20, **options))
    with np.load(tmp_path / "trajectory.npz") as saved:
        assert saved["frames"].shape == (5, 11, 32, 32, 3)
        assert saved["timesteps"].tolist() == list(range(1000, -1, -100))
        strip = np.asarray(Image.open(tmp_path / "trajectory.png"))
        np.testing.assert_array_equal(strip[32:64, -32:], saved["frames"][1, -1])
    sizes = {"trajectory.webp": (640, 128), "interpolation.png": (128, 32), "grid.png": (64, 160)}
    for name, size in sizes.items():
        with Image.open(tmp_path / name) as image:
            assert image.size == size
    with Image.open(tmp_path / "interpolation.webp") as image:
        assert image.n_frames == 4
    opened = datasets.load_dataset("imagefolder", data_dir=str(tmp_path))
    assert list(opened) == ["train"]
    assert sorted(opened["train"]["label"]) == sorted(CLASS_NAMES * 2)
    assert {image.size for image in opened["train"]["image"]} == {(32, 32)}
    assert len(load_generated(str(tmp_path), CLASS_NAMES, 32, WHOLE)) == 10


def test_variations_name_the_train_galaxies_that_they_start_from(tiny_model, toy_data, tmp_path):
    wanted = {
        "num_images": "cigar_shaped_smooth=6,spiral=30",
        "variations_of": str(toy_data),
        "num_inference_steps": 20,
    }
    generate.main(settings(tiny_model, tmp_path, **wanted, scheduler="ddim", strength=0.05, seed=0))
    rows = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    train = load_arrays(str(toy_data), "train", 32)
    of_class = dict(zip(train.image_ids, (CLASS_NAMES[label] for label in train.labels), strict=True))
    assert {row["strength"] for row in rows} == {0.05}
    assert all(of_class[row["source_image_id"]] == row["label"] for row in rows)
    spirals = [row["source_image_id"] for row in rows if row["label"] == "spiral"]
    assert len(set(spirals)) == min(30, sum(name == "spiral" for name in of_class.values())), (
        "each once before any twice"
    )
    images = load_generated(str(tmp_path), CLASS_NAMES, 32, WHOLE).images.astype(float)
    of_row = [train.image_ids.index(row["source_image_id"]) for row in rows]
    distance = np.abs(images[:, None] - train.images[None]).mean(axis=(2, 3, 4))
    assert (distance.argmin(axis=1) == of_row).mean() > 0.9, "a weak variation is nearest to its own original"
    assert datasets.load_dataset("imagefolder", data_dir=str(tmp_path), split="train")["source_image_id"][0]


def test_galaxies_that_the_model_has_not_learned_from_are_not_varied(tiny_model, toy_data, tmp_path):
    """A folder that a user has made of test galaxies cannot bring them into the training set this way."""
    for name in CLASS_NAMES:
        (tmp_path / "mine" / name).mkdir(parents=True)
    opened = datasets.load_dataset(str(toy_data), split="test").cast_column("image", datasets.Image(decode=False))
    for row in opened:
        (tmp_path / "mine" / CLASS_NAMES[row["label"]] / f"{row['image_id']}.jpg").write_bytes(row["image"]["bytes"])
    with pytest.raises(UserError, match="so it may be one to judge by"):
        generate.main(settings(tiny_model, tmp_path / "out", variations_of=str(tmp_path / "mine")))
    assert not (tmp_path / "out").exists()


def test_a_model_that_does_not_say_what_it_saw_varies_nothing(tiny_model, toy_data, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    (tmp_path / "model/seen_images.csv").unlink()
    with pytest.raises(UserError, match=r"seen_images\.csv: does not say which images"):
        generate.main(settings(tmp_path / "model", tmp_path / "out", variations_of=str(toy_data)))


KNOWN = {
    "plain": {"scheduler": "heun", "timestep_spacing": "linspace", "steps": 3, "guidance_scale": 2.0},
    "noisy": {
        "scheduler": "sde-dpmsolver++",
        "timestep_spacing": "linspace",
        "steps": 3,
        "guidance_scale": 2.0,
        "guidance_interval": [0.1, 5.0],
    },
    "varied": {"scheduler": "ddpm", "timestep_spacing": "trailing", "steps": 5, "guidance_scale": 2.0, "strength": 0.7},
}
"""What settings.json and metadata.jsonl of a folder of each kind say, beside the model and the seed."""


def test_a_folder_of_an_earlier_version_goes_on(reference, request):
    """The keys and values of its records are those that a call writes today."""
    folder, changes = reference
    known = KNOWN[request.node.callspec.params["reference"]]
    written = json.loads((folder / "settings.json").read_text())
    row = json.loads((folder / "metadata.jsonl").read_text().splitlines()[0])
    of_run, of_image = ["seed"], ["file_name", "label", "seed"]
    if "variations_of" in changes:
        of_run, of_image = [*of_run, "variations_of"], [*of_image, "source_image_id"]
    for record, more in ((written, of_run), (row, of_image)):
        assert {key: value for key, value in record.items() if key not in (*more, "checkpoint")} == known
        assert {*more, "checkpoint"} <= record.keys()


def test_metadata_says_how_an_image_was_made(tiny_model, tmp_path):
    changes = {"guidance_interval": (0.5, 4.0), "mixed_precision": "bf16"}
    generate.main(settings(tiny_model, tmp_path, num_images="spiral=2", **changes))
    row = json.loads((tmp_path / "metadata.jsonl").read_text().splitlines()[0])
    assert row["guidance_interval"] == [0.5, 4.0]
    assert row["mixed_precision"] == "bf16"
    assert datasets.load_dataset("imagefolder", data_dir=str(tmp_path), split="train")["seed"][:] == [10, 11]
    with pytest.raises(UserError, match="another guidance_interval"):
        generate.main(settings(tiny_model, tmp_path, num_images="spiral=3", mixed_precision="bf16"))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"interpolate": "spiral:1"}, "not two of CLASS:SEED"),
        ({"interpolate": "spiral:1,ring:2"}, "not two of CLASS:SEED"),
        ({"interpolate": "spiral:1,edge_on:2"}, "adds noise that hides the seeds"),
        ({"scheduler": "karras"}, "no scheduler 'karras'"),
        ({"scheduler": "ddim", "num_inference_steps": 61}, "61 steps do not divide"),
        ({"num_inference_steps": 0}, "num_inference_steps 0: must be at least 1"),
        ({"strength": 1.5}, "strength 1.5: must be above 0"),
        ({"guidance_interval": (3.0, 0.3)}, "not from a lower to a higher"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(tiny_model, tmp_path, changes, complaint):
    with pytest.raises(UserError, match=complaint):
        generate.main(settings(tiny_model, tmp_path, **changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("num_images", "complaint"),
    [("ring=3", "no class 'ring'"), ("spiral=many", "'many' is not a number"), ("-4", "'-4' is not a number")],
)
def test_what_is_asked_must_make_sense(tiny_model, tmp_path, num_images, complaint):
    with pytest.raises(UserError, match=complaint):
        generate.main(settings(tiny_model, tmp_path / "out", num_images=num_images))
    assert not (tmp_path / "out").exists()


def test_test_galaxies_are_not_among_what_the_generator_saw(generated, toy_data):
    seen = pd.read_csv(generated / "seen_images.csv")
    assert not set(seen["image_id"]) & set(load_arrays(str(toy_data), "test", 32).image_ids)
