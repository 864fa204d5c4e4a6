"""A generator's model card, filled from its run."""

import json
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import yaml
from huggingface_hub import ModelCardData

from galaxy_diffusion.sampling.ddpm_pipeline import DEFAULT_GUIDANCE
from galaxy_diffusion.sampling.schedulers import DEFAULT, DEFAULT_STEPS, FOLDER, SCHEDULERS
from gz2_dataset import GalaxyArrays

TEXT = """---
{metadata}
---

# {title}

Generates galaxy images of {side} x {side} pixels of a given class{votes}, trained for {images_seen:,} images.

{grid}```python
{snippet}```

`trust_remote_code` runs the `pipeline.py` of this folder: read it first, and pin the revision that you have read with
`revision=` and `custom_revision=`.

## Trained on

| class | galaxies |
|---|---|
{counts}

{data}`{seen}` lists all of them with the SHA-256 of their files: do not judge this model, or a classifier that learns
from its images, on any of these.

## Training

```yaml
{settings}```

{metrics}

## Limits

{findings}- {rarest}
- Look for copies before you use the images: the nearest training galaxies of each are a minimum
  (`evaluate_images.py` of galaxy-diffusion lists them).
- The images are 8-bit colour composites, passed through the same JPEG as the training images: shapes and colours can be
  compared, fluxes cannot be measured.
- It knows its training galaxies' survey, depth and selection, and no others.
"""

RARE = 500
"""Classes with fewer galaxies are pointed out as likely to be copied."""

FINDINGS = ("diversity", "saturation")
"""Figures of a training that the card shows beside the losses begin so."""


def model_card(
    name: str,
    config: dict[str, Any],
    labelled: GalaxyArrays,
    num_unlabelled: int,
    record: dict[str, Any],
    grid: str | None,
    kind: Literal["diffusion", "gan"] = "diffusion",
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
        Number of the others.
    record : dict
        Last line of metrics.jsonl.
    grid : str, optional
        Path of a picture with a row a class, in the model's folder.
    kind : {"diffusion", "gan"}
        Which is also its tag on the Hub.
    findings : sequence of str
        What the training has found out about the model, each a line.
    """
    counts = dict(
        zip(labelled.class_names, np.bincount(labelled.labels, minlength=len(labelled.class_names)), strict=True)
    )
    rare = [f"{label} ({count})" for label, count in counts.items() if count < RARE]
    metadata = ModelCardData(
        library_name="diffusers",
        pipeline_tag="unconditional-image-generation",
        tags=["astronomy", "galaxies", "class-conditional", kind],
    )
    figures = {key: value for key, value in record.items() if "loss" in key or key.startswith(FINDINGS)}
    return TEXT.format(
        metadata=metadata.to_yaml(),
        title=name.rstrip("/").rpartition("/")[2],
        side=config["resolution"],
        votes=" or given vote fractions" if config.get("conditioning") == "votes" else "",
        images_seen=record["images_seen"],
        grid=f"![A row a class, in the order of the table below]({grid})\n\n" if grid else "",
        snippet=snippet(name, labelled.class_names[0], kind),
        findings="".join(f"- {finding}\n" for finding in findings),
        counts="\n".join(f"| {label} | {count:,} |" for label, count in counts.items()),
        data=f"Beside them {num_unlabelled:,} galaxies without a class. " if num_unlabelled else "",
        seen="seen_images.csv",
        settings=yaml.safe_dump(config, sort_keys=False),
        metrics="\n".join(["| at the end | |", "|---|---|", *(f"| {k} | {v:.5f} |" for k, v in figures.items())]),
        rarest=f"Learned from few galaxies, so likely to be copied and uniform: {', '.join(rare)}."
        if rare
        else f"No class had fewer than {RARE} galaxies.",
    )


def snippet(name: str, class_name: str, kind: Literal["diffusion", "gan"] = "diffusion") -> str:
    """Lines of Python with which diffusers alone draws a galaxy, a diffusion model's with the default sampler."""
    scheduler = f", {SCHEDULERS[DEFAULT].scheduler_class.__name__}" if kind == "diffusion" else ""
    name, class_name = json.dumps(name), json.dumps(class_name)  # quoted: neither may bring lines of its own
    load = f"pipe = DiffusionPipeline.from_pretrained({name}, custom_pipeline={name}, trust_remote_code=True)"
    lines = [f"from diffusers import DiffusionPipeline{scheduler}", "", load]
    call = f"class_labels=[{class_name}]"
    if scheduler:
        lines.append(f'pipe.scheduler = {scheduler[2:]}.from_pretrained({name}, subfolder="{FOLDER}")')
        call += f", guidance_scale={DEFAULT_GUIDANCE}, num_inference_steps={DEFAULT_STEPS}"
    return "\n".join([*lines, f"image = pipe({call}).images[0]", ""])
