"""Autocast as CUDA has it: which operations it computes in bfloat16, and which in float32.

The CPU's lists are others (softmax, layer norm and losses stay in bfloat16 there), so that a mix of
types that only a GPU sees is not seen on the CPU. Which operations CUDA's autocast changes at all is
asked of torch, which knows it without a GPU; those named here it casts to bfloat16 or to the widest of
their arguments, and all others to float32.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.library import Library, fallthrough_kernel
from torch.utils._pytree import tree_leaves, tree_map_only

_KEY = "AutocastPrivateUse1"
_IN_BFLOAT16 = """
_convolution _convolution.deprecated conv1d conv2d conv3d
conv_tbc conv_transpose1d conv_transpose2d.input conv_transpose3d.input convolution cudnn_convolution
cudnn_convolution_transpose prelu addmm addmv addr matmul einsum mm mv linalg_vecdot linear addbmm
baddbmm bmm chain_matmul linalg_multi_dot scaled_dot_product_attention
_scaled_dot_product_flash_attention gru_cell lstm_cell rnn_tanh_cell rnn_relu_cell
_thnn_fused_gru_cell _thnn_fused_lstm_cell _cudnn_rnn
"""
_IN_THE_WIDEST = """
addcdiv addcmul atan2 bilinear cross dot grid_sampler index_put scatter_add tensordot vdot
"""
_REFUSED = "binary_cross_entropy"
_libraries: list[Library] = []


def cast_as_on_gpus(device_type: str) -> None:
    """Give the Python device of that name CUDA's autocast, for as long as the process lives."""
    others = Library("_", "IMPL")
    others.fallback(fallthrough_kernel, _KEY)
    own = Library("aten", "IMPL")
    for name in _changed_by_cuda():
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
        if name == _REFUSED:
            own.impl(name, _refuse, _KEY)
        elif name in _IN_THE_WIDEST.split():
            own.impl(name, _cast_to(operation, None, device_type), _KEY)
        else:
            dtype = torch.bfloat16 if name in _IN_BFLOAT16.split() else torch.float32
            own.impl(name, _cast_to(operation, dtype, device_type), _KEY)
    _libraries.extend([others, own])


def _changed_by_cuda() -> list[str]:
    names = [name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")]
    key = torch._C.DispatchKey.AutocastCUDA
    changed = [
        name.removeprefix("aten::")
        for name in names
        if torch._C._dispatch_has_kernel_for_dispatch_key(name, key)
    ]
    if unknown := {*_IN_BFLOAT16.split(), *_IN_THE_WIDEST.split(), _REFUSED} - {*changed}:
        raise RuntimeError(f"CUDA's autocast leaves alone: {', '.join(sorted(unknown))}")
    return changed


def _refuse(*_: Any, **__: Any) -> Any:
    raise RuntimeError(f"{_REFUSED} is unsafe to autocast")


def _cast_to(
    operation: Callable[..., Any], dtype: torch.dtype | None, device_type: str
) -> Callable[..., Any]:
    key = torch._C._parse_dispatch_key(_KEY)
    assert key is not None

    def is_cast(tensor: torch.Tensor) -> bool:
        floating = tensor.is_floating_point() and tensor.dtype != torch.float64
        return floating and tensor.device.type == device_type

    def kernel(*args: Any, **kwargs: Any) -> Any:
        wanted = dtype
        if wanted is None:
            found = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor))
            is_wide = any(tensor.dtype == torch.float32 for tensor in found if is_cast(tensor))
            wanted = torch.float32 if is_wide else torch.bfloat16
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(key)):
            args, kwargs = tree_map_only(
                torch.Tensor,
                lambda tensor: tensor.to(wanted) if is_cast(tensor) else tensor,
                (args, kwargs),
            )
            return operation(*args, **kwargs)

    return kernel
