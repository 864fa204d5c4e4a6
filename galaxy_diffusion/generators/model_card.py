"""A generator's model card, filled from its run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from huggingface_hub import ModelCard, ModelCardData

from galaxy_diffusion.sampling.schedulers import DEFAULT, FOLDER, SCHEDULERS
from galaxy_diffusion.sampling.settings import Sampling
from galaxy_diffusion.shared import card_metadata
from gz2_dataset import GalaxyArrays
from gz2_dataset.crop import crop_in_words
from gz2_dataset.loading import is_on_hub
from gz2_dataset.markdown import as_text, code_block, markdown_table

TEMPLATE = Path(__file__).with_name("model_card.md")
RARE = 500
"""Classes with fewer galaxies are pointed out as likely to be copied."""

FINDINGS = ("diversity", "saturation")
"""The card shows the losses, and figures of a training whose names begin like this."""


def model_card(
    name: str,
    config: dict[str, Any],
    labelled: GalaxyArrays,
    num_unlabelled: int,
    record: dict[str, Any],
    grid: str | None,
    kind: Literal["diffusion", "gan", "vae", "autoregressive"] = "diffusion",
    findings: Sequence[str] = (),
) -> str:
    """Text of the card.

    Parameters
    ----------
    name : str
        Folder or Hub id of the model.
    config : dict
        Settings of the training, all of which are listed.
    labelled : GalaxyArrays
        The galaxies with a class that it learned from.
    num_unlabelled : int
        Number of galaxies without a class that it learned from.
    record : dict
        Last line of metrics.jsonl.
    grid : str, optional
        Path of a picture with one row per class, in the model's folder.
    kind : {"diffusion", "gan", "vae", "autoregressive"}
        Also its tag on the Hub.
    findings : sequence of str
        What the training has found out about the model, one line each.
    """
    counts = labelled.counts.tolist()
    of_class = list(zip(map(as_text, labelled.class_names), counts, strict=True))
    parent = config.get("init_from")
    metadata = ModelCardData(
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        tags=["astronomy", "galaxies", "class-conditional", kind],
        base_model=parent if parent and is_on_hub(parent) else None,
        **card_metadata.of_dataset(config["data"]),
    )
    losses = {key: value for key, value in record.items() if "loss" in key or key.startswith(FINDINGS)}
    card = ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        title=as_text(name.rstrip("/").rpartition("/")[2]),
        side=config["resolution"],
        votes=config.get("conditioning") == "votes",
        images_seen=f"{record['images_seen']:,}",
        grid=grid,
        snippet=code_block(snippet(name, labelled.class_names[0], kind), "python"),
        counts=markdown_table(["class", "galaxies"], [[label, f"{count:,}"] for label, count in of_class]),
        crop=crop_in_words(labelled.center_crop),
        num_unlabelled=f"{num_unlabelled:,}" if num_unlabelled else "",
        settings=code_block(yaml.safe_dump(card_metadata.told(config), sort_keys=False, allow_unicode=True), "yaml"),
        losses=markdown_table(["at the end", ""], [[as_text(key), f"{value:.5f}"] for key, value in losses.items()]),
        findings=[as_text(finding) for finding in findings],
        rare=[f"{label} ({count})" for label, count in of_class if count < RARE],
        few=RARE,
    )
    return f"{card}\n"


def snippet(
    name: str, class_name: str, kind: Literal["diffusion", "gan", "vae", "autoregressive"] = "diffusion"
) -> str:
    """Python code that draws a galaxy with nothing but diffusers; for a diffusion model, with the default sampler."""
    scheduler = f", {SCHEDULERS[DEFAULT].scheduler_class.__name__}" if kind == "diffusion" else ""
    name, class_name = (json.dumps(text, ensure_ascii=False) for text in (name, class_name))  # neither injects code
    load = f"pipe = DiffusionPipeline.from_pretrained({name}, trust_remote_code=True)"
    lines = [f"from diffusers import DiffusionPipeline{scheduler}", "", load]
    call = f"class_labels=[{class_name}]"
    if scheduler:
        lines.append(f'pipe.scheduler = {scheduler[2:]}.from_pretrained({name}, subfolder="{FOLDER}")')
        call += "".join(f", {key}={value}" for key, value in Sampling().kwargs.items())
    return "\n".join([*lines, f"image = pipe({call}).images[0]", ""])
