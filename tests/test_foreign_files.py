"""Nothing in a file from a stranger runs, and none leads outside its folder; see docs/reliability.md."""

import ast
import io
import json
import os
import shutil
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from transformers import Trainer

import evaluate_images
import generate
import train_classifier
import train_ddpm
from galaxy_diffusion.sampling.seeded_images import load_pipeline
from galaxy_diffusion.shared.checkpoint import checkpoints, seal
from galaxy_diffusion.shared.classifier_folder import read_classifier
from galaxy_diffusion.shared.image_folder import load_generated, read_metadata
from galaxy_diffusion.shared.run_folder import refuse_links, same_run
from gz2_dataset import UserError, build, load
from gz2_dataset.image_ids import check_image_ids
from gz2_dataset.images import encoded_bytes

from .conftest import ROOT, draw_toy_galaxy, write_class_list


class Opens:
    """Its pickle, where it is loaded freely, makes a file: any other call would run as well."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path) -> Path:
    """The file that shows that something ran."""
    return tmp_path / "it ran"


def plant(file: Path, trace: Path) -> None:
    """Put a pickle that would make ``trace`` in the place of a file."""
    torch.save(Opens(trace), file)


def test_a_planted_pickle_does_what_it_should_not_get_to_do(tmp_path, trace):
    plant(tmp_path / "state.pt", trace)
    torch.load(tmp_path / "state.pt", weights_only=False)
    assert trace.exists()


OF_ACCELERATE = ("custom_checkpoint_0.pkl", "random_states_0.pkl", "optimizer.bin", "scaler.pt", "pytorch_model.bin")
OF_TRANSFORMERS = ("training_args.bin", "optimizer.bin", "adapter_model.bin")
OF_DIFFUSERS = ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.fp16.bin", "pytorch_lora_weights.bin")


def tiny_ddpm(data: Path, output: Path, **changes) -> train_ddpm.Config:
    preset = yaml.safe_load((ROOT / "configs/ddpm_tiny.yaml").read_text())
    return train_ddpm.Config(data=str(data), output_dir=output, **{**preset, "sample_images": 0, **changes})


def test_pickles_beside_the_files_of_a_run_are_not_read(tiny_model, toy_data, tmp_path, trace):
    """Resumed, sampled from and learned further, as if they were not there."""
    run = shutil.copytree(tiny_model, tmp_path / "run")
    for folder in [run, *(path for path in run.rglob("*") if path.is_dir())]:
        for name in {*OF_ACCELERATE, *OF_TRANSFORMERS, *OF_DIFFUSERS}:
            plant(folder / name, trace)
    train_ddpm.main(tiny_ddpm(toy_data, run, total_images=96))
    options = {"num_images": "spiral=1", "scheduler": "ddim", "num_inference_steps": 2}
    generate.main(generate.Config(model=str(run), output_dir=tmp_path / "images", **options))
    train_ddpm.main(tiny_ddpm(toy_data, tmp_path / "further", init_from=str(run)))
    assert not trace.exists()


@pytest.mark.parametrize("sealed", [True, False])
@pytest.mark.parametrize("name", ["unet", "optimizer", "ema", "random_0"])
def test_a_pickle_in_the_place_of_a_generators_state_is_refused(name, sealed, tiny_model, toy_data, tmp_path, trace):
    """Even with a manifest that vouches for it."""
    run = shutil.copytree(tiny_model, tmp_path / "run")
    for checkpoint in checkpoints(run / "checkpoints"):
        plant(checkpoint / f"{name}.safetensors", trace)
        if sealed:
            seal(checkpoint)
    with pytest.raises(UserError, match=f"{checkpoint.name}: is no checkpoint .*; remove it"):
        train_ddpm.main(tiny_ddpm(toy_data, run, total_images=96))
    assert not trace.exists()


def test_a_pickle_in_the_newest_checkpoint_gives_way_to_the_one_before(tiny_model, toy_data, tmp_path, trace, capsys):
    run = shutil.copytree(tiny_model, tmp_path / "run")
    newest = checkpoints(run / "checkpoints")[-1]
    plant(newest / "unet.safetensors", trace)
    train_ddpm.main(tiny_ddpm(toy_data, run, total_images=96))
    assert f"{newest} is damaged" in capsys.readouterr().err
    assert not trace.exists()


def test_a_checkpoint_of_pickles_as_earlier_versions_wrote_is_refused(tiny_model, toy_data, tmp_path, trace):
    run = shutil.copytree(tiny_model, tmp_path / "run")
    for newest in checkpoints(run / "checkpoints"):
        for file in newest.iterdir():
            file.unlink()
        for name in OF_ACCELERATE:
            plant(newest / name, trace)
    with pytest.raises(UserError, match=f"{newest.name}: is no checkpoint of this version"):
        train_ddpm.main(tiny_ddpm(toy_data, run, total_images=96))
    assert not trace.exists()


def tiny_classifier(data: Path, output: Path) -> train_classifier.Config:
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text())
    every = {
        "total_images": 3 * preset["batch_size"],
        "checkpoint_images": preset["batch_size"],
        "validation_images": 0,
    }
    return train_classifier.Config(data=str(data), output_dir=output, **{**preset, **every})


@pytest.fixture(scope="module")
def interrupted_classifier(toy_data, tmp_path_factory) -> Path:
    """A run that the power failed in the second step, after a checkpoint."""
    folder, step = tmp_path_factory.mktemp("interrupted") / "run", Trainer.training_step

    def failing(self, *args, **kwargs):
        if self.state.global_step == 1:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "training_step", failing)
        with pytest.raises(KeyboardInterrupt):
            train_classifier.main(tiny_classifier(toy_data, folder))
    return folder


@pytest.mark.parametrize(
    ("name", "instead_of"),
    [(name, name) for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt", "model.safetensors")]
    + [("pytorch_model.bin", "model.safetensors")],
)
def test_a_pickle_in_a_classifiers_checkpoint_is_refused(
    name, instead_of, interrupted_classifier, toy_data, tmp_path, trace
):
    run = shutil.copytree(interrupted_classifier, tmp_path / "run")
    (run / "checkpoint-1" / instead_of).unlink(missing_ok=True)
    plant(run / "checkpoint-1" / name, trace)
    seal(run / "checkpoint-1")
    with pytest.raises(UserError, match=r"checkpoint-1: is no checkpoint .*; remove it"):
        train_classifier.main(tiny_classifier(toy_data, run))
    assert not trace.exists()


def test_pickles_beside_a_classifiers_state_are_not_read(interrupted_classifier, toy_data, tmp_path, trace):
    run = shutil.copytree(interrupted_classifier, tmp_path / "run")
    for folder in (run, run / "checkpoint-1"):
        for name in OF_TRANSFORMERS:
            plant(folder / name, trace)
    seal(run / "checkpoint-1")
    train_classifier.main(tiny_classifier(toy_data, run))
    assert (run / "metrics.json").exists()
    assert not trace.exists()


@pytest.mark.parametrize("shape", [(3,), ()])
def test_a_classifiers_optimizer_that_would_write_beyond_its_memory_is_refused(
    shape, interrupted_classifier, toy_data, tmp_path
):
    run = shutil.copytree(interrupted_classifier, tmp_path / "run")
    state = torch.load(run / "checkpoint-1/optimizer.pt", weights_only=True)
    state["state"][0]["exp_avg"] = torch.zeros(shape)
    torch.save(state, run / "checkpoint-1/optimizer.pt")
    seal(run / "checkpoint-1")
    with pytest.raises(UserError, match=r"checkpoint-1: is no checkpoint .*exp_avg of shape"):
        train_classifier.main(tiny_classifier(toy_data, run))


READS_PICKLES = {"load_state", "register_for_checkpointing", "read_pickle", "unsafe_load", "full_load"}


def test_nothing_in_the_source_reads_a_pickle():
    """torch.load says weights_only=True; numpy, which refuses pickles, is not told to allow them; yaml loads safely."""
    for path in [*ROOT.glob("*.py"), *(ROOT / "galaxy_diffusion").rglob("*.py"), *(ROOT / "gz2_dataset").rglob("*.py")]:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {name.name.partition(".")[0] for name in node.names} | {getattr(node, "module", None)}
                assert not names & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called, options = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
                assert node.func.attr not in READS_PICKLES, f"{path}: {called}"
                assert (
                    called not in ("yaml.load", "joblib.load", "torch.load") or options.get("weights_only") == "True"
                ), path
                assert options.get("allow_pickle", "False") == "False", path


@pytest.mark.parametrize("name", ["../../X", "{outside}/X", "..", "a/b", "null", "=1", "x" * 300, 7])
def test_the_classes_of_a_foreign_model_lead_nowhere(name, tiny_model, tmp_path):
    model, output = shutil.copytree(tiny_model, tmp_path / "model"), tmp_path / "a/b/images"
    index = json.loads((model / "model_index.json").read_text())
    index["id2label"]["0"] = name.format(outside=tmp_path) if isinstance(name, str) else name
    (model / "model_index.json").write_text(json.dumps(index))
    options = {"num_images": "1", "scheduler": "ddim", "num_inference_steps": 1}
    with pytest.raises(UserError, match=r"model: class .*; rename it"):
        generate.main(generate.Config(model=str(model), output_dir=output, **options))
    assert {path.name for path in tmp_path.iterdir()} == {"model"}


@pytest.mark.parametrize("id2label", [None, ["a", "b"], {"1": "a", "3": "b"}, {"x": "a"}, "ab"])
def test_a_foreign_model_that_does_not_number_its_classes_is_refused(id2label, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    index = json.loads((model / "model_index.json").read_text()) | {"id2label": id2label}
    (model / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="id2label does not number"):
        generate.main(generate.Config(model=str(model), output_dir=tmp_path / "images", num_images="1"))


@pytest.mark.parametrize("name", ["../../RING", "macro", "x" * 300, "=HYPERLINK(1)", "a,b"])
def test_a_class_of_foreign_data_that_cannot_be_one_is_refused_when_it_is_built(name, tmp_path):
    source = write_class_list(tmp_path / "source", {"spiral": 6, "ring": 6})
    labels = (source / "labels.csv").read_text().replace(",ring", f',"{name}"')
    (source / "labels.csv").write_text(labels)
    with pytest.raises(UserError, match=r"source: class .*; rename it"):
        build(source, tmp_path / "built")
    assert not (tmp_path / "built").exists()


def jpeg_of(seed: int) -> bytes:
    buffer = io.BytesIO()
    draw_toy_galaxy("spiral", np.random.default_rng(seed)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_parquet(file: Path, images: list[dict | None], names: list[str]) -> Path:
    """A dataset of somebody else, with a column of images as `datasets` stores them."""
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=names), image_id=datasets.Value("string")
    )
    rows = {
        "image": images,
        "label": [i % 2 for i in range(len(images))],
        "image_id": list(map(str, range(len(images)))),
    }
    file.parent.mkdir(parents=True)
    pq.write_table(features.arrow_schema and datasets.Dataset.from_dict(rows, features).data.table, file)
    return file.parent


@pytest.mark.parametrize("path", ["private.jpg", "/dev/zero", "no such file", None])
def test_an_image_in_parquet_that_is_a_file_elsewhere_is_not_read(path, tmp_path):
    """A private file would land in a dataset that is then published."""
    (tmp_path / "private.jpg").write_bytes(jpeg_of(99))
    images = [{"bytes": jpeg_of(i), "path": None} for i in range(20)]
    images[0] = path and {"bytes": None, "path": str(tmp_path / path)}
    theirs = write_parquet(tmp_path / "theirs/train.parquet", images, ["a", "b"])
    with pytest.raises(UserError, match=r"an image of the dataset is (nothing|the file)"):
        build(theirs, tmp_path / "mine")


def test_an_image_that_the_hub_has_put_into_its_cache_is_read():
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "galaxy.jpg").write_bytes(jpeg_of(0))
    assert encoded_bytes({"bytes": None, "path": str(cache / "galaxy.jpg")}) == jpeg_of(0)


def test_a_class_of_a_built_dataset_of_another_is_checked_when_it_is_opened(tmp_path):
    build(write_class_list(tmp_path / "source", {"spiral": 6, "ring": 6}), tmp_path / "built")
    for file in (tmp_path / "built/data").glob("*.parquet"):
        table = pq.read_table(file)
        metadata = {key: value.replace(b'"ring"', b'"../ring"') for key, value in table.schema.metadata.items()}
        pq.write_table(table.replace_schema_metadata(metadata), file)
    with pytest.raises(UserError, match=r"built: class '../ring' has"):
        load(str(tmp_path / "built"))


@pytest.fixture
def generated(tmp_path) -> Path:
    """A folder of one generated image, beside a private one."""
    (tmp_path / "images/spiral").mkdir(parents=True)
    for file in ("images/spiral/00000000.jpg", "private.jpg"):
        (tmp_path / file).write_bytes(jpeg_of(0))
    (tmp_path / "images/run.json").write_text('{"center_crop": 0}')
    return tmp_path / "images"


@pytest.mark.parametrize(
    "name", ["../private.jpg", "{private}", "link.jpg", "spiral/../../private.jpg", "pipe.jpg", "up"]
)
def test_no_row_of_a_foreign_folder_of_images_leads_outside(name, generated):
    (generated / "link.jpg").symlink_to(generated.parent / "private.jpg")
    (generated / "up").symlink_to("/dev/zero")
    os.mkfifo(generated / "pipe.jpg")
    row = {"file_name": name.format(private=generated.parent / "private.jpg"), "label": "spiral", "seed": 0}
    (generated / "metadata.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=r"line 1: .* is outside the folder|no regular file"):
        load_generated(str(generated), ("spiral",), 64, 0)


@pytest.mark.parametrize(
    "line", ["5", "{", '{"x": 1}', '{"file_name": 3, "label": "a"}', '{"file_name": "a"}', "[]", "\0"]
)
def test_a_foreign_line_of_metadata_is_named(line, generated):
    (generated / "metadata.jsonl").write_text('{"file_name": "spiral/00000000.jpg", "label": "spiral"}\n' + line + "\n")
    with pytest.raises(UserError, match=r"metadata.jsonl, line 2: .*; remove the line") as told:
        read_metadata(str(generated))
    assert "\n" not in str(told.value)


def test_an_evaluation_removes_only_pictures_and_tables_of_its_folder(tmp_path):
    names = ["../precious.csv", "sub/precious.csv", "precious.txt", "former.png", str(tmp_path / "precious.csv"), 3]
    (tmp_path / "out/sub").mkdir(parents=True)
    for name in ("precious.csv", "out/sub/precious.csv", "out/precious.txt", "out/former.png"):
        (tmp_path / name).touch()
    (tmp_path / "out/run.json").write_text(json.dumps({"files": names}))
    evaluate_images.forget_others(tmp_path / "out", {})
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"sub", "precious.txt", "run.json"}
    assert (tmp_path / "precious.csv").exists()
    assert (tmp_path / "out/sub/precious.csv").exists()


def test_nothing_is_written_through_a_link_that_leads_out_of_a_folder(tmp_path):
    (tmp_path / "run/deep").mkdir(parents=True)
    (tmp_path / "run/deep/inside").symlink_to(tmp_path / "run")
    refuse_links(tmp_path / "run")
    (tmp_path / "home").mkdir()
    (tmp_path / "run/deep/checkpoints").symlink_to(tmp_path / "home")
    with pytest.raises(UserError, match="checkpoints: is a link that leads out"):
        same_run(tmp_path / "run/settings.json", {})
    (tmp_path / "mine").symlink_to(tmp_path / "home")  # the user's own choice of a disk
    refuse_links(tmp_path / "mine")


@pytest.mark.parametrize("name", ["=1+1", "@SUM(A1)", "+cmd|x", "-2+3"])
def test_an_id_that_a_spreadsheet_would_carry_out_is_refused(name, tmp_path):
    with pytest.raises(UserError, match="is no id of a galaxy"):
        check_image_ids(["587722981736120347", "J01+45", "-7", "+3.5", name], "labels.csv")
    source = write_class_list(tmp_path / "source", {"ring": 6, "spiral": 6})
    labels = (source / "labels.csv").read_text()
    (source / "images/g0-0-0.jpg").rename(source / "images" / f"{name}.jpg")
    (source / "labels.csv").write_text(labels.replace("g0-0-0,", f"{name},"))
    with pytest.raises(UserError, match="is no id of a galaxy"):
        build(source, tmp_path / "data")


ABSURD = {
    "channels": ("unet/config.json", {"block_out_channels": [8, 160_000_000]}),
    "side": ("unet/config.json", {"sample_size": 200_000}),
    "classes": ("unet/config.json", {"num_class_embeds": 10**12}),
    "layers": ("unet/config.json", {"layers_per_block": 10**6}),
    "noise levels": ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}),
    "a list": ("scheduler/scheduler_config.json", {"trained_betas": [0.1] * 200_000}),
}


@pytest.mark.parametrize(("file", "change"), ABSURD.values(), ids=ABSURD)
def test_absurd_sizes_in_a_foreign_config_are_refused(file, change, tiny_model, tmp_path):
    """Before anything is made of them: each would take gigabytes, or minutes."""
    model = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=f"{file}: {next(iter(change))} .*; take another model"):
        load_pipeline(str(model), "ddim", torch.device("cpu"))


def test_absurd_sizes_in_a_model_on_the_hub_are_refused_before_its_weights_come(tmp_path, monkeypatch):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text('{"block_out_channels": [10000000]}')

    def download(model: str, allow_patterns: str) -> str:
        assert allow_patterns == "*.json"
        return str(tmp_path)

    monkeypatch.setattr("galaxy_diffusion.sampling.seeded_images.snapshot_download", download)
    with pytest.raises(UserError, match="block_out_channels 10000000 is absurd"):
        load_pipeline("somebody/model", "ddim", torch.device("cpu"))


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model_index.json", {"unet": ["diffusers", "AutoencoderKL"]}),
        ("model_index.json", {"_class_name": None}),
        ("model_index.json", {"id2label": None}),
        ("scheduler/scheduler_config.json", {"beta_schedule": "nonsense"}),
        ("unet/config.json", {"block_out_channels": [16, 32]}),
        ("unet/config.json", {"down_block_types": 7}),
    ],
)
def test_a_foreign_model_that_is_none_is_one_line(file, change, tiny_model, tmp_path):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=f"^{model}: ") as told:
        load_pipeline(str(model), "ddim", torch.device("cpu"))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "hf-hub:somebody/net"},
        {"label_names": ["../../X", "a", "b"]},
        {"num_classes": "many"},
        {"model_args": {"embed_dim": 10**12}},
    ],
    ids=["hub", "leads outside", "no number", "absurd"],
)
def test_a_foreign_classifier_that_is_none_is_one_line(change, tiny_classifier, tmp_path):
    folder = shutil.copytree(tiny_classifier, tmp_path / "classifier")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=f"^{folder}") as told:
        read_classifier(folder)
    assert "\n" not in str(told.value)
