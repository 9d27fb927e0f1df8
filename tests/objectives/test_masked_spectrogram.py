"""Proves of AudioMAE and SSAST alike: draws follow the address, padding is no part of the task, two
ranks with unequal clips are one, and what does not fit is told. Two gloo ranks on the CPU.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from avrep.errors import ConfigError
from avrep.models.log_mel import LogMelConfig, samples_of
from avrep.models.spectrogram_decoder import SpectrogramDecoderConfig
from avrep.models.spectrogram_vit import (
    SpectrogramVit,
    SpectrogramVitConfig,
    build_spectrogram_vit,
)
from avrep.objectives.audiomae import Audiomae, AudiomaeConfig
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.masked_spectrogram import MaskedSpectrogram
from avrep.objectives.ssast import Ssast, SsastConfig
from avrep.sampling.sound import SoundConfig
from avrep.types import Address

_CROP = SoundConfig(duration_s=0.5, min_s=0.2)
_ADDRESSES = tuple(Address(2, item, 1) for item in (5, 3, 8, 6))
_LENGTHS = [samples_of(48), samples_of(24), samples_of(40) + 100, samples_of(31)]


def _encoder(**changes: object) -> SpectrogramVit:
    tree = {
        "size": "micro",
        "spectrogram": LogMelConfig(num_bins=32, num_frames=48),
        "patch_frames": 8,
        "patch_bins": 8,
        "positions": "learned",
    }
    return build_spectrogram_vit(SpectrogramVitConfig.model_validate({**tree, **changes}), 0)


def _audiomae(**changes: object) -> Audiomae:
    decoder = SpectrogramDecoderConfig(width=24, depth=2, num_heads=2, window=4)
    tree = {"sampler": _CROP, "decoder": decoder, **changes}
    return Audiomae(AudiomaeConfig.model_validate(tree), _encoder(), 0)


def _ssast(**changes: object) -> Ssast:
    tree = {"sampler": _CROP, "cluster": (1, 2), **changes}
    return Ssast(SsastConfig.model_validate(tree), _encoder(), 0)


_BUILDS: dict[str, Callable[..., MaskedSpectrogram]] = {"audiomae": _audiomae, "ssast": _ssast}
_EACH = pytest.mark.parametrize("build", _BUILDS.values(), ids=[*_BUILDS])


def _sound(num_clips: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(num_clips, max(_LENGTHS), generator=generator)
    # As the loader has it: silence after each sound's end.
    return sound * (torch.arange(max(_LENGTHS)) < torch.tensor(_LENGTHS)[:num_clips, None])


def _batch(
    audio: Tensor, lengths: list[int] | None, addresses: tuple[Address, ...] = _ADDRESSES
) -> BatchTensors:
    view = ViewTensors(
        video=None,
        pts_s=torch.zeros(audio.shape[0], 0, dtype=torch.float64),
        audio=audio,
        num_samples=None if lengths is None else torch.tensor(lengths),
        rate_hz=16_000,
    )
    return BatchTensors(step=0, views=(view,), addresses=addresses)


def _loss(objective: MaskedSpectrogram, batch: BatchTensors) -> float:
    return objective(batch, torch.Generator()).loss.item()


@_EACH
def test_draws_follow_the_address(build: Callable[..., MaskedSpectrogram]) -> None:
    objective = build()
    sound = _sound()
    loss = _loss(objective, _batch(sound, _LENGTHS))
    turned = _batch(sound.flip(0), _LENGTHS[::-1], _ADDRESSES[::-1])
    assert _loss(objective, turned) == pytest.approx(loss, rel=1e-5)
    elsewhere = _batch(sound, _LENGTHS, _ADDRESSES[::-1])
    assert _loss(objective, elsewhere) != pytest.approx(loss, rel=1e-5)


@_EACH
def test_padding_is_no_part_of_the_task(build: Callable[..., MaskedSpectrogram]) -> None:
    objective = build()
    short = _sound()[1:2]
    alone = _loss(objective, _batch(short[:, : _LENGTHS[1]], None, _ADDRESSES[1:2]))
    padded = _loss(objective, _batch(short, _LENGTHS[1:2], _ADDRESSES[1:2]))
    assert padded == pytest.approx(alone, rel=1e-5)
    # Taken for sound, the silence does change it.
    heard = _loss(objective, _batch(short, None, _ADDRESSES[1:2]))
    assert heard != pytest.approx(alone, rel=1e-3)
    # Nor does it matter what is in the padding.
    noisy = short + (torch.arange(short.shape[1]) >= _LENGTHS[1]) * torch.rand_like(short)
    again = _loss(objective, _batch(noisy, _LENGTHS[1:2], _ADDRESSES[1:2]))
    assert again == pytest.approx(alone, rel=1e-5)


@_EACH
def test_clips_weigh_by_their_hidden_patches(build: Callable[..., MaskedSpectrogram]) -> None:
    objective = build()
    sound = _sound()
    losses, counts = [], []
    for row, (length, address) in enumerate(zip(_LENGTHS, _ADDRESSES, strict=True)):
        losses.append(_loss(objective, _batch(sound[row : row + 1], [length], (address,))))
        num_places = objective.encoder.config.num_places(length)
        ratio = 0.8 if isinstance(objective, Audiomae) else 0.78125
        counts.append(num_places - int((1 - ratio) * num_places + 1e-6))
    assert counts == ([20, 10, 16, 10] if isinstance(objective, Audiomae) else [19, 10, 16, 10])
    expected = sum(a * b for a, b in zip(losses, counts, strict=True)) / sum(counts)
    assert _loss(objective, _batch(sound, _LENGTHS)) == pytest.approx(expected, rel=1e-4)


@_EACH
def test_other_batches_are_refused(build: Callable[..., MaskedSpectrogram]) -> None:
    objective = build()
    view = _batch(_sound(), None).views[0]
    slow = ViewTensors(video=None, pts_s=view.pts_s, audio=view.audio, rate_hz=8000)
    with pytest.raises(ValueError, match="one view with sound at 16000 Hz"):
        objective(BatchTensors(step=0, views=(slow,), addresses=_ADDRESSES), torch.Generator())
    with pytest.raises(ValueError, match="4 rows came with 0 addresses"):
        objective(_batch(_sound(), None, ()), torch.Generator())


@_EACH
def test_clips_that_cannot_be_masked_or_placed_are_told(
    build: Callable[..., MaskedSpectrogram],
) -> None:
    # One patch along time is 4 places, of which none would be seen; two are 8.
    build(sampler=SoundConfig(duration_s=0.5, min_s=samples_of(16) / 16_000))
    told = r"min_s 0\.17\d* s has 4; raise objective\.sampler\.min_s"
    with pytest.raises(ConfigError, match=told):
        build(sampler=SoundConfig(duration_s=0.5, min_s=(samples_of(16) - 1) / 16_000))
    build(sampler=SoundConfig(duration_s=(samples_of(56) - 1) / 16_000, min_s=0.2))
    with pytest.raises(ConfigError, match=r"up to 0\.575 s, .* learned positions end after 0\.48"):
        build(sampler=SoundConfig(duration_s=samples_of(56) / 16_000, min_s=0.2))


def _rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    # Three clips for one rank and one for the other: unequal numbers of patches, unequal padding.
    rows = slice(0, 3) if rank == 0 else slice(3, 4)
    lengths = _LENGTHS[rows]
    audio = _sound()[rows, : max(lengths)]
    result = {}
    for name, build in _BUILDS.items():
        objective = build()
        module = DistributedDataParallel(objective)
        out = module(_batch(audio, lengths, _ADDRESSES[rows]), torch.Generator())
        out.loss.backward()
        gradients = {key: p.grad for key, p in objective.named_parameters()}
        result[name] = {"loss": out.loss.detach(), "metrics": {**out.metrics}, "grads": gradients}
    torch.save(result, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_with_unequal_clips_equal_one(tmp_path: Path) -> None:
    spawn(_rank_main, args=(str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name, build in _BUILDS.items():
        objective, results = build(), [result[name] for result in ranks]
        out = objective(_batch(_sound(), _LENGTHS), torch.Generator())
        out.loss.backward()
        losses = torch.stack([result["loss"] for result in results])
        assert losses[0] != losses[1]
        torch.testing.assert_close(losses.mean(), out.loss.detach())
        for metric, value in out.metrics.items():
            joined = torch.stack([result["metrics"][metric] for result in results]).mean()
            torch.testing.assert_close(joined, value)
        for key, parameter in objective.named_parameters():
            assert parameter.grad is not None
            scale = parameter.grad.abs().max().item()
            assert scale > 0, key
            for result in results:
                torch.testing.assert_close(
                    result["grads"][key], parameter.grad, rtol=1e-3, atol=1e-4 * scale, msg=key
                )
