"""Which frames of a sound are hidden: spans of equal length that may overlap."""

from typing import Annotated

import numpy as np
import numpy.typing as npt

FrameMask = Annotated[npt.NDArray[np.bool_], "n"]

MIN_SPANS = 2
"""Spans of each clip at least, as in wav2vec 2.0's and HuBERT's released code."""


def span_mask(
    num_frames: int, probability: float, length: int, rng: np.random.Generator
) -> FrameMask:
    """Frames to mask: wav2vec 2.0's rule (arXiv 2006.11477, section 3.1) as released in fairseq.

    With n frames, share p and spans of L frames, floor(p n / L + u) spans for u uniform in [0, 1),
    and at least two, start at distinct frames drawn from [0, n - L). Spans may overlap, so the
    share of frames masked is below p: about 1 - exp(-p). The last frame is never masked.

    fairseq then unmasks frames at random until every clip of a batch has equally many masked;
    avrep's losses take unequal numbers, so here a clip's mask is its own. Where fewer starts exist
    than spans are asked for, each is used (avrep default; fairseq then widens the range of starts
    and may hide a whole clip, which newer versions refuse).

    Args:
        num_frames: n, the clip's own frames, without padding.
        probability: p, in (0, 1].
        length: L, at least 1.
        rng: where the randomness comes from.

    Returns:
        bool[n]: True where masked; at least two frames are, and at least one is not.

    Raises:
        ValueError: fewer than two spans can start in the clip.
    """
    num_starts = num_frames - length
    if num_starts < MIN_SPANS:
        raise ValueError(
            f"a clip of {num_frames} frames is too short for {MIN_SPANS} spans of {length}; "
            f"it needs {length + MIN_SPANS}"
        )
    num_spans = max(int(probability * num_frames / length + rng.random()), MIN_SPANS)
    starts = rng.choice(num_starts, size=min(num_spans, num_starts), replace=False)
    mask = np.zeros(num_frames, dtype=np.bool_)
    mask[starts[:, None] + np.arange(length)] = True
    return mask
