"""Mock galaxies: what is drawn is what the truth table says, whatever the order, number of galaxies or processes."""

import importlib.util
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, JpegImagePlugin

from gz2_dataset.command_line import UserError
from gz2_dataset.mock import survey as module
from gz2_dataset.mock.population import KINDS, NATIVE_SCALE, Galaxy, draw_galaxy, edge_on_axis_ratio, shares_of
from gz2_dataset.mock.survey import write_mock_survey
from gz2_dataset.rules import VOTE_COLUMNS
from tests.conftest import MOCK_COUNT as COUNT
from tests.conftest import MOCK_SEED as SEED


@pytest.fixture
def survey(mock_survey: Path) -> Path:
    return mock_survey


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def galaxies_of(kind: str, count: int) -> list[Galaxy]:
    drawn = (draw_galaxy(SEED, index) for index in itertools.count())
    return list(itertools.islice((galaxy for galaxy in drawn if galaxy.kind == kind), count))


def moments(image: np.ndarray) -> tuple[float, float, float]:
    """Axis ratio, position angle in degrees and rms major axis in pixels of all the light in an image."""
    weight = image.astype(np.float64) / image.sum(dtype=np.float64)
    y, x = np.indices(image.shape) - (image.shape[0] - 1) / 2
    xx, yy, xy = ((weight * product).sum() for product in (x * x, y * y, x * y))
    minor, major = np.linalg.eigvalsh([[xx, xy], [xy, yy]])
    return np.sqrt(minor / major), np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) % 180, np.sqrt(major)


def test_layout_is_kaggles(survey: Path):
    votes = pd.read_csv(survey / "training_solutions_rev1.csv")
    assert list(votes.columns) == ["GalaxyID", *VOTE_COLUMNS]
    images = sorted((survey / "images_training_rev1").iterdir())
    assert [int(path.stem) for path in images] == sorted(votes["GalaxyID"])
    assert votes["GalaxyID"].is_unique
    assert votes["GalaxyID"].min() > 999_999, "ids of six digits are those of real galaxies"
    assert len(images) == COUNT
    with Image.open(images[0]) as image:
        assert (image.size, image.mode, image.format) == ((424, 424), "RGB", "JPEG")
        assert JpegImagePlugin.get_sampling(image) == 2  # 4:2:0
        reference = io.BytesIO()
        Image.new("RGB", (8, 8)).save(reference, "JPEG", quality=75)
        assert image.quantization == Image.open(reference).quantization


def test_truth_table_is_of_the_same_galaxies(survey: Path):
    truth = pd.read_csv(survey / "mock_truth.csv")
    for index, row in truth.iterrows():
        galaxy = draw_galaxy(SEED, index)
        assert (row.galaxy_id, row.kind) == (galaxy.galaxy_id, galaxy.kind)
        assert row.half_light_radius_px == pytest.approx(galaxy.half_light_radius / galaxy.pixel_scale, rel=1e-4)


def test_images_are_a_galaxy_on_dark_sky(survey: Path):
    grey = np.stack(
        [np.asarray(Image.open(path).convert("L"), float) for path in (survey / "images_training_rev1").iterdir()]
    )
    sky, centre = np.median(grey, axis=(1, 2)), grey[:, 207:217, 207:217].mean((1, 2))
    assert np.median(sky) < 8
    assert (centre - sky > 50).all()


@pytest.mark.slow
def test_fewer_galaxies_are_a_prefix_and_processes_and_repetition_change_nothing(survey: Path, tmp_path: Path):
    for name, processes in (("few", 1), ("again", 2)):
        write_mock_survey(tmp_path / name, 6, SEED, processes=processes)
    few, many = contents(tmp_path / "few"), contents(survey)
    assert contents(tmp_path / "again") == few
    assert sum(name.endswith(".jpg") for name in few) == 6
    for name, data in few.items():
        if name.endswith(".jpg"):
            assert data == many[name]
        elif name.endswith(".csv"):
            assert many[name].startswith(data)


def test_another_seed_is_another_survey(survey: Path, tmp_path: Path):
    write_mock_survey(tmp_path / "other", 2, SEED + 1, processes=1)
    for name, data in contents(tmp_path / "other").items():
        assert data != contents(survey)[name]


def test_finished_survey_is_left_alone_and_anything_else_refused(survey: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "draw_one", None)
    write_mock_survey(survey, COUNT, SEED)
    with pytest.raises(UserError, match="remove it or give another"):
        write_mock_survey(survey, COUNT + 1, SEED)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="remove it or give another"):
        write_mock_survey(tmp_path, COUNT, SEED)
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch):
    draw_one = module.draw_one

    def interrupted(images: Path, seed: int, index: int, shares: dict):
        if index == 2:
            raise KeyboardInterrupt
        return draw_one(images, seed, index, shares)

    monkeypatch.setattr(module, "draw_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_mock_survey(tmp_path / "survey", 4, SEED, processes=1)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_run_are_replaced(tmp_path: Path):
    leftover = tmp_path / ".survey.partial" / "images_training_rev1"
    leftover.mkdir(parents=True)
    (leftover / "1.jpg").write_text("half an image")
    write_mock_survey(tmp_path / "survey", 1, SEED, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["survey"]
    assert len(list((tmp_path / "survey" / "images_training_rev1").iterdir())) == 1
    assert json.loads((tmp_path / "survey" / "mock.json").read_text()) == {"num_images": 1, "seed": SEED}


def test_a_kind_can_be_as_common_as_a_study_needs_it_and_nothing_else_changes(tmp_path: Path):
    wanted = shares_of("cigar=0.5")
    kinds = pd.Series([draw_galaxy(0, index, wanted).kind for index in range(2000)]).value_counts(normalize=True)
    assert kinds["cigar"] == pytest.approx(0.5, abs=0.04)
    assert kinds["round"] / kinds["spiral"] == pytest.approx(KINDS["round"] / KINDS["spiral"], rel=0.2)
    write_mock_survey(tmp_path / "cigars", 2, SEED, processes=1, shares="cigar=0.999")
    truth = pd.read_csv(tmp_path / "cigars" / "mock_truth.csv")
    assert set(truth["kind"]) == {"cigar"}
    with pytest.raises(UserError, match="not the finished mock"):
        write_mock_survey(tmp_path / "cigars", 2, SEED)


@pytest.mark.parametrize("text", ["comet=0.5", "cigar=1", "cigar=much", "cigar=-1", "cigar"])
def test_shares_that_are_none_are_refused(text: str):
    with pytest.raises(UserError, match=r"write for instance cigar=0\.5"):
        shares_of(text)


def test_missing_galsim_gets_its_remedy(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "\.\[mock\]"'):
        write_mock_survey(tmp_path / "survey", 1, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("num_images", "seed"), [(0, 0), (5, -1)])
def test_numbers_out_of_range(num_images: int, seed: int, tmp_path: Path):
    with pytest.raises(UserError, match="num_images >= 1"):
        write_mock_survey(tmp_path / "survey", num_images, seed)


@pytest.mark.parametrize("kind", ["round", "in_between", "cigar"])
def test_sersic_galaxies_have_their_true_shape(kind: str):
    from gz2_dataset.mock.light import galaxy_light

    for galaxy in galaxies_of(kind, 4):
        size = 16 * int(40 * galaxy.half_light_radius / NATIVE_SCALE / 16)
        light = galaxy_light(galaxy, size, np.random.default_rng(0))
        axis_ratio, angle, _ = moments(light[1])
        assert axis_ratio == pytest.approx(galaxy.axis_ratio, abs=0.03)
        if galaxy.axis_ratio < 0.9:
            assert abs((angle - galaxy.position_angle + 90) % 180 - 90) < 2
        y, x = np.indices((size, size)) - (size - 1) / 2
        turn = np.radians(galaxy.position_angle)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        radius = np.hypot(along, across / galaxy.axis_ratio) * NATIVE_SCALE
        total = 10 ** (-0.4 * (galaxy.magnitude - 22.5))
        assert light[1].sum() == pytest.approx(total, rel=0.12)
        assert light[1][radius < galaxy.half_light_radius].sum() / total == pytest.approx(0.5, abs=0.03)


def test_discs_have_their_true_shape_and_flux():
    from gz2_dataset.mock.light import edge_on_disc

    for galaxy in galaxies_of("edge_on", 4):
        size = 16 * int(16 * galaxy.half_light_radius / NATIVE_SCALE / 16)
        dustless = Galaxy(**(vars(galaxy) | {"dust": 0.0}))
        disc = edge_on_disc(dustless, size, galaxy.position_angle)[1]
        _, angle, major = moments(disc)
        assert disc.sum() == pytest.approx(1, rel=0.02)
        assert abs((angle - galaxy.position_angle + 90) % 180 - 90) < 2
        scale_length = galaxy.half_light_radius / 1.678 / NATIVE_SCALE
        assert major == pytest.approx(np.sqrt(3) * scale_length, rel=0.06)


def test_dust_dims_the_blue_most():
    from gz2_dataset.mock.light import edge_on_disc

    galaxy = next(galaxy for galaxy in galaxies_of("edge_on", 30) if galaxy.dust)
    g, r, i = edge_on_disc(galaxy, 128, 0.0).sum((1, 2))
    assert g < r < i < 1


def test_spirals_have_as_many_arms_as_their_truth_says():
    """The azimuthal Fourier power of a face-on disc peaks at the number of arms."""
    from gz2_dataset.mock.light import face_on_disc

    for arms in (2, 3, 4):
        spiral = galaxies_of("spiral", 1)[0]
        changes = {"axis_ratio": 1.0, "arm_count": arms, "arm_strength": 0.6, "clumpiness": 0.0, "bar_strength": 0.0}
        galaxy = Galaxy(**(vars(spiral) | changes | {"pitch_angle": 18.0, "half_light_radius": 10.0}))
        power = np.zeros(9)
        for seed in range(4):
            disc = face_on_disc(galaxy, 128, 0.0, np.random.default_rng(seed))[0]
            y, x = np.indices(disc.shape) - (disc.shape[0] - 1) / 2
            radius, theta = np.hypot(x, y) * NATIVE_SCALE / (10.0 / 1.678), np.arctan2(y, x)
            for low in np.arange(1.0, 2.4, 0.2):
                ring = (radius >= low) & (radius < low + 0.2)
                power += [abs((disc[ring] * np.exp(-1j * m * theta[ring])).sum()) ** 2 for m in range(9)]
        assert np.argmax(power[1:]) + 1 == arms


def test_seeing_keeps_flux_and_widens_a_star_to_its_width():
    from gz2_dataset.mock.light import blur

    light = np.zeros((3, 64, 64), np.float32)
    light[:, 32, 32] = [1.0, 2.0, 3.0]
    image = blur(light, 1.3, np.array([[0.0, 0.0], [0.0, 3.0], [-2.0, 0.0]]))
    np.testing.assert_allclose(image.sum((1, 2)), [1, 2, 3], rtol=1e-4)
    assert [np.unravel_index(band.argmax(), band.shape) for band in image] == [(32, 32), (32, 35), (30, 32)]
    row = image[0, 32] / image[0].max()
    width = 2 * np.interp(-0.5, -row[32:40], np.arange(8)) * NATIVE_SCALE
    assert width == pytest.approx(1.35, abs=0.1)


def test_neighbours_at_the_edge_are_cut_not_moved():
    from gz2_dataset.mock.camera import paste

    light = np.zeros((3, 32, 32))
    paste(light, np.ones((3, 8, 8)), 16.0, 0.0)
    assert light[0].sum() == 32
    assert light[0, 12:20, 28:].all()
    paste(light, np.ones((3, 8, 8)), 100.0, -100.0)
    assert light[0].sum() == 32


def test_population_has_the_shares_of_its_kinds():
    kinds = pd.Series([draw_galaxy(0, index).kind for index in range(2000)]).value_counts(normalize=True)
    for kind, share in KINDS.items():
        assert kinds[kind] == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / 2000))


def test_edge_on_axis_ratio_of_a_razor_thin_disc_is_the_cosine():
    assert edge_on_axis_ratio(60.0, 0.0) == pytest.approx(0.5)
