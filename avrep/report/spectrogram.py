"""A log-mel spectrogram in decibels, for looking at sound beside the frames that it belongs to."""

from typing import Annotated

import numpy as np
import numpy.typing as npt

from avrep.types import Audio

FLOOR_DB = -80.0
_WINDOW_S = 0.025
_HOP_S = 0.010
_LIMIT_SAMPLES = 1 << 26


def log_mel_db(
    audio: Audio, rate_hz: int, num_bands: int = 64, num_columns: int | None = None
) -> Annotated[npt.NDArray[np.float32], "bands columns"]:
    """Power by mel band and time, in decibels below the loudest cell; digital silence is the floor.

    Hann windows of 25 ms, one every 10 ms or further apart when `num_columns` asks for fewer; each is
    centred on its instant, with zeros beyond the ends. Bands are triangles on the mel scale
    m = 2595 log10(1 + f / 700) from 0 Hz to half the rate (O'Shaughnessy 1987; the HTK form).

    Returns:
        Values in [-80, 0]; row 0 is the lowest band, column j the instant
        j / (columns - 1) of the sound's length.
    """
    if audio.ndim != 1 or not 0 < len(audio) <= _LIMIT_SAMPLES or rate_hz <= 0:
        raise ValueError(
            f"expected float32[s] at a rate in Hz, got {list(audio.shape)} at {rate_hz}"
        )
    window = max(16, round(_WINDOW_S * rate_hz))
    columns = max(2, min(round(len(audio) / rate_hz / _HOP_S) + 1, num_columns or 4096))
    centres = np.linspace(0, len(audio), columns).round().astype(np.int64)
    sound = np.nan_to_num(audio.astype(np.float32), posinf=0.0, neginf=0.0)
    padded = np.pad(sound, window)
    starts = centres + window - window // 2
    hann = np.hanning(window + 1)[:-1].astype(np.float32)
    size = 1 << (window - 1).bit_length()
    slices = padded[starts[:, None] + np.arange(window)] * hann
    power = np.abs(np.fft.rfft(slices, n=size, axis=1)) ** 2
    bands = power @ mel_filters(num_bands, size, rate_hz).T
    loudest = float(bands.max())
    if loudest <= 0:
        return np.full((num_bands, columns), FLOOR_DB, np.float32)
    db = 10 * np.log10(np.maximum(bands / loudest, 10 ** (FLOOR_DB / 10)))
    return db.T.astype(np.float32)


def mel_filters(
    num_bands: int, fft_size: int, rate_hz: int
) -> Annotated[npt.NDArray[np.float64], "bands bins"]:
    """Triangles of height one, evenly spaced in mel; a band too narrow for a bin takes the nearest."""
    top_mel = 2595 * np.log10(1 + rate_hz / 2 / 700)
    corners_hz = 700 * (10 ** (np.linspace(0, top_mel, num_bands + 2) / 2595) - 1)
    bins_hz = np.arange(fft_size // 2 + 1) * rate_hz / fft_size
    low, peak, high = corners_hz[:-2, None], corners_hz[1:-1, None], corners_hz[2:, None]
    rise, fall = (bins_hz - low) / (peak - low), (high - bins_hz) / (high - peak)
    filters = np.clip(np.minimum(rise, fall), 0, None)
    nearest = np.abs(bins_hz - peak).argmin(axis=1)
    empty = filters.sum(axis=1) == 0
    filters[empty, nearest[empty]] = 1.0
    return filters
