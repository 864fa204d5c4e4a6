"""The configs of a model that may come from anybody: what they ask for is bounded before anything is made of it."""

from pathlib import Path
from typing import Any

from gz2_dataset import UserError
from gz2_dataset.reading import read_json

MOST = {
    "sample_size": 4096,
    "input_size": 4096,
    "patch_size": 4096,
    "block_out_channels": 65_536,
    "layers_per_block": 100,
    "n_layer": 1000,
    "num_train_timesteps": 100_000,
}
"""Of what is made for each pixel, layer or noise level."""
MOST_OF_OTHERS, MOST_ENTRIES = 1_000_000, 100_000


def check_sizes(model: Path) -> None:
    """Refuse a model whose configs name absurd sizes, for which memory or time would be taken without end.

    Weights are compared with the config when they are loaded, so a size that is sensible but wrong is found then.

    Parameters
    ----------
    model : Path
        Folder of a pipeline or classifier; its JSON files, and those of the folders in it, are read.

    Raises
    ------
    UserError
        That names the file and the key.
    """
    for path in sorted([*model.glob("*config.json"), *model.glob("*/*config.json"), *model.glob("model_index.json")]):
        check(path, "", read_json(path, "take another model"))


def check(path: Path, key: str, value: Any) -> None:
    """Check a value and all that is in it."""
    if isinstance(value, dict):
        for name, entry in value.items():
            check(path, name, entry)
    elif isinstance(value, list):
        if len(value) > MOST_ENTRIES:
            raise UserError(f"{path}: {key} has {len(value)} entries; take another model")
        for entry in value:
            check(path, key, entry)
    elif isinstance(value, int) and abs(value) > MOST.get(key, MOST_OF_OTHERS):
        raise UserError(f"{path}: {key} {value} is absurd; take another model")
