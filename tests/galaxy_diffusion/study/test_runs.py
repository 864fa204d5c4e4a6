"""Runs are paired galaxy by galaxy, folds become one study, and what does not fit together is reported."""

import json
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galaxy_diffusion.shared.names import arm_title
from galaxy_diffusion.study.arms import Run, planned_runs
from galaxy_diffusion.study.comparison import compare
from galaxy_diffusion.study.endpoints import Question
from galaxy_diffusion.study.folder import Study
from galaxy_diffusion.study.runs import Runs, pool, read_runs
from galaxy_diffusion.study.verdict import judge
from gz2_dataset import CLASS_NAMES, UserError

GALAXIES = {"10": ("edge_on", "spiral"), "9": ("spiral", "spiral")}


def write_run(folder: Path, arm: str, seed: int, galaxies: dict[str, tuple[str, str]] = GALAXIES, backbone="net"):
    path = folder / backbone / arm / f"seed{seed}"
    path.mkdir(parents=True)
    sure = {"edge_on": (0.75, 0.25), "spiral": (0.25, 0.75)}
    rows = [(i, label, prediction, *sure[prediction]) for i, (label, prediction) in galaxies.items()]
    pd.DataFrame(rows, columns=["image_id", "label", "prediction", "p_edge_on", "p_spiral"]).to_csv(
        path / "predictions.csv", index=False
    )


def test_runs_are_paired_by_image_id_and_original_comes_first(tmp_path):
    write_run(tmp_path, "diffusion", 1, {"9": ("spiral", "edge_on"), "10": ("edge_on", "edge_on")})
    write_run(tmp_path, "original", 0)
    write_run(tmp_path, "original", 1)
    runs = read_runs(tmp_path)
    assert runs.image_ids == ("10", "9")
    assert runs.labels.tolist() == [0, 1]
    paths = [run.path for run in runs.probabilities]
    assert paths == ["net/original/seed0", "net/original/seed1", "net/diffusion/seed1"]
    assert runs.predictions("net", "original").tolist() == [[1, 1], [1, 1]]
    assert runs.predictions("net", "diffusion").tolist() == [[0, 0]]
    assert runs.probabilities[Run("net", "original", 0)].tolist() == [[0.25, 0.75]] * 2
    assert runs.trainings("net", "original", "diffusion") == [(0, 1)]
    assert runs.galaxies_per_class.tolist() == [1, 1]


def test_the_prior_of_a_training_is_read_where_it_was_recorded(tmp_path):
    for seed in range(2):
        write_run(tmp_path, "original", seed)
    record = {"n_train": {"edge_on": {"real": 10}, "spiral": {"real": 30}}, "config": {}}
    (tmp_path / "net/original/seed1/metrics.json").write_text(json.dumps(record))
    runs = read_runs(tmp_path)
    assert list(runs.log_priors) == [Run("net", "original", 1)]
    np.testing.assert_allclose(np.exp(runs.log_priors[Run("net", "original", 1)]), [[0.25, 0.75]] * 2)


def test_arms_and_backbones_come_in_the_order_of_the_preset(tmp_path):
    for backbone in ("alpha", "zulu"):
        for arm in ("smote", "diffusion", "original", "forgotten"):
            write_run(tmp_path, arm, 0, backbone=backbone)
    planned = [Run(backbone, arm, 0) for backbone in ("zulu", "alpha") for arm in ("diffusion", "smote")]
    runs = read_runs(tmp_path, planned)
    assert runs.backbones == ("zulu", "alpha")
    assert runs.arms == ("original", "diffusion", "smote", "forgotten")


def test_without_classifiers_there_are_no_runs(tmp_path):
    assert read_runs(tmp_path) is None


@pytest.mark.parametrize(
    "galaxies",
    [
        {"9": ("spiral", "spiral"), "11": ("edge_on", "edge_on")},
        {"9": ("spiral", "spiral")},
        {"9": ("spiral", "spiral"), "10": ("spiral", "edge_on")},
    ],
    ids=["another galaxy", "a galaxy missing", "another label"],
)
def test_runs_tested_on_other_galaxies_are_refused(tmp_path, galaxies):
    write_run(tmp_path, "original", 0)
    write_run(tmp_path, "diffusion", 0, galaxies, backbone="other")
    with pytest.raises(UserError, match=r"diffusion/seed0/predictions\.csv: not the galaxies"):
        read_runs(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("image_id,label\n1,a\n", "no column prediction"),
        ("image_id,label,prediction,p_a\n", "no galaxy"),
        ("image_id,label,prediction,p_a\n1,a,a,1\n1,a,a,1\n", "one galaxy twice"),
        ("image_id,label,prediction,p_a\n1,a,b,1\n", "no probability column of class 'b'"),
    ],
)
def test_a_damaged_file_of_predictions_is_named(tmp_path, text, message):
    path = tmp_path / "net" / "original" / "seed0" / "predictions.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UserError, match=rf"predictions\.csv: .*{message}"):
        read_runs(tmp_path)


PROBABLE, PRIOR = attrgetter("probabilities"), attrgetter("log_priors")


def simulated(rng, folds: int) -> list[Runs]:
    """Two backbones, two arms and two seeds on disjoint galaxies."""
    keys = [Run(b, a, s) for b in ("x", "y") for a in ("original", "diffusion") for s in (0, 1)]
    made = []
    for fold in range(folds):
        labels = np.repeat(np.arange(5), 8)
        probabilities = {k: rng.dirichlet(np.ones(5), 40) for k in keys}
        priors = {k: np.tile(np.log(rng.dirichlet(np.ones(5))), (40, 1)) for k in keys}
        ids = tuple(f"{fold}-{i}" for i in range(40))
        made.append(Runs(CLASS_NAMES, labels, probabilities, priors, ids))
    return made


def test_pooled_folds_are_one_big_study():
    folds = simulated(np.random.default_rng(0), 3)
    pooled = pool([Path("one"), Path("two"), Path("three")], folds)
    big = Runs(
        CLASS_NAMES,
        np.concatenate([f.labels for f in folds]),
        *({k: np.concatenate([of(f)[k] for f in folds]) for k in folds[0].probabilities} for of in (PROBABLE, PRIOR)),
    )
    assert pooled.galaxies_per_class.tolist() == [24] * 5
    assert len(set(pooled.image_ids)) == 120
    assert pooled.probabilities[Run("y", "diffusion", 1)].shape == (120, 5)
    question = Question(CLASS_NAMES, "cigar_shaped_smooth")
    ours, theirs = compare(pooled, question), compare(big, question)
    pd.testing.assert_frame_equal(ours.figures, theirs.figures)
    pd.testing.assert_frame_equal(ours.differences, theirs.differences)


def test_draws_test_the_same_galaxies_and_stand_side_by_side():
    first, second = simulated(np.random.default_rng(1), 2)
    second = replace(second, image_ids=first.image_ids)
    pooled = pool([Path("one"), Path("two")], [first, second])
    assert pooled.draws == 2
    assert pooled.galaxies_per_class.tolist() == [8] * 5
    assert pooled.trainings("x", "original", "diffusion") == [(0, 0), (0, 1), (1, 0), (1, 1)]
    of_second = pooled.probabilities[Run("y", "diffusion", 1, draw=1)]
    assert np.array_equal(of_second, second.probabilities[Run("y", "diffusion", 1)])
    question = Question(CLASS_NAMES, "cigar_shaped_smooth")
    each = [compare(runs, question).differences["difference"].to_numpy() for runs in (first, second)]
    both = compare(pooled, question)
    assert both.differences["difference"].to_numpy() == pytest.approx(np.mean(each, axis=0), abs=1e-6, nan_ok=True)
    assert set(both.differences["seeds"]) == {4}
    assert judge(both).headline.endswith("over 2 draws of the training galaxies.")


def test_folds_that_do_not_fit_together_are_refused():
    first, second = simulated(np.random.default_rng(2), 2)
    lacking = Runs(
        CLASS_NAMES, second.labels, {k: p for k, p in second.probabilities.items() if k != Run("y", "diffusion", 1)}
    )
    renamed = Runs(("a", *CLASS_NAMES[1:]), second.labels, second.predictions, second.probabilities, second.image_ids)
    for runs, says in (
        (lacking, "two: no run y/diffusion/seed1, which another fold has"),
        (renamed, "two: not the classes"),
        (replace(second, image_ids=first.image_ids[:1] + second.image_ids[1:]), "a test galaxy is in two of them"),
        (replace(second, image_ids=first.image_ids, labels=first.labels[::-1]), "a test galaxy has two classes"),
        (None, "two: no classifier yet"),
    ):
        with pytest.raises(UserError, match=says):
            pool([Path("one"), Path("two")], [first, runs])
    with pytest.raises(UserError, match="one: no run y/diffusion/seed1"):
        pool([Path("one"), Path("two")], [lacking, second])
    assert pool([Path("one")], [first]) is first
    assert pool([Path("one")], [None]) is None


def test_a_preset_plans_its_runs_and_an_arm_narrows_the_seeds():
    preset = {
        "classifiers": {"a": "a.yaml", "b": "b.yaml"},
        "generated": {"generated": {}},
        "seeds": [0, 1],
        "arms": {"original": {}, "diffusion": {"images": "generated", "seeds": [1]}},
    }
    assert [run.path for run in planned_runs(preset)] == [
        f"{backbone}/{run}" for backbone in "ab" for run in ("original/seed0", "original/seed1", "diffusion/seed1")
    ]
    assert planned_runs({}) == []
    with pytest.raises(UserError, match="arm diffusion: unknown setting 'image'"):
        planned_runs(preset | {"arms": {"diffusion": {"image": "generated"}}})
    with pytest.raises(UserError, match="arm sagan: no 'sagan_generated' in the preset's section 'generated'"):
        planned_runs(preset | {"arms": {"sagan": {"images": "sagan_generated"}}})


def test_an_arm_of_any_name_is_generative_by_its_images():
    preset = {
        "generated": {"generated": {"model": "ddpm"}, "flow_images": {"model": "flow"}},
        "arms": {
            "original": {},
            "diffusion": {"images": "generated"},
            "twice": {"images": "generated"},
            "flow": {"images": "flow_images"},
            "synthetic_noise": {},
        },
    }
    study = Study((Path("study"),), preset, None, {}, None, {}, [])
    assert study.generators == {"diffusion": "ddpm", "twice": "ddpm", "flow": "flow"}


def test_an_arm_that_the_preset_does_not_plan_is_generative_by_its_record():
    folder = "classifiers/net/flow/seed0"
    runs = Runs(CLASS_NAMES, np.arange(5), {Run("net", arm, 0): np.arange(5) for arm in ("flow", "synthetic_noise")})
    study = Study((Path("study"),), {}, None, {}, runs, {folder: {"config": {"augment_with": "study/flow_images"}}}, [])
    assert study.generators == {"flow": "flow_images"}


def test_arms_are_printed_with_their_ratio():
    assert arm_title("diffusion_x0.5") == "Diffusion × 0.5"
    assert arm_title("sample_pairing") == "SamplePairing"
