"""How well and how fast near duplicates are found: false pairs, recall by kind of copy, time and memory at full size.

python benchmarks/near_duplicates.py --images GALAXIES --output near_duplicates.json
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops, ImageEnhance
from tqdm.auto import tqdm

from galaxy_diffusion.shared.machine import peak_memory
from gz2_dataset.command_line import run
from gz2_dataset.near_duplicates import near_duplicates, signature

Edit = Callable[[Image.Image], Image.Image]


@dataclass
class Config:
    """What to measure."""

    images: Path
    """Folder of JPEG files that all show different galaxies."""
    output: Path
    """JSON file for the figures."""
    num_copies: int = 400
    """Images that are copied, once for each kind of copy."""
    full_size: int = 61_578
    """Number of signatures for the time and the memory of the search."""
    seed: int = 0
    """Determines which images are copied."""


def main(config: Config) -> None:
    files = sorted(config.images.glob("*.jpg"))
    contents = [file.read_bytes() for file in files]
    signatures, milliseconds = timed_signatures(contents)
    closest = near_duplicates(signatures)
    results = {
        "images": len(files),
        "signature_ms_one_core": milliseconds,
        "false_pairs": [[files[i].name, files[j].name] for i, j in closest],
        "recall": recall(contents, signatures, config),
        **full_size(signatures, config),
    }
    config.output.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


def timed_signatures(contents: list[bytes]) -> tuple[np.ndarray, float]:
    """Signatures, and the CPU time per image in milliseconds."""
    start = time.process_time()
    signatures = np.stack([signature(content) for content in tqdm(contents, "signatures", unit="image")])
    return signatures, 1000 * (time.process_time() - start) / len(contents)


def recall(contents: list[bytes], signatures: np.ndarray, config: Config) -> dict[str, dict[str, int]]:
    """Copies found and pairs with a wrong image, by kind of copy; each copy is searched for among all images."""
    chosen = np.random.default_rng(config.seed).choice(len(contents), config.num_copies, replace=False)
    kinds, found = edits(), {}
    with ThreadPoolExecutor() as pool:
        for kind, (edit, quality) in tqdm(kinds.items(), "kinds of copies"):
            copies = list(pool.map(lambda i, e=edit, q=quality: copy_of(contents[i], e, q), chosen))
            pairs = near_duplicates(np.concatenate([signatures, np.stack(copies)]))
            right = {(int(i), len(contents) + k) for k, i in enumerate(chosen)}
            found[kind] = {"copies": len(chosen), "found": len(right & set(pairs)), "wrong": len(set(pairs) - right)}
    return found


def copy_of(content: bytes, edit: Edit, quality: int) -> np.ndarray:
    """Signature of an edited image that was saved as JPEG."""
    buffer = BytesIO()
    edit(Image.open(BytesIO(content)).convert("RGB")).save(buffer, "JPEG", quality=quality)
    return signature(buffer.getvalue())


def edits() -> dict[str, tuple[Edit, int]]:
    """An edit and a JPEG quality by kind of copy."""
    turn = Image.Transpose.TRANSVERSE
    return {
        **{t.name.lower(): (lambda image, t=t: image.transpose(t), 90) for t in Image.Transpose},
        **{f"quality {quality}": (lambda image: image, quality) for quality in (60, 70, 80, 95)},
        "0.9 x": (lambda image: image.resize((382, 382), Image.Resampling.LANCZOS), 90),
        "half": (lambda image: image.resize((212, 212), Image.Resampling.BICUBIC), 90),
        "brighter by 10 %": (lambda image: ImageEnhance.Brightness(image).enhance(1.1), 90),
        "darker by 10 %": (lambda image: ImageEnhance.Brightness(image).enhance(0.9), 90),
        "shifted by 2 px": (lambda image: ImageChops.offset(image, 2, -2), 90),
        "shifted by 4 px": (lambda image: ImageChops.offset(image, -4, 4), 90),
        "shifted by 8 px": (lambda image: ImageChops.offset(image, 8, 8), 90),
        "crop of 400": (lambda image: image.crop((12, 12, 412, 412)), 90),
        "crop of 224": (lambda image: image.crop((100, 100, 324, 324)), 90),
        "transverse, half, quality 60": (lambda image: image.transpose(turn).resize((212, 212)), 60),
    }


def full_size(signatures: np.ndarray, config: Config) -> dict[str, float]:
    """Time and peak memory of the search among as many different skies: real ones, each repeat rolled further."""
    many = np.empty((config.full_size, *signatures.shape[1:]), np.int8)
    for k in range(len(many)):
        repeat, image = divmod(k, len(signatures))
        many[k] = np.roll(signatures[image], (7 * repeat, 7 * repeat), (0, 1))
    start, cpu_start = time.perf_counter(), time.process_time()
    pairs = near_duplicates(many)
    return {
        "full_size": len(many),
        "pairs_at_full_size": len(pairs),
        "search_seconds": time.perf_counter() - start,
        "search_cpu_seconds": time.process_time() - cpu_start,
        "peak_memory_gb": peak_memory(torch.device("cpu")) / 2**30,
    }


if __name__ == "__main__":
    run(main, Config, "Measures how well and how fast near duplicates are found.")
