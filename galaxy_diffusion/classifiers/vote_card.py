"""The card of a classifier of votes, filled from its run."""

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from galaxy_diffusion.shared import card_metadata
from galaxy_diffusion.shared.timm_nets import find_net
from gz2_dataset.crop import crop_in_words
from gz2_dataset.markdown import as_text, code_block, markdown_table

TEMPLATE = Path(__file__).with_name("vote_card.md")


def vote_card(name: str, results: dict[str, Any]) -> str:
    """Text of the card of a folder or Hub id; all settings in ``results``, the content of metrics.json, are listed."""
    config, title = results["config"], name.rstrip("/").rpartition("/")[2]
    metadata = ModelCardData(
        library_name="transformers",
        tags=["astronomy", "galaxies", "timm", "galaxy-zoo", "vote-fractions"],
        base_model=find_net(config["backbone"]).hub_id if config["pretrained"] else None,
        **card_metadata.of_dataset(config["data"]),
    )
    card = ModelCard.from_template(
        metadata,
        template_path=str(TEMPLATE),
        title=as_text(title),
        side=config["resolution"],
        backbone=as_text(card_metadata.told(config)["backbone"]),
        pretrained=config["pretrained"],
        crop=crop_in_words(results["center_crop"]),
        n_train=" and ".join(f"{n:,} {kind}" for kind, n in results["n_train"]["votes"].items()) + " galaxies",
        n_test=f"{results['n_test']:,}",
        settings=code_block(yaml.safe_dump(card_metadata.told(config), sort_keys=False, allow_unicode=True), "yaml"),
        figures=markdown_table(
            ["question", "error", "baseline", "coverage", "n"],
            [
                [
                    as_text(question),
                    f"{row['error']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
                    *(f"{row[key]:.3f}" for key in ("baseline", "coverage")),
                    str(row["n"]),
                ]
                for question, row in results["questions"].items()
            ],
        ),
    )
    return f"{card}\n"
