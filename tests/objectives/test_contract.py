"""Proves of every objective in avrep.objectives what the contract promises, at toy size.

A new objective adds one line to `TOYS`; without it the first test here fails. What `Joint` makes of
others is tested beside it.
"""

import importlib
import inspect
import io
import pkgutil
from collections.abc import Callable

import pytest
import torch

import avrep.objectives
from avrep.models.audio_conv import AudioConvConfig, build_audio_conv
from avrep.models.features import Encoder
from avrep.models.heads import ProjectionHeadConfig
from avrep.models.log_mel import LogMelConfig
from avrep.models.mae_decoder import MaeDecoderConfig
from avrep.models.spectrogram_decoder import SpectrogramDecoderConfig
from avrep.models.spectrogram_vit import (
    SpectrogramVit,
    SpectrogramVitConfig,
    build_spectrogram_vit,
)
from avrep.models.transformer import TransformerConfig
from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.models.vjepa_predictor import VjepaPredictorConfig
from avrep.models.waveform import WaveformConfig, build_waveform
from avrep.objectives.audiomae import Audiomae, AudiomaeConfig
from avrep.objectives.base import BatchTensors, LossOut, Objective
from avrep.objectives.cvrl import Cvrl, CvrlConfig
from avrep.objectives.hubert import Hubert, HubertConfig
from avrep.objectives.joint import Joint
from avrep.objectives.mae_st import MaeSt, MaeStConfig
from avrep.objectives.rspnet import Rspnet, RspnetConfig
from avrep.objectives.segment_avclip import SegmentAvclip, SegmentAvclipConfig
from avrep.objectives.ssast import Ssast, SsastConfig
from avrep.objectives.synchformer import Synchformer, SynchformerConfig
from avrep.objectives.syncnet import Syncnet, SyncnetConfig
from avrep.objectives.videomae import Videomae, VideomaeConfig
from avrep.objectives.vjepa import Vjepa, VjepaConfig
from avrep.objectives.wav2vec2 import Wav2vec2, Wav2vec2Config
from avrep.sampling.clips import UniformConfig
from avrep.sampling.pairs import PairConfig
from avrep.sampling.sound import SoundConfig
from avrep.sampling.spec import num_views
from avrep.sampling.speeds import SpeedsConfig
from avrep.sampling.sync import SyncConfig
from benchmarks.random_batch import random_batch

_VIT = TubeletVitConfig(size="micro", patch_px=8, num_frames=4, crop_px=16)
_CLIP = UniformConfig(num_frames=4)
_DECODER = MaeDecoderConfig(width=24, depth=1, num_heads=2)
_CROP = SoundConfig(duration_s=0.5, min_s=0.4)


def _toy_encoder(seed: int) -> Encoder:
    return build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), seed)


def _toy_cvrl(seed: int) -> Objective:
    config = CvrlConfig(
        sampler=PairConfig(num_frames=4),
        crop_px=32,
        head=ProjectionHeadConfig(hidden_width=16, num_hidden=2, out_width=8),
    )
    return Cvrl(config, _toy_encoder(seed), seed)


def _toy_rspnet(seed: int) -> Objective:
    config = RspnetConfig(
        sampler=SpeedsConfig(num_frames=4), crop_px=32, out_width=8, queue_size=16
    )
    return Rspnet(config, _toy_encoder(seed), seed)


def _toy_videomae(seed: int) -> Objective:
    config = VideomaeConfig(sampler=_CLIP, crop_px=16, mask_ratio=0.5, decoder=_DECODER)
    return Videomae(config, build_tubelet_vit(_VIT, seed), seed)


def _toy_mae_st(seed: int) -> Objective:
    config = MaeStConfig(
        sampler=_CLIP, crop_px=16, mask_ratio=0.5, num_target_frames=2, decoder=_DECODER
    )
    vit = _VIT.model_copy(update={"positions": "learned"})
    return MaeSt(config, build_tubelet_vit(vit, seed), seed)


def _toy_vjepa(seed: int) -> Objective:
    config = VjepaConfig(
        sampler=_CLIP,
        crop_px=16,
        predictor=VjepaPredictorConfig(width=24, depth=1, num_heads=2),
        momentum=(0.5, 1.0),
    )
    vit = _VIT.model_copy(update={"positions": "separable"})
    return Vjepa(config, build_tubelet_vit(vit, seed), seed)


def _toy_wav2vec2(seed: int) -> Objective:
    config = Wav2vec2Config(
        sampler=_CROP, mask_length=2, num_distractors=4, projection_width=16, num_codes=8
    )
    return Wav2vec2(config, build_waveform(WaveformConfig(size="tiny"), seed), seed)


def _toy_hubert(seed: int) -> Objective:
    config = HubertConfig(
        labels="unused", sampler=_CROP, mask_length=2, num_classes=6, projection_width=16
    )
    encoder = build_waveform(WaveformConfig(size="tiny"), seed)
    return Hubert(config, encoder, _cycling_labels, seed)


def _toy_audio_encoder(seed: int) -> Encoder:
    return build_audio_conv(AudioConvConfig(base_width=4, num_bins=16), seed)


def _toy_segment_avclip(seed: int) -> Objective:
    sampler = SyncConfig(num_frames=8, num_offsets=1, max_offset_s=0.0)
    config = SegmentAvclipConfig(
        sampler=sampler, segment_frames=4, hop_frames=4, crop_px=32, width=8, hard_at=0.5
    )
    return SegmentAvclip(config, _toy_encoder(seed), _toy_audio_encoder(seed), seed)


def _toy_synchformer(seed: int) -> Objective:
    config = SynchformerConfig(
        sampler=SyncConfig(num_frames=8, num_offsets=5, max_offset_s=0.4),
        segment_frames=4,
        hop_frames=2,
        crop_px=32,
        transformer=TransformerConfig(width=16, depth=1, num_heads=2),
    )
    return Synchformer(config, _toy_encoder(seed), _toy_audio_encoder(seed), seed)


def _toy_syncnet(seed: int) -> Objective:
    config = SyncnetConfig(
        sampler=SyncConfig(num_frames=9, num_offsets=1, max_offset_s=0.0, jitter_s=0.0),
        max_shift=2,
        crop_px=32,
        head=ProjectionHeadConfig(hidden_width=16, num_hidden=1, out_width=8),
        margin=5.0,
    )
    return Syncnet(config, _toy_encoder(seed), _toy_audio_encoder(seed), seed)


def _toy_joint(seed: int) -> Objective:
    return Joint({"seen": _toy_vjepa(seed), "heard": _toy_hubert(seed)}, [1.0, 0.5])


def _toy_spectrogram_vit(seed: int) -> SpectrogramVit:
    spectrogram = LogMelConfig(num_bins=32, num_frames=48)
    config = SpectrogramVitConfig(
        size="micro", spectrogram=spectrogram, patch_frames=8, patch_bins=8, positions="learned"
    )
    return build_spectrogram_vit(config, seed)


def _toy_audiomae(seed: int) -> Objective:
    decoder = SpectrogramDecoderConfig(width=24, depth=2, num_heads=2, window=2)
    config = AudiomaeConfig(sampler=_CROP, decoder=decoder)
    return Audiomae(config, _toy_spectrogram_vit(seed), seed)


def _toy_ssast(seed: int) -> Objective:
    config = SsastConfig(sampler=_CROP, cluster=(1, 2))
    return Ssast(config, _toy_spectrogram_vit(seed), seed)


def _cycling_labels(batch: BatchTensors) -> torch.Tensor:
    """int64[b 50]: half a second of six clusters at 100 Hz, a function of the item."""
    items = torch.tensor([address.item for address in batch.addresses])
    return (torch.arange(50) + items[:, None]) % 6


TOYS: dict[type[Objective], Callable[[int], Objective]] = {
    Audiomae: _toy_audiomae,
    Cvrl: _toy_cvrl,
    Hubert: _toy_hubert,
    Joint: _toy_joint,
    MaeSt: _toy_mae_st,
    Rspnet: _toy_rspnet,
    SegmentAvclip: _toy_segment_avclip,
    Synchformer: _toy_synchformer,
    Syncnet: _toy_syncnet,
    Ssast: _toy_ssast,
    Videomae: _toy_videomae,
    Vjepa: _toy_vjepa,
    Wav2vec2: _toy_wav2vec2,
}
_EACH = pytest.mark.parametrize("build", TOYS.values(), ids=[kind.__name__ for kind in TOYS])


def _run(objective: Objective, batch: BatchTensors) -> LossOut:
    return objective(batch, torch.Generator().manual_seed(5))


def test_every_objective_has_a_toy() -> None:
    modules = [
        importlib.import_module(f"avrep.objectives.{module.name}")
        for module in pkgutil.iter_modules(avrep.objectives.__path__)
    ]
    found = {
        member
        for module in modules
        for _, member in inspect.getmembers(module, inspect.isclass)
        if issubclass(member, Objective) and not inspect.isabstract(member)
    }
    assert found == set(TOYS)


@_EACH
def test_there_is_an_augmentation_for_each_view(build: Callable[[int], Objective]) -> None:
    objective = build(0)
    assert len(objective.augments()) == sum(num_views(spec) for spec in objective.view_specs())


@_EACH
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_loss_is_finite_and_reaches_every_trainable_parameter_and_no_other(
    build: Callable[[int], Objective], precision: torch.dtype
) -> None:
    objective = build(0)
    batch = random_batch(objective, 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        out = _run(objective, batch)
    assert out.loss.dtype == torch.float32
    assert out.loss.isfinite()
    assert out.metrics
    assert all(value.isfinite() for value in out.metrics.values())
    out.loss.backward()
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name


@_EACH
def test_seed_and_step_decide_the_loss(build: Callable[[int], Objective]) -> None:
    first, again, other = build(1), build(1), build(2)
    batch = random_batch(first, 4)
    expected = _run(first, batch)
    torch.rand(7)  # What the global generator did in between must not matter.
    repeated = _run(again, batch)
    assert torch.equal(repeated.loss, expected.loss)
    assert {**repeated.metrics} == {**expected.metrics}
    assert not torch.equal(_run(other, batch).loss, expected.loss)


@_EACH
def test_a_state_dict_carries_the_whole_objective(build: Callable[[int], Objective]) -> None:
    # Of one seed, which draws masks too, and then emptied.
    trained, fresh = build(1), build(1)
    for tensor in fresh.state_dict().values():
        tensor.zero_()
    batch = random_batch(trained, 4)
    optimizer = torch.optim.SGD([p for p in trained.parameters() if p.requires_grad], lr=0.01)
    for step in (1, 2):
        optimizer.zero_grad()
        _run(trained, batch).loss.backward()
        optimizer.step()
        trained.after_step(step, 10)
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(_run(fresh, batch).loss, _run(trained, batch).loss)
    # Batch norm's averages too, which only evaluation mode shows.
    assert torch.equal(_run(fresh.eval(), batch).loss, _run(trained.eval(), batch).loss)


@_EACH
def test_forward_leaves_the_global_generator_alone(build: Callable[[int], Objective]) -> None:
    objective = build(0)
    batch = random_batch(objective, 4)
    before = torch.get_rng_state()
    _run(objective, batch).loss.backward()
    assert torch.equal(torch.get_rng_state(), before)


@_EACH
def test_encoders_are_those_handed_in_and_part_of_the_objective(
    build: Callable[[int], Objective],
) -> None:
    objective = build(0)
    encoders = objective.encoders()
    assert encoders
    assert set(encoders) <= {"video", "audio"}
    assert all(
        any(encoder is part for part in objective.modules()) for encoder in encoders.values()
    )


@_EACH
def test_given_weights_reach_the_teachers_too(build: Callable[[int], Objective]) -> None:
    objective, other = build(0), build(1)
    given = other.encoders()
    for kind, encoder in objective.encoders().items():
        encoder.load_state_dict(given[kind].state_dict())
    objective.restart_teachers()
    for kind, encoder in objective.evaluated().items():
        for name, tensor in encoder.state_dict().items():
            assert tensor.equal(given[kind].state_dict()[name]), name


def test_a_loss_or_metric_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match=r"float32\[\], got float32\[2\]"):
        LossOut(loss=torch.zeros(2))
    with pytest.raises(ValueError, match=r"float32\[\], got float64\[\]"):
        LossOut(loss=torch.zeros((), dtype=torch.float64))
    with pytest.raises(ValueError, match="metric top1 must be a detached scalar"):
        LossOut(loss=torch.zeros(()), metrics={"top1": torch.zeros((), requires_grad=True)})
