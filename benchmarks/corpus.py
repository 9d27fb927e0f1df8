"""Files to measure on: synthetic ones of Kinetics' form, and real ones where they are.

The synthetic files are 340x256 pixels, 10 s at 30 frames a second, H.264 by x264's own defaults
(preset medium, CRF 23, a key frame at least every 250 frames) with stereo AAC. A camera sways over
a texture whose spectrum falls with frequency as those of photographs do, something of another
texture moves before it, and there is grain: that brings 300 to 550 kbit/s of picture, what Kinetics
has at this size, where drawn shapes on flat grounds would bring a tenth.
"""

import multiprocessing
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from avrep.rng import Stage, at
from avrep.types import Address

WIDTH_PX, HEIGHT_PX, FPS, DURATION_S, RATE_HZ = 340, 256, 30, 10, 44100
_FORM = 2  # Files of another form are written anew.
_GROUND_PX, _SHAPE_PX = (512, 768), 256

Image = npt.NDArray[np.float32]


def kinetics_like(folder: Path, num_files: int) -> Path:
    """A folder of `num_files` synthetic files; those that are there already are kept."""
    out = folder / f"kinetics_like_{_FORM}_{num_files}"
    out.mkdir(parents=True, exist_ok=True)
    missing = [number for number in range(num_files) if not _path(out, number).exists()]
    if missing:
        with multiprocessing.get_context("spawn").Pool(min(len(missing), _num_cores())) as pool:
            pool.starmap(_write, [(out, number) for number in missing])
    return out


def real_media() -> Path | None:
    """The folder of real clips: $AVREP_MEDIA, or `shared/media` beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "media"
    for candidate in (os.environ.get("AVREP_MEDIA"), str(beside)):
        if candidate and (Path(candidate) / "README.md").is_file():
            return Path(candidate)
    return None


def _path(out: Path, number: int) -> Path:
    return out / f"{number:05d}.mp4"


def _write(out: Path, number: int) -> None:
    rng = at(0, Stage.SYNTH, Address(0, number, 100))
    part = out / f".{number:05d}.part"
    with av.open(part, "w", format="mp4") as container:
        picture = container.add_stream("libx264", rate=FPS)
        picture.width, picture.height, picture.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        picture.codec_context.thread_count = 1
        track = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        track.bit_rate = 128_000
        # Noise that each decoding makes up anew could not be compared.
        track.options = {"aac_pns": "0"}
        film = _Film(rng)
        for number_shown in range(FPS * DURATION_S):
            frame = av.VideoFrame.from_ndarray(film.frame(number_shown / FPS), format="rgb24")
            frame.pts, frame.time_base = number_shown, Fraction(1, FPS)
            container.mux(picture.encode(frame))
            if number_shown % FPS == 0:
                sound = av.AudioFrame.from_ndarray(_sound(rng), format="fltp", layout="stereo")
                sound.sample_rate, sound.time_base = RATE_HZ, Fraction(1, RATE_HZ)
                sound.pts = number_shown // FPS * RATE_HZ
                container.mux(track.encode(sound))
        container.mux(picture.encode(None))
        container.mux(track.encode(None))
    part.replace(_path(out, number))


class _Film:
    def __init__(self, rng: np.random.Generator) -> None:
        falloff = rng.uniform(1.1, 1.4)
        self._ground = _texture(rng, *_GROUND_PX, falloff)
        self._shape = _texture(rng, _SHAPE_PX, _SHAPE_PX, falloff)
        self._grain = rng.normal(0, 3, (HEIGHT_PX + 64, WIDTH_PX + 64, 1)).astype(np.float32)
        side = np.arange(_SHAPE_PX) - _SHAPE_PX / 2
        radius = np.hypot(side[:, None], side) - 8 * np.sin(5 * np.arctan2(side[:, None], side))
        self._mask = np.clip((90 - radius) / 4, 0, 1)[..., None].astype(np.float32)
        self._phase, self._speed = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.5, 1.5)
        self._rng = rng

    def frame(self, time_s: float) -> npt.NDArray[np.uint8]:
        """uint8[h w 3]"""
        a, b, c = self._phase
        sway = self._speed * time_s
        x = 200 + 120 * np.sin(0.3 * sway + a) + 4 * np.sin(7 * time_s)
        y = 120 + 80 * np.sin(0.23 * sway + b) + 3 * np.sin(6 * time_s)
        frame = _window(self._ground, x, y)
        left = int(42 + 40 * np.sin(1.3 * sway + c))
        behind = frame[:, left : left + _SHAPE_PX]
        turned = np.roll(self._shape, int(40 * sway), axis=0)
        frame[:, left : left + _SHAPE_PX] = behind + (turned - behind) * self._mask
        dy, dx = self._rng.integers(0, 64, 2)
        grain = self._grain[dy : dy + HEIGHT_PX, dx : dx + WIDTH_PX]
        return np.clip(frame + grain, 0, 255).astype(np.uint8)


def _window(image: Image, x: float, y: float) -> Image:
    """The part of an image whose corner is at (x, y), between pixels too."""
    left, top = int(x), int(y)
    right, down = np.float32(x - left), np.float32(y - top)
    part = image[top : top + HEIGHT_PX + 1, left : left + WIDTH_PX + 1]
    rows = part[:-1] * (1 - down) + part[1:] * down
    part = rows[:, :-1] * (1 - right) + rows[:, 1:] * right
    return part.astype(np.float32, copy=False)


def _texture(rng: np.random.Generator, height: int, width: int, falloff: float) -> Image:
    """float32[h w 3]: noise with amplitudes as frequency to the power of -falloff."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    planes = []
    for _ in range(4):
        spectrum = rng.normal(size=(2, *frequency.shape)) / frequency**falloff
        plane = np.fft.irfft2(spectrum[0] + 1j * spectrum[1], (height, width))
        planes.append((plane - plane.mean()) / plane.std())
    grey, *colours = planes
    mixed = np.stack([0.8 * grey + 0.2 * colour for colour in colours], axis=-1)
    return np.clip(128 + 45 * mixed, 0, 255).astype(np.float32)


def _sound(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """float32[2 s]: one second of noise that swells, and two tones."""
    time_s = np.arange(RATE_HZ) / RATE_HZ
    tones = np.sin(2 * np.pi * rng.uniform(100, 1000, (2, 1)) * time_s)
    noise = rng.normal(0, 0.1, (2, RATE_HZ)) * np.sin(np.pi * time_s)
    return (0.2 * tones + noise).astype(np.float32)


def _num_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
