"""Where a network runs, and that it runs there in full single precision."""

import torch

from cxrnode.errors import ModelMismatch


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
