"""Rehearse the whole Kaggle competition: 61,578 images in zips, built, interrupted, and prepared as arrays.

    python benchmarks/full_size_build.py --images GALAXIES --work SCRATCH [--labels kaggle_five_class_28793.csv]

GALAXIES is a folder of 424 px JPEG files, which are repeated under new ids, each with its own comment, so that all
files differ. The galaxies in LABELS (GalaxyID, galaxy_class) get votes that meet the rule of their class. SCRATCH needs
about 14 GB; the survey in it is made once.
"""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import simplejpeg

from gz2_dataset import RULES, VOTE_COLUMNS, load
from gz2_dataset.arrays import prepare
from gz2_dataset.build_record import BuildRecord
from gz2_dataset.command_line import run
from gz2_dataset.loading import encoded, encoded_bytes

GALAXIES = 61_578
LARGEST_ID = 999_967


@dataclass
class Config:
    """What to measure."""

    images: Path
    """Folder of JPEG files."""
    work: Path
    """Scratch folder."""
    labels: Path | None = None
    """CSV of GalaxyID and galaxy_class."""
    num_images: int = GALAXIES
    """Size of the survey."""
    resolution: int = 224
    """Resolution of the prepared arrays."""
    images_to_prepare: int = 8192
    """How many training images the comparison with plain decoding uses."""


def main(config: Config) -> None:
    config.work.mkdir(parents=True, exist_ok=True)
    served = config.work / f"served-{config.num_images}"
    if not served.exists():
        write_survey(config, served)
    size = sum(file.stat().st_size for file in served.iterdir())
    print(f"{config.num_images} images in zips, {size / 1e6:.0f} MB")
    seconds, _ = timed(read_through, served)
    print(f"reading the zips from end to end: {seconds:.1f} s, {size / 1e6 / seconds:.0f} MB/s")

    output = config.work / "built"
    for options in ([], ["--near_duplicates", "false"]):
        shutil.rmtree(output, ignore_errors=True)
        seconds, memory = build(served, output, options)
        print(
            f"build {' '.join(options)}: {seconds:.1f} s, {size / 1e6 / seconds:.0f} MB/s, peak memory {memory:.2f} GB"
        )
    whole, record = tree(output), BuildRecord.read(output)
    print(record.count_table.to_string())
    seconds, _ = timed(shutil.copytree, output, config.work / "copy")
    shutil.rmtree(config.work / "copy")
    print(f"copying the built folder: {seconds:.1f} s")

    unpacked = config.work / "unpacked"
    if not unpacked.exists():
        for archive in served.iterdir():
            zipfile.ZipFile(archive).extractall(unpacked)
    shutil.rmtree(output)
    seconds, _ = build(unpacked, output, ["--near_duplicates", "false"])
    print(f"the same from unpacked files: {seconds:.1f} s, {size / 1e6 / seconds:.0f} MB/s")

    shutil.rmtree(output)
    shards = interrupt(served, output)
    seconds, _ = build(served, output, ["--near_duplicates", "false"])
    same = "the same bytes" if tree(output) == whole else "DIFFERENT BYTES"
    print(f"killed after {shards} shards, the same command again: {seconds:.1f} s more, {same}")

    compare_decoding(config, str(output))


def write_survey(config: Config, served: Path) -> None:
    """images_training_rev1.zip and training_solutions_rev1.zip, as Kaggle serves them."""
    labels = pd.read_csv(config.labels) if config.labels else pd.DataFrame({"GalaxyID": [], "galaxy_class": []})
    given = dict(zip(labels["GalaxyID"].astype(int), labels["galaxy_class"], strict=True))
    others = (i for i in range(100_008, LARGEST_ID) if i not in given)
    ids = sorted([*given, *(next(others) for _ in range(config.num_images - len(given)))])
    files = [file.read_bytes() for file in sorted(config.images.glob("*.jpg"))]
    aside = served.with_name(f".{served.name}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    with zipfile.ZipFile(aside / "images_training_rev1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i, galaxy in enumerate(ids):
            archive.writestr(f"images_training_rev1/{galaxy}.jpg", with_comment(files[i % len(files)], str(galaxy)))
    limits = {rule.galaxy_class: {c.column: c.threshold for c in rule.conditions} for rule in RULES}
    with (aside / "votes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["GalaxyID", *VOTE_COLUMNS])
        for galaxy in ids:
            votes = dict.fromkeys(VOTE_COLUMNS, 0.1) | limits.get(given.get(galaxy), {})
            writer.writerow([galaxy, *(f"{votes[column]:.6f}" for column in VOTE_COLUMNS)])
    with zipfile.ZipFile(aside / "training_solutions_rev1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(aside / "votes.csv", "training_solutions_rev1.csv")
    (aside / "votes.csv").unlink()
    aside.rename(served)


def with_comment(jpeg: bytes, text: str) -> bytes:
    """The same image with a comment segment after its first marker."""
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text.encode() + jpeg[2:]


def timed(function, *args):
    started = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - started, result


def read_through(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(2**20):
                pass


def command(served: Path, output: Path, options: list[str]) -> list[str]:
    return [sys.executable, "-m", "gz2_dataset", "build", "--data_dir", str(served), "--output", str(output), *options]


def build(served: Path, output: Path, options: list[str]) -> tuple[float, float]:
    """Seconds, and the peak resident memory in GB."""
    started = time.perf_counter()
    process = subprocess.Popen(command(served, output, options), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the build failed")
    return time.perf_counter() - started, usage.ru_maxrss / 1e6


def interrupt(served: Path, output: Path) -> int:
    """Kill a build when half of its shards are written."""
    half = len(list(output.glob("data/*"))) or 8
    process = subprocess.Popen(command(served, output, ["--near_duplicates", "false"]), stdout=subprocess.DEVNULL)
    folder = output.with_name(f".{output.name}.partial") / "dataset/data"
    while process.poll() is None and len(list(folder.glob("[!.]*"))) < half:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return len(list(folder.glob("[!.]*")))


def tree(folder: Path) -> dict[str, int]:
    return {str(path): hash(path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


def compare_decoding(config: Config, data: str) -> None:
    """Preparing arrays against plain libjpeg-turbo on the same files, taking turns on the same cores."""
    galaxies = load(data)["train"]
    galaxies = galaxies.select(range(min(len(galaxies), config.images_to_prepare)))
    files = [encoded_bytes(image) for image in encoded(galaxies)]
    ids, path = list(galaxies["image_id"]), config.work / "arrays.npy"
    ratios = []
    for _ in range(5):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            plain, _ = timed(lambda pool=pool: [None for _ in pool.map(simplejpeg.decode_jpeg, files)])
        ours, _ = timed(prepare, galaxies, ids, path, config.resolution, 224, False)
        ratios.append(ours / plain)
        print(f"{len(files)} images: decoding alone {plain:.1f} s, arrays of {config.resolution} px {ours:.1f} s")
        path.unlink()
    print(f"ratio: median {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
