"""How much memory the GPU has, how much of it is free, and how much this process holds."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Memory:
    """In bytes; `free` is what nobody uses, this process or another."""

    size: int
    free: int
    held: int


def memory() -> Memory | None:
    """Of the first GPU, once this process uses one; None: it does not."""
    if not (torch.cuda.is_available() and torch.cuda.is_initialized()):
        return None
    free, size = torch.cuda.mem_get_info(0)
    return Memory(size, free, torch.cuda.memory_reserved(0))
