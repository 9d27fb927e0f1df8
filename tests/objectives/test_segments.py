"""Checks what the audio-visual objectives share: cuts, the augmentation, recipes that say the defaults."""

from pathlib import Path

import pytest
import torch
import yaml

from avrep.objectives.segment_avclip import SegmentAvclipConfig
from avrep.objectives.segments import SegmentsConfig, audio_segments, video_segments
from avrep.objectives.synchformer import SynchformerConfig
from avrep.objectives.syncnet import SyncnetConfig
from avrep.sampling.sync import SyncConfig
from tests.objectives import sync_toys

_CONFIGS = Path(__file__).parents[2] / "configs"


def test_segments_of_pictures_start_a_hop_apart() -> None:
    video = torch.randn(2, 3, 9, 4, 5)
    cut = video_segments(video, 4, 2)
    assert cut.shape == (2, 3, 3, 4, 4, 5)
    for number in range(3):
        assert torch.equal(cut[:, number], video[:, :, 2 * number : 2 * number + 4])


def test_segments_of_sound_past_the_end_are_silent() -> None:
    audio = torch.arange(1.0, 9.0)[None]
    cut = audio_segments(audio, [0, 3, 6], 4)
    assert cut.tolist() == [[[1, 2, 3, 4], [4, 5, 6, 7], [7, 8, 0, 0]]]


def test_sound_of_a_segment_is_that_of_its_frames_at_any_rate_and_stride() -> None:
    """Each sample says its own time, so a segment's pooled sound is the time of its middle."""
    config = SegmentsConfig(
        sampler=SyncConfig(num_frames=10, stride=3, fps=30.0, num_offsets=1),
        segment_frames=4,
        hop_frames=3,
        crop_px=32,
    )
    assert config.num_segments == 3
    objective = sync_toys.Clock(config)
    times_s = torch.arange(16000)[None] / 16000
    view = sync_toys.view_of_sound(times_s)
    # Frames are 0.1 s apart: segments of 0.4 s begin at 0, 0.3 and 0.6 s.
    heard = objective.encode_audio(view).pooled[:, 0].tolist()
    assert heard == pytest.approx([0.2, 0.5, 0.8], abs=1e-4)


def test_a_whole_picture_stays_whole() -> None:
    objective = sync_toys.syncnet()
    (augment,) = objective.augments()
    assert augment.area == (1.0, 1.0)
    assert augment.blur_probability == augment.jitter_probability == 0.0


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("segment_avclip_vggsound", SegmentAvclipConfig()),
        ("synchformer_vggsound", SynchformerConfig()),
        ("syncnet_bbc", SyncnetConfig()),
    ],
)
def test_the_published_recipe_writes_the_defaults_out(name: str, config: SegmentsConfig) -> None:
    tree = yaml.safe_load((_CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    assert type(config).model_validate(tree["objective"]) == config
    assert tree["objective"].keys() == config.model_dump().keys()
