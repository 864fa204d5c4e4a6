"""The card of a folder of generated images: synthetic, what for, and what not for."""

import json
from collections import Counter
from pathlib import Path

import yaml
from huggingface_hub import DatasetCard, DatasetCardData

from galaxy_diffusion.shared.image_folder import METADATA, VERDICTS, read_metadata
from galaxy_diffusion.shared.seen_images import FILE as SEEN_FILE
from gz2_dataset.aside import write_whole
from gz2_dataset.markdown import as_text, code_block, markdown_table

TEMPLATE = Path(__file__).with_name("generated_card.md")
FILES = ("README.md", METADATA, "run.json", "settings.json", SEEN_FILE, "*/[0-9]*.jpg")
"""What belongs to a finished folder of generated images."""
OF_AN_IMAGE = ("file_name", "label", "seed", "source_image_id", "source_file", *VERDICTS)
"""Keys of metadata.jsonl that differ from image to image."""


def write_card(folder: Path, generator: str, name: str | None = None) -> None:
    """Write README.md, with which `datasets.load_dataset` also finds the images.

    Parameters
    ----------
    folder : Path
        A folder of generated images.
    generator : str
        Name of the model that drew them.
    name : str, optional
        Hub id of the folder; its own name if it has none.
    """
    rows = read_metadata(str(folder))
    counts = Counter(row["label"] for row in rows)
    shared = {key: value for key, value in rows[0].items() if key not in OF_AN_IMAGE} if rows else {}
    name = name or folder.resolve().name
    metadata = DatasetCardData(
        pretty_name=name.rpartition("/")[2],
        tags=["synthetic", "astronomy", "galaxies"],
        task_categories=["image-classification"],
        annotations_creators=["machine-generated"],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": [METADATA, "*/[0-9]*.jpg"]}]}],
    )
    card = DatasetCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        title=as_text(name.rpartition("/")[2]),
        snippet=code_block(snippet(name), "python"),
        total=f"{len(rows):,}",
        generator=as_text(generator),
        settings=code_block(yaml.safe_dump(shared, sort_keys=False, allow_unicode=True), "yaml"),
        counts=markdown_table(
            ["class", "images"], [[as_text(label), f"{count:,}"] for label, count in sorted(counts.items())]
        ),
        judged=any("kept" in row for row in rows),
    )
    write_whole(folder / "README.md", f"{card}\n")


def snippet(name: str) -> str:
    """Python code that opens the images."""
    quoted = json.dumps(name, ensure_ascii=False)
    return f'from datasets import load_dataset\n\nimages = load_dataset({quoted}, split="train")'
