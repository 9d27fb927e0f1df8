"""From the host to a GPU, without the host waiting for what the GPU is doing."""

import warnings

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def to_device(values: npt.NDArray[np.generic] | Tensor, device: torch.device) -> Tensor:
    """Numbers of the host as a tensor on the device; on the CPU an array's memory is shared.

    To a GPU they are copied through pinned memory, and what the host is asked for next does not wait:
    a plain copy lets it wait until the GPU has done all that it was asked for before. What is on a
    device already stays or is moved as torch moves it.
    """
    if isinstance(values, Tensor):
        if device.type == "cuda" and values.device.type == "cpu":
            values = values.pin_memory()
        return values.to(device, non_blocking=device.type != "cpu")
    if device.type == "cuda":
        dtype = torch.from_numpy(np.empty(0, values.dtype)).dtype
        pinned = torch.empty(values.shape, dtype=dtype, pin_memory=True)
        np.copyto(pinned.numpy(), values)
        return pinned.to(device, non_blocking=True)
    with warnings.catch_warnings():
        # Arrays out of Ray's object store are read-only, and nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values).to(device, non_blocking=True)
