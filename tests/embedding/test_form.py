"""Every recipe's encoders take clips of the form that is found for them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avrep.assemble import build_objective
from avrep.config import load_config
from avrep.embedding.form import Kind, SoundForm, VideoForm, clip_form, to_inputs
from avrep.models.weights_digest import weights_digest
from avrep.types import Clip

_TOYS = sorted((Path(__file__).parents[2] / "configs" / "toy").glob("*.yaml"))
KINDS: tuple[Kind, ...] = ("video", "audio")


@pytest.mark.parametrize("path", _TOYS, ids=lambda path: path.stem)
def test_an_encoder_takes_clips_of_its_form(path: Path) -> None:
    config = load_config(path)
    objective = build_objective(config)
    for kind in KINDS:
        encoder = objective.encoders().get(kind)
        if encoder is None:
            continue
        form = clip_form(config, objective, kind)
        match form:
            case VideoForm():
                num_frames = form.clip.num_frames
                pixels = np.full((num_frames, 60, 80, 3), 90, np.uint8)
                clip = Clip(video=pixels, pts_s=np.arange(num_frames, dtype=np.float64))
            case SoundForm():
                sound = np.sin(np.arange(form.num_samples + 1)).astype(np.float32)
                clip = Clip(video=None, pts_s=np.zeros(0), audio=sound, rate_hz=form.rate_hz)
        (crops,) = to_inputs(form, [clip], torch.device("cpu"))
        with torch.inference_mode():
            pooled = encoder.eval()(crops).pooled
        assert pooled.shape == (1, encoder.width)
        assert pooled.isfinite().all()


def test_a_clip_is_a_segment_where_segments_are_what_is_encoded() -> None:
    config = load_config(_TOYS[0].parent / "segment_avclip.yaml")
    objective = build_objective(config)
    video, audio = (clip_form(config, objective, kind) for kind in KINDS)
    assert isinstance(video, VideoForm)
    assert isinstance(audio, SoundForm)
    # Segments of 4 frames at 25 a second.
    assert (video.clip.num_frames, video.clip.stride, video.clip.fps) == (4, 1, 25.0)
    assert audio.duration_s == pytest.approx(0.16)
    assert audio.num_samples == 2560


def test_weights_have_one_digest_whatever_holds_them() -> None:
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    second.load_state_dict(first.state_dict())
    assert weights_digest(first) == weights_digest(second)
    with torch.no_grad():
        second.weight[0, 0] += 1e-6
    assert weights_digest(first) != weights_digest(second)
