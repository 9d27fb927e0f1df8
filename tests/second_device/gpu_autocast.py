"""Autocast as CUDA has it: which operations it computes in bfloat16, and which in float32.

The CPU's lists are others (softmax, layer norm and losses stay in bfloat16 there), so that a mix of
types that only a GPU sees is not seen on the CPU. The lists are those of torch's documentation
("Automatic Mixed Precision package", CUDA op-specific behavior).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.library import Library, fallthrough_kernel
from torch.utils._pytree import tree_leaves, tree_map_only

_KEY = "AutocastPrivateUse1"
_IN_BFLOAT16 = """
_convolution conv1d conv2d conv3d conv_transpose1d conv_transpose2d.input conv_transpose3d.input
convolution prelu addmm addmv addr matmul einsum mm mv linear addbmm baddbmm bmm chain_matmul
linalg_multi_dot scaled_dot_product_attention gru_cell lstm_cell rnn_tanh_cell rnn_relu_cell
"""
_IN_FLOAT32 = """
acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow.Tensor_Scalar
pow.Tensor_Tensor pow.Scalar softplus layer_norm native_layer_norm group_norm cosine_similarity
nll_loss kl_div l1_loss smooth_l1_loss huber_loss mse_loss soft_margin_loss triplet_margin_loss
binary_cross_entropy_with_logits dist pdist cdist renorm logsumexp upsample_nearest1d
upsample_bilinear2d upsample_bicubic2d upsample_linear1d upsample_trilinear3d fft_rfft fft_irfft
softmax.int log_softmax.int cumprod cumsum linalg_vector_norm sum sum.dim_IntList prod norm.Scalar
"""
_IN_THE_WIDEST = """
addcdiv addcmul atan2 bilinear cross dot grid_sampler index_put tensordot scatter_add cat stack
"""
_libraries: list[Library] = []


def cast_as_on_gpus(device_type: str) -> None:
    """Give the Python device of that name CUDA's autocast, for as long as the process lives."""
    others = Library("_", "IMPL")
    others.fallback(fallthrough_kernel, _KEY)
    own = Library("aten", "IMPL")
    for names, dtype in (
        (_IN_BFLOAT16, torch.bfloat16),
        (_IN_FLOAT32, torch.float32),
        (_IN_THE_WIDEST, None),
    ):
        for name in names.split():
            packet, _, overload = name.partition(".")
            operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
            own.impl(name, _cast_to(operation, dtype, device_type), _KEY)
    _libraries.extend([others, own])


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
