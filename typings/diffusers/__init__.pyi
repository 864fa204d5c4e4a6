# What it declares is often wrong (a config as a plain dict, a loaded model as a tuple), so it counts as untyped.
from typing import Any

def __getattr__(name: str) -> Any: ...
