"""Proves that the two-step conversion to RGB gives the pixels of the one-step conversion.

Truth: FFmpeg's packed RGB in one pass, on noise in every layout that real files have.
"""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.media.scale import FrameScaler
from avrep.types import Geometry

from .decode_truth import rgb

LAYOUTS = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "gray", "rgb24", "gbrp", "yuva420p"]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=25, deadline=None)
@given(
    width_px=st.integers(16, 300),
    height_px=st.integers(16, 300),
    factor=st.floats(0.5, 6.0),
    seed=st.integers(0, 2**32),
)
def test_pixels_are_those_of_one_pass(
    layout: str, width_px: int, height_px: int, factor: float, seed: int
) -> None:
    noise = np.random.default_rng(seed).integers(0, 256, (height_px, width_px, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(noise).reformat(format=layout)
    short_side_px = max(8, round(min(width_px, height_px) / factor))
    scaler = FrameScaler(Geometry(short_side_px=short_side_px), width_px, height_px, turn_deg=0)
    found = scaler.rgb(frame)
    assert found.shape == (scaler.height_px, scaler.width_px, 3)
    assert np.array_equal(found, rgb(frame, scaler.width_px, scaler.height_px))
