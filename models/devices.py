"""Where a network runs, what it may take of a GPU, and that it runs there in single precision if not asked for half."""

from dataclasses import dataclass

import torch

from cxrnode.errors import ModelMismatch

CPU = torch.device("cpu")
MEMORY_FULL = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""what CUDA, cuBLAS and cuDNN say when they want memory for themselves that torch's allocator is not asked for"""


@dataclass(frozen=True)
class Gpu:
    """How a network uses a GPU where it runs on one: images of one pass at the most, and whether in half precision."""

    batch: int = 16
    half: bool = False


def bound(memory_gb: float) -> None:
    """Let this process have no more than so many gigabytes (2^30 bytes) of the GPU's memory; 0 sets no bound.

    What would need more is out of memory, as if the GPU were smaller.
    """
    if memory_gb and torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(memory_gb * 2**30 / whole, 1.0))


def ran_out(error: RuntimeError) -> bool:
    """Whether a GPU's memory was full: torch has an error for it, the libraries beneath it have a sentence each."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in MEMORY_FULL)


def choose(device: str) -> torch.device:
    """`auto`, `cpu` or `cuda` -> a device; raises ModelMismatch when CUDA is asked for and absent.

    TensorFloat-32 is switched off, for it keeps 10 bits of the mantissa and a probability would depend on the
    machine; so are convolutions that add up in another order each time.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelMismatch("device is 'cuda', but this machine shows torch no CUDA device; wanted 'auto' or 'cpu'")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    return torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
