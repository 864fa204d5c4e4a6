"""The state of a training as data: a safetensors file with the tensors, and the rest as JSON in its header."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gz2_dataset.aside import as_umask_says


def write_state(path: Path, state: Any) -> None:
    """Write what a ``state_dict`` returns, so that reading it can run nothing, unlike reading a pickle.

    Parameters
    ----------
    path : Path
    state : nested dicts, lists and tuples of tensors and of what JSON knows
        The keys of dicts are strings or numbers. A tensor that stands in two places is written once.
    """
    tensors, names = {}, {}

    def plain(value: Any, *place: str) -> Any:
        if isinstance(value, torch.Tensor):
            memory = (value.data_ptr(), value.dtype, value.shape, value.stride())
            name = names.setdefault(memory, ".".join(place))
            tensors[name] = value.contiguous()
            return {"tensor": name, "stride": value.stride()}
        if isinstance(value, dict):
            return {"dict": [[key, plain(entry, *place, str(key))] for key, entry in value.items()]}
        if isinstance(value, list | tuple):
            return [plain(entry, *place, str(i)) for i, entry in enumerate(value)]
        return value

    header = json.dumps(plain(state))
    save_file(tensors, path, metadata={"state": header})
    as_umask_says(path)


def read_state(path: Path) -> Any:
    """Read what `write_state` has written.

    Returns
    -------
    nested dicts and lists
        Tuples have become lists; tensors are on the CPU and lie in memory as they did when they were written, which
        decides by which kernel, and so with which rounding, they are worked with.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "optimizer.safetensors")
    >>> write_state(path, {"steps": {0: torch.tensor(7.0)}, "betas": (0.9, 0.999)})
    >>> read_state(path)
    {'steps': {0: tensor(7.)}, 'betas': [0.9, 0.999]}
    """
    with safe_open(path, "pt") as file:

        def original(value: Any) -> Any:
            if isinstance(value, list):
                return [original(entry) for entry in value]
            if not isinstance(value, dict):
                return value
            if "dict" in value:
                return {key: original(entry) for key, entry in value["dict"]}
            tensor = file.get_tensor(value["tensor"])
            memory = torch.empty_like(tensor.flatten())  # as_strided cannot leave it, whatever the file says
            return memory.as_strided(tensor.shape, value["stride"]).copy_(tensor)

        return original(json.loads(file.metadata()["state"]))


def fit_to_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Let the state that an optimizer has loaded lie in memory as its parameters do.

    PyTorch takes a state as it comes, and its fused kernels read and write beyond one that is smaller than they expect.

    Raises
    ------
    ValueError
        If a tensor other than the number of steps has not the shape of its parameter, or something is missing.
    """
    for group, (key, default) in product(optimizer.param_groups, optimizer.defaults.items()):
        if key not in group or not is_like(group[key], default):
            raise ValueError(f"no {key} for a group of parameters")
    names = set[str]().union(*optimizer.state.values())
    for parameter, values in optimizer.state.items():
        if missing := names - values.keys():
            raise ValueError(f"no {min(missing)} for a parameter, as others have")
        for key, value in values.items():
            if key == "step":
                continue
            if value.shape != parameter.shape:
                raise ValueError(f"{key} of shape {tuple(value.shape)} for a parameter of {tuple(parameter.shape)}")
            values[key] = torch.empty_like(parameter).copy_(value)


def is_like(value: Any, default: Any) -> bool:
    """Whether a setting of an optimizer is a number, or as many numbers, as its default is; others may be anything.

    Examples
    --------
    >>> is_like(1e-4, 1e-3), is_like("1e-4", 1e-3), is_like((0.9,), (0.9, 0.999))
    (True, False, False)
    """
    if isinstance(default, tuple):
        return isinstance(value, tuple | list) and len(value) == len(default) and all(map(is_like, value, default))
    return not isinstance(default, float) or isinstance(value, float | int | torch.Tensor)
