"""A classifier's model card, filled from its run."""

import json
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from galaxy_diffusion.shared import card_metadata
from galaxy_diffusion.shared.timm_nets import find_net
from gz2_dataset.crop import crop_in_words
from gz2_dataset.markdown import as_text, code_block, markdown_table

TEMPLATE = Path(__file__).with_name("card.md")
ORIGIN_TITLES = {
    "real": "real",
    "generated": "generated",
    "smote": "interpolated (SMOTE)",
    "duplicates": "repeated",
    "reserve": "new real",
    "pseudo_labels": "unlabelled, by probability",
    "retrieval": "unlabelled, by likeness",
}
"""Where training images come from: the keys of n_train in metrics.json, and the card's names for them."""


def classifier_card(name: str, results: dict[str, Any]) -> str:
    """Text of the card.

    Parameters
    ----------
    name : str
        Folder or Hub id of the model.
    results : dict
        What metrics.json holds; all settings in it are listed.
    """
    config, classes = results["config"], results["per_class"]
    title = name.rstrip("/").rpartition("/")[2]
    origins = [key for key in ORIGIN_TITLES if any(of_class.get(key) for of_class in results["n_train"].values())]
    metadata = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-classification",
        tags=["astronomy", "galaxies", "timm"],
        base_model=find_net(config["backbone"]).hub_id if config["pretrained"] else None,
        metrics=["accuracy", "precision", "recall", "f1"],
        model_name=title,
        eval_results=measured(results),
        **card_metadata.of_dataset(config["data"]),
    )
    card = ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        title=as_text(title),
        num_classes=len(classes),
        side=config["resolution"],
        crop=crop_in_words(results["center_crop"]),
        backbone=as_text(card_metadata.told(config)["backbone"]),
        pretrained=config["pretrained"],
        snippet=code_block(snippet(name), "python"),
        counts=markdown_table(
            ["class", *(ORIGIN_TITLES[key] for key in origins)],
            [[as_text(label), *(f"{n[key]:,}" for key in origins)] for label, n in results["n_train"].items()],
        ),
        steps=f"{results['steps']:,}",
        batch_size=config["batch_size"],
        settings=code_block(yaml.safe_dump(card_metadata.told(config), sort_keys=False, allow_unicode=True), "yaml"),
        num_test=f"{sum(row['n'] for row in classes.values()):,}",
        accuracy=f"{results['accuracy']:.3f}",
        f1=f"{results['macro']['f1']:.3f}",
        figures=markdown_table(
            ["class", "precision", "recall", "F1", "n"],
            [
                [as_text(label), *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), str(row["n"])]
                for label, row in classes.items()
            ],
        ),
    )
    return f"{card}\n"


def measured(results: dict[str, Any]) -> list[EvalResult]:
    """Accuracy and the macro averages on the test split, as the Hub lists them."""
    data = card_metadata.name_of(results["config"]["data"])
    figures = {"accuracy": ("Accuracy", results["accuracy"])} | {
        key: (f"Macro {'F1' if key == 'f1' else key}", value) for key, value in results["macro"].items()
    }
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=data,
            dataset_name=data,
            dataset_split="test",
            metric_type=key,
            metric_name=metric,
            metric_value=value,
        )
        for key, (metric, value) in figures.items()
    ]


def snippet(name: str) -> str:
    """Python code that classifies an image file with transformers, prepared as in training."""
    return (
        "from transformers import pipeline\n\n"
        f'classify = pipeline("image-classification", {json.dumps(name, ensure_ascii=False)}, trust_remote_code=True)\n'
        'classify("galaxy.jpg")'
    )
