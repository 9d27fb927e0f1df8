"""How long recordings are, from their headers: sets of a hundred thousand are sorted by it."""

import wave
from pathlib import Path

from avrep.evaluation.sound.recordings import RATE_HZ
from avrep.media.local_file import local_item

_FLAC_MARK = b"fLaC"
_FLAC_BYTES = 42


def num_samples(path: Path) -> int:
    """Samples at 16 kHz of a file of sound; of FLAC and WAV from the header, else from all packets.

    Raises:
        ConfigError: there is no such file.
        MediaError: it is no usable media.
    """
    header = _from_header(path) if path.is_file() else None
    if header is not None:
        length, rate_hz = header
        return round(length * RATE_HZ / rate_hz)
    with local_item(path) as (item, _):
        return round(item.duration_s * RATE_HZ)


def _from_header(path: Path) -> tuple[int, int] | None:
    """Samples and their rate, where a header has both."""
    with path.open("rb") as file:
        header = file.read(_FLAC_BYTES)
        if len(header) == _FLAC_BYTES and header.startswith(_FLAC_MARK):
            # RFC 9639, section 8.2: 20 bits of rate, 3 of channels, 5 of depth, 36 of length.
            packed = int.from_bytes(header[18:26], "big")
            length, rate_hz = packed & (1 << 36) - 1, packed >> 44
        else:
            file.seek(0)
            try:
                with wave.open(file) as sound:
                    length, rate_hz = sound.getnframes(), sound.getframerate()
            except (wave.Error, EOFError):
                return None
    return (length, rate_hz) if length and rate_hz else None
