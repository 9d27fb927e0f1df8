"""Proves that a config names its encoders and objectives by kind, and that they fit each other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avrep.assemble import build_objective, training_source
from avrep.cluster.run import evaluate_run
from avrep.config import RunConfig, dump_config, load_config, parse_config
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog, write_catalog
from avrep.models.waveform import Waveform
from avrep.objectives.joint import Joint
from avrep.objectives.rspnet import Rspnet
from avrep.objectives.wav2vec2 import Wav2vec2
from avrep.pretrain import pretrain
from avrep.trained import load_encoder

_CVRL = {
    "kind": "cvrl",
    "sampler": {"num_frames": 4},
    "crop_px": 32,
    "short_side_px": 32,
    "head": {"hidden_width": 8, "num_hidden": 1, "out_width": 4},
}
_RSPNET = {
    "kind": "rspnet",
    "sampler": {"num_frames": 4},
    "crop_px": 32,
    "short_side_px": 32,
    "out_width": 4,
    "queue_size": 8,
}
_WAV2VEC2 = {
    "kind": "wav2vec2",
    "sampler": {"duration_s": 0.6, "min_s": 0.4},
    "mask_length": 2,
    "num_distractors": 4,
    "num_codes": 8,
    "projection_width": 8,
}
_SEGMENT_AVCLIP = {
    "kind": "segment_avclip",
    "sampler": {"num_frames": 8, "num_offsets": 1, "max_offset_s": 0.0},
    "segment_frames": 4,
    "hop_frames": 4,
    "crop_px": 32,
    "short_side_px": 32,
    "width": 8,
}
_SYNCHFORMER = {
    "kind": "synchformer",
    "sampler": {"num_frames": 8, "num_offsets": 5, "max_offset_s": 0.4},
    "segment_frames": 4,
    "hop_frames": 2,
    "crop_px": 32,
    "short_side_px": 32,
    "transformer": {"width": 16, "depth": 1, "num_heads": 2},
}
_SYNCNET = {
    "kind": "syncnet",
    "sampler": {"num_frames": 9, "num_offsets": 1, "max_offset_s": 0.0, "jitter_s": 0.0},
    "max_shift": 2,
    "crop_px": 32,
    "short_side_px": 32,
    "head": {"hidden_width": 8, "num_hidden": 1, "out_width": 4},
    "margin": 4.0,
}
_SSAST = {
    "kind": "ssast",
    "sampler": {"duration_s": 0.6, "min_s": 0.4},
    "cluster": [1, 2],
}
_AUDIOMAE = {
    "kind": "audiomae",
    "sampler": {"duration_s": 0.6, "min_s": 0.4},
    "decoder": {"width": 24, "depth": 2, "num_heads": 2},
}
_JOINT = {
    "kind": "joint",
    "parts": {
        "alike": {"objective": _CVRL},
        "speed": {"objective": _RSPNET, "weight": 0.5},
        "heard": {"objective": _WAV2VEC2, "weight": 0.1},
    },
}
_VIDEO = {"kind": "video_conv", "arch": "r3d_18_fast", "base_width": 4}
_AUDIO = {"kind": "waveform", "size": "tiny"}
_AUDIO_CONV = {"kind": "audio_conv", "base_width": 4, "num_bins": 16}
_SPECTROGRAM = {"kind": "spectrogram_vit", "size": "micro", "spectrogram": {"num_frames": 64}}


def _config(catalog: Catalog, objective: object, **encoders: object) -> RunConfig:
    train = {
        "batch_size": 4,
        "num_steps": 4,
        "warmup_steps": 1,
        "optim": {"lr": 0.01},
        "device": "cpu",
        "num_threads": 1,
        "log_every_steps": 1,
        "checkpoint_every_steps": 2,
    }
    data = {"catalog": str(catalog.path), "num_decode_actors": 0}
    tree = {"data": data, "objective": objective, "train": train, **encoders}
    return parse_config(tree, "test")


def test_a_kind_says_what_is_built(synth_catalog: Catalog, tmp_path: Path) -> None:
    config = _config(synth_catalog, _RSPNET, video_encoder=_VIDEO)
    assert isinstance(build_objective(config), Rspnet)
    (tmp_path / "again.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.yaml") == config
    sound = _config(synth_catalog, _WAV2VEC2, audio_encoder=_AUDIO)
    assert isinstance(build_objective(sound), Wav2vec2)


def test_spectrograms_train_together_and_come_back(synth_catalog: Catalog, tmp_path: Path) -> None:
    parts = {"filled": {"objective": _AUDIOMAE}, "told": {"objective": _SSAST, "weight": 0.1}}
    joint = {"kind": "joint", "parts": parts}
    config = _config(synth_catalog, joint, audio_encoder=_SPECTROGRAM)
    seen: dict[int, float] = {}
    pretrain(config, tmp_path / "whole", on_step=lambda r: seen.update({r.step: r.result.loss}))
    assert sorted(seen) == [1, 2, 3, 4]
    again: dict[int, float] = {}
    pretrain(config, tmp_path / "cut", stop_after=2)
    pretrain(
        config,
        tmp_path / "cut",
        resume=True,
        on_step=lambda r: again.update({r.step: r.result.loss}),
    )
    assert again == {step: seen[step] for step in (3, 4)}


@pytest.mark.parametrize(
    ("objective", "encoders", "told"),
    [
        (_CVRL, {}, "cvrl trains a video encoder; add video_encoder"),
        (
            _WAV2VEC2,
            {"video_encoder": _VIDEO},
            "wav2vec2 trains an encoder of waveforms; add audio",
        ),
        (
            _CVRL,
            {"video_encoder": _VIDEO, "audio_encoder": _AUDIO},
            "cvrl does not train the audio encoder; take it out",
        ),
        (
            _SYNCNET,
            {"video_encoder": _VIDEO},
            "syncnet trains an audio encoder too; add audio_encoder",
        ),
        (_SYNCNET, {"audio_encoder": _AUDIO_CONV}, "syncnet trains a video encoder; add video"),
        (
            _WAV2VEC2,
            {"audio_encoder": _AUDIO_CONV},
            "wav2vec2 trains an encoder of waveforms; add audio",
        ),
        (
            _WAV2VEC2,
            {"audio_encoder": _SPECTROGRAM},
            "wav2vec2 trains an encoder of waveforms; add",
        ),
        (_AUDIOMAE, {"audio_encoder": _AUDIO}, "audiomae trains an encoder of spectrograms; add"),
        (_SSAST, {}, r"add audio_encoder: \{kind: spectrogram_vit\}"),
        ({"kind": "videomae"}, {"video_encoder": _VIDEO}, "set video_encoder.kind to tubelet_vit"),
    ],
)
def test_what_does_not_fit_is_told(
    synth_catalog: Catalog, objective: object, encoders: dict[str, object], told: str
) -> None:
    config = _config(synth_catalog, objective, **encoders)
    with pytest.raises(ConfigError, match=told):
        build_objective(config)


@pytest.mark.parametrize(
    ("objective", "told"),
    [
        ({**_CVRL, "warmth": 1}, r"^test: objective\.warmth: no such key$"),
        ({**_CVRL, "crop_px": 2}, r"^test: objective\.crop_px: input should be greater"),
        ({"kind": "cvlr"}, r"^test: objective: input tag 'cvlr' .* 'cvrl'"),
        ({"crop_px": 32}, r"^test: objective: unable to extract tag using discriminator 'kind'"),
        (
            {"kind": "joint", "parts": {"one": {"objective": _CVRL}}},
            r"objective\.parts: .* 2 items",
        ),
        (
            {"kind": "joint", "parts": {"a": {"objective": {**_CVRL, "x": 1}}, "b": {}}},
            r"objective\.parts\.a\.objective\.x: no such key",
        ),
    ],
)
def test_a_wrong_value_is_named_by_its_place_in_the_file(
    synth_catalog: Catalog, objective: object, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        _config(synth_catalog, objective, video_encoder=_VIDEO)


def test_items_too_short_for_the_sampler_are_left_out(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    items = [synth_catalog[row] for row in range(len(synth_catalog))]
    short = [1, 4]
    for row in short:
        items[row] = replace(items[row], duration_s=0.9)
    write_catalog(tmp_path / "c.parquet", items, synth_catalog.root)
    catalog = Catalog.open(tmp_path / "c.parquet")

    def rows(min_s: float) -> list[int]:
        sampler = {"duration_s": 3000, "min_s": min_s}
        config = _config(catalog, {**_WAV2VEC2, "sampler": sampler}, audio_encoder=_AUDIO)
        return training_source(config, build_objective(config)).plan.rows.tolist()

    heard = catalog.rows_with(audio=True).tolist()
    assert set(short) < set(heard)
    assert rows(0.9) == heard
    assert rows(1.0) == [row for row in heard if row not in short]
    with pytest.raises(ConfigError, match="no item with sound of at least 2000 s; see avrep"):
        rows(2000)


def test_several_objectives_train_and_come_back(
    synth_catalog: Catalog, tmp_path: Path, tiny_config: Callable[..., RunConfig]
) -> None:
    del tiny_config
    config = _config(synth_catalog, _JOINT, video_encoder=_VIDEO, audio_encoder=_AUDIO)
    objective = build_objective(config)
    assert isinstance(objective, Joint)
    rows = training_source(config, objective).plan.rows
    # Only items with both streams can serve them all.
    assert np.array_equal(rows, synth_catalog.rows_with(video=True, audio=True))
    seen: dict[int, float] = {}
    pretrain(config, tmp_path / "whole", on_step=lambda r: seen.update({r.step: r.result.loss}))
    assert sorted(seen) == [1, 2, 3, 4]
    again: dict[int, float] = {}
    pretrain(config, tmp_path / "cut", stop_after=2)
    pretrain(
        config,
        tmp_path / "cut",
        resume=True,
        on_step=lambda r: again.update({r.step: r.result.loss}),
    )
    assert again == {step: seen[step] for step in (3, 4)}
    assert load_encoder(tmp_path / "whole").width == 32


def test_a_run_of_sound_alone_gives_its_encoder_and_refuses_to_give_another(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    config = _config(synth_catalog, _WAV2VEC2, audio_encoder=_AUDIO)
    pretrain(config, tmp_path / "run", stop_after=2)
    trained, untrained = (
        load_encoder(tmp_path / "run", "audio", trained=flag) for flag in (True, False)
    )
    assert isinstance(trained, Waveform)
    assert not trained.training
    with torch.inference_mode():
        clips = torch.rand(1, 800, generator=torch.Generator().manual_seed(0))
        one, other = (encoder(clips).pooled for encoder in (trained, untrained))
    assert not one.equal(other)
    with pytest.raises(ConfigError, match=r"trained no video encoder, but audio: load_encoder\("):
        load_encoder(tmp_path / "run")
    with pytest.raises(ConfigError, match="sound alone: it has no video encoder to evaluate"):
        evaluate_run(tmp_path / "run")


@pytest.mark.parametrize("audio", [_AUDIO, _AUDIO_CONV], ids=["waveform", "audio_conv"])
def test_synchrony_trains_beside_cvrl_on_one_video_encoder(
    synth_catalog: Catalog, tmp_path: Path, audio: dict[str, object]
) -> None:
    """Each part draws clips of its own from the items that have pictures and sound; every encoder
    that works on sound will do.
    """
    methods = (_CVRL, _SEGMENT_AVCLIP, _SYNCHFORMER, _SYNCNET)
    parts = {str(method["kind"]): {"objective": method} for method in methods}
    joint = {"kind": "joint", "parts": parts}
    config = _config(synth_catalog, joint, video_encoder=_VIDEO, audio_encoder=audio)
    objective = build_objective(config)
    assert set(objective.encoders()) == {"video", "audio"}
    assert len(objective.augments()) == 5
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    losses: list[float] = []
    pretrain(config, tmp_path / "run", stop_after=2, on_step=lambda r: losses.append(r.result.loss))
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    trained = load_encoder(tmp_path / "run").state_dict()
    prefix = "parts.cvrl.encoder."
    stem = next(name for name in trained if name.endswith("weight"))
    assert not before[prefix + stem].equal(trained[stem])
