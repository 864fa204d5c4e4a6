"""Where on the Hub a finished result goes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from galaxy_diffusion.shared.run_folder import FREE
from gz2_dataset import UserError
from gz2_dataset.hub import check_repo_id, files_in, upload


@dataclass(kw_only=True)
class HubConfig:
    """Settings of an upload."""

    push_to_hub: bool = field(default=False, metadata=FREE)
    """Upload the result to hub_model_id; where it is finished already, the same command only uploads."""
    hub_model_id: str | None = field(default=None, metadata=FREE)
    """USER/NAME on the Hub."""
    private: bool = field(default=False, metadata=FREE)
    """Make a new repository private."""


def check_target(config: HubConfig) -> None:
    """Refuse, before anything is made, what could not be uploaded afterwards.

    Raises
    ------
    UserError
        If only one of ``push_to_hub`` and ``hub_model_id`` is given, or the id is not of the form USER/NAME.
    """
    if config.push_to_hub != bool(config.hub_model_id):
        raise UserError("push_to_hub and hub_model_id: give both, --push_to_hub --hub_model_id USER/NAME, or neither")
    if config.hub_model_id:
        check_repo_id(config.hub_model_id)


def push(config: HubConfig, folder: Path, patterns: Iterable[str], kind: Literal["model", "dataset"]) -> None:
    """Upload the files of a finished folder, if that is wanted, and say where they are."""
    if config.push_to_hub and config.hub_model_id:
        message = f"{kind.capitalize()} made with galaxy-diffusion"
        print(f"uploaded: {upload(files_in(folder, patterns), config.hub_model_id, kind, message, config.private)}")
