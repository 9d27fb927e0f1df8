"""What is searched for: a clip, an image or a sound, as a vector beside those of a store."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from avrep.assemble import build_objective
from avrep.augment.eval_crops import crop_views
from avrep.config import RunConfig
from avrep.embedding.form import ClipForm, Kind, VideoForm, clip_form, to_inputs, windows
from avrep.embedding.job import require_same_weights
from avrep.embedding.search import Project
from avrep.embedding.store import FeatureStore
from avrep.errors import ConfigError
from avrep.media.decode import decode
from avrep.media.local_file import local_item
from avrep.objectives.base import Objective
from avrep.objectives.segment_avclip import SegmentAvclip
from avrep.sampling.windows import SpacingConfig
from avrep.trained import load_encoder, load_trained, read_run_config
from avrep.types import Clip

# An image is refused, not reduced, above what a decoder may give of one frame.
_MAX_SIDE_PX = 2**14


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to look for, and what was looked at to know it."""

    title: str
    vector: npt.NDArray[np.float32]
    """float32[d]"""
    project: Project | None = None
    """What the store's vectors go through, where the query is of another kind than they."""
    clip: Clip | None = None
    """As it was decoded; of an image, one frame."""


class Asker:
    """Makes queries for a store; loads what the run has for it.

    Args:
        store: what will be searched.
        run_dir: where the run is now; where it was when the store was made, if None.

    Raises:
        ConfigError: no such run, or it has other weights by now.
    """

    def __init__(self, store: FeatureStore, run_dir: Path | None = None) -> None:
        self._store = store
        self._run = run_dir or store.run
        if not self._run.is_dir():
            raise ConfigError(
                f"no run at {self._run}, whose encoder made {store.path}; say where it is: --run DIR"
            )
        self._config: RunConfig = read_run_config(self._run)
        self._objective = build_objective(self._config)

    def like(self, file: Path, at_s: float | None = None) -> Query:
        """A clip of a file, of the kind that the store's vectors are of.

        Args:
            file: media on disk.
            at_s: where the clip begins; its middle one when None.

        Raises:
            ConfigError: no such file.
            MediaError: it has no such clip.
        """
        return self._of_file(file, at_s, self._store.facts.kind)

    def sound(self, file: Path, at_s: float | None = None) -> Query:
        """A clip of a file's sound; among vectors of pictures where both are in one space.

        Raises:
            ConfigError: no such file, or sound and pictures are in no common space.
            MediaError: it has no such clip.
        """
        return self._of_file(file, at_s, "audio")

    def image(self, file: Path) -> Query:
        """An image, as a clip in which nothing moves.

        Raises:
            ConfigError: no such image, or pictures and sound are in no common space.
        """
        frame = _read_image(file)
        form = self._form("video")
        assert isinstance(form, VideoForm)
        size_px = np.array([frame.shape[:2]], np.int32)
        crops = crop_views(torch.from_numpy(frame)[None, None], size_px, form.crops)[0]
        still = crops.expand(-1, -1, form.clip.num_frames, -1, -1)
        clip = Clip(video=frame[None], pts_s=np.zeros(1))
        return self._query("video", file.name, still, clip)

    def _of_file(self, file: Path, at_s: float | None, kind: Kind) -> Query:
        form = self._form(kind)
        spacing = SpacingConfig(num_clips=1) if at_s is None else SpacingConfig(at_s=at_s)
        read = self._config.data
        with local_item(file, read.limits) as (item, data):
            (window,) = windows(form, item, spacing)
            clip = decode(
                data, window.times, form.geometry, decoder=read.decoder, limits=read.limits
            )
        (crops,) = to_inputs(form, [clip], torch.device("cpu"))
        title = f"{file.name}, {window.start_s:.2f} to {window.end_s:.2f} s"
        return self._query(kind, title, crops, clip)

    def _form(self, kind: Kind) -> ClipForm:
        """How a query of a kind is made.

        Raises:
            ConfigError: it cannot be compared with what the store has.
        """
        own = self._store.facts.kind
        if kind != own and _joint_space(self._objective) is None:
            asked = "sound" if kind == "audio" else "an image"
            there = "--sound FILE" if own == "audio" else "--like FILE or --image FILE"
            raise ConfigError(
                f"{self._store.path} has vectors of {_NAMES[own]}, which {asked} cannot be compared "
                f"with: {self._config.objective.kind} trains no space of both (segment_avclip "
                f"does); search it by {there}"
            )
        return clip_form(self._config, self._objective, kind)

    @torch.inference_mode()
    def _query(self, kind: Kind, title: str, crops: Tensor, clip: Clip) -> Query:
        own = self._store.facts.kind
        encoder = load_encoder(self._run, kind)
        if kind == own:
            require_same_weights(encoder, self._store.facts, self._run, self._store.path)
        pooled = encoder(crops).pooled.float().mean(dim=0)
        if kind == own:
            return Query(title=title, vector=pooled.numpy(), clip=clip)
        load_trained(self._run, self._objective)
        require_same_weights(
            self._objective.encoders()[own], self._store.facts, self._run, self._store.path
        )
        space = _joint_space(self._objective)
        assert space is not None
        to_both = {"video": space.video_projection, "audio": space.audio_projection}
        vector = to_both[kind](pooled).numpy()
        return Query(title=title, vector=vector, project=_through(to_both[own]), clip=clip)


_NAMES = {"video": "pictures", "audio": "sound"}


def _joint_space(objective: Objective) -> SegmentAvclip | None:
    """What has pictures and sound in one space, if the objective, or a part of it, has."""
    parts = (part for part in objective.modules() if isinstance(part, SegmentAvclip))
    return next(parts, None)


def _through(projection: torch.nn.Module) -> Project:
    @torch.inference_mode()
    def project(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return projection(torch.tensor(vectors)).numpy()

    return project


def _read_image(file: Path) -> npt.NDArray[np.uint8]:
    """uint8[h w 3], upright."""
    if not file.is_file():
        raise ConfigError(f"no image at {file}")
    try:
        with Image.open(file) as image:
            if max(image.size) > _MAX_SIDE_PX:
                raise ConfigError(
                    f"{file} has {image.width} x {image.height} pixels; reduce it to at most "
                    f"{_MAX_SIDE_PX} on a side"
                )
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ConfigError(
            f"{file} is no image that can be read ({' '.join(str(error).split())})"
        ) from error
