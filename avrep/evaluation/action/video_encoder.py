"""What is measured: a frozen encoder of pictures with the clips that it takes, or any function."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avrep.augment.eval_crops import CropConfig
from avrep.evaluation.task_result import EncoderFacts
from avrep.models.features import Encoder, Features, check_video
from avrep.models.weights_digest import weights_digest
from avrep.sampling.clips import ClipConfig
from avrep.types import Geometry

_DIGEST_LENGTH = 16
_DECIMALS = 4
_BINS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoEncoder:
    """A frozen encoder and the form of its clips."""

    facts: EncoderFacts
    module: Encoder
    """In evaluation mode."""
    device: torch.device
    """Where it is."""
    clip: ClipConfig
    """Frames of a clip and the distance between them."""
    geometry: Geometry
    """Size at which frames are decoded, before they are cropped."""
    crops: CropConfig
    """Size of the crops and how they are normalised; how many is the task's to say."""

    def form(self) -> dict[str, Any]:
        """What decides a clip's input, as plain values."""
        return _form(self.clip, self.geometry, self.crops)


class FunctionEncoder(Encoder):
    """Any function from clips to vectors, as an encoder without tokens or weights of its own."""

    def __init__(self, function: Callable[[Tensor], Tensor], width: int) -> None:
        super().__init__(width)
        self._function = function

    def forward(self, clips: Tensor, /) -> Features:
        pooled = self._function(clips)
        return Features(tokens=pooled[:, None], grid=(1, 1, 1), pooled=pooled)


def encoder_of_module(
    module: Encoder, name: str, *, clip: ClipConfig, geometry: Geometry, crops: CropConfig
) -> VideoEncoder:
    """An encoder of ours; its digest is of its weights and of what its input goes through."""
    form = json.dumps(_form(clip, geometry, crops), sort_keys=True)
    digest = hashlib.sha256(f"{weights_digest(module)}\n{form}".encode()).hexdigest()
    return VideoEncoder(
        facts=EncoderFacts(
            name=name, digest=digest[:_DIGEST_LENGTH], num_parameters=module.num_parameters
        ),
        module=module.eval(),
        device=next((weight.device for weight in module.parameters()), torch.device("cpu")),
        clip=clip,
        geometry=geometry,
        crops=crops,
    )


def encoder_of_function(
    function: Callable[[Tensor], Tensor],
    name: str,
    *,
    clip: ClipConfig,
    crops: CropConfig,
    device: torch.device | None = None,
) -> VideoEncoder:
    """Any function as an encoder, so that other networks and plain baselines go the same way.

    A function has no weights to take a digest of: its name and what it makes of a fixed clip of
    noise, to four decimals, stand for it.

    Args:
        function: float32[b 3 t h w], normalised as `crops` says, to float[b d]; a network of
            somebody else's in evaluation mode, or any code.
        name: as results name it.
        clip: which frames.
        crops: of which size, and how normalised.
        device: where the function wants its clips.

    Raises:
        ValueError: the function gives something else.
    """
    device = device or torch.device("cpu")
    noise = torch.randn(
        (2, 3, clip.num_frames, crops.crop_px, crops.crop_px),
        generator=torch.Generator().manual_seed(0),
    )
    with torch.inference_mode():
        found = function(noise.to(device))
    if found.ndim != 2 or len(found) != 2 or not found.is_floating_point():
        raise ValueError(
            f"{name} must give float[b d] for float[b 3 t h w]; "
            f"it gave {str(found.dtype).removeprefix('torch.')}{list(found.shape)} for b = 2"
        )
    said = [[round(value, _DECIMALS) for value in row] for row in found.float().tolist()]
    geometry = Geometry(short_side_px=crops.short_side_px)
    form = json.dumps([said, _form(clip, geometry, crops)], sort_keys=True)
    digest = hashlib.sha256(f"{name}\n{form}".encode()).hexdigest()
    parameters = function.parameters() if isinstance(function, nn.Module) else ()
    size = sum(parameter.numel() for parameter in parameters)
    return VideoEncoder(
        facts=EncoderFacts(name=name, digest=digest[:_DIGEST_LENGTH], num_parameters=size),
        module=FunctionEncoder(function, found.shape[1]).to(device).eval(),
        device=device,
        clip=clip,
        geometry=geometry,
        crops=crops,
    )


def colour_histogram(clips: Tensor) -> Tensor:
    """A baseline that sees no shape and no motion: a histogram of each colour, float32[b 48].

    Args:
        clips: float[b 3 t h w], normalised by mean 0.5 and deviation 0.5.
    """
    check_video(clips)
    values = clips.flatten(2)
    places = ((values + 1) * (_BINS / 2)).long().clamp_(0, _BINS - 1)
    counts = values.new_zeros(*values.shape[:2], _BINS)
    counts.scatter_add_(2, places, torch.ones_like(values))
    return (counts / values.shape[2]).flatten(1)


def small_pixels(clips: Tensor) -> Tensor:
    """A baseline without learning: the clip's mean picture, and how much each place of it changes,
    both 8 x 8, float32[b 256].

    Args:
        clips: float[b 3 t h w].
    """
    check_video(clips)
    small = nn.functional.adaptive_avg_pool3d(clips, (clips.shape[2], 8, 8))
    change = (small[:, :, 1:] - small[:, :, :-1]).abs().mean(dim=(1, 2))
    return torch.cat([small.mean(dim=2).flatten(1), change.flatten(1)], dim=1)


def _form(clip: ClipConfig, geometry: Geometry, crops: CropConfig) -> dict[str, Any]:
    return {
        "clip": {"num_frames": clip.num_frames, "stride": clip.stride, "fps": clip.fps},
        "short_side_px": geometry.short_side_px,
        "crops": crops.model_dump(mode="json", exclude={"num_crops"}),
    }
