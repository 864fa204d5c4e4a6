"""Nothing in a file from a stranger runs, and none leads outside its folder; see docs/reliability.md."""

import ast
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from transformers import Trainer

import generate
import train_classifier
import train_ddpm
from gz2_dataset import UserError

from .conftest import ROOT


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


@pytest.mark.parametrize("name", ["unet", "optimizer", "ema", "random_0"])
def test_a_pickle_in_the_place_of_a_generators_state_is_refused(name, tiny_model, toy_data, tmp_path, trace):
    run = shutil.copytree(tiny_model, tmp_path / "run")
    newest = max((run / "checkpoints").iterdir())
    plant(newest / f"{name}.safetensors", trace)
    with pytest.raises(UserError, match=f"{newest.name}: is no checkpoint .*; remove it"):
        train_ddpm.main(tiny_ddpm(toy_data, run, total_images=96))
    assert not trace.exists()
    shutil.rmtree(newest)
    train_ddpm.main(tiny_ddpm(toy_data, run, total_images=96))


def test_a_checkpoint_of_pickles_as_earlier_versions_wrote_is_refused(tiny_model, toy_data, tmp_path, trace):
    run = shutil.copytree(tiny_model, tmp_path / "run")
    newest = max((run / "checkpoints").iterdir())
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
    with pytest.raises(UserError, match=r"checkpoint-1: is no checkpoint .*; remove it"):
        train_classifier.main(tiny_classifier(toy_data, run))
    assert not trace.exists()


def test_pickles_beside_a_classifiers_state_are_not_read(interrupted_classifier, toy_data, tmp_path, trace):
    run = shutil.copytree(interrupted_classifier, tmp_path / "run")
    for folder in (run, run / "checkpoint-1"):
        for name in OF_TRANSFORMERS:
            plant(folder / name, trace)
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
