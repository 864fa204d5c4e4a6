"""benchmarks/time_to_quality.py: whose turn it is, what counts as training, and what is said about the results."""

from pathlib import Path

import torch
from diffusers import UNet2DModel
from diffusers.training_utils import EMAModel

from benchmarks import contenders
from benchmarks.contenders import (
    EXAMPLE,
    OURS,
    TUNED,
    Contenders,
    Piece,
    keep_example,
    our_settings,
    timed,
    train_ours,
)
from benchmarks.quality_over_time import REAL, markdown, plot
from benchmarks.time_to_quality import Config, forget_unrecorded, is_done, total_images, turns
from galaxy_diffusion.sampling.ddpm_pipeline import ClassConditionalDDPMPipeline
from galaxy_diffusion.sampling.seeded_images import load_pipeline
from gz2_dataset import CLASS_NAMES

from .conftest import ROOT


def result(contender: str, minutes: float, kid: float, half: float = 0.005) -> dict:
    estimates = {name: {"value": kid, "low": kid - half, "high": kid + half} for name in ("kid", "recall", "sky")}
    sampling = {"num_images": 50, "scheduler": "heun", "num_inference_steps": 18}
    sizes = {"parameters": 5_000_000, "images": 1000, "n_real": 100, "n_generated": 50}
    return {"contender": contender, "minutes": minutes, "seconds": 60 * minutes, **estimates, **sampling, **sizes}


def test_everyone_trains_to_every_time_and_the_first_of_a_round_changes():
    plan = turns(Config("data", Path("out"), Path("script"), minutes=[4, 5], piece_minutes=2))
    assert plan[:6] == [(2, OURS), (2, TUNED), (2, EXAMPLE), (4, TUNED), (4, EXAMPLE), (4, OURS)]
    assert {end for end, _ in plan} == {2, 4, 5}
    assert len(plan) == 9


def test_a_turn_is_done_when_there_was_one_and_its_time_is_reached():
    pieces = [
        {"contender": OURS, "minutes": 1, "steps": 9, "seconds": 40.0},
        {"contender": EXAMPLE, "minutes": 1, "steps": 2, "seconds": 130.0},
    ]
    assert not is_done(pieces, OURS, 1), "its images were seen too early"
    assert is_done(pieces, EXAMPLE, 1)
    assert not is_done(pieces, EXAMPLE, 2), "too slow to be in time, but an image of that time is wanted"
    pieces.append({"contender": OURS, "minutes": 1, "steps": 5, "seconds": 19.9})
    assert is_done(pieces, OURS, 1)


def test_a_training_goes_on_for_whole_batches():
    assert total_images(seen=160, rate=10.0, seconds=20.0, batch_size=16) == 160 + 12 * 16
    assert total_images(seen=160, rate=10.0, seconds=-1.0, batch_size=16) == 192


def test_a_piece_ends_one_step_after_its_checkpoint_and_its_first_step_counts_as_the_others(monkeypatch):
    moments = iter([100.0, 101.0, 102.0, 103.0, 104.0])  # whatever came before 100 is start-up
    monkeypatch.setattr(contenders.time, "monotonic", lambda: next(moments))
    weights, saved = [torch.nn.Parameter(torch.zeros(1))], []
    average = EMAModel(weights)
    with timed(3.0, lambda: saved.append(average.optimization_step)) as clock:
        for _ in range(5):
            average.step(weights)
    assert (len(clock.ends), clock.seconds, average.optimization_step, saved) == (3, 3.0, 3, [3])
    average.step(weights)
    assert average.optimization_step == 4, "outside, a step is a step again"


def test_a_piece_of_ours_ends_with_a_checkpoint_and_a_snapshot_from_which_the_next_goes_on(toy_data, tmp_path):
    config = Contenders(str(toy_data), tmp_path, Path("-"), ROOT / "configs/ddpm_tiny.yaml", mixed_precision="no")
    seen = []
    for name in ("first", "second"):
        piece = Piece(OURS, tmp_path / OURS, 0.0, 640, 0, tmp_path / name, CLASS_NAMES)
        clock = train_ours(config, piece)
        seen.append(len(clock.ends) * our_settings(config).batch_size)
        assert load_pipeline(str(tmp_path / name), "unipc", torch.device("cpu")).class_names == list(CLASS_NAMES)
        assert (tmp_path / OURS / "checkpoints" / f"images-{sum(seen):012d}").is_dir()


def test_checkpoints_whose_time_is_unknown_are_removed(tmp_path):
    for name in ("checkpoints/images-000000000160", "checkpoints/images-000000000176", "checkpoint-9", "checkpoint-11"):
        (tmp_path / name).mkdir(parents=True)
    forget_unrecorded(tmp_path, steps=10, batch_size=16)
    assert sorted(path.name for path in tmp_path.rglob("*-*")) == ["checkpoint-9", "images-000000000160"]


def test_the_examples_net_stays_what_it_is_as_a_pipeline(tmp_path):
    sizes = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1, "attention_head_dim": 8}
    blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
    unet = UNet2DModel(sample_size=16, **sizes, **blocks).eval()
    average = EMAModel(unet.parameters(), model_cls=UNet2DModel, model_config=unet.config)
    keep_example(average, Piece(EXAMPLE, tmp_path, 1.0, 16, 0, tmp_path / "snapshot", ("ring", "spiral")))
    kept = ClassConditionalDDPMPipeline.from_pretrained(tmp_path / "snapshot").unet.eval()
    noise, timesteps = torch.randn(2, 3, 16, 16), torch.tensor([3, 700])
    with torch.no_grad():
        torch.testing.assert_close(
            kept(noise, timesteps, torch.tensor([0, 2])).sample, unet(noise, timesteps).sample, rtol=0, atol=0
        )


def test_who_has_reached_whose_last_kid_is_said_with_the_whole_interval(tmp_path):
    rows = [
        result(REAL, 0, 0.0) | {"seconds": 0.0},
        result(OURS, 10, 0.047),
        result(OURS, 5, 0.08),
        result(TUNED, 10, 0.05),
        result(TUNED, 5, 0.2),
    ]
    table = markdown(rows)
    assert "whole interval" not in table, "0.047 + 0.005 is above 0.05"
    rows[1] = result(OURS, 10, 0.04)
    table = markdown(rows)
    assert "After 10.0 minutes ours is, with its whole interval, below the KID of example_tuned after 10.0." in table
    assert table.count("whole interval") == 1
    assert "| 40.00 [35.00, 45.00] |" in table
    assert table.index("| ours | 5.0 |") < table.index("| ours | 10.0 |") < table.index("| real galaxies |")
    plot(rows, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").exists()
