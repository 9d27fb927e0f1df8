"""Clips of many items become one view, parts of a step one batch: frames and sounds padded at the end."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from avrep.types import Audio, AudioBatch, Batch, Clip, StageTimes, VideoBatch, View


def collate(clips: Sequence[Clip]) -> View:
    """Stack clips of one kind.

    Frames of unlike size are padded with zeros below and right to the largest height and width;
    `View.size_px` keeps each clip's own size. Sounds of unlike length are padded with zeros to the
    longest; `View.num_samples` keeps each clip's own.

    Raises:
        ValueError: the clips differ in number of frames, rate or kind.
    """
    videos = [clip.video for clip in clips if clip.video is not None]
    sounds = [clip.audio for clip in clips if clip.audio is not None]
    if len(videos) not in (0, len(clips)) or len(sounds) not in (0, len(clips)):
        raise ValueError("some clips of the view have video or audio and others have none")
    if len({clip.rate_hz for clip in clips}) > 1:
        raise ValueError(f"clips of several rates: {sorted({clip.rate_hz for clip in clips})} Hz")
    video, size_px = None, np.zeros((len(clips), 2), np.int32)
    if videos:
        size_px = np.array([video.shape[1:3] for video in videos], np.int32)
        height, width = size_px.max(axis=0)
        video = np.zeros((len(videos), len(videos[0]), height, width, 3), np.uint8)
        for padded, own in zip(video, videos, strict=True):
            padded[:, : own.shape[1], : own.shape[2]] = own
    return View(
        video=video,
        size_px=size_px,
        pts_s=np.stack([clip.pts_s for clip in clips]),
        audio=_padded(sounds, max(map(len, sounds))) if sounds else None,
        audio_start_s=np.array([clip.audio_start_s for clip in clips]) if sounds else None,
        num_samples=np.array([len(sound) for sound in sounds]) if sounds else None,
        first_frame_s=np.array([clip.first_frame_s for clip in clips]) if videos else None,
        rate_hz=clips[0].rate_hz,
    )


class Joiner:
    """Puts a step's parts together as they come; what a part held can be let go once it is added.

    Args:
        num_rows: rows that the step has at most; items that failed in a sweep leave fewer.
    """

    def __init__(self, num_rows: int) -> None:
        self._num_rows = num_rows
        self._parts: list[Batch] = []
        self._views: list[_JoinedView] = []

    def add(self, part: Batch) -> None:
        """Copy a part's rows to where the last part's end.

        Raises:
            ValueError: its views differ in kind from those before.
        """
        if part.views and not self._views:
            self._views = [_JoinedView(view, self._num_rows) for view in part.views]
        if part.views and len(part.views) != len(self._views):
            raise ValueError(f"a part of {len(part.views)} views, others have {len(self._views)}")
        for joined, view in zip(self._views, part.views, strict=False):
            joined.add(view)
        self._parts.append(replace(part, views=()))

    def batch(self) -> Batch:
        """All parts as one batch."""
        parts = self._parts
        return Batch(
            step=parts[0].step,
            addresses=tuple(chain.from_iterable(part.addresses for part in parts)),
            keys=tuple(chain.from_iterable(part.keys for part in parts)),
            views=tuple(joined.view() for joined in self._views),
            labels=tuple(chain.from_iterable(part.labels for part in parts)),
            failures=tuple(chain.from_iterable(part.failures for part in parts)),
            num_bad_packets=sum(part.num_bad_packets for part in parts),
            spent=sum((part.spent for part in parts), StageTimes()),
        )


class _JoinedView:
    """One view in the making: rows for the whole step, frames as large as the largest so far."""

    def __init__(self, first: View, num_rows: int) -> None:
        self._num_rows = num_rows
        self._num_filled = 0
        self._first = first
        self._video: VideoBatch | None = None
        self._rest: list[View] = []

    def add(self, view: View) -> None:
        if _kind(view) != _kind(self._first):
            raise ValueError(f"a part of {view}, others are {self._first}")
        if view.video is not None:
            self._grow(view.video.shape)
            assert self._video is not None
            height, width = view.video.shape[2:4]
            rows = slice(self._num_filled, self._num_filled + len(view.video))
            self._video[rows, :, :height, :width] = view.video
        self._num_filled += len(view.pts_s)
        # Small beside the frames: kept as they are, but apart from the part's own memory.
        self._rest.append(
            replace(
                view,
                video=None,
                size_px=view.size_px.copy(),
                pts_s=view.pts_s.copy(),
                audio=None if view.audio is None else view.audio.copy(),
                audio_start_s=None if view.audio_start_s is None else view.audio_start_s.copy(),
                num_samples=None if view.num_samples is None else view.num_samples.copy(),
                first_frame_s=None if view.first_frame_s is None else view.first_frame_s.copy(),
            )
        )

    def view(self) -> View:
        sounds = [row for view in self._rest if view.audio is not None for row in view.audio]
        starts_s = [view.audio_start_s for view in self._rest if view.audio_start_s is not None]
        lengths = [view.num_samples for view in self._rest if view.num_samples is not None]
        wanted_s = [view.first_frame_s for view in self._rest if view.first_frame_s is not None]
        return View(
            video=None if self._video is None else self._video[: self._num_filled],
            size_px=np.concatenate([view.size_px for view in self._rest]),
            pts_s=np.concatenate([view.pts_s for view in self._rest]),
            audio=_padded(sounds, max(map(len, sounds))) if sounds else None,
            audio_start_s=np.concatenate(starts_s) if starts_s else None,
            num_samples=np.concatenate(lengths) if lengths else None,
            first_frame_s=np.concatenate(wanted_s) if wanted_s else None,
            rate_hz=self._first.rate_hz,
        )

    def _grow(self, shape: tuple[int, ...]) -> None:
        before = self._video
        height, width = shape[2:4]
        if before is not None:
            height, width = max(height, before.shape[2]), max(width, before.shape[3])
            if (height, width) == before.shape[2:4]:
                return
        self._video = np.zeros((self._num_rows, shape[1], height, width, 3), np.uint8)
        if before is not None:
            filled = before[: self._num_filled]
            self._video[: self._num_filled, :, : before.shape[2], : before.shape[3]] = filled


def _padded(sounds: Sequence[Audio], length: int) -> AudioBatch:
    padded = np.zeros((len(sounds), length), np.float32)
    for row, sound in zip(padded, sounds, strict=True):
        row[: len(sound)] = sound
    return padded


def _kind(view: View) -> tuple[object, ...]:
    return view.video is None, view.audio is None, view.audio_start_s is None, view.rate_hz
