"""Features of a data set's videos: of evenly spaced clips under fixed crops, kept on disk."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch

from avrep.augment.eval_crops import crop_views
from avrep.evaluation.action.feature_cache import FeatureCache, video_name
from avrep.evaluation.action.robustness import (
    Disturbance,
    disturbed_clip,
    disturbed_frames,
    recompress,
)
from avrep.evaluation.action.video_encoder import VideoEncoder
from avrep.evaluation.embed import Transform, embed
from avrep.media.catalog import Catalog
from avrep.media.decode import DecoderName
from avrep.media.limits import DecodeLimits
from avrep.models.features import Encoder
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Sweep
from avrep.pipeline.stream import OpenStream, plain_stream
from avrep.sampling.clips import DenseConfig
from avrep.sampling.spec import ViewSpec
from avrep.transfer import to_device
from avrep.types import Batch, Failure, RowNumbers

Progress = Callable[[int, int], None]
"""Called with (videos done, videos in all)."""
_PART_VIDEOS = 128
"""Videos whose features are computed again at most when a job is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Views:
    """Which views of each video are embedded."""

    num_clips: int = 10
    num_crops: Literal[1, 3] = 3
    disturbance: Disturbance | None = None
    crf: float = 36.0
    """Of recompressed videos."""
    seed: int = 0
    """Of the order of shuffled frames."""

    def facts(self) -> dict[str, Any]:
        """What decides the views, as plain values; what does not is left out."""
        facts: dict[str, Any] = {"num_clips": self.num_clips, "num_crops": self.num_crops}
        if self.disturbance is not None:
            facts["disturbance"] = self.disturbance
        if self.disturbance == "recompressed":
            facts["crf"] = self.crf
        if self.disturbance == "shuffled":
            facts["seed"] = self.seed
        return facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Videos:
    """Videos, how they are read, and where what is found of them is kept."""

    catalog: Catalog
    work: Path
    open_stream: OpenStream = plain_stream
    """The plain stream, or Ray's."""
    batch_size: int = 8
    """Videos decoded together."""
    decoder: DecoderName = "pyav"
    limits: DecodeLimits = field(default_factory=DecodeLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoFeatures:
    """The features of those videos that could be decoded."""

    rows: RowNumbers
    """Of the catalogue, in the order asked for."""
    keys: tuple[str, ...]
    vectors: np.ndarray
    """float32[n d]: the mean over each video's views; float32[n v d] where views were asked for."""
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """What is made of a video, whatever it is: clips, what happens to them, and who looks at them."""

    identity: Mapping[str, Any]
    """What decides the features, as plain values."""
    spec: ViewSpec
    transform: Transform
    encoder: Encoder


def embed_videos(
    encoder: VideoEncoder,
    videos: Videos,
    rows: RowNumbers,
    views: Views,
    *,
    progress: Progress | None = None,
) -> VideoFeatures:
    """Each video's mean feature over its clips and crops.

    A linear probe of the mean is the mean of its logits over the views, as RSPNet averages them.

    Args:
        encoder: frozen.
        videos: of which catalogue.
        rows: which of them.
        views: which clips and crops.
        progress: told how far it is; videos whose features are kept count as done.

    Raises:
        ConfigError: none can be decoded; or see `disturbed_clip` and `recompress`.
    """
    clip = disturbed_clip(encoder.clip, views.disturbance)
    sampler = DenseConfig(
        num_frames=clip.num_frames, stride=clip.stride, fps=clip.fps, num_clips=views.num_clips
    )
    made = Embedded(
        identity={
            "version": 1,
            "encoder": encoder.facts.digest,
            "form": encoder.form(),
            "views": views.facts(),
        },
        spec=ViewSpec(sampler=sampler, geometry=encoder.geometry),
        transform=_cropped(encoder, views),
        encoder=encoder.module,
    )
    crf = views.crf if views.disturbance == "recompressed" else None
    return embed_rows(made, videos, rows, recompress_crf=crf, progress=progress)


def embed_rows(
    made: Embedded,
    videos: Videos,
    rows: RowNumbers,
    *,
    every_view: bool = False,
    recompress_crf: float | None = None,
    progress: Progress | None = None,
) -> VideoFeatures:
    """What is kept of the videos, after what is not has been made; see `embed_videos`."""
    cache = FeatureCache(videos.work / "features", made.identity)
    items = videos.catalog.items(rows)
    name_of = {item.key: video_name(item) for item in items}
    known = cache.known()
    left = np.array(
        [
            row
            for row, item in zip(rows.tolist(), items, strict=True)
            if name_of[item.key] not in known
        ],
        np.int64,
    )
    failures: list[Failure] = []
    num_done = len(rows) - len(left)
    if progress:
        progress(num_done, len(rows))
    for keys, features, failed in _parts(made, videos, left, recompress_crf):
        if keys:
            cache.add([name_of[key] for key in keys], features)
        failures += failed
        num_done += len(keys) + len(failed)
        if progress:
            progress(num_done, len(rows))
    gone = {failure.key for failure in failures}
    kept = [place for place, item in enumerate(items) if item.key not in gone]
    names = [name_of[items[place].key] for place in kept]
    return VideoFeatures(
        rows=rows[kept],
        keys=tuple(items[place].key for place in kept),
        vectors=cache.views(names) if every_view else cache.means(names),
        failures=tuple(failures),
    )


_Part = tuple[tuple[str, ...], np.ndarray, tuple[Failure, ...]]


def _parts(made: Embedded, videos: Videos, rows: RowNumbers, crf: float | None) -> Iterator[_Part]:
    """Keys, features float32[n v d] and failures of some videos at a time."""
    if crf is None:
        yield from _embedded(made, videos, videos.catalog, rows)
        return
    for first in range(0, len(rows), _PART_VIDEOS):
        with TemporaryDirectory(dir=videos.work, prefix="recompressed-") as folder:
            coded = recompress(
                videos.catalog, rows[first : first + _PART_VIDEOS], Path(folder), crf
            )
            yield (), np.zeros(0), coded.failures
            every = np.arange(len(coded.catalog))
            yield from _embedded(made, videos, coded.catalog, every)


def _embedded(
    made: Embedded, videos: Videos, catalog: Catalog, rows: RowNumbers
) -> Iterator[_Part]:
    if not len(rows):
        return
    plan = Sweep(seed=0, rows=rows, batch_size=videos.batch_size)
    source = StreamSource(
        catalog=catalog,
        plan=plan,
        specs=(made.spec,),
        decoder=videos.decoder,
        limits=videos.limits,
    )
    with videos.open_stream(source, range(plan.num_steps)) as stream:
        keys: list[str] = []
        found: list[np.ndarray] = []
        failures: list[Failure] = []
        for batch in stream:
            failures += batch.failures
            if batch.keys:
                each = embed(
                    {"": made.encoder}, iter([batch]), made.transform, num_items=len(batch.keys)
                )
                keys += each.keys
                found.append(each.features[""])
            if len(keys) + len(failures) >= _PART_VIDEOS:
                yield tuple(keys), _joined(found), tuple(failures)
                keys, found, failures = [], [], []
        if keys or failures:
            yield tuple(keys), _joined(found), tuple(failures)


def _joined(found: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _cropped(encoder: VideoEncoder, views: Views) -> Transform:
    crops = encoder.crops.model_copy(update={"num_crops": views.num_crops})

    def transform(batch: Batch, view: int) -> tuple[torch.Tensor, ...]:
        clips = batch.views[view]
        if clips.video is None:
            raise ValueError("a video without pictures")
        video = disturbed_frames(clips.video, batch.keys, view, views.disturbance, views.seed)
        return crop_views(to_device(video, encoder.device), clips.size_px, crops).unbind(dim=1)

    return transform
