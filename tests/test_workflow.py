"""The whole study through the Snakefile, from drawn galaxies to the report, with the test presets."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from galaxy_diffusion.study.arms import check_names, generators, planned_runs, read_preset, ready_model
from gz2_dataset import UserError

from .conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_python")]

STUDY_PRESETS = sorted((ROOT / "configs").glob("study_*.yaml"))


def snakemake(preset: Path, *options: str, cores: int | None = 2, first_on_path: Path | None = None) -> str:
    of_here = ["--cores", str(cores), "--rerun-triggers", "mtime", "params"] if cores else []
    command = ["-s", "workflow/Snakefile", "--configfile", str(preset), *of_here, *options]
    folders = [*([first_on_path] if first_on_path else []), os.environ["PATH"]]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *command],
        cwd=ROOT,
        env={**os.environ, "PATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def preset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    study = read_preset(ROOT / "configs/study_tiny.yaml") | {"output_dir": str(folder / "run")}
    study["data"]["build"]["keep"] = "spiral=5"
    study["arms"] |= {
        **{name: {"options": {name: "generated"}} for name in ("duplicates", "pseudo_labels", "retrieval")},
        "ceiling": {"options": {"reserve": "spiral=3"}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder / "study.yaml"


@pytest.mark.timeout(600)
def test_from_drawn_galaxies_to_the_report_and_no_further(preset):
    run = preset.parent / "run"
    snakemake(preset)
    page = (run / "report/index.html").read_text()
    for part in ("Table 1", "Table 2", "Table 3", "Table 4"):
        assert part in page
    assert 'src="http' not in page
    for file in ("table1.csv", "table4.csv", "figure3.png", "figure4.png"):
        assert (run / "report" / file).stat().st_size > 0
    records = {
        folder.parent.name: json.loads((folder / "metrics.json").read_text())
        for folder in (run / "classifiers/tiny").glob("*/seed0")
    }
    original = records["original"]["n_train"]
    for arm in ("diffusion", "duplicates", "pseudo_labels", "retrieval"):
        origin = {"diffusion": "generated"}.get(arm, arm)
        assert records[arm]["n_train"]["cigar_shaped_smooth"] == original["cigar_shaped_smooth"] | {origin: 4}
    assert records["ceiling"]["n_train"]["spiral"] == original["spiral"] | {"real": 5, "reserve": 3}
    assert {record["steps"] for record in records.values()} == {10}
    comparisons = pd.read_csv(run / "report/comparisons.csv")
    assert set(comparisons["arm"]) == records.keys() - {"original"}

    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    assert "Nothing to be done" in snakemake(preset)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


def without_log(command: str) -> str:
    """A command as it is given to a shell, without the copy of what it says."""
    return command.rpartition(" 2>&1 | tee ")[0] or command


COMMANDS = ("build", "train_ddpm.py", "generate.py", "evaluate_images.py", "train_classifier.py", "report.py")


def test_no_value_of_a_preset_is_carried_out(preset, tmp_path):
    """Each value that reaches a command does so as one word, whatever is in it; and so do paths with spaces."""
    study = yaml.safe_load(preset.read_text())
    word = (
        """a; touch it_ran ' ; touch it_ran ; ' " ; touch it_ran ; " $(touch it_ran) `touch it_ran` && touch it_ran #"""
    )
    harmless = tmp_path / f"my galaxies {word}"
    study |= {"output_dir": str(harmless / "study"), "data": {"data_dir": word, "build": {"center_crop": word}}}
    study["accelerate"] = study["ddpm"]["config"] = study["classifiers"]["tiny"] = str(harmless / "preset.yaml")
    study["ddpm"]["options"] = study["classifier_options"] = study["arms"]["diffusion"]["options"] = {"seed": word}
    study["generated"]["generated"]["num_images"] = study["showcase"]["num_images"] = word
    study["evaluate"] = {"generated": {"net": word}}
    harmless.mkdir()
    (harmless / "preset.yaml").write_text("{}")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    planned = snakemake(tmp_path / "study.yaml", "--dry-run", "--printshellcmds", "--forceall", "--quiet", "host")
    commands = re.findall(r"^Shell command: (?!None$)(.*)", planned, re.MULTILINE)
    assert {name for name in COMMANDS for command in commands if name in command} == set(COMMANDS)
    assert any("accelerate launch" in command for command in commands)
    for command in map(without_log, commands):
        as_words = f'python() {{ printf \'%s\\n\' "$@"; }}; accelerate() {{ python "$@"; }}; {command}'
        shown = subprocess.run(["sh", "-c", as_words], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert shown.stdout.splitlines() == shlex.split(command)[1:], command
        assert any(argument.startswith(str(harmless)) for argument in shown.stdout.splitlines())
    assert not any((folder / "it_ran").exists() for folder in (ROOT, tmp_path))


@pytest.mark.parametrize("name", ["fold 0 $(touch x) --num_folds", "..", "a/b", "-x", "", "a\nb", "a|b", "{x}"])
@pytest.mark.parametrize("section", ["generated", "arms", "classifiers", "classifier_options", "model"])
def test_a_name_in_a_preset_is_a_name(name, section, preset):
    study = yaml.safe_load(preset.read_text())
    if section == "model":
        study["generated"]["generated"]["model"] = name
    else:
        study[section][name] = {"model": "ddpm"}
    with pytest.raises(UserError, match="is no name"):
        check_names(study)


@pytest.mark.parametrize("study", STUDY_PRESETS, ids=lambda path: path.stem)
def test_every_study_preset_names_files_that_exist(study):
    settings = read_preset(study)
    trained = [name for name in generators(settings) if name in settings and not ready_model(settings, name)]
    files = [
        settings["accelerate"],
        *(settings[name]["config"] for name in trained),
        *settings["classifiers"].values(),
    ]
    assert [file for file in files if not (ROOT / file).exists()] == []
    assert {"title", "output_dir", "data", "generated", "showcase", "seeds"} <= set(settings)
    assert {images["model"] for images in settings["generated"].values()} <= set(settings)
    assert len(planned_runs(settings)) == len(set(planned_runs(settings)))
    remedies = {arm for arm, given in settings["arms"].items() if not given.keys() & {"images", "options"}}
    assert [arm for arm in remedies - {"original"} if not (ROOT / f"configs/arms/{arm}.yaml").exists()] == []


@pytest.mark.parametrize("study", STUDY_PRESETS, ids=lambda path: path.stem)
def test_a_study_preset_says_its_folder_once_and_leads_nowhere_outside(study):
    text, settings = study.read_text(), read_preset(study)
    assert text.count(settings["output_dir"]) == 1
    assert not Path(settings["data"].get("data_dir", ".")).is_absolute()
    assert ".." not in Path(settings["data"].get("data_dir", ".")).parts


def test_the_graph_of_all_arms_is_that_of_the_preset(tmp_path):
    """Nothing is run: which commands would be run, and with which images, options and seeds."""
    settings = yaml.safe_load((ROOT / "configs/study_gz2_real.yaml").read_text()) | {"output_dir": str(tmp_path)}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(settings))
    planned = snakemake(tmp_path / "preset.yaml", "--dry-run", "--printshellcmds", "--forceall", "--quiet", "host")
    commands = [without_log(line) for line in planned.splitlines() if line.startswith("Shell command: ")]
    trainings = [command for command in commands if "train_classifier.py" in command]
    assert len(trainings) == len(planned_runs(settings)) == 2 * (10 * 3 + 17)
    assert not any("accelerate launch" in command for command in commands), "a single process needs no launcher"

    def the(*parts: str) -> str:
        found = [command for command in commands if all(part in command for part in parts)]
        assert len(found) == 1, parts
        return found[0]

    assert f"--model {tmp_path}/sagan" in the("generate.py", f"--output_dir {tmp_path}/sagan_generated")
    assert f"--model {tmp_path}/ddpm" in the(
        "generate.py", f"--output_dir {tmp_path}/variations", f"--variations_of {tmp_path}/data"
    )
    assert "train_sagan.py --config configs/sagan_32.yaml" in the("train_sagan.py")
    judged = the("evaluate_images.py", f"--output_dir {tmp_path}/fidelity/generated")
    assert f"--classifier {tmp_path}/classifiers/efficientnetv2_tiny/original/seed0 --write_verdicts true" in judged
    the("evaluate_images.py", f"--output_dir {tmp_path}/fidelity/sagan_generated")
    swin = "configs/classifier_swin_mini.yaml"
    original = the(swin, "/original/seed2 --seed")
    assert "--augment_with" not in original
    assert "configs/arms" not in original
    assert f"--augment_with {tmp_path}/sagan_generated --augment_block '[1, 3]'" in the(swin, "/sagan/seed1")
    assert f"--also_classify {tmp_path}/every_class" in original
    assert "--num_images cigar_shaped_smooth=1326" in the("generate.py", f"--output_dir {tmp_path}/generated ")
    assert "cigar_shaped_smooth=442,edge_on=400" in the("generate.py", f"--output_dir {tmp_path}/all_rare ")
    assert "--augment_block" not in the(swin, "/diffusion_all_rare/")  # a single seed
    assert f"--augment_with {tmp_path}/generated " in the(swin, "/diffusion_x0.5/", "--augment_ratio 0.5")
    assert "--smote cigar_shaped_smooth=442" in the(swin, "--config configs/arms/smote.yaml")
    assert "--duplicates cigar_shaped_smooth=442" in the(swin, "/duplicates/seed1")
    for arm in ("pseudo_labels", "retrieval"):
        taught = the(swin, f"/{arm}/seed1")
        assert f"--teacher {tmp_path}/classifiers/swin_mini/original/seed1 --{arm} cigar_shaped_smooth=442" in taught
    assert f"--augment_with {tmp_path}/every_class" in the(swin, "/diffusion_every_class/seed1")
    the("evaluate_images.py", f"--output_dir {tmp_path}/fidelity/every_class", "--write_verdicts false")
    filtered = [
        i for i, line in enumerate(planned.splitlines()) if "output: " in line and "/diffusion_filtered/" in line
    ]
    inputs = [planned.splitlines()[i - 1] for i in filtered]
    assert [f"{tmp_path}/fidelity/generated/fidelity.json" in line for line in inputs] == [True, True]
    assert len([command for command in trainings if "--filtered true" in command]) == 2


def test_a_further_generator_is_a_section_of_its_name(tmp_path):
    settings = yaml.safe_load((ROOT / "configs/study_demo.yaml").read_text()) | {"output_dir": str(tmp_path)}
    names = ("vae", "autoregressive")
    settings |= {name: {"config": f"configs/{name}_32.yaml", "options": {"seed": 1}} for name in names}
    settings["generated"] |= {f"{name}_generated": {"model": name, "num_images": 7, "seed": 0} for name in names}
    settings["arms"] |= {name: {"images": f"{name}_generated"} for name in names}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(settings))
    planned = snakemake(tmp_path / "preset.yaml", "--dry-run", "--printshellcmds", "--quiet", "host")
    for name in names:
        images = f"{tmp_path}/{name}_generated"
        assert (
            f"train_{name}.py --config configs/{name}_32.yaml --data {tmp_path}/data --output_dir {tmp_path}/{name} "
            "--seed 1"
        ) in planned
        assert f"generate.py --output_dir {images} --model {tmp_path}/{name} --num_images 7" in planned
        assert f"--augment_with {images} " in planned


def test_seeds_take_turns_with_generators_that_are_trained_apart(tmp_path):
    settings = yaml.safe_load((ROOT / "configs/study_demo.yaml").read_text()) | {"output_dir": str(tmp_path)}
    settings |= {"ddpm-2": {"config": "configs/ddpm_64_finetune.yaml", "options": {"seed": 1}}, "seeds": [0, 1, 2]}
    settings["generated"]["generated_2"] = {"model": "ddpm-2", "num_images": "cigar_shaped_smooth=100", "seed": 0}
    settings["arms"]["diffusion"] = {"images": ["generated", "generated_2"]}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(settings))
    planned = snakemake(tmp_path / "preset.yaml", "--dry-run", "--printshellcmds", "--quiet", "host")
    assert f"train_ddpm.py --config configs/ddpm_64_finetune.yaml --data {tmp_path}/data" in planned
    assert f"--output_dir {tmp_path}/ddpm-2 --seed 1" in planned
    trainings = [
        line for line in planned.splitlines() if "train_classifier.py" in line and "swin_mini/diffusion" in line
    ]
    used = {
        re.search(r"seed(\d)", line)[1]: re.search(r"--augment_with \S*/(\S+)(.*?--augment_block '(.*?)')?", line)
        for line in trainings
    }
    assert {seed: (found[1], found[3]) for seed, found in used.items()} == {
        "0": ("generated", "[0, 2]"),
        "1": ("generated_2", None),  # a single seed: all of its images
        "2": ("generated", "[1, 2]"),
    }
    assert f"--model {tmp_path}/ddpm --num_images cigar_shaped_smooth=200" in planned


ACCELERATE = """#!{python}
import os, sys
from pathlib import Path
gpu, run = os.environ["CUDA_VISIBLE_DEVICES"], Path(sys.argv[sys.argv.index("--output_dir") + 1])
with open({meeting!r}, "rw"[int(gpu)]):  # opens when the other training opens its end
    pass
(run / "predictions.csv").touch()
(run / "metrics.json").write_text(gpu)
print("trained on", gpu)
"""


@pytest.mark.timeout(120)
def test_two_gpus_train_side_by_side_each_its_own(preset, tmp_path, monkeypatch):
    """Each of two trainings waits for the other: one after the other, they would never end."""
    study = yaml.safe_load(preset.read_text()) | {"output_dir": str(tmp_path / "run"), "seeds": [0, 1]}
    study["accelerate"] = str(tmp_path / "accelerate.yaml")
    (tmp_path / "accelerate.yaml").write_text("{num_processes: 1}")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    (tmp_path / "run/data").mkdir(parents=True)
    (tmp_path / "run/data/build.json").write_text("{}")
    (tmp_path / "bin").mkdir()
    os.mkfifo(tmp_path / "meeting")
    fake = tmp_path / "bin/accelerate"
    fake.write_text(ACCELERATE.format(python=sys.executable, meeting=str(tmp_path / "meeting")))
    fake.chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    runs = [tmp_path / f"run/classifiers/tiny/original/seed{seed}" for seed in (0, 1)]
    snakemake(
        tmp_path / "study.yaml",
        *("--resources", "gpu=2", "--allowed-rules", "train_classifier", "--"),
        *(str(run / "metrics.json") for run in runs),
        first_on_path=tmp_path / "bin",
    )
    assert sorted((run / "metrics.json").read_text() for run in runs) == ["0", "1"]
    logs = sorted((tmp_path / "run/logs").glob("*.log"))
    assert [log.name for log in logs] == ["tiny_original_seed0.log", "tiny_original_seed1.log"]
    assert sorted(log.read_text() for log in logs) == ["trained on 0\n", "trained on 1\n"]


PYTHON = """#!{python}
import sys
from pathlib import Path
given = dict(zip(sys.argv[1:], sys.argv[2:]))
(Path(given["--output_dir"]) / "fidelity.json").write_text(Path(given["--generated"]).name)
"""


def test_each_folder_of_images_is_evaluated_into_its_own(preset, tmp_path):
    study = yaml.safe_load(preset.read_text()) | {"output_dir": str(tmp_path / "run")}
    folders = ["first", "second"]
    study["generated"] = dict.fromkeys(folders, study["generated"]["generated"])
    study["evaluate"] = {name: {} for name in folders}
    study["arms"] = {"original": {}, "diffusion": {"images": "first"}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    judge = "classifiers/tiny/original/seed0/metrics.json"
    for made in ("data/build.json", "first/run.json", "second/run.json", judge):
        (tmp_path / "run" / made).parent.mkdir(parents=True)
        (tmp_path / "run" / made).write_text("{}")
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin/python"
    fake.write_text(PYTHON.format(python=sys.executable))
    fake.chmod(0o755)
    evaluated = [tmp_path / f"run/fidelity/{name}/fidelity.json" for name in folders]
    targets = "--allowed-rules", "evaluate", "--", *map(str, evaluated)
    snakemake(tmp_path / "study.yaml", *targets, first_on_path=tmp_path / "bin")
    assert [file.read_text() for file in evaluated] == folders


def test_the_profile_for_slurm_says_what_each_rule_needs(tmp_path):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    settings = yaml.safe_load((ROOT / "configs/study_demo.yaml").read_text()) | {"output_dir": str(tmp_path)}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(settings))
    planned = snakemake(tmp_path / "preset.yaml", "--profile", "workflow/profiles/slurm", "--dry-run", cores=None)
    jobs = {job.partition(":")[0]: job for job in re.split(r"^(?:local)?rule ", planned, flags=re.MULTILINE)[1:]}
    asked = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    for rule in ("train_generator", "generate", "train_classifier"):
        of_rule = asked["default-resources"] | asked["set-resources"].get(rule, {})
        needs = {f"{name}={value}" for name, value in of_rule.items()}
        assert needs | {"gpu=1"} <= set(re.split(r"[,\s]+", jobs[rule]))
        assert f"log: {tmp_path}/logs/" in jobs[rule]
    rules = set(re.findall(r"^\s*rule (\w+):", (ROOT / "workflow/Snakefile").read_text(), re.MULTILINE))
    assert asked["set-resources"].keys() <= rules


def test_a_generator_that_is_ready_is_not_trained(tmp_path):
    settings = read_preset(ROOT / "configs/study_gz2_real_64.yaml") | {"output_dir": str(tmp_path / "study")}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(settings))
    planned = snakemake(tmp_path / "preset.yaml", "--dry-run", "--printshellcmds", "--quiet", "host")
    assert "train_ddpm.py" not in planned
    model = ROOT / "pretrained/galaxies-64"
    for folder in ("generated", "every_class"):
        assert re.search(f"generate.py --output_dir {tmp_path}/study/{folder} .*--model {model} ", planned)
    assert f"generate.py --model {model} --output_dir {tmp_path}/study/showcase" in planned


@pytest.mark.parametrize(
    ("ddpm", "said"),
    [
        ({"model": "no/such/model"}, "no/such/model"),
        ({"model": "galaxies-64", "config": "configs/ddpm_64.yaml"}, "'config' says nothing"),
    ],
)
def test_a_generator_is_either_ready_or_trained(ddpm, said):
    with pytest.raises(UserError, match=said):
        ready_model({"ddpm": ddpm}, "ddpm")


def test_an_arm_without_a_remedy_images_and_options_is_refused(tmp_path):
    settings = yaml.safe_load((ROOT / "configs/study_demo.yaml").read_text()) | {"output_dir": str(tmp_path)}
    settings["arms"]["oversamplin"] = {}
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(AssertionError, match=r"arm oversamplin: no configs/arms/oversamplin.yaml"):
        snakemake(tmp_path / "preset.yaml", "--dry-run")


def test_a_study_may_start_from_another_and_says_only_what_differs(tmp_path):
    base = yaml.safe_load((ROOT / "configs/study_demo.yaml").read_text())
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(base))
    arms = {"original": {}, "diffusion": {"images": "generated"}}
    own = {"config": "base.yaml", "output_dir": f"{tmp_path}/mine", "arms": arms}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(own))
    assert read_preset(tmp_path / "mine.yaml") == base | {"output_dir": own["output_dir"], "arms": arms}
    planned = snakemake(tmp_path / "mine.yaml", "--dry-run", "--printshellcmds", "--quiet", "host")
    assert f"train_ddpm.py --config configs/ddpm_64_finetune.yaml --data {tmp_path}/mine/data" in planned
    assert "oversampling" not in planned


@pytest.mark.parametrize(
    "preset",
    [
        [1],
        {"arms": ["a"]},
        {"arms": {"a": [1]}},
        {"arms": {"a": {"options": 7}}},
        {"arms": {"a": {"seeds": 7}}},
        {"generated": [1]},
        {"generated": {"a": {}}},
        {"classifiers": "net"},
        {"seeds": 7},
        {"seeds": ["0; touch x"]},
    ],
    ids=str,
)
def test_a_preset_whose_sections_are_of_another_kind_is_refused(preset):
    with pytest.raises(UserError, match=r"^study preset: "):
        check_names(preset)
