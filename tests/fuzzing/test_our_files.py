"""Whatever stands in a file of ours that is read again, it is read, or one line says what is wrong with it."""

import json
from pathlib import Path

import torch
import yaml
from accelerate import Accelerator
from hypothesis import example, given
from hypothesis import strategies as st

from galaxy_diffusion.classifiers.trainer import newest_checkpoint
from galaxy_diffusion.evaluation.section import fidelity_section
from galaxy_diffusion.generators.model_folder import files_of_model, is_finished
from galaxy_diffusion.shared.checkpoint import checkpoints, load_newest, save_checkpoint
from galaxy_diffusion.shared.classifier_folder import read_validation
from galaxy_diffusion.shared.foreign_config import check_sizes
from galaxy_diffusion.shared.image_folder import load_generated, write_metadata
from galaxy_diffusion.shared.run_folder import MetricsLog, same_run
from galaxy_diffusion.shared.seen_images import read_seen_images
from galaxy_diffusion.study import dataset_tables
from galaxy_diffusion.study.arms import read_preset
from galaxy_diffusion.study.folder import read_study
from gz2_dataset.audit.counts import count_classes, count_text
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.rules import RULES
from gz2_dataset.stretch import Stretch

from ..conftest import ROOT
from .damage import OneLine, damaged, put, records
from .test_what_users_bring import CLASSES, csv, picture

COUNTS = {"train": {"ring": 7, "spiral": 9}, "test": {"ring": 2, "spiral": 2}}
BUILD = BuildRecord(source="kaggle", classes=CLASSES, counts=COUNTS, rules=RULES[:2], found={"ring": 9, "spiral": 12})
STRETCHED = BuildRecord(
    source="class_list", classes=CLASSES, counts=COUNTS, stretch=Stretch("linear", ("0",), 1, (0.0,), (1.0,))
)


@given(content=st.one_of(*(records(json.loads(record.to_json())) for record in (BUILD, STRETCHED))))
@example(content=b'{"source": "kaggle", "classes": ["a"], "counts": {"train": {"a": 1e30}}}')
@example(content=b'{"source": "kaggle", "classes": ["a"], "counts": {}, "center_crop": -1}')
@example(content=b'{"source": "kaggle", "classes": "", "counts": {}}')
def test_the_record_of_a_build(content):
    with OneLine():
        record = BuildRecord.from_json(content, "build.json")
        count_text(count_classes(record))
        assert len(record.count_table) <= len(record.classes) + 3
        dataset_tables.selection(record)
        dataset_tables.composition(record, {})


ROWS = b"".join(
    json.dumps(
        {"file_name": f"ring/{seed:08d}.jpg", "label": "ring", "seed": seed, "kept": True, "filter": {"x": True}}
    ).encode()
    + b"\n"
    for seed in range(2)
)


@given(content=damaged(ROWS))
def test_the_list_of_generated_images(folder, content):
    if not (folder / "run.json").exists():
        put(folder / "run.json", b'{"center_crop": 0}')
        for seed in range(2):
            put(folder / f"ring/{seed:08d}.jpg", picture())
    put(folder / "metadata.jsonl", content)
    with OneLine():
        load_generated(str(folder), CLASSES, 16, 0)
    put(folder / "metadata.jsonl", content)
    with OneLine():
        write_metadata(folder, lambda name, seed: {"x": 1})


@given(content=records({"seed": 0, "data_fingerprint": {"labelled": "0"}, "guidance": [0.3, 3]}))
def test_the_settings_of_a_run(folder, content):
    put(folder / "run/settings.json", content)
    with OneLine():
        same_run(folder / "run/settings.json", {"seed": 0, "guidance": (0.3, 3)})


@given(content=damaged(b'{"images_seen": 16, "loss": 0.5}\n{"images_seen": 32, "loss": 0.25}\n'))
@example(content=b'{"images_seen": 16, "loss": 0.5}\xff\n')
@example(content=b'{"images_seen": "x"}\n')
def test_the_log_of_a_run(folder, content):
    with OneLine():
        MetricsLog(put(folder / "metrics.jsonl", content), 48)


INDEX = {
    "_class_name": ["pipeline", "ClassConditionalDDPMPipeline"],
    "unet": ["diffusers", "UNet2DModel"],
    "id2label": {"0": "ring"},
}


@given(record=records({"images_seen": 64, "seconds": 1.5, "center_crop": 0}), index=records(INDEX))
def test_the_record_of_a_model(folder, record, index):
    put(folder / "model/model_index.json", index)
    put(folder / "model/run.json", record)
    is_finished(folder / "model", 64)
    with OneLine():
        check_sizes(folder / "model")
        files_of_model(folder / "model")


SEEN = csv(("image_id", "sha256"), ("g0", "00"), ("g1", "01"))


@given(content=damaged(SEEN), record=records({"seen_images_sha256": "00", "center_crop": 0}))
def test_the_list_of_seen_images(folder, content, record):
    put(folder / "seen/seen_images.csv", content)
    put(folder / "seen/run.json", record)
    with OneLine():
        read_seen_images(folder / "seen")


def test_the_state_of_a_training(folder):
    accelerator = Accelerator(cpu=True)
    net = torch.nn.Linear(2, 2)
    parts = {"net": net, "optimizer": torch.optim.AdamW(net.parameters(), fused=True)}
    net(torch.ones(1, 2)).sum().backward()
    parts["optimizer"].step()
    save_checkpoint(accelerator, parts, folder / "checkpoints", 16)
    whole = checkpoints(folder / "checkpoints")[0]
    (whole / "manifest.json").unlink()  # else its digests would tell of every change
    contents = {path: path.read_bytes() for path in whole.iterdir()}

    @given(data=st.data())
    def continued(data):
        for path, content in contents.items():
            put(path, content)
        path = data.draw(st.sampled_from(sorted(contents)))
        put(path, data.draw(damaged(contents[path])))
        with OneLine():
            load_newest(accelerator, parts, folder / "checkpoints")
            net(torch.ones(1, 2)).sum().backward()
            parts["optimizer"].step()

    continued()


@given(
    manifest=records({"model.safetensors": "00"}), state=records({"global_step": 5, "max_steps": 9, "log_history": []})
)
def test_the_state_of_a_classifiers_training(folder, manifest, state):
    put(folder / "trainer/checkpoint-5/manifest.json", manifest)
    put(folder / "trainer/checkpoint-5/trainer_state.json", state)
    with OneLine():
        newest_checkpoint(folder / "trainer")


PREDICTIONS = csv(
    ("image_id", "label", "prediction", "p_ring", "p_spiral"),
    *((f"g{i}", CLASSES[i % 2], "ring", 0.6, 0.4) for i in range(6)),
)


@given(content=damaged(PREDICTIONS))
@example(content=b"image_id,B,p_ring,p_spiral\ng0,ring,0.6,0.4\n")
@example(content=PREDICTIONS.replace(b"g1,spiral", b"g1,edge_on"))
def test_the_predictions_on_validation_galaxies(folder, content):
    put(folder / "net/validation_predictions.csv", content)
    with OneLine():
        read_validation(folder / "net", CLASSES)


def study(folder: Path) -> Path:
    put(folder / "study/data/build.json", BUILD.to_json().encode())
    put(folder / "study/study.yaml", (ROOT / "configs/study_demo.yaml").read_bytes())
    put(folder / "study/generated/metadata.jsonl", ROWS)
    for arm in ("original", "diffusion"):
        put(folder / f"study/classifiers/net/{arm}/seed0/predictions.csv", PREDICTIONS)
        put(folder / f"study/classifiers/net/{arm}/seed0/metrics.json", json.dumps(METRICS).encode())
    return folder / "study"


METRICS = {
    "seconds": 1.5,
    "steps": 9,
    "n_train": {n: {"real": 7, "generated": 2} for n in CLASSES},
    "config": {"augment_with": "x/generated", "augment_block": [0, 1]},
}


def check_study(folder: Path, name: str, content: bytes) -> None:
    """A study with one file of this content is read, or refused in one line."""
    with OneLine():
        study(folder)
        found = read_study([put(folder / "study" / name, content).parents[name.count("/")]])
        for name in ("missing", "rare_class", "mix", "question", "added", "images", "generators", "ceilings", "steps"):
            getattr(found, name)
        for run in found.runs.probabilities:
            found.is_in_sweep(run)
            found.ratio(run)


DEMO = (ROOT / "configs/study_demo.yaml").read_bytes()


@given(content=st.one_of(damaged(DEMO), records(yaml.safe_load(DEMO))))
@example(content=b"config: study.yaml")
@example(content=b"arms: {original: {images: [1]}}")
@example(content=b"ddpm: 5")
def test_the_preset_of_a_study(folder, content):
    with OneLine():
        read_preset(put(folder / "study/study.yaml", content))
    check_study(folder, "study.yaml", content)


@given(content=damaged(PREDICTIONS))
@example(content=b"image_id,label,prediction,p_ring,p_spiral\ng0,ring,ring,0.6,g1,ring,ring,0.6,0.4\n")
@example(content=PREDICTIONS.replace(b"0.6", b"nan"))
def test_the_predictions_of_a_study(folder, content):
    check_study(folder, "classifiers/net/diffusion/seed0/predictions.csv", content)


@given(content=records(METRICS))
@example(content=b'{"n_train": Infinity}')
@example(content=b'{"n_train": {"ring": {"real": 7}}}')
@example(content=b'{"config": {"augment_block": 3, "augment_with": "x"}}')
@example(content=b'{"config": {"augment_block": [0, 3]}}')
@example(content=b'{"config": {"augment_block": [0, 0], "augment_with": "generated"}}')
def test_the_metrics_of_a_study(folder, content):
    check_study(folder, "classifiers/net/diffusion/seed0/metrics.json", content)


@given(content=damaged(b'{"images_seen": 16, "loss": 0.5}\n'))
def test_the_log_of_a_studys_generator(folder, content):
    check_study(folder, "ddpm/metrics.jsonl", content)
    (folder / "study/ddpm/metrics.jsonl").unlink()


FIGURE = {
    "value": 1.5,
    "low": 1.0,
    "high": 2.0,
    "n_real": 10,
    "n_generated": 12,
    "floor": 0.5,
    "floor_low": 0.4,
    "floor_high": 0.6,
}
MEASURED = FIGURE | {"failed_real": 0, "failed_generated": 1}
FIDELITY = {name: {"fid": FIGURE, "wasserstein_gini": MEASURED, "ks_gini": MEASURED} for name in ("all", "ring")}
POWER = csv(
    ("change", "label", "share", "low", "high", "n"),
    ("shift 1", "all", 0.5, 0.4, 0.6, 10),
    ("shift 1", "ring", 0.5, 0.4, 0.6, 10),
)
KEPT = {"filter": {"all": dict.fromkeys(("generated", "no_copy", "label", "morphology", "kept"), 5)}}


@given(fidelity=records(FIDELITY), run=records(KEPT), power=damaged(POWER))
@example(fidelity=b"null", run=b"null", power=b"")
@example(fidelity=b"{}", run=b'{"filter": {"all": {"kept": 5}}}', power=POWER.replace(b"all", b"ring"))
@example(fidelity=b'{"all": {"fid": {"value": "x"}}}', run=b"5", power=POWER.replace(b"0.5", b"x"))
def test_an_evaluation(folder, fidelity, run, power):
    whole = {"fidelity.json": json.dumps(FIDELITY).encode(), "run.json": b"{}", "copies_power.csv": POWER}
    for name, content in {"fidelity.json": fidelity, "run.json": run, "copies_power.csv": power}.items():
        for other, good in whole.items():
            put(folder / "fidelity" / other, good)
        put(folder / "fidelity" / name, content)
        with OneLine():
            fidelity_section(folder / "fidelity")
