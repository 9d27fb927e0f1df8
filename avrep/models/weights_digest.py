"""Whether two encoders have the same weights."""

import hashlib

import torch
from torch import nn


def weights_digest(module: nn.Module) -> str:
    """Hex SHA-256 of a module's parameters and buffers with their names, wherever they are kept."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name}\0{array.dtype}\0{tuple(array.shape)}\n".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
