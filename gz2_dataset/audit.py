"""Is a dataset fit for use? Counts against the paper, unreadable images, duplicates."""

import json
from collections import Counter
from io import BytesIO
from pathlib import Path

from PIL import Image
from tqdm.auto import tqdm

from .builder import BUILD_FILE, count_table
from .command_line import UserError
from .loading import digests, encoded, encoded_bytes, load
from .rules import RULES


def audit(folder: Path) -> list[str]:
    """Print what a built dataset holds and return what is wrong with it.

    Parameters
    ----------
    folder : Path
        A folder that `build` wrote.

    Returns
    -------
    list of str
        Each problem in one line; empty if the data is fit for use.
    """
    if not (folder / BUILD_FILE).exists():
        raise UserError(f"{folder}: no dataset of python -m gz2_dataset build; build it first")
    summary = json.loads((folder / BUILD_FILE).read_text())
    counts = count_table(summary)
    print(counts.to_string())
    if summary["source"] == "kaggle":
        print("\nclass, found here, in the public file of 61,578 rows, in the paper:")
        for rule in RULES:
            found = counts["all"].get(rule.galaxy_class, 0)
            print(f"  {rule.galaxy_class}: {found} / {rule.expected_count} / {rule.paper_count}")
    for note in summary["notes"]:
        print(f"note: {note}")
    return problems(folder)


def problems(folder: Path) -> list[str]:
    """Unreadable images and images that occur twice; overlapping splits are refused on loading."""
    found, sizes, copies = [], Counter(), Counter()
    for split, galaxies in load(str(folder)).items():
        ids = list(galaxies["image_id"])
        for image_id, digest in zip(ids, digests(galaxies), strict=True):
            copies[digest] += 1
            if copies[digest] == 2:
                found.append(f"{split}: image {image_id} occurs more than once")
        for image_id, image in tqdm(zip(ids, encoded(galaxies), strict=True), split, len(ids), unit="image"):
            try:
                with Image.open(BytesIO(encoded_bytes(image))) as opened:
                    opened.load()
                    sizes[opened.size] += 1
            except OSError as error:
                found.append(f"{split}: image {image_id} cannot be decoded ({error})")
    (usual, _), *others = sizes.most_common() or [((0, 0), 0)]
    found += [f"{n} images are {w} x {h} pixels, not {usual[0]} x {usual[1]}" for (w, h), n in others]
    return found
