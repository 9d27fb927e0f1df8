"""What clusters are made of: a vector for each short stretch of sound."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from avrep.models import mfcc
from avrep.models.waveform import FRAME_SAMPLES, MIN_SAMPLES, RATE_HZ, Waveform

_PIECE_FRAMES = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFeatures:
    """Features of sound at 16 kHz; frame j sees 400 samples (25 ms) from sample j * hop on."""

    width: int
    """d"""
    hop_samples: int
    extract: Callable[[Tensor], Tensor]
    """float[s], at least 400 samples, to float32[n d] with n = 1 + floor((s - 400) / hop)."""
    is_standardised: bool = False
    """Each of the d numbers gets mean 0 and variance 1 over the sound's frames."""

    @property
    def rate_hz(self) -> int:
        """Frames a second."""
        return RATE_HZ // self.hop_samples

    @torch.inference_mode()
    def __call__(self, sound: Tensor) -> Tensor:
        """float32[n d] of sound float[s] of any length; n is 0 below 400 samples.

        Long sound is taken in pieces of 5000 frames (avrep default; fairseq takes 100 s) whose
        frames go on where those of the piece before end. What a frame hears of its neighbours ends
        with its piece.
        """
        num_frames = max(0, (sound.shape[0] - MIN_SAMPLES) // self.hop_samples + 1)
        parts = [torch.zeros(0, self.width)]
        for first in range(0, num_frames, _PIECE_FRAMES):
            # The last piece has the samples that fill no frame too, as the whole would have them.
            last = first + _PIECE_FRAMES
            end = (last - 1) * self.hop_samples + MIN_SAMPLES if last < num_frames else None
            parts.append(self.extract(sound[first * self.hop_samples : end]).cpu())
        frames = torch.cat(parts)
        return _standardise(frames) if self.is_standardised else frames


def mfcc_features() -> FrameFeatures:
    """HuBERT's of iteration 1: see `mfcc_with_deltas`."""
    hop_samples = RATE_HZ // mfcc.RATE_HZ
    return FrameFeatures(width=mfcc.WIDTH, hop_samples=hop_samples, extract=mfcc.mfcc_with_deltas)


def layer_features(encoder: Waveform, layer: int) -> FrameFeatures:
    """HuBERT's of iteration 2: the output of a layer, unmasked.

    Args:
        encoder: on the device to compute on; set to evaluation mode.
        layer: 1 for the first, up to the encoder's number of layers; 0 for the layers' input.

    Raises:
        ValueError: it has no such layer.
    """
    if not 0 <= layer <= encoder.num_layers:
        raise ValueError(f"layer must be in 0 to {encoder.num_layers}, got {layer}")
    encoder.eval()
    device = next(encoder.parameters()).device

    def extract(sound: Tensor) -> Tensor:
        states, _ = encoder.hidden_states(sound[None].to(device))
        return states[layer][0].float()

    return FrameFeatures(width=encoder.width, hop_samples=FRAME_SAMPLES, extract=extract)


def _standardise(frames: Tensor) -> Tensor:
    """float32[n d] less its mean over n, over its deviation there; what never changes becomes 0."""
    if len(frames) == 0:
        return frames
    # In double: a constant of many frames must not be told from its mean.
    variance, mean = torch.var_mean(frames.double(), dim=0, correction=0)
    return ((frames.double() - mean) * (variance + 1e-5).rsqrt()).float()
