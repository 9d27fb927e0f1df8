"""Proves that an encoder is measured on clips as long as what it was trained on at a time."""

from pathlib import Path

import pytest

import avrep
from avrep.action_task import encoder_of_run
from avrep.assemble import build_objective
from avrep.config import RunConfig, dump_config, load_config
from avrep.dense_clips import dense_spec
from avrep.sampling.clips import DenseConfig

_CONFIGS = Path(__file__).parents[1] / "configs" / "toy"
_SEGMENTS = ("segment_avclip", "synchformer", "syncnet")
"""Methods whose toy recipes have segments of 4 frames at 25 a second."""


def _toy(method: str, *changes: str) -> RunConfig:
    return load_config(_CONFIGS / f"{method}.yaml", ["train.device=cpu", *changes])


def _sampler(config: RunConfig) -> DenseConfig:
    sampler = dense_spec(config, build_objective(config), 3).sampler
    assert isinstance(sampler, DenseConfig)
    return sampler


@pytest.mark.parametrize("method", _SEGMENTS)
def test_where_clips_are_cut_a_clip_is_a_segment(method: str) -> None:
    config = _toy(method)
    sampler = _sampler(config)
    assert sampler == DenseConfig(num_frames=4, stride=1, fps=25.0, num_clips=3)
    # The clips that are cut are longer, or there would be nothing to tell.
    (spec,) = build_objective(config).view_specs()
    assert spec.sampler.model_dump()["num_frames"] > sampler.num_frames


def test_elsewhere_it_is_a_training_clip() -> None:
    config = _toy("videomae")
    (spec,) = build_objective(config).view_specs()
    assert _sampler(config).num_frames == spec.sampler.model_dump()["num_frames"]


@pytest.mark.parametrize("method", ["segment_avclip", "videomae"])
def test_a_number_of_frames_that_is_asked_for_is_had(method: str) -> None:
    assert _sampler(_toy(method, "evaluation.num_frames=7")).num_frames == 7


def test_whoever_evaluates_gives_the_encoder_segments(tmp_path: Path, synth_folder: Path) -> None:
    config = _toy("segment_avclip", "evaluation.num_clips=2")
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    clips = avrep.eval_clips(tmp_path, synth_folder / "videos" / "test" / "00001.mp4")
    assert clips.shape == (2, 3, 4, 48, 48)
    assert encoder_of_run(tmp_path, trained=False).clip.num_frames == 4
