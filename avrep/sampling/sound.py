"""Crops of an item's sound."""

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from avrep.errors import MediaError
from avrep.frozen import FrozenConfig


class SoundConfig(FrozenConfig):
    """One crop of each item's sound; the defaults are wav2vec 2.0's and HuBERT's."""

    kind: Literal["sound"] = "sound"
    duration_s: float = Field(default=15.625, gt=0, le=3600)
    """Length of a crop: 250,000 samples at 16 kHz. Shorter items are given whole."""
    min_s: float = Field(default=2.0, ge=0)
    """Items shorter than this are refused: 32,000 samples at 16 kHz."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_s > self.duration_s:
            raise ValueError(f"min_s {self.min_s} is above duration_s {self.duration_s}")
        return self


def sound_crop(
    duration_s: float, config: SoundConfig, rng: np.random.Generator
) -> tuple[float, float]:
    """The half-open interval of sound, in seconds from the start of the item's sound.

    The start is uniform over those from which the crop fits, as in fairseq's data sets (there over
    whole samples). An item no longer than the crop gives [0, duration_s).

    Args:
        duration_s: length of the item's sound.
        config: what to take.
        rng: where the randomness comes from; one number is drawn whatever the length.

    Raises:
        MediaError: the sound is shorter than `config.min_s`, or its length is no number.
    """
    if not math.isfinite(duration_s) or duration_s <= 0:
        raise MediaError("audio", f"duration is {duration_s} s")
    if duration_s < config.min_s:
        raise MediaError("audio", f"lasts {duration_s:.3f} s, shorter than min_s {config.min_s}")
    slack_s = duration_s - config.duration_s
    share = rng.random()
    if slack_s <= 0:
        return 0.0, duration_s
    start_s = min(share * slack_s, slack_s)
    return start_s, start_s + config.duration_s
