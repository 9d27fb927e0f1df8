"""What is in a file: streams, sizes, rates and times, from one reading of its packets."""

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import BinaryIO

import av

from avrep.errors import MediaError
from avrep.media.frame_times import FrameTimes, PacketStamp, frame_times, stamp_of
from avrep.media.limits import DecodeLimits
from avrep.media.media_file import MediaFile, time_base
from avrep.media.scale import clockwise_deg
from avrep.types import AudioStream, MediaItem, VideoStream

_SKIP_SAMPLES = "skip_samples"


@dataclass(slots=True, kw_only=True)
class _Found:
    """What one reading of the packets leaves behind."""

    stamps: list[PacketStamp] = field(default_factory=list)
    frame: av.VideoFrame | None = None
    sound: av.AudioFrame | None = None
    sound_end_ticks: Fraction | None = None
    longest_sound_ticks: int = 0


def probe(
    source: bytes | BinaryIO, item: MediaItem, limits: DecodeLimits | None = None
) -> MediaItem:
    """Find out what an item's bytes hold.

    The file is opened once and its packets are read once, since headers tell of lengths and counts
    that are not there (cut files), not shown (edit lists) or not known (live recordings). The
    first frame of each chosen stream is decoded: it alone knows the rotation and the true rate of
    the sound, and shows that the stream can be decoded at all.

    Chosen are FFmpeg's best video stream, never a still picture such as cover art, and its best
    sound stream. Times are on the item's clock: zero is the earliest start of the two.

    Args:
        source: the item's bytes, or a seekable binary file of them.
        item: the row as far as it is known; `duration_s`, `video` and `audio` are filled in.
        limits: what is refused; the defaults of `DecodeLimits` when None.

    Raises:
        MediaError: stage "open" for what is no media or has no stream of picture or sound, "video"
            or "audio" where nothing of that stream can be decoded, "limits" for what is over one.
    """
    limits = limits or DecodeLimits()
    with MediaFile(source, limits) as media:
        found = _read(media)
        video = audio = None
        duration_s = 0.0
        if media.video is not None:
            if found.frame is None:
                raise MediaError("video", "no frame could be decoded")
            times = frame_times(found.stamps, media.video, media)
            video = _video_stream(media.video, found.frame, times)
            duration_s = times.end_s
        if media.audio is not None:
            if found.sound is None or found.sound_end_ticks is None:
                raise MediaError("audio", "no sample could be decoded")
            end_s = float(found.sound_end_ticks * time_base(media.audio) - media.origin_s)
            audio = _audio_stream(media, media.audio, found.sound, end_s)
            duration_s = max(duration_s, end_s)
    if duration_s > limits.max_duration_s:
        raise MediaError("limits", f"lasts {duration_s:.0f} s, over {limits.max_duration_s:.0f} s")
    return replace(item, duration_s=duration_s, video=video, audio=audio)


def _read(media: MediaFile) -> _Found:
    found = _Found()
    video, audio = media.video, media.audio
    wanted = [stream for stream in (video, audio) if stream is not None]
    media.only(*wanted)
    for packet in media.packets(*wanted):
        if video is not None and packet.stream is video:
            found.stamps.append(stamp_of(packet, len(found.stamps), video))
            if found.frame is None:
                found.frame = next(iter(media.decode_video(packet)), None)
        elif audio is not None and packet.stream is audio:
            end = _sound_end_ticks(packet, audio, found.longest_sound_ticks)
            found.longest_sound_ticks = max(found.longest_sound_ticks, packet.duration or 0)
            if end is not None and (found.sound_end_ticks is None or end > found.sound_end_ticks):
                found.sound_end_ticks = end
            if found.sound is None:
                found.sound = next(iter(media.decode_audio(packet)), None)
    if video is not None and found.frame is None:
        found.frame = next(iter(media.drain(video)), None)
    if audio is not None and found.sound is None:
        found.sound = next(iter(media.drain(audio)), None)
    return found


def _sound_end_ticks(packet: av.Packet, stream: av.AudioStream, longest: int) -> Fraction | None:
    """Where a packet's sound ends, without the padding that the encoder filled its last one with.

    Args:
        packet: of `stream`.
        stream: sound.
        longest: the longest duration of any packet before, in ticks.
    """
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is None or packet.is_discard:
        return None
    duration = Fraction(packet.duration or 0)
    if packet.has_sidedata(_SKIP_SAMPLES):
        # Two little-endian counts: samples to drop at the front and at the end.
        num_padding = int.from_bytes(bytes(packet.get_sidedata(_SKIP_SAMPLES))[4:8], "little")
        padding = Fraction(num_padding, stream.codec_context.sample_rate) / time_base(stream)
        # Ogg has taken the padding off the duration already, MP3 has not.
        if duration + padding > longest:
            duration = max(duration - padding, Fraction(0))
    return stamp + duration


def _video_stream(stream: av.VideoStream, frame: av.VideoFrame, times: FrameTimes) -> VideoStream:
    turn_deg = clockwise_deg(frame)
    is_sideways = turn_deg in (90, 270)
    start_s = float(times.pts_s[0])
    return VideoStream(
        width_px=frame.height if is_sideways else frame.width,
        height_px=frame.width if is_sideways else frame.height,
        fps=len(times.pts_s) / (times.end_s - start_s),
        num_frames=len(times.pts_s),
        codec=stream.codec_context.codec.canonical_name,
        rotation_deg=turn_deg,
        start_s=start_s,
        keyframes_s=times.keyframes_s,
    )


def _audio_stream(
    media: MediaFile, stream: av.AudioStream, sound: av.AudioFrame, end_s: float
) -> AudioStream:
    start_ticks = next((t for t in (sound.pts, stream.start_time) if t is not None), 0)
    return AudioStream(
        rate_hz=sound.sample_rate,
        channels=sound.layout.nb_channels,
        codec=stream.codec_context.codec.canonical_name,
        start_s=media.seconds(start_ticks, time_base(stream)),
        end_s=end_s,
    )
