"""A host view to the device, and augmented there, each clip by its own address."""

from collections.abc import Sequence

import torch

from avrep import rng
from avrep.augment.video import augment_video
from avrep.augment.video_config import VideoAugmentConfig
from avrep.augment.video_params import draw_video_params
from avrep.transfer import to_device
from avrep.types import Address, View


def augment_view(
    view: View,
    config: VideoAugmentConfig,
    addresses: Sequence[Address],
    *,
    seed: int,
    lane: int,
    device: torch.device,
) -> torch.Tensor:
    """Augment a view's frames on the device.

    The draws of a clip depend on its address and lane alone, so that neither the number of ranks
    nor what else is in the batch changes what a model sees.

    Args:
        view: with video uint8[b t h w 3], on the host.
        config: what to do.
        addresses: of the b clips.
        seed: the run's seed.
        lane: number of the view within the batch.
        device: where to.

    Returns:
        float32[b 3 t crop_px crop_px].

    Raises:
        ValueError: the view has no video.
    """
    if view.video is None:
        raise ValueError("a view without video cannot be augmented as video")
    rngs = [rng.at(seed, rng.Stage.AUGMENT, address, lane) for address in addresses]
    params = draw_video_params(config, view.size_px, rngs)
    return augment_video(to_device(view.video, device), params, config)
