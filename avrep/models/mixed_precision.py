"""Matrix products in bfloat16, on a GPU or the CPU; weights stay float32."""

import warnings
from collections.abc import Callable
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.library import Library

Precision = Literal["fp32", "bf16"]


def mixed_precision(device: torch.device, precision: Precision) -> torch.autocast:
    """Where forward passes are run: under torch's autocast to bfloat16, or with "fp32" as they are.

    On the CPU convolutions are computed in float32 all the same: in torch 2.11, on processors with
    bfloat16 of their own (AVX-512 BF16), the weights' gradient of some shapes is not what it should
    be, among them 3D convolutions of side 3 over two frames with 16 channels or more, as at a
    ResNet's end. It is wrong without a word, or not finite, or the process dies of what was written
    beside it. The first use on the CPU sees to that, for all autocast of the process.

    Args:
        device: that the weights are on.
        precision: of the run.
    """
    if precision == "bf16" and device.type == "cpu":
        _convolve_in_float32()
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@cache
def _convolve_in_float32() -> Library:
    """Give the CPU's autocast another policy for convolutions, which lasts as long as what is given."""
    library = Library("aten", "IMPL")
    aten = torch.ops.aten
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Warning only once for all operators")
        for packet in (aten.conv1d, aten.conv2d, aten.conv3d):
            for convolve in (packet.default, packet.padding):
                kernel = _in_float32(convolve)
                library.impl(convolve.name(), kernel, "AutocastCPU", allow_override=True)
    return library


def _in_float32(convolve: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def kernel(*args: object, **options: object) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            wide = (arg.float() if isinstance(arg, Tensor) else arg for arg in args)
            return convolve(*wide, **options)

    return kernel
