"""Proves that the contact sheet shows the frames given, in order, and sound where it sounds."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal
from PIL import Image

from avrep.report.contact_sheet import FRAME_HEIGHT_PX, SheetRow, SheetView, draw_contact_sheet
from avrep.report.spectrogram import FLOOR_DB, log_mel_db, mel_filters

GREENS = tuple((10, 60 + 9 * i, 250 - 11 * i) for i in range(16))
MARGIN_PX = 20


def clip(colours: tuple[tuple[int, int, int], ...], size_px: int = 112) -> npt.NDArray[np.uint8]:
    return np.stack([np.full((size_px, size_px, 3), c, np.uint8) for c in colours])


def draw(tmp_path: Path, *views: SheetView) -> npt.NDArray[np.uint8]:
    out = tmp_path / "sheet.png"
    draw_contact_sheet([SheetRow(title="a/b.mp4", views=views)], out)
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def blocks(sheet: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, width, height of a colour's only block, which must be solid."""
    rows, columns = np.nonzero((sheet == colour).all(axis=2))
    left, top = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) - left + 1, int(rows.max()) - top + 1
    assert len(rows) == width * height
    return left, top, width, height


def test_frames_stand_in_clip_order_at_their_own_size_and_colour(tmp_path: Path) -> None:
    sheet = draw(tmp_path, SheetView(frames=clip(GREENS[:8]), times_s=np.arange(8) / 4))
    found = [blocks(sheet, colour) for colour in GREENS[:8]]
    assert {(w, h) for _, _, w, h in found} == {(FRAME_HEIGHT_PX, FRAME_HEIGHT_PX)}
    assert len({top for _, top, _, _ in found}) == 1
    lefts = [left for left, _, _, _ in found]
    assert lefts == [MARGIN_PX + i * (FRAME_HEIGHT_PX + 4) for i in range(8)]


def test_of_a_longer_clip_the_ends_and_even_steps_are_shown(tmp_path: Path) -> None:
    sheet = draw(tmp_path, SheetView(frames=clip(GREENS), times_s=np.arange(16) / 4))
    shown = [i for i, colour in enumerate(GREENS) if (sheet == colour).all(axis=2).any()]
    assert shown == [0, 2, 4, 6, 9, 11, 13, 15]


def test_the_models_floats_are_shown_as_the_pixels_that_they_stand_for(tmp_path: Path) -> None:
    pixels = clip(GREENS[:4])
    floats = np.moveaxis(pixels.astype(np.float32) / 255, 3, 0)
    times_s = np.arange(4.0)
    as_floats = draw(tmp_path, SheetView(frames=floats, times_s=times_s))
    as_pixels = draw(tmp_path, SheetView(frames=pixels, times_s=times_s))
    np.testing.assert_array_equal(as_floats, as_pixels)


def test_values_that_are_no_pixels_are_mentioned(tmp_path: Path) -> None:
    """The caption grows when the clip was not denormalised."""
    good = np.full((3, 2, 8, 8), 0.5, np.float32)
    captions = []
    for frames in (good, good + 2, np.full_like(good, np.nan)):
        sheet = draw(tmp_path, SheetView(frames=frames, times_s=np.arange(2.0)))
        caption = sheet[MARGIN_PX + 20 : MARGIN_PX + 40]
        captions.append(int((caption < 200).all(axis=2).sum()))
    assert captions[1] > captions[0] * 1.5
    assert captions[2] == captions[1]


def test_views_stand_below_one_another_and_small_frames_grow_by_whole_pixels(
    tmp_path: Path,
) -> None:
    first = SheetView(frames=clip(GREENS[:1]), times_s=np.zeros(1))
    second = SheetView(frames=clip(GREENS[1:2], size_px=30), times_s=np.zeros(1))
    sheet = draw(tmp_path, first, second)
    _, top, _, height = blocks(sheet, GREENS[0])
    left, below, width, tall = blocks(sheet, GREENS[1])
    assert (left, width, tall) == (MARGIN_PX, 90, 90)
    assert below > top + height


def sound_rows(sheet: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The spectrogram's pixels: from the tallest run of rows whose left edge is not paper.

    That run ends with the axis' first tick, which is left out.
    """
    dark = (sheet[:, MARGIN_PX] < 250).any(axis=1)
    runs = np.split(np.flatnonzero(dark), np.flatnonzero(np.diff(np.flatnonzero(dark)) > 1) + 1)
    rows = max(runs, key=len)
    return sheet[rows[0] : rows[0] + 84, MARGIN_PX : MARGIN_PX + 924]


def test_sound_is_bright_when_and_where_it_sounds(tmp_path: Path) -> None:
    rate_hz = 16_000
    time_s = np.arange(2 * rate_hz) / rate_hz
    tone = np.where((time_s > 1.0) & (time_s < 1.5), np.sin(2 * np.pi * 6000 * time_s), 0)
    view = SheetView(audio=tone.astype(np.float32), rate_hz=rate_hz, audio_start_s=3.0)
    bright = sound_rows(draw(tmp_path, view)).astype(int).sum(axis=2)
    columns = np.flatnonzero(bright.max(axis=0) > 400)
    assert columns[0] / 924 * 2 == pytest.approx(1.0, abs=0.03)
    assert columns[-1] / 924 * 2 == pytest.approx(1.5, abs=0.03)
    height = int(bright[:, 924 * 5 // 8].argmax())
    assert height < bright.shape[0] * 0.25


def test_damaged_sound_and_silence_are_drawn(tmp_path: Path) -> None:
    silence = np.zeros(8000, np.float32)
    damaged = silence.copy()
    damaged[4000:] = np.nan
    plain = draw(tmp_path, SheetView(audio=silence, rate_hz=8000))
    noted = draw(tmp_path, SheetView(audio=damaged, rate_hz=8000))
    ink = [
        int((s[MARGIN_PX + 20 : MARGIN_PX + 40] < 200).all(axis=2).sum()) for s in (plain, noted)
    ]
    assert ink[1] > ink[0]
    assert sound_rows(plain).max() == 255  # the word "silence"


@pytest.mark.parametrize(
    "view",
    [
        {"frames": np.zeros((2, 4, 4, 3), np.uint8), "times_s": np.zeros(3)},
        {"frames": np.zeros((3, 2, 4, 4), np.uint8), "times_s": np.zeros(2)},
        {"frames": np.zeros((2, 4, 4, 3), np.float32), "times_s": np.zeros(2)},
        {"frames": np.zeros((0, 4, 4, 3), np.uint8), "times_s": np.zeros(0)},
        {"audio": np.zeros((2, 5), np.float32), "rate_hz": 8000},
        {"audio": np.zeros(5, np.float32)},
    ],
)
def test_arrays_of_another_form_are_refused(view: dict[str, npt.NDArray[np.generic]]) -> None:
    with pytest.raises(ValueError, match=r"must be|times"):
        SheetView(**view)  # pyright: ignore[reportArgumentType]


def test_more_than_a_picture_can_hold_is_refused(tmp_path: Path) -> None:
    row = SheetRow(title="t", views=(SheetView(frames=clip(GREENS[:1]), times_s=np.zeros(1)),))
    with pytest.raises(ValueError, match="more than"):
        draw_contact_sheet([row] * 300, tmp_path / "sheet.png")
    with pytest.raises(ValueError, match="at least one"):
        draw_contact_sheet([], tmp_path / "sheet.png")


def test_spectrogram_agrees_with_scipys() -> None:
    """Same window, same instants: scipy's short-time transform, then the mel sum as loops."""
    rate_hz = 8000
    audio = np.random.default_rng(1).normal(size=8000).astype(np.float32)
    ours = log_mel_db(audio, rate_hz, num_bands=20)
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * k / 200) for k in range(200)])
    transform = scipy.signal.ShortTimeFFT(window, 80, rate_hz, mfft=256)
    power = np.abs(transform.stft(audio, p0=0, p1=ours.shape[1])) ** 2
    filters = mel_filters(20, 256, rate_hz)
    bands = np.array([[sum(f * column) for column in power.T] for f in filters])
    theirs = 10 * np.log10(bands / bands.max())
    np.testing.assert_allclose(ours, np.maximum(theirs, FLOOR_DB), atol=0.01)


def test_a_tone_peaks_in_the_band_that_holds_it() -> None:
    rate_hz = 16_000
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    db = log_mel_db(tone, rate_hz, num_bands=40)
    mel_1000, mel_top = (2595 * np.log10(1 + f / 700) for f in (1000, rate_hz / 2))
    assert int(db[:, 50].argmax()) == round(mel_1000 / mel_top * 41) - 1
    assert db.max() == 0
    assert (log_mel_db(np.zeros(100, np.float32), rate_hz) == FLOOR_DB).all()


@pytest.mark.parametrize("num_samples", [1, 2, 37, 5000])
def test_any_length_of_sound_gives_a_picture(num_samples: int) -> None:
    db = log_mel_db(np.ones(num_samples, np.float32), 8000, num_columns=50)
    assert 2 <= db.shape[1] <= 50
    assert np.isfinite(db).all()
