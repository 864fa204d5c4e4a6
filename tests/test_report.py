"""The report of a small study: whole, honest about what is missing, and independent of everything outside its file."""

import json
import re
import shutil
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import report
from galaxy_diffusion.sampling.contact_sheets import save_animation
from galaxy_diffusion.study import comparison
from galaxy_diffusion.study.bootstrap import bootstrap
from gz2_dataset import CLASS_NAMES, UserError, load_arrays
from gz2_dataset.command_line import run
from tests.conftest import ROOT, draw_toy_galaxy
from tests.warm_python import programs as warm_programs

pytestmark = pytest.mark.slow

SIZE = 24
TABLES = [*(f"table{i}.csv" for i in range(1, 6)), "endpoints.csv", "comparisons.csv"]


def write_generated(folder: Path, classes: tuple[str, ...], count: int) -> None:
    rng, rows = np.random.default_rng(1), []
    for name in classes:
        (folder / name).mkdir(parents=True)
        for seed in reversed(range(count)):
            file = f"{name}/{seed:06d}.jpg"
            draw_toy_galaxy(name, rng, SIZE).save(folder / file)
            rows.append({"file_name": file, "label": name, "seed": seed})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_predictions(
    folder: Path, cigars_right: int, generated: int, prefix: str = "g", augment_ratio: float | None = None
) -> None:
    folder.mkdir(parents=True)
    labels = [name for name in CLASS_NAMES for _ in range(20)]
    wrong = dict.fromkeys(range(40 + cigars_right, 60), "edge_on")
    rows = [(f"{prefix}{i}", name, wrong.get(i, name)) for i, name in enumerate(labels)]
    table = pd.DataFrame(rows, columns=["image_id", "label", "prediction"])
    for name in CLASS_NAMES:
        table[f"p_{name}"] = np.where(table["prediction"] == name, 0.8, 0.05)
    table.to_csv(folder / "predictions.csv", index=False)
    config = {
        "seed": 0,
        "resolution": SIZE,
        "augment_ratio": augment_ratio,
        "augment_with": "toy/generated" if generated else None,
    }
    record = {"config": config, "versions": {"torch": "2.99"}, "platform": "Abacus-1", "seconds": 50}
    record |= {"steps": 800, "n_train": {"cigar_shaped_smooth": {"real": 10, "generated": generated}}}
    (folder / "metrics.json").write_text(json.dumps(record))


@pytest.fixture(scope="session")
def whole_study(toy_data, tmp_path_factory) -> Path:
    """Every part of a study: two backbones, of which one recognises more cigars after augmentation, and four arms."""
    study = tmp_path_factory.mktemp("study") / "toy"
    shutil.copytree(toy_data, study / "data")
    write_generated(study / "generated", ("cigar_shaped_smooth",), 30)
    write_generated(study / "showcase", CLASS_NAMES, 7)
    write_generated(study / "sagan_showcase", CLASS_NAMES, 7)
    (study / "sagan").mkdir()
    (study / "sagan" / "run.json").write_text(json.dumps({"config": {}, "collapsed": [], "diversity": 0.61}))
    timesteps = np.arange(1000, -1, -100)
    frames = np.random.default_rng(2).integers(0, 256, (5, len(timesteps), SIZE, SIZE, 3), dtype=np.uint8)
    np.savez(study / "showcase" / "trajectory.npz", frames=frames, timesteps=timesteps)
    save_animation(study / "showcase" / "trajectory.webp", frames)
    (study / "ddpm" / "samples").mkdir(parents=True)
    lines = [{"images_seen": 100 * i, "loss": 1 / i} for i in range(1, 30)]
    (study / "ddpm" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = {
        "config": {"seed": 0},
        "versions": {"torch": "2.99"},
        "seconds": 3700,
        "images_seen": 2900,
    }
    (study / "ddpm" / "run.json").write_text(json.dumps(record))
    for images_seen in (1000, 2000):
        Image.new("RGB", (60, 60)).save(study / "ddpm" / "samples" / f"{images_seen:012d}.png")
    evaluation = study / "fidelity" / "sagan_generated"
    evaluation.mkdir(parents=True)
    figure = {"value": 87.65, "low": 80.0, "high": 95.0, "n_real": 25, "n_generated": 30, "floor": 43.21}
    (evaluation / "fidelity.json").write_text(json.dumps({"cigar_shaped_smooth": {"fid": figure}}))
    (evaluation / "run.json").write_text("{}")
    Image.new("RGB", (60, 60)).save(evaluation / "copies.png")
    for backbone, gain in (("zulu_net", 12), ("alpha_net", 0)):
        for arm, right, generated in (
            ("original", 6, 0),
            ("diffusion", 6 + gain, 30),
            ("twice", 7, 20),
            ("smote", 7, 0),
        ):
            for seed in range(2):
                run = study / "classifiers" / backbone / arm / f"seed{seed}"
                write_predictions(run, right, generated, augment_ratio=2 if arm == "twice" else None)
    (study / "study.yaml").write_text(
        "title: Toy <study>\nclassifiers: {zulu_net: z.yaml, alpha_net: a.yaml}\nseeds: [0, 1]\n"
        "generated: {generated: {model: ddpm}, sagan_generated: {model: sagan}}\n"
        "arms: {original: {}, diffusion: {images: generated}, twice: {images: generated}, smote: {}, mixup: {}}\n"
    )
    return study


@pytest.fixture(scope="session")
def page(whole_study, tmp_path_factory) -> Path:
    """The report, as the command line makes it."""
    output = tmp_path_factory.mktemp("report")
    command = [warm_programs() / "python", "report.py", "--study", str(whole_study), "--output_dir", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(f"{output / 'index.html'}")
    return output


def write_report(study: Path, output: Path) -> str:
    report.main(report.Config([study], output))
    return (output / "index.html").read_text()


def test_every_evaluation_of_generated_images_has_its_section(page):
    text = text_of((page / "index.html").read_text())
    assert "Fidelity of the images in sagan_generated, by SAGAN" in text
    assert "87.7" in text
    assert "43.2" in text


@pytest.fixture
def quick(monkeypatch):
    """For pages whose figures are not checked: 200 replicates instead of 10,000."""
    monkeypatch.setattr(comparison, "bootstrap", partial(bootstrap, replicates=200))


def copy(study: Path, folder: Path, *without: str) -> Path:
    """A study without some of its parts; one without data or showcase draws no Fig. 3, one of two arms few charts."""
    return Path(shutil.copytree(study, folder / "study", ignore=shutil.ignore_patterns(*without)))


def text_of(html: str) -> str:
    """What a reader sees, without style, script and tags."""
    hidden = r"<style>.*?</style>|<script>.*?</script>|<[^>]*>"
    return re.sub(r"\s+", " ", re.sub(hidden, " ", html, flags=re.DOTALL))


def test_the_page_needs_nothing_outside_its_file(page):
    html = (page / "index.html").read_text()
    for tag, address in re.findall(r'<(\w+)[^>]*?\s(?:src|href)="([^"]*)"', html):
        assert re.match(r"data:image/(png|webp);base64," if tag == "img" else "#", address), address
    assert not re.search(r"https?://|@import|url\(|<script |fetch|import\(|<link", html)


def test_every_tag_is_closed_and_every_jump_lands(page):
    html = (page / "index.html").read_text()
    open_tags, ids = [], set()

    class Check(HTMLParser):
        def handle_starttag(self, tag, attributes):
            ids.add(dict(attributes).get("id"))
            if tag not in ("meta", "img", "br"):
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Check().feed(html)
    assert open_tags == []
    assert set(re.findall(r'href="#(\w+)"', html)) <= ids


def test_every_table_and_figure_is_there_and_small(page):
    names = {path.name for path in page.iterdir()}
    figures = {"differences", "rivals", "sweep", "seen", "figure3", "figure4", "figure5", "training", "samples"}
    figures |= {f"{kind}_{net}" for kind in ("confusion", "others") for net in ("zulu_net", "alpha_net")}
    figures.add("fidelity_sagan_generated_copies")
    assert names == {*TABLES, "tables.md", "index.html", *(f"{name}.png" for name in figures)}
    assert sum(path.stat().st_size for path in page.iterdir() if path.name != "index.html") < 2_000_000
    html = (page / "index.html").read_text()
    assert html.count("data:image/png;base64,") == len(figures)
    assert html.count("data:image/webp;base64,") == 1, "the film of the showcase"
    for name in figures:
        Image.open(page / f"{name}.png").verify()


def test_the_page_says_what_the_predictions_say(page):
    text = text_of((page / "index.html").read_text())
    assert "Toy &lt;study&gt;" in text
    assert (
        "Diffusion raises the average precision of cigar-shaped smooth galaxies (mean of 2 backbones) by 0.240 ["
        in text
    )
    assert "is better than every control by more than 0.03, the nearest being SMOTE: +0.200 [" in text
    assert "10 real cigar" not in text
    assert "30 generated galaxies added" in text
    assert "100 test galaxies, 20 of the rare class" in text
    assert "classifiers trained: 2 backbones, 4 arms, 2 seeds" in text
    assert "4 runs of the preset are missing: zulu_net/mixup/seed0, zulu_net/mixup/seed1, alpha_net/mixup/seed0" in text
    assert "the same number of optimiser steps: zulu_net 800, alpha_net 800" in text
    assert "Collapse of SAGAN, as its training reports it: none (lowest diversity of a class 0.61)" in text
    assert "1 h 15 min" in text
    assert "torch 2.99" in text
    assert "Abacus-1" in text
    assert text.index("zulu_net") < text.index("alpha_net")
    figures = pd.read_csv(page / "table3.csv").set_index(["backbone", "arm", "galaxy_class", "metric"])
    recall = [
        figures.loc[("zulu_net", arm, "cigar_shaped_smooth", "recall"), "value"] for arm in ("original", "diffusion")
    ]
    assert recall == pytest.approx([0.3, 0.9])


def test_figure_3_shows_the_first_galaxies_and_the_smallest_seeds(whole_study, page):
    shown = np.asarray(Image.open(BytesIO((page / "figure3.png").read_bytes())).convert("RGB")).astype(int)
    train = load_arrays(str(whole_study / "data"), "train", SIZE)
    first_real = train.images[np.flatnonzero(train.labels == 0)[0]]
    first_generated = np.asarray(Image.open(whole_study / "showcase" / CLASS_NAMES[0] / "000000.jpg"))
    columns = min(6, np.bincount(train.labels).min())
    for left, expected in ((116, first_real), (116 + columns * 100 - 4 + 24, first_generated)):
        large = np.asarray(Image.fromarray(expected).resize((96, 96), Image.Resampling.LANCZOS)).astype(int)
        assert abs(shown[30:126, left : left + 96] - large).max() <= 3


def test_the_classifiers_are_shown_with_what_they_read(whole_study, page):
    shown = np.asarray(Image.open(BytesIO((page / "seen.png").read_bytes())).convert("RGB")).astype(int)
    train = load_arrays(str(whole_study / "data"), "train", SIZE, jpeg=True)
    first = train.images[train.of_class("cigar_shaped_smooth")[0]]
    large = np.asarray(Image.fromarray(first).resize((72, 72), Image.Resampling.LANCZOS)).astype(int)
    assert abs(shown[30:102, 116:188] - large).max() <= 3
    assert shown.shape[0] == 30 + 2 * 76 - 4 + 10, "a row for the real ones, another for the generated ones"


def test_a_reliability_curve_is_drawn_only_where_it_can_be_read(page):
    """Every prediction of the study has a confidence of 0.8: one point is no curve."""
    assert not (page / "reliability.png").exists()
    assert "Too few test galaxies for a reliability curve" in text_of((page / "index.html").read_text())


@pytest.fixture
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.mark.slow
def test_in_a_browser_a_click_sorts_and_nothing_is_wider_than_a_telephone(page, browser):
    problems = []
    shown = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="dark")
    shown.on("pageerror", lambda error: problems.append(str(error)))
    shown.goto((page / "index.html").as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= 400
    table = shown.locator("#classifiers table").first
    head = table.locator("thead tr:last-child th").nth(2)
    for way in ("descending", "ascending"):
        head.click()
        assert head.get_attribute("aria-sort") == way
        blocks: list[list[float]] = []
        for row in table.locator("tbody tr").all():
            if row.get_attribute("class") == "block":
                blocks.append([])
            else:
                blocks[-1].append(float(row.locator("td").nth(2).evaluate("cell => parseFloat(cell.textContent)")))
        assert len(blocks) == 3, "the mean and two backbones"
        assert all(block == sorted(block, reverse=way == "descending") for block in blocks)
        assert any(len(set(block)) > 1 for block in blocks)
    shown.set_viewport_size({"width": 1300, "height": 800})
    assert shown.locator("img[alt=copies]").bounding_box()["width"] == 60, "a small picture is not enlarged"
    shown.emulate_media(media="print")
    shown.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert shown.locator("details:not([open])").count() == 0
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)", (
        "no ink for the dark"
    )
    assert problems == []


@pytest.mark.slow
def test_a_second_report_is_the_same(whole_study, page, tmp_path):
    write_report(whole_study, tmp_path)
    for name in (*TABLES, "tables.md", "figure3.png"):
        assert (tmp_path / name).read_bytes() == (page / name).read_bytes()


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ("data", "galaxy-diffusion data build"),
        ("classifiers", "galaxy-diffusion train-classifier"),
        ("showcase", "galaxy-diffusion generate"),
        ("generated", "No generated images yet"),
        ("ddpm", "Diffusion raises"),
        ("study.yaml", "Diffusion raises"),
    ],
)
def test_a_missing_part_is_named_with_its_command(whole_study, quick, tmp_path, part, says):
    study = copy(whole_study, tmp_path, part, "showcase", "sagan_showcase", "twice", "smote")
    assert says in text_of(write_report(study, tmp_path / "report"))


def test_the_first_step_of_a_study_gives_a_page(tmp_path):
    (tmp_path / "study.yaml").write_text("title: Only begun\n")
    text = text_of(write_report(tmp_path, tmp_path / "report"))
    assert "No classifier has been trained yet" in text
    for command in ("data build", "generate", "train-classifier"):
        assert f"galaxy-diffusion {command}" in text


def test_nothing_is_said_of_the_paper_for_another_survey(whole_study, quick, tmp_path):
    study = copy(whole_study, tmp_path, "showcase", "sagan_showcase", "fidelity")
    for file in study.rglob("*"):
        if file.name in {"build.json", "predictions.csv", "metadata.jsonl"}:
            file.write_text(file.read_text().replace("completely_round_smooth", "ring"))
    html = write_report(study, tmp_path / "report")
    assert "Table 2" in html
    for of_the_paper in ("Table 1", "the paper", "Public labels", "by construction of the classes"):
        assert of_the_paper not in html, of_the_paper


def test_the_verdict_says_where_generated_images_are_not_good_enough(whole_study, quick, tmp_path):
    study = copy(whole_study, tmp_path, "showcase", "sagan_showcase", "twice", "smote")
    evaluation = study / "fidelity" / "generated"
    shutil.copytree(study / "fidelity" / "sagan_generated", evaluation)
    told_apart = {"value": 0.99, "low": 0.97, "high": 1.0, "n_real": 25, "n_generated": 30}
    told_apart |= {"floor": 0.5, "floor_low": 0.4, "floor_high": 0.6}
    (evaluation / "fidelity.json").write_text(json.dumps({"cigar_shaped_smooth": {"probe_auc_pixels": told_apart}}))
    text = text_of(write_report(study, tmp_path / "report"))
    said = "The generated images: Cigar-shaped smooth: not good enough to train on: a probe tells them from real ones"
    assert text.index(said) < text.index("What the classifiers see")


def test_with_the_original_arm_alone_there_is_no_verdict(whole_study, quick, tmp_path):
    study = copy(whole_study, tmp_path, "diffusion", "twice", "smote", "showcase", "sagan_showcase")
    html = write_report(study, tmp_path / "report")
    assert "Not every backbone has been trained both with and without generated images yet" in text_of(html)
    assert pd.read_csv(tmp_path / "report" / "table3.csv")["difference"].isna().all()


def from_the_command_line(monkeypatch, *words: object) -> None:
    """As `page`, without a separate process."""
    monkeypatch.setattr(sys, "argv", ["report.py", *map(str, words)])
    run(report.main, report.Config, "")


def test_folds_are_pooled_from_the_command_line(quick, tmp_path, monkeypatch):
    for fold in ("one", "two"):
        for arm, right in (("original", 6), ("diffusion", 9)):
            folder = tmp_path / fold / "classifiers" / "net" / arm / "seed0"
            write_predictions(folder, right, 0, prefix=fold)
    folds = "--study", tmp_path / "one", tmp_path / "two"
    from_the_command_line(monkeypatch, *folds, "--output_dir", tmp_path / "r")
    text = text_of((tmp_path / "r" / "index.html").read_text())
    assert "200 test galaxies, 40 of the rare class" in text
    assert "The test galaxies of 2 folds are pooled" in text
    assert "two/classifiers/net/diffusion/seed0" in text
    with pytest.raises(UserError, match="is given twice"):
        report.main(report.Config([tmp_path / "one", tmp_path / "one"], tmp_path / "again"))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("data/build.json", b"{"),
        ("ddpm/metrics.jsonl", b'{"images_seen": 1'),
        ("showcase/trajectory.npz", b"PK"),
        ("classifiers/alpha_net/diffusion/seed0/predictions.csv", b""),
        ("showcase/edge_on/000000.jpg", b"no image"),
        ("study.yaml", b"[1]"),
        ("study.yaml", b"title: 2024-13-45"),
        ("generated/metadata.jsonl", b"5"),
        ("generated/metadata.jsonl", b'{"x": 1}'),
        ("ddpm/samples/000000000001.png", b"x"),
        ("classifiers/alpha_net/original/seed0/metrics.json", b"[]"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(whole_study, quick, tmp_path, file, content):
    study = copy(whole_study, tmp_path, *({"data"} - {Path(file).parts[0]}), "diffusion_x2", "smote")
    (study / file).parent.mkdir(parents=True, exist_ok=True)
    (study / file).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(Path(file).name) if content != b"[1]" else "study preset") as error:
        write_report(study, tmp_path / "report")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "report").exists()


def test_a_folder_that_is_no_study_ends_with_one_line(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit) as leaving:
        from_the_command_line(monkeypatch, "--study", tmp_path, "--output_dir", tmp_path / "report")
    assert leaving.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"error: {tmp_path}: not a study")
    with pytest.raises(UserError, match="nowhere: not a study"):
        write_report(tmp_path / "nowhere", tmp_path / "report")
