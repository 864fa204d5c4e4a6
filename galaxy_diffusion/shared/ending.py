"""A training that is told to end finishes its step and writes a checkpoint, all its processes the same one."""

import torch

from gz2_dataset.interruption import Interrupted


class Ending:
    """Whether one of the processes of a training has been told to end.

    Parameters
    ----------
    noted : list of int
        Where the numbers of the signals to this process arrive; see `noted_signals`.
    """

    def __init__(self, noted: list[int]):
        self.noted, self.number = noted, 0
        several = torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
        # On the CPU, so that no step waits for the GPU to have done the one before.
        self.group = torch.distributed.new_group(backend="gloo") if several else None

    def look(self) -> bool:
        """Whether a signal has come to any process; after each step, by all processes."""
        number = torch.tensor(self.noted[0] if self.noted else 0)
        if self.group is not None:
            torch.distributed.all_reduce(number, torch.distributed.ReduceOp.MAX, self.group)  # pyright: ignore[reportArgumentType]
        self.number = int(number)
        return self.is_near

    @property
    def is_near(self) -> bool:
        """Whether the last look found a signal."""
        return self.number > 0

    def come(self) -> None:
        """End as the signal says."""
        raise Interrupted(self.number)
