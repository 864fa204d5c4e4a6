"""What a model card says about the data, the model that a training started from, and the settings."""

from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import DatasetCard
from huggingface_hub.errors import HTTPError

from gz2_dataset.loading import is_on_hub

LICENCE = ("license", "license_name", "license_link")


def of_dataset(data: str) -> dict[str, Any]:
    """The Hub id of a dataset, where it has one, and the licence that its own card states, where it states one.

    Parameters
    ----------
    data : str
        As for `gz2_dataset.load`.

    Returns
    -------
    dict
        Arguments for `ModelCardData`: datasets, license, license_name and license_link, those that are known.
    """
    on_hub, card = is_on_hub(data), Path(data) / "README.md"
    known: dict[str, Any] = {"datasets": [data]} if on_hub else {}
    if on_hub or card.is_file():
        try:
            stated = DatasetCard.load(data if on_hub else card).data
        except (OSError, HTTPError, ValueError, yaml.YAMLError):
            return known
        known |= {key: stated[key] for key in LICENCE if stated.get(key)}
    return known


def name_of(data: str) -> str:
    """The name of a dataset where its path must not be shown: its Hub id, or the last part of its folder."""
    return data if is_on_hub(data) else Path(data).resolve().name


FOLDERS = ("data", "init_from", "augment_with", "teacher")
"""Settings that name a folder or something on the Hub."""
IN_FOLDER = "local-dir:"
"""How the name of a timm net begins that lies in a folder."""


def told(config: dict[str, Any]) -> dict[str, Any]:
    """The settings of a training as a card shows them: all but ``output_dir``, and folders without their path.

    Examples
    --------
    >>> told({"data": "/home/me/galaxies", "output_dir": "/home/me/run", "init_from": None, "seed": 0})
    {'data': 'galaxies', 'init_from': None, 'seed': 0}
    """
    return {
        key: name_of(value) if value and (key in FOLDERS or str(value).startswith(IN_FOLDER)) else value
        for key, value in config.items()
        if key != "output_dir"
    }
