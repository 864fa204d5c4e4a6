"""Puts scripts, configs/, workflow/ and pretrained/ into the wheel, where galaxy-diffusion looks for them."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TARGET = "galaxy_diffusion/recipes"


class Recipes(BuildHookInterface):
    """In an editable install they stay in the clone; copies would only go stale."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        scripts = (path.name for path in Path(self.root).glob("*.py") if path.name != Path(__file__).name)
        shipped = (*scripts, "configs", "workflow", "pretrained")
        build_data["force_include"] = {name: f"{TARGET}/{name}" for name in shipped}
