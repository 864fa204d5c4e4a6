"""A classifier's model card, filled from its run."""

from typing import Any

from huggingface_hub import ModelCardData

TEXT = """---
{metadata}
---

# {title}

Tells {num_classes} classes of galaxies apart in images of {side} x {side} pixels: {backbone}, {start}.

```python
from transformers import pipeline

classify = pipeline("image-classification", "{name}")
classify("galaxy.jpg")
```

It takes colour composites of the survey it was trained on: their central {crop} x {crop} pixels, in {side} x {side}.

## Trained on

| class | real | generated | interpolated (SMOTE) |
|---|---|---|---|
{counts}

{steps:,} steps of {batch_size} images, under flips and quarter turns{remedies}. Seed {seed}.

## Tested on

{num_test:,} real galaxies that neither it nor any generator of its images has seen: accuracy {accuracy:.3f}, macro F1
{f1:.3f}. Probabilities of each are in predictions.csv.

| class | precision | recall | F1 | n |
|---|---|---|---|---|
{figures}

## Limits

- The figures are of one training and a test set of this size: they have no interval, and another seed gives others.
- The test set's mix of classes is that of its builder, not of the sky: precision in a survey differs.
- It names one of its classes for any image, a star or an artefact included.
- It knows its training galaxies' survey, depth and selection, and no others.
"""

REMEDIES = {
    "oversampling": "classes drawn equally often",
    "class_weights": "classes weighted by inverse frequency",
    "focal_gamma": "focal loss of gamma {}",
    "augmentations": "augmented: {}",
    "mixing": "mixed by {}",
    "label_smoothing": "label smoothing {}",
    "early_stopping_patience": "the best of the looks at the validation split, stopped {} looks after it or at the end",
}


def classifier_card(name: str, results: dict[str, Any]) -> str:
    """Text of the card.

    Parameters
    ----------
    name : str
        Folder or Hub id of the model.
    results : dict
        What metrics.json holds.
    """
    config, classes = results["config"], results["per_class"]
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=["astronomy", "galaxies", "timm"],
        metrics=["accuracy", "precision", "recall", "f1"],
    )
    remedies = []
    for field, text in REMEDIES.items():
        value = config[field]
        if value and value != "none":
            remedies.append(text.format(", ".join(value) if isinstance(value, list) else value))
    rows = {label: [f"{row[key]:.3f}" for key in ("precision", "recall", "f1")] for label, row in classes.items()}
    return TEXT.format(
        metadata=metadata.to_yaml(),
        title=name.rstrip("/").rpartition("/")[2],
        num_classes=len(classes),
        side=config["resolution"],
        crop=config["center_crop"],
        backbone=config["backbone"],
        start="fine-tuned from pretrained weights" if config["pretrained"] else "trained from scratch",
        name=name,
        counts="\n".join(
            f"| {label} | {n['real']:,} | {n['generated']:,} | {n['smote']:,} |"
            for label, n in results["n_train"].items()
        ),
        steps=results["steps"],
        batch_size=config["batch_size"],
        remedies="".join(f"; {remedy}" for remedy in remedies),
        seed=config["seed"],
        num_test=sum(row["n"] for row in classes.values()),
        accuracy=results["accuracy"],
        f1=results["macro"]["f1"],
        figures="\n".join(f"| {label} | {' | '.join(rows[label])} | {classes[label]['n']} |" for label in classes),
    )
