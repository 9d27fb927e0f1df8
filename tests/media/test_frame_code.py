"""Proves that a frame's number is read back, or refused, never misread: through range changes,
noise, scaling and H.264, and with cells flipped on purpose.
"""

import io
from itertools import combinations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.media.frame_code import CELL_PX, MAX_NUMBER, draw_frame_code, read_frame_number

GREY = np.full((48, 64, 3), 90, np.uint8)


def pixels_of(frame: av.VideoFrame) -> np.ndarray:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def flipped(frame: np.ndarray, cells: tuple[int, ...]) -> np.ndarray:
    wrong = frame.copy()
    for cell in cells:
        row, column = divmod(cell, 8)
        area = np.s_[row * CELL_PX : (row + 1) * CELL_PX, column * CELL_PX : (column + 1) * CELL_PX]
        wrong[area] = 255 - wrong[area]
    return wrong


@given(st.integers(0, MAX_NUMBER))
def test_every_number_comes_back(number: int) -> None:
    assert read_frame_number(draw_frame_code(GREY, number)) == number


def test_numbers_have_patterns_of_their_own() -> None:
    patterns = {draw_frame_code(GREY, number)[:12, :32].tobytes() for number in range(0, 65536, 7)}
    assert len(patterns) == len(range(0, 65536, 7))


def test_the_rest_of_the_frame_and_the_argument_stay_as_they_were() -> None:
    frame = np.random.default_rng(0).integers(0, 256, GREY.shape, np.uint8)
    before = frame.copy()
    coded = draw_frame_code(frame, 5)
    assert np.array_equal(frame, before)
    differs = (coded != frame).any(axis=2)
    assert not differs[12:].any()
    assert not differs[:, 32:].any()


@pytest.mark.parametrize("number", [0, 1, 77, 40_000, MAX_NUMBER])
def test_one_or_two_wrong_cells_are_always_caught(number: int) -> None:
    coded = draw_frame_code(GREY, number)
    for count in (1, 2):
        for cells in combinations(range(2, 24), count):
            assert read_frame_number(flipped(coded, cells)) is None, cells


@pytest.mark.parametrize("cells", [(0,), (1,), (0, 1)])
def test_wrong_reference_cells_are_caught(cells: tuple[int, ...]) -> None:
    assert read_frame_number(flipped(draw_frame_code(GREY, 77), cells)) is None


def test_noise_is_seldom_taken_for_a_code() -> None:
    rng = np.random.default_rng(1)
    cells = rng.integers(0, 2, (2000, 3, 8), np.uint8) * np.uint8(255)
    grids = cells.repeat(CELL_PX, axis=1).repeat(CELL_PX, axis=2)[..., None].repeat(3, axis=3)
    read = [read_frame_number(grid) for grid in grids]
    # The references stand right in a quarter, and the checksum agrees in 1 of 64 of those.
    assert 0 < sum(number is not None for number in read) < 2000 / 256 * 3


@pytest.mark.parametrize(("gain", "offset"), [(219 / 255, 16), (0.4, 0), (0.4, 150)])
def test_a_change_of_range_does_no_harm(gain: float, offset: float) -> None:
    coded = draw_frame_code(GREY, 1234)
    changed = np.rint(coded * gain + offset).clip(0, 255).astype(np.uint8)
    assert read_frame_number(changed) == 1234


def test_low_contrast_is_refused() -> None:
    dull = np.rint(draw_frame_code(GREY, 1234) * 0.2 + 100).astype(np.uint8)
    assert read_frame_number(dull) is None
    assert read_frame_number(dull, min_contrast=20) == 1234


@pytest.mark.parametrize("size", [(96, 72), (128, 96), (100, 75)])
def test_a_scaled_frame_is_read_with_scaled_cells(size: tuple[int, int]) -> None:
    for number in (0, 3, 999, MAX_NUMBER):
        frame = av.VideoFrame.from_ndarray(draw_frame_code(GREY, number), format="rgb24")
        scaled = pixels_of(frame.reformat(*size, interpolation="BILINEAR"))
        assert read_frame_number(scaled, cell_px=CELL_PX * size[0] / 64) == number


@pytest.mark.parametrize("crf", ["18", "28"])
def test_every_number_survives_h264_over_a_noisy_picture(crf: str) -> None:
    rng = np.random.default_rng(2)
    numbers = [int(number) for number in rng.integers(0, MAX_NUMBER, 60)]
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(
            "libx264", rate=24, options={"crf": crf, "preset": "veryfast", "bf": "2"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in numbers:
            noise = rng.integers(0, 256, GREY.shape, np.uint8)
            frame = av.VideoFrame.from_ndarray(draw_frame_code(noise, number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        read = [read_frame_number(pixels_of(frame)) for frame in container.decode(video=0)]
    assert read == numbers


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="must lie in"):
        draw_frame_code(GREY, MAX_NUMBER + 1)
    with pytest.raises(ValueError, match="must lie in"):
        draw_frame_code(GREY, -1)
    with pytest.raises(ValueError, match="no room"):
        draw_frame_code(np.zeros((48, 31, 3), np.uint8), 0)
    with pytest.raises(ValueError, match="2 px or more"):
        read_frame_number(GREY, cell_px=1.9)
    assert read_frame_number(np.zeros((11, 64, 3), np.uint8)) is None
