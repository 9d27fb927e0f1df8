"""The clips on which an encoder is measured: evenly spaced, under fixed crops, otherwise as in training."""

from avrep.augment.eval_crops import CropConfig
from avrep.augment.video_config import VideoAugmentConfig
from avrep.config import RunConfig
from avrep.errors import ConfigError
from avrep.objectives.base import Objective
from avrep.objectives.segments import Segments
from avrep.sampling.clips import DenseConfig
from avrep.sampling.sound import SoundConfig
from avrep.sampling.spec import VideoSamplerConfig, ViewSpec
from avrep.sampling.sync import SyncConfig


def dense_spec(config: RunConfig, objective: Objective, num_clips: int) -> ViewSpec:
    """Evenly spaced clips with the objective's own distance between frames and decode geometry.

    They have as many frames as the encoder is trained on at a time (`encoded_frames`), unless
    `evaluation.num_frames` says otherwise.

    Raises:
        ConfigError: the objective has no clips of pictures.
    """
    for spec in objective.view_specs():
        if isinstance(spec.sampler, SoundConfig):
            continue
        sampler = DenseConfig(
            num_frames=config.evaluation.num_frames or encoded_frames(objective, spec.sampler),
            stride=spec.sampler.stride,
            fps=spec.sampler.fps,
            num_clips=num_clips,
        )
        return ViewSpec(sampler=sampler, geometry=spec.geometry)
    raise no_pictures()


def encoded_frames(objective: Objective, sampler: VideoSamplerConfig | SyncConfig) -> int:
    """Frames that go through the encoders at a time: a clip's, or a segment's where the objective cuts
    its clips into segments, each by itself through the encoders.

    Args:
        objective: whose clips they are.
        sampler: what gives them.
    """
    segments = (part for part in objective.modules() if isinstance(part, Segments))
    cut = next(segments, None) if isinstance(sampler, SyncConfig) else None
    return sampler.num_frames if cut is None else cut.segment_frames


def crop_config(config: RunConfig, objective: Objective) -> CropConfig:
    """The fixed crops of evaluation, normalised as the objective's training clips are."""
    train_view = video_augments(objective)[0]
    crop_px = config.evaluation.crop_px or train_view.crop_px
    return CropConfig(
        short_side_px=crop_px,
        crop_px=crop_px,
        num_crops=config.evaluation.num_crops,
        mean=train_view.mean,
        std=train_view.std,
    )


def video_augments(objective: Objective) -> tuple[VideoAugmentConfig, ...]:
    """What happens to those of the objective's views that have pictures.

    Raises:
        ConfigError: none has.
    """
    found = tuple(augment for augment in objective.augments() if augment is not None)
    if not found:
        raise no_pictures()
    return found


def no_pictures() -> ConfigError:
    return ConfigError(
        "the run's objective trains on sound alone: it has no video encoder to evaluate; load what it "
        "trained by avrep.load_encoder(RUN, 'audio')"
    )
