"""A convolutional encoder of sound: SyncNet's layers over log-mel spectrograms of any length."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from avrep.frozen import FrozenConfig
from avrep.models import log_mel
from avrep.models.features import Encoder, Features, check_sound
from avrep.models.seeded import seeded

MIN_SAMPLES = 880
"""Samples of the shortest sound: four frames of the spectrogram, which become one token."""
_SHARES = (1, 3, 6, 4, 4, 8)
_HALVES = {0: (1, 2), 1: (2, 2), 4: (2, 2)}
"""Steps in time and frequency of the pool after a layer, where SyncNet pools too."""


class AudioConvConfig(FrozenConfig):
    """Which convolutional audio encoder."""

    kind: Literal["audio_conv"] = "audio_conv"
    base_width: int = Field(default=64, ge=4, le=256)
    """Channels of the first layer; SyncNet's are 64, 192, 384, 256, 256 and 512, here in proportion.
    The default has 3.4 M parameters."""
    num_bins: int = Field(default=64, ge=16, le=512)
    """Bands of the log-mel spectrogram. avrep default: SyncNet has 13 cepstra instead."""
    version: Literal[1] = 1
    """Goes up when a mend would change what old weights compute."""


class AudioConv(Encoder):
    """25 tokens a second: one for each four frames of the spectrogram, all frequencies in one.

    The layers are those of SyncNet's sound (Chung and Zisserman, "Out of time: automated lip sync in
    the wild", ACCVW 2016; widths from the released code, SyncNetModel.py): 3 x 3 convolutions with
    batch norm and ReLU. As published a window of 0.2 s becomes one vector, by a last kernel as long
    as what the window has become. Here time is only halved twice and never padded away to one, so
    that a sound of any length becomes a sequence, and pooling over frequency ends it.

    Args:
        config: sizes.
    """

    def __init__(self, config: AudioConvConfig) -> None:
        widths = [share * config.base_width for share in _SHARES]
        super().__init__(widths[-1])
        self.num_bins = config.num_bins
        layers: list[nn.Module] = []
        before = 1
        for number, width in enumerate(widths):
            layers += [
                nn.Conv2d(before, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            if number in _HALVES:
                layers.append(nn.MaxPool2d(3, stride=_HALVES[number], padding=1))
            before = width
        self.layers = nn.Sequential(*layers)

    def forward(self, clips: Tensor, /) -> Features:
        """The features of whole sounds.

        Args:
            clips: float[b s], mono at 16 kHz, in [-1, 1], s at least 880.

        Raises:
            ValueError: the input has another form, or is shorter than 55 ms.
        """
        check_sound(clips, None, MIN_SAMPLES)
        num_frames = log_mel.num_frames(clips.shape[1])
        config = log_mel.LogMelConfig(num_bins=self.num_bins, num_frames=num_frames)
        maps: Tensor = self.layers(log_mel.log_mel(clips, config)[:, None])
        tokens = maps.mean(dim=3).transpose(1, 2)
        return Features(tokens=tokens, grid=(tokens.shape[1], 1, 1), pooled=tokens.mean(dim=1))


def build_audio_conv(config: AudioConvConfig, seed: int) -> AudioConv:
    """The encoder with fresh weights, a function of (config, seed); global generators are untouched.

    Args:
        config: which encoder.
        seed: the run's seed.
    """
    with seeded(seed, "audio_conv"):
        return AudioConv(config)
