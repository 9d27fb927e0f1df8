"""Proves that a run may begin with the encoders of another, and keep them as they are."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avrep.assemble import build_objective
from avrep.config import RunConfig, StartConfig, parse_config
from avrep.errors import ConfigError
from avrep.pretrain import pretrain
from avrep.trained import load_encoder, load_trained, start_encoders

MakeConfig = Callable[..., RunConfig]


def _config(make: MakeConfig, first: Path, *, frozen: bool) -> RunConfig:
    start = StartConfig(run=str(first), frozen=frozen)
    return make(num_steps=4, warmup_steps=1).model_copy(update={"start": start, "seed": 1})


def _weights(run: Path, *, trained: bool = True) -> dict[str, Tensor]:
    return load_encoder(run, trained=trained).state_dict()


def _same(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return all(others[name].equal(tensor) for name, tensor in some.items())


def test_frozen_encoders_stay_as_the_first_run_left_them(
    tiny_config: MakeConfig, tiny_run: Path, tmp_path: Path
) -> None:
    """Weights and the counts of batch norms; the head beside them is trained."""
    config = _config(tiny_config, tiny_run, frozen=True)
    pretrain(config, tmp_path / "run")
    assert _same(_weights(tiny_run), _weights(tmp_path / "run"))
    objective = build_objective(config)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    load_trained(tmp_path / "run", objective)
    trained = dict(objective.named_parameters())
    heads = [name for name, weights in trained.items() if weights.requires_grad]
    assert heads
    assert not any(name.startswith("encoder.") for name in heads)
    assert not _same({name: before[name] for name in heads}, objective.state_dict())


def test_encoders_that_are_not_frozen_begin_there_and_go_on(
    tiny_config: MakeConfig, tiny_run: Path, tmp_path: Path
) -> None:
    pretrain(_config(tiny_config, tiny_run, frozen=False), tmp_path / "run")
    first, begun = _weights(tiny_run), _weights(tmp_path / "run", trained=False)
    assert _same(first, begun)
    assert not _same(first, _weights(tmp_path / "run"))


def test_a_resumed_run_does_not_begin_again(
    tiny_config: MakeConfig, tiny_run: Path, tmp_path: Path
) -> None:
    config = _config(tiny_config, tiny_run, frozen=False)
    pretrain(config, tmp_path / "whole")
    pretrain(config, tmp_path / "cut", stop_after=2)
    pretrain(config, tmp_path / "cut", resume=True)
    assert _same(_weights(tmp_path / "whole"), _weights(tmp_path / "cut"))


def test_a_frozen_encoder_is_never_in_training_mode(
    tiny_config: MakeConfig, tiny_run: Path
) -> None:
    objective = build_objective(_config(tiny_config, tiny_run, frozen=True)).train()
    encoder = objective.encoders()["video"]
    assert objective.training
    assert not any(module.training for module in encoder.modules())
    assert not encoder(torch.rand(1, 3, 4, 32, 32)).pooled.requires_grad


def test_the_second_stage_goes_on_with_the_first_one_s_projections(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    """Where they are of one width; and it trains them, though the encoders are frozen."""
    first = _sync_config(tiny_config(num_steps=2), "segment_avclip", {"width": 8})
    pretrain(first, tmp_path / "first")
    stage = build_objective(first)
    load_trained(tmp_path / "first", stage)
    start = StartConfig(run=str(tmp_path / "first"), frozen=True)
    for width in (8, 4):
        sizes = {"transformer": {"width": width, "depth": 1, "num_heads": 2}, "video_tokens": 1}
        config = _sync_config(tiny_config(num_steps=2), "synchformer", sizes)
        config = config.model_copy(update={"start": start, "seed": 1})
        begun, fresh, trained = (build_objective(config) for _ in range(3))
        start_encoders(config, begun)
        pretrain(config, tmp_path / f"second{width}")
        load_trained(tmp_path / f"second{width}", trained)
        for kind, projection in begun.projections().items():
            given = (stage if width == 8 else fresh).projections()[kind]
            assert _same(given.state_dict(), projection.state_dict())
            assert not _same(given.state_dict(), trained.projections()[kind].state_dict())


def _sync_config(config: RunConfig, kind: str, sizes: dict[str, object]) -> RunConfig:
    tree = config.model_dump(mode="json")
    offsets = 1 if kind == "segment_avclip" else 3
    objective = {
        "kind": kind,
        "sampler": {"num_frames": 8, "num_offsets": offsets, "max_offset_s": 0.16, "jitter_s": 0.0},
        "segment_frames": 4,
        "hop_frames": 4,
        "short_side_px": 32,
        "crop_px": 32,
        **sizes,
    }
    sound = {"kind": "audio_conv", "base_width": 4, "num_bins": 16}
    return parse_config({**tree, "audio_encoder": sound, "objective": objective}, "test")


def test_mistakes(tiny_config: MakeConfig, tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no run at"):
        pretrain(_config(tiny_config, tmp_path / "none", frozen=True), tmp_path / "run")
    tree = _config(tiny_config, tiny_run, frozen=True).model_dump(mode="json")
    wider = {**tree["video_encoder"], "base_width": 8}
    with pytest.raises(ConfigError, match=r"is another one \(video_encoder.base_width: 4 -> 8\)"):
        pretrain(parse_config({**tree, "video_encoder": wider}, "test"), tmp_path / "run")
    sound = {
        "video_encoder": None,
        "audio_encoder": {"kind": "spectrogram_vit", "size": "micro"},
        "objective": {"kind": "audiomae", "sampler": {"duration_s": 1.0, "min_s": 1.0}},
    }
    with pytest.raises(ConfigError, match="has no audio encoder, and this run needs one"):
        pretrain(parse_config({**tree, **sound}, "test"), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()
