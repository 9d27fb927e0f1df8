"""Clips of many items become one view: frames padded below and right, sounds to the longest."""

from collections.abc import Sequence

import numpy as np

from avrep.types import Clip, View


def collate(clips: Sequence[Clip]) -> View:
    """Stack clips of one kind.

    Frames of unlike size are padded with zeros below and right to the largest height and width;
    `View.size_px` keeps each clip's own size. Sounds are of one length by the sampler's making.

    Raises:
        ValueError: the clips differ in number of frames, samples, rate or kind.
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
        audio=np.stack(sounds) if sounds else None,
        audio_start_s=np.array([clip.audio_start_s for clip in clips]) if sounds else None,
        rate_hz=clips[0].rate_hz,
    )
