"""A contact sheet: a picture of exactly what the model sees, item by item and view by view.

Frames stand in clip order with their times beneath; sound stands under them as a log-mel
spectrogram on its own time axis, with a tick along its top edge at each frame's time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from avrep.report.spectrogram import FLOOR_DB, log_mel_db
from avrep.types import Audio, TimesS

FRAME_HEIGHT_PX = 112
_FRAME_WIDTH_LIMIT_PX = 200
_NUM_FRAMES = 8
_GAP_PX = 4
_COLUMN_GAP_PX = 28
_MARGIN_PX = 20
_TEXT_PX = 13
_LINE_PX = 18
_SOUND_PX = 84
_SOUND_WIDTH_PX = _NUM_FRAMES * (FRAME_HEIGHT_PX + _GAP_PX) - _GAP_PX
_HEIGHT_LIMIT_PX = 30_000
_PAPER, _INK, _SOFT, _MARK = (255, 255, 255), (27, 33, 38), (93, 103, 112), (15, 107, 143)

Frames = npt.NDArray[np.uint8] | npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetView:
    """One view of an item, as the model is given it."""

    name: str = ""
    frames: Annotated[Frames, "t h w 3, or 3 t h w"] | None = None
    """uint8[t h w 3], or float[3 t h w] in [0, 1] (the model's input, denormalised)."""
    times_s: TimesS = field(default_factory=lambda: np.zeros(0, np.float64))
    audio: Audio | None = None
    audio_start_s: float = 0.0
    rate_hz: int = 0
    is_heard: bool = True
    """Whether the model is given the sound, too; if not, the caption says so."""
    is_described: bool = True
    """Say how many frames and samples there are."""

    def __post_init__(self) -> None:
        if self.frames is not None and len(self.times_s) != _num_frames(self.frames):
            raise ValueError(f"{_num_frames(self.frames)} frames but {len(self.times_s)} times")
        if self.audio is not None and (self.audio.ndim != 1 or self.rate_hz <= 0):
            raise ValueError(f"audio must be float32[s] with its rate, got {self.audio.shape}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """One item of the sheet."""

    title: str
    """The item's key, for one."""
    views: tuple[SheetView, ...]


def draw_contact_sheet(
    rows: Sequence[SheetRow], out: Path, *, num_columns: int = 1, heading: SheetRow | None = None
) -> None:
    """Writes the sheet as a PNG.

    Of a longer clip, eight evenly spaced frames are shown, the first and the last among them; the
    caption says so. Frames smaller than 112 px are enlarged by whole pixels, larger ones reduced.

    Args:
        rows: items, line by line.
        out: the PNG.
        num_columns: items side by side.
        heading: an item above all others, by itself.

    Raises:
        ValueError: no rows, or more than one picture can hold.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    items = [_item_block(row) for row in rows]
    lines = [items[first : first + num_columns] for first in range(0, len(items), num_columns)]
    if heading is not None:
        lines.insert(0, [_item_block(heading)])
    height = sum(max(block.height for block in line) for line in lines) + 2 * _MARGIN_PX
    if height > _HEIGHT_LIMIT_PX:
        raise ValueError(f"{len(rows)} rows need {height} px, more than {_HEIGHT_LIMIT_PX}")
    pitch = max(block.width for block in items) + _COLUMN_GAP_PX
    width = max((len(line) - 1) * pitch + line[-1].width for line in lines)
    sheet = Image.new("RGB", (width + 2 * _MARGIN_PX, height), _PAPER)
    y = _MARGIN_PX
    for line in lines:
        for column, block in enumerate(line):
            sheet.paste(block, (_MARGIN_PX + column * pitch, y))
        y += max(block.height for block in line)
    sheet.save(out, format="PNG", optimize=True)


def _item_block(row: SheetRow) -> Image.Image:
    """An item's title and views, one below the other."""
    font = _font(_TEXT_PX)
    blocks = [_text_line(row.title, _font(_TEXT_PX, bold=True), _INK)]
    for view in row.views:
        blocks += _view_blocks(view, font)
    height = sum(block.height for block in blocks) + _LINE_PX
    whole = Image.new("RGB", (max(block.width for block in blocks), height), _PAPER)
    y = 0
    for block in blocks:
        whole.paste(block, (0, y))
        y += block.height
    return whole


def _num_frames(frames: Frames) -> int:
    axis = 0 if frames.dtype == np.uint8 else 1
    if frames.ndim != 4 or frames.shape[3 if axis == 0 else 0] != 3 or not frames.shape[axis]:
        raise ValueError(
            f"frames must be uint8[t h w 3] or float[3 t h w], got {frames.dtype}{frames.shape}"
        )
    return frames.shape[axis]


def _view_blocks(view: SheetView, font: ImageFont.FreeTypeFont) -> list[Image.Image]:
    caption = [view.name] if view.name else []
    shown_s = view.times_s[:0]
    strip: list[Image.Image] = []
    if view.frames is not None:
        total = _num_frames(view.frames)
        chosen = np.unique(np.linspace(0, total - 1, min(total, _NUM_FRAMES)).round().astype(int))
        shown_s = view.times_s[chosen]
        pixels, note = _as_uint8(view.frames, chosen)
        caption += [note] if note else []
        height, width = pixels.shape[1:3]
        caption.append(f"{len(chosen)} of {total} frames, {width} x {height} px")
        strip.append(_strip(pixels, shown_s, font))
    if view.audio is not None and len(view.audio):
        not_heard = "" if view.is_heard else ", which this method is not given"
        length_s = len(view.audio) / view.rate_hz
        caption.append(f"{length_s:.2f} s of sound at {view.rate_hz} Hz{not_heard}")
        if not np.isfinite(view.audio).all():
            caption.append("samples that are not finite are drawn as zero")
        strip.append(_sound(view, shown_s, font))
    if strip and not view.is_described:
        return strip
    return [_text_line("; ".join(caption) or "nothing", font, _SOFT), *strip]


def _as_uint8(frames: Frames, chosen: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.uint8], str]:
    """The chosen frames as uint8[t h w 3], and what had to be done to show them."""
    if frames.dtype == np.uint8:
        return frames[chosen].astype(np.uint8), ""
    picked = np.moveaxis(frames[:, chosen], 0, 3)
    fits = bool(np.all((picked >= -0.01) & (picked <= 1.01)))
    pixels = (np.clip(np.nan_to_num(picked), 0, 1) * 255).round().astype(np.uint8)
    return pixels, "" if fits else "values outside [0, 1] are clipped"


def _strip(
    pixels: npt.NDArray[np.uint8], times_s: TimesS, font: ImageFont.FreeTypeFont
) -> Image.Image:
    height, width = pixels.shape[1:3]
    scale = min(FRAME_HEIGHT_PX / height, _FRAME_WIDTH_LIMIT_PX / width)
    scale = float(int(scale)) if scale >= 1 else scale
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    # Times stand beneath, so that a frame is never narrower than its own time.
    pitch = max(size[0], 48) + _GAP_PX
    strip = Image.new("RGB", (pitch * len(pixels) - _GAP_PX, size[1] + _LINE_PX + 4), _PAPER)
    draw = ImageDraw.Draw(strip)
    for i, (frame, time_s) in enumerate(zip(pixels, times_s, strict=True)):
        strip.paste(Image.fromarray(np.ascontiguousarray(frame)).resize(size, way), (i * pitch, 0))
        draw.text((i * pitch, size[1] + 1), f"{time_s:.3f} s", font=font, fill=_SOFT)
    return strip


def _sound(view: SheetView, frames_s: TimesS, font: ImageFont.FreeTypeFont) -> Image.Image:
    """The spectrogram; its left and right edges are the first and last instants of the sound."""
    audio = view.audio if view.audio is not None else np.zeros(1, np.float32)
    start_s, length_s = view.audio_start_s, len(audio) / view.rate_hz
    db = log_mel_db(audio, view.rate_hz, num_columns=_SOUND_WIDTH_PX)
    silent = not np.any(audio)
    shades = mpl.colormaps["magma"](db[::-1] / -FLOOR_DB + 1, bytes=True)[..., :3]
    picture = Image.fromarray(np.ascontiguousarray(shades))
    picture = picture.resize((_SOUND_WIDTH_PX, _SOUND_PX), Image.Resampling.BILINEAR)
    block = Image.new("RGB", (_SOUND_WIDTH_PX + 60, 8 + _SOUND_PX + 6 + _LINE_PX), _PAPER)
    block.paste(picture, (0, 8))
    draw = ImageDraw.Draw(block)
    if silent:
        draw.text(
            (8, 8 + _SOUND_PX // 2 - 8), "silence: every sample is zero", font=font, fill=_PAPER
        )
    for time_s in frames_s[(frames_s >= start_s) & (frames_s <= start_s + length_s)]:
        x = round((time_s - start_s) / length_s * (_SOUND_WIDTH_PX - 1))
        draw.line((x, 0, x, 6), fill=_MARK, width=2)
    for share in np.linspace(0, 1, 5):
        x, bottom = round(share * (_SOUND_WIDTH_PX - 1)), 8 + _SOUND_PX
        draw.line((x, bottom, x, bottom + 4), fill=_SOFT)
        label, anchor = f"{start_s + share * length_s:.3f} s", {0.0: "la", 1.0: "ra"}
        draw.text((x, bottom + 4), label, font=font, fill=_SOFT, anchor=anchor.get(share, "ma"))
    top_hz = view.rate_hz / 2
    draw.text((_SOUND_WIDTH_PX + 6, 4), f"{top_hz / 1000:g} kHz", font=font, fill=_SOFT)
    draw.text((_SOUND_WIDTH_PX + 6, _SOUND_PX - 8), "0 kHz", font=font, fill=_SOFT)
    return block


def _text_line(
    text: str, font: ImageFont.FreeTypeFont, colour: tuple[int, int, int]
) -> Image.Image:
    line = "".join(c if c.isprintable() else "\ufffd" for c in text[:160])
    width = max(1, int(font.getlength(line)) + 2)
    block = Image.new("RGB", (width, _LINE_PX + 2), _PAPER)
    ImageDraw.Draw(block).text((0, 0), line, font=font, fill=colour)
    return block


def _font(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    # Matplotlib ships this font, so the sheet looks the same everywhere.
    path = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"DejaVuSans{'-Bold' if bold else ''}.ttf"
    return ImageFont.truetype(str(path), size_px)
