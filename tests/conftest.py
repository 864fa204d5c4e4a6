"""A separate cache for the tests, one core for each worker, and a toy survey whose classes are easy to see."""

import os
import tempfile

from .cores import WORKER

# isort: split

os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="galaxy-diffusion-tests-")  # before datasets is imported
os.environ["HF_HUB_OFFLINE"] = "1"

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from gz2_dataset import CLASS_NAMES, GalaxyArrays, build
from gz2_dataset.mock.survey import write_mock_survey

from .warm_python import programs as warm_programs

# The tests try the same cases each time; only make fuzz looks for new ones.
settings.register_profile("galaxies", deadline=None, max_examples=25, derandomize=True, database=None)
settings.register_profile("fuzz", deadline=None, max_examples=1000, derandomize=False)
settings.load_profile("galaxies")

ROOT = Path(__file__).parent.parent
MOCK_COUNT, MOCK_SEED = 60, 3
AXIS_RATIO = dict(zip(CLASS_NAMES, (1.0, 0.6, 0.25, 0.12, 0.9), strict=True))
COLOUR = dict(
    zip(CLASS_NAMES, ((1, 0.8, 0.5), (1, 0.7, 0.4), (1, 0.6, 0.3), (0.6, 0.7, 1), (0.5, 0.6, 1)), strict=True)
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests have a long time limit of their own come first, so that no core waits for one at the end."""
    longest = dict.fromkeys((item.path for item in items), 0)
    for item in items:
        limit = item.get_closest_marker("timeout")
        longest[item.path] = max(longest[item.path], limit.args[0] if limit else 0)
    items.sort(key=lambda item: -longest[item.path])


def pytest_sessionfinish() -> None:
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


def draw_toy_galaxy(class_name: str, rng: np.random.Generator, size: int = 64) -> Image.Image:
    """An elliptical Gaussian, as long and as blue as its class, at any angle on a noisy sky."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    angle = rng.uniform(0, np.pi)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    axis_ratio = AXIS_RATIO.get(class_name, 0.8)
    profile = np.exp(-(along**2 + (across / axis_ratio) ** 2) / (2 * (size / 8) ** 2))
    image = 200 * profile[..., None] * np.array(COLOUR.get(class_name, (1, 1, 1))) + rng.normal(15, 5, (size, size, 3))
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def draw_clumpy_galaxies(n: int, seed: int, size: int = 32) -> np.ndarray:
    """Galaxies as varied as real ones, uint8 (n, size, size, 3): clumps, in places a neighbour, faint noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    images = []
    for _ in range(n):
        angle, ratio, extent = rng.uniform(0, np.pi), rng.uniform(0.3, 1), size * rng.uniform(0.1, 0.14)
        dx, dy = x - rng.normal(0, size / 30), y - rng.normal(0, size / 30)
        along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
        light = 140 * np.exp(-(along**2 + (across / ratio) ** 2) / (2 * extent**2))
        for far, peak in [*((1.8, 50),) * 4, *((3.0, 70),) * int(rng.integers(0, 2))]:
            at, where = far * extent * rng.uniform(0.4, 1), rng.uniform(0, 2 * np.pi)
            square = (dx - at * np.cos(where)) ** 2 + (dy - at * np.sin(where)) ** 2
            light += peak * rng.uniform(0.3, 1) * np.exp(-square / (2 * (size / 25) ** 2))
        images.append(light[..., None] * rng.uniform(0.7, 1, 3) + rng.normal(12, 2, (size, size, 3)))
    return np.stack(images).round().clip(0, 255).astype(np.uint8)


def write_class_list(folder: Path, counts: dict[str, int], seed: int = 0, size: int = 64) -> Path:
    """A class list with images; an empty class name means galaxies without a class."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = [(f"g{seed}-{c}-{i}", name) for c, (name, count) in enumerate(counts.items()) for i in range(count)]
    for image_id, name in rows:
        draw_toy_galaxy(name, rng, size).save(folder / "images" / f"{image_id}.jpg", quality=75)
    pd.DataFrame(rows, columns=["image_id", "galaxy_class"]).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def toy_source(tmp_path_factory) -> Path:
    """A class list: 20 galaxies of each class, 10 cigars, 12 galaxies without a class."""
    counts = dict.fromkeys(CLASS_NAMES, 20) | {"cigar_shaped_smooth": 10, "": 12}
    return write_class_list(tmp_path_factory.mktemp("source") / "toy", counts)


@pytest.fixture(scope="session")
def toy_data(toy_source, tmp_path_factory) -> Path:
    """The toy survey built, with four test galaxies per class and three cigars."""
    output = tmp_path_factory.mktemp("built") / "toy"
    build(toy_source, output, test_per_class=4, validation_per_class=1)
    return output


@pytest.fixture(scope="session")
def rare_data(toy_source, tmp_path_factory) -> Path:
    """The toy survey with three edge-on galaxies for training; the other twelve are set aside."""
    output = tmp_path_factory.mktemp("built") / "rare"
    build(toy_source, output, test_per_class=4, validation_per_class=1, keep="edge_on=3")
    return output


@pytest.fixture(scope="session")
def tiny_model(toy_data, tmp_path_factory) -> Path:
    """A diffusion model trained with the test preset."""
    import train_ddpm  # here, because most tests, and the process that starts the workers, do not need its libraries

    folder = shared_folder(tmp_path_factory) / "tiny"
    preset = yaml.safe_load((ROOT / "configs/ddpm_tiny.yaml").read_text())
    with FileLock(f"{folder}.lock"):
        train_ddpm.main(train_ddpm.Config(data=str(toy_data), output_dir=folder, **preset))
    return folder


@pytest.fixture(scope="session")
def cutouts(tmp_path_factory) -> Path:
    """A class list of raw 424 px files, of which the central 224 px are taken: 20 galaxies of each of three classes."""
    return write_class_list(tmp_path_factory.mktemp("cutouts") / "raw", dict.fromkeys(CLASS_NAMES[:3], 20), size=424)


@pytest.fixture(scope="session")
def tiny_classifier(cutouts, tmp_path_factory) -> Path:
    """A classifier of the test preset that has learned a little from `cutouts`."""
    import train_classifier  # here, as in `tiny_model`

    folder = shared_folder(tmp_path_factory) / "tiny_classifier"
    preset = yaml.safe_load((ROOT / "configs/classifier_tiny.yaml").read_text()) | {"total_images": 480}
    with FileLock(f"{folder}.lock"):
        data = str(folder.with_name("cutouts"))
        if not Path(data, "build.json").exists():
            build(cutouts, Path(data), test_per_class=4, validation_per_class=3)
        train_classifier.main(train_classifier.Config(data=data, output_dir=folder, **preset))
    return folder


@pytest.fixture(scope="session")
def mock_survey(tmp_path_factory) -> Path:
    """`MOCK_COUNT` drawn galaxies of the seed `MOCK_SEED`, in Kaggle's layout."""
    folder = shared_folder(tmp_path_factory) / "mock"
    with FileLock(f"{folder}.lock"):
        write_mock_survey(folder, MOCK_COUNT, MOCK_SEED, processes=1)
    return folder


class Coloured:
    """Three classes of bright spots that differ in colour, each a little different from the next."""

    COLOURS = np.array([(200, 60, 60), (60, 200, 60), (60, 60, 200)])

    def __init__(self, count: int = 96, side: int = 8):
        rng = np.random.default_rng(0)
        labels = np.arange(count) % 3
        y, x = np.mgrid[:side, :side] - (side - 1) / 2
        widths = rng.uniform(1.5, 2.5, count)[:, None, None, None]
        spots = np.exp(-(x**2 + y**2)[None, ..., None] / (2 * widths**2))
        images = 20 + spots * self.COLOURS[labels][:, None, None] + rng.normal(0, 3, (count, side, side, 3))
        names = [str(i) for i in range(count)]
        self.galaxies = GalaxyArrays(
            images.clip(0, 255).astype(np.uint8), labels, names, names, ("red", "green", "blue")
        )

    def load(self, *_) -> GalaxyArrays:
        return self.galaxies

    def means(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Mean colour of each class, shape (3, 3)."""
        return np.stack([images[labels == label].mean(axis=(0, 1, 2)) for label in range(3)])


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Where all workers find what one of them has made: for commands that leave finished results alone."""
    return factory.getbasetemp().parent if WORKER else factory.mktemp("shared")


@pytest.fixture
def warm_python(monkeypatch) -> None:
    """What the test starts as `sys.executable`, or by the name of a command, has its libraries loaded."""
    folder = warm_programs()
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, [folder, Path(sys.executable).parent, os.environ["PATH"]])))
    monkeypatch.setattr(sys, "executable", str(folder / "python"))


def launch_two_processes(*command: object) -> subprocess.CompletedProcess:
    """Run a script in two processes on the CPU, one thread each, on a free port."""
    python = warm_programs() / "python"
    return subprocess.run([python, *TWO_PROCESSES, *map(str, command)], cwd=ROOT, env=environment_of_two(), check=True)


# accelerate launch would start a single process on a CPU.
TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def environment_of_two() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "PYTHONPATH": str(ROOT)}
