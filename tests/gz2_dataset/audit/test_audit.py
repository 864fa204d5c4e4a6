"""A sound dataset passes the audit; each planted problem is found and named."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gz2_dataset import CLASS_NAMES, UserError, build
from gz2_dataset.audit.audit import audit
from gz2_dataset.audit.findings import Audit
from tests.conftest import draw_toy_galaxy

Galaxies = dict[str, list[dict]]


def jpeg(image: Image.Image, quality: int = 85) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def opened(galaxy: dict) -> Image.Image:
    return Image.open(BytesIO(galaxy["image"]["bytes"]))


@pytest.fixture
def damaged(toy_data, tmp_path) -> Callable[[Callable[[Galaxies], None]], Audit]:
    """Audit of the toy survey after its galaxies were changed."""

    def change(edit: Callable[[Galaxies], None]) -> Audit:
        folder = shutil.copytree(toy_data, tmp_path / "data")
        tables = {path: pq.read_table(path) for path in (folder / "data").glob("*.parquet")}
        galaxies = {path.name.partition("-")[0]: table.to_pylist() for path, table in tables.items()}
        edit(galaxies)
        for path, table in tables.items():
            rows = galaxies[path.name.partition("-")[0]]
            pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path, row_group_size=16)
        return audit(folder)

    return change


def test_the_toy_survey_is_fit_for_use(toy_data, capsys):
    found = audit(toy_data)
    assert (found.problems, found.verdict) == ([], "fit for use")
    assert found.duplicates == []
    assert len(found.galaxies) == 4 * 20 + 10 + 12
    assert any(line.startswith("cigar_shaped_smooth: only 3 test galaxies") for line in found.warnings)
    assert "verdict: fit for use" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content", [b"", b"no image", jpeg(Image.new("RGB", (64, 64)))[:400], jpeg(Image.new("RGB", (64, 64)))[:-300]]
)
def test_damaged_images_are_a_problem(damaged, content):
    def spoil(galaxies: Galaxies) -> None:
        galaxies["train"][3]["image"]["bytes"] = content

    found = damaged(spoil)
    (problem,) = found.problems
    (unsound,) = found.to_dict()["unsound"]
    assert f"first {unsound['image_id']} of train" in problem
    assert found.verdict.startswith("not fit: ")


def test_a_file_that_breaks_off_inside_is_blank_in_part(damaged):
    def spoil(galaxies: Galaxies) -> None:
        image = galaxies["train"][3]["image"]
        image["bytes"] = image["bytes"][: len(image["bytes"]) * 3 // 4] + b"\xff\xd9"

    found = damaged(spoil)
    assert any(line.startswith("images that are partly blank") and ": 1 (first " in line for line in found.warnings)


def test_files_that_break_off_inside_do_not_end_the_audit(toy_data, tmp_path):
    folder = shutil.copytree(toy_data, tmp_path / "data")
    for path in (folder / "data").glob("train-*.parquet"):
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            row["image"]["bytes"] = row["image"]["bytes"][: len(row["image"]["bytes"]) * 3 // 4] + b"\xff\xd9"
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path, row_group_size=16)
    found = audit(folder, tmp_path / "report")
    assert any("partly blank" in line and ": 66 (first " in line for line in found.warnings)
    assert (tmp_path / "report/audit.html").exists()


def test_small_images_are_a_problem_and_other_sizes_a_warning(damaged):
    rng = np.random.default_rng(7)

    def resize(galaxies: Galaxies) -> None:
        galaxies["train"][0]["image"]["bytes"] = jpeg(draw_toy_galaxy("spiral", rng, size=40))
        galaxies["train"][1]["image"]["bytes"] = jpeg(draw_toy_galaxy("spiral", rng, size=90))

    found = damaged(resize)
    (problem,) = found.problems
    assert problem.startswith("images smaller than 64 pixels: 1 (first ")
    assert "images that are not 64 × 64 pixels, as most are: 2 (40 × 40: 1, 90 × 90: 1)" in found.warnings
    assert found.to_dict()["sizes"] == {"40x40": 1, "64x64": 100, "90x90": 1}


@pytest.mark.parametrize(
    ("kind", "copy"),
    [
        ("exact", lambda galaxy: galaxy["image"]["bytes"]),
        ("near", lambda galaxy: jpeg(opened(galaxy).transpose(Image.Transpose.ROTATE_90), 95)),
    ],
)
@pytest.mark.parametrize("split", ["train", "unlabelled"])
def test_a_test_galaxy_shown_again_in_training_is_a_problem(damaged, kind, copy, split):
    def leak(galaxies: Galaxies) -> None:
        galaxies[split][2]["image"]["bytes"] = copy(galaxies["test"][1])

    found = damaged(leak)
    (problem,) = found.problems
    (group,) = found.to_dict()["duplicates"]
    assert problem.startswith("held-out galaxies shown again in another split: ")
    assert (group["kind"], group["across"]) == (kind, True)
    assert {galaxy["split"] for galaxy in group["galaxies"]} == {"test", split}


def test_a_galaxy_shown_twice_in_training_is_a_warning(damaged):
    def repeat(galaxies: Galaxies) -> None:
        first, second = galaxies["train"][:2]
        second["image"]["bytes"] = first["image"]["bytes"]
        second["label"] = (first["label"] + 1) % 5

    found = damaged(repeat)
    assert not any("shown again" in line for line in found.problems)
    shown = [line for line in found.warnings if line.startswith("galaxies shown more than once")]
    assert len(shown) == 2
    assert "with different classes: 1 by equal files" in shown[1]


def test_a_galaxy_without_class_contradicts_none(damaged):
    def repeat(galaxies: Galaxies) -> None:
        galaxies["unlabelled"][0]["image"]["bytes"] = galaxies["train"][0]["image"]["bytes"]

    assert not any("different classes" in line for line in damaged(repeat).warnings)


def test_files_that_hold_other_galaxies_than_stated_are_a_problem(damaged):
    found = damaged(lambda galaxies: galaxies["validation"].pop())
    assert found.problems == ["the files do not hold the galaxies that build.json lists; build again"]


def test_a_class_without_training_galaxies_is_a_problem(damaged):
    cigar = CLASS_NAMES.index("cigar_shaped_smooth")

    def drop(galaxies: Galaxies) -> None:
        galaxies["train"][:] = [galaxy for galaxy in galaxies["train"] if galaxy["label"] != cigar]

    assert "cigar_shaped_smooth: no galaxy to train on" in damaged(drop).problems


class Page(HTMLParser):
    """Addresses that a page refers to, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.addresses, self.texts = [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_mock_galaxies_are_audited_into_a_page_of_its_own(mock_survey, tmp_path):
    build(mock_survey, tmp_path / "data", test_per_class=2, validation_per_class=1)
    found = audit(tmp_path / "data", tmp_path / "report")
    assert found.problems == []
    assert found.duplicates == []
    written = json.loads((tmp_path / "report/audit.json").read_text())
    assert written == found.to_dict()
    assert [row["found"] for row in written["classes"]] == [found.build.found[name] for name in CLASS_NAMES]
    page = Page((tmp_path / "report/audit.html").read_text())
    assert page.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)
    assert "Fit for use." in page.texts
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"audit.json", "audit.html"}


def test_what_a_galaxy_is_called_cannot_change_the_page(damaged, tmp_path):
    def name(galaxies: Galaxies) -> None:
        for galaxy in galaxies["train"][:2]:
            galaxy["image"]["bytes"] = galaxies["train"][0]["image"]["bytes"]
        galaxies["train"][0]["image_id"] = "<img src=x>"

    damaged(name)
    audit(tmp_path / "data", tmp_path / "audit.html")
    assert "x" not in Page((tmp_path / "audit.html").read_text()).addresses


@pytest.mark.slow
def test_the_command_prints_the_verdict_and_its_status_says_it(toy_data, tmp_path):
    folder = shutil.copytree(toy_data, tmp_path / "data")
    fit = run_audit(folder)
    (path,) = (folder / "data").glob("validation*")
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    unfit = run_audit(folder)
    assert (fit.returncode, unfit.returncode) == (0, 2)
    assert "verdict: fit for use" in fit.stdout
    assert "verdict: not fit: the files do not hold the galaxies" in unfit.stdout
    assert unfit.stderr.splitlines()[-1].startswith(f"error: {folder}: not fit for use")


def run_audit(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gz2_dataset", "audit", folder], capture_output=True, text=True)


def test_what_is_no_built_dataset_is_refused(tmp_path, toy_data):
    with pytest.raises(UserError, match="build it first"):
        audit(tmp_path)
    folder = shutil.copytree(toy_data, tmp_path / "data")
    shutil.rmtree(folder / "data")
    with pytest.raises(UserError, match="holds no Parquet files"):
        audit(folder)
    (folder / "build.json").write_text("{}")
    with pytest.raises(UserError, match="has no 'source'; build the dataset again"):
        audit(folder)
    (folder / "build.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        audit(folder)


def test_images_that_use_only_some_of_their_16_bits_are_not_dark_once_built(tmp_path):
    """12-bit cameras write them; trainings would see black if the build did not scale them."""
    for name in ("ring", "spiral"):
        (tmp_path / f"source/{name}").mkdir(parents=True)
        for i in range(12):
            grey = np.asarray(draw_toy_galaxy(name, np.random.default_rng([i, len(name)])).convert("L"))
            Image.fromarray(grey.astype(np.uint16) * 16).save(tmp_path / f"source/{name}/{name}{i}.png")
    build(tmp_path / "source", tmp_path / "data")
    assert not any("dark" in line for line in audit(tmp_path / "data").warnings)


def test_dark_pictures_are_told(tmp_path):
    """Eight bits that a camera of more has filled from below: a net sees next to nothing."""
    for name in ("ring", "spiral"):
        (tmp_path / f"source/{name}").mkdir(parents=True)
        for i in range(12):
            picture = draw_toy_galaxy(name, np.random.default_rng([i, len(name)]))
            shown = picture if name == "ring" else picture.point(lambda level: level // 5)
            shown.save(tmp_path / f"source/{name}/{name}{i}.png")
    build(tmp_path / "source", tmp_path / "data")
    assert [line.split(",")[0] for line in audit(tmp_path / "data").warnings if "dark" in line] == ["spiral: dark"]


def test_labels_that_are_no_class_are_one_line(damaged):
    def relabel(galaxies: Galaxies) -> None:
        galaxies["train"][0]["label"] = 99

    with pytest.raises(UserError, match="a label is none of the 5 classes"):
        damaged(relabel)
