"""R(2+1)D-18: R3D-18 with each convolution parted into space and time (Tran et al., arXiv 1711.11248),
out of torchvision.
"""

from torch import nn


def build_r2plus1d_18() -> nn.Module:
    """The trunk, float[b 3 t h w] -> float[b 512 t/8 h/16 w/16] (sizes rounded up).

    torchvision's network and first weights, without its head.
    """
    # Imported when wanted: torchvision takes a second or two.
    from torchvision.models.video import r2plus1d_18

    layers = dict(r2plus1d_18(weights=None).named_children())
    return nn.Sequential(*(layers[name] for name in ("stem", *(f"layer{n}" for n in range(1, 5)))))
