"""Proves AudioMAE's objective: a loss known beforehand, a restatement in numpy loops with padding,
the published recipe, and that it learns what is hidden from what is seen.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from avrep import rng
from avrep.models.log_mel import LogMelConfig, log_mel, samples_of
from avrep.models.masks import random_mask
from avrep.models.spectrogram_decoder import SpectrogramDecoderConfig
from avrep.models.spectrogram_vit import (
    SpectrogramVit,
    SpectrogramVitConfig,
    build_spectrogram_vit,
)
from avrep.objectives.audiomae import Audiomae, AudiomaeConfig
from avrep.objectives.base import BatchTensors, LossOut, ViewTensors
from avrep.sampling.sound import SoundConfig
from avrep.types import Address

_ENCODER = SpectrogramVitConfig(
    size="micro", spectrogram=LogMelConfig(num_bins=32, num_frames=48), patch_frames=8, patch_bins=8
)
_TOY = AudiomaeConfig(
    sampler=SoundConfig(duration_s=0.5, min_s=0.2),
    decoder=SpectrogramDecoderConfig(width=24, depth=2, num_heads=2, window=4),
)
_ADDRESSES = tuple(Address(1, item) for item in (4, 9))
_LENGTHS = [samples_of(48), samples_of(24)]


def _objective(**changes: object) -> Audiomae:
    config = _TOY.model_copy(update=changes)
    return Audiomae(config, build_spectrogram_vit(_ENCODER, 0), 0)


def _sound() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(2, _LENGTHS[0], generator=generator)


def _run(objective: Audiomae, sound: Tensor, lengths: list[int] | None = None) -> LossOut:
    num_samples = torch.tensor(lengths or _LENGTHS)
    view = ViewTensors(
        video=None,
        pts_s=torch.zeros(len(sound), 0, dtype=torch.float64),
        audio=sound,
        num_samples=num_samples,
        rate_hz=16_000,
    )
    addresses = _ADDRESSES if len(sound) == 2 else tuple(Address(0, i) for i in range(len(sound)))
    batch = BatchTensors(step=0, views=(view,), addresses=addresses)
    return objective(batch, torch.Generator())


def test_who_predicts_each_patch_s_mean_has_a_loss_known_beforehand() -> None:
    objective = _objective()
    nn.init.zeros_(objective.decoder.head.weight)
    out = _run(objective, _sound())
    # 64 values with an unbiased deviation of 1 have a mean square of 63 / 64.
    assert out.loss.item() == pytest.approx(63 / 64, rel=1e-3)
    assert out.metrics["target_power"].item() == pytest.approx(out.loss.item())
    assert out.metrics["prediction_power"].item() == 0


@pytest.mark.parametrize("normalise", [True, False])
def test_it_equals_loops_in_numpy_with_padding(normalise: bool) -> None:
    objective = _objective(normalise_targets=normalise)
    sound = _sound()
    loss = _run(objective, sound).loss.item()
    total, count = 0.0, 0
    for row, (length, address) in enumerate(zip(_LENGTHS, _ADDRESSES, strict=True)):
        draws = rng.at(0, rng.Stage.OBJECTIVE, address, 4)
        shift, gain = int(draws.integers(0, length)), 0.5 + draws.beta(10, 10)
        own = torch.roll(sound[row : row + 1, :length], shift, dims=1) * gain
        columns = length // 160 // 8
        spectrogram = _ENCODER.spectrogram.model_copy(update={"num_frames": 8 * columns})
        image: Any = log_mel(own, spectrogram)[0].double().numpy()
        grid = (columns, 4, 1)
        mask = random_mask(grid, 0.8, rng.at(0, rng.Stage.OBJECTIVE, address, 0))
        kept, masked = (torch.from_numpy(part)[None] for part in (mask.kept, mask.masked))
        with torch.no_grad():
            tokens = objective.encoder(own, None, kept).tokens
            everything = torch.ones(1, 4 * columns, dtype=torch.bool)
            predicted: Any = objective.decoder(tokens, kept, masked, grid, everything)
        for number, place in enumerate(mask.masked):
            time, band = 8 * (place // 4), 8 * (place % 4)
            values = image[time : time + 8, band : band + 8].ravel()
            if normalise:
                values = values - values.mean()
                values = values / math.sqrt((values**2).sum() / 63 + 1e-6)
            total += ((predicted[0, number].double().numpy() - values) ** 2).sum()
            count += 64
    assert loss == pytest.approx(total / count, rel=1e-4)


def test_roll_and_gain_may_be_left_out() -> None:
    losses = {_run(_objective(roll_and_gain=roll), _sound()).loss.item() for roll in (True, False)}
    assert len(losses) == 2
    silent = _run(_objective(roll_and_gain=False), torch.zeros(2, _LENGTHS[0]))
    # All patches are alike, and targets 0.
    assert silent.metrics["target_power"].item() < 1e-6
    assert silent.loss.isfinite()


def test_it_asks_for_what_is_published() -> None:
    with torch.device("meta"):
        encoder = SpectrogramVit(SpectrogramVitConfig())
    objective = Audiomae(AudiomaeConfig(), encoder, 0)
    (spec,) = objective.view_specs()
    assert spec.geometry.rate_hz == 16_000
    assert isinstance(spec.sampler, SoundConfig)
    # 1024 frames, and no more.
    longest = round(spec.sampler.duration_s * 16_000)
    assert encoder.config.num_places(longest) == 512
    assert encoder.config.num_places(longest + 15 * 160) == 512
    assert len(random_mask((64, 8, 1), 0.8, np.random.default_rng(0)).kept) == 102
    assert objective.decoder.head.out_features == 256
    assert len(objective.decoder.transformer.blocks) == 16


def test_the_recipe_is_the_defaults_written_out() -> None:
    path = Path(__file__).parents[2] / "configs" / "audiomae_as2m.yaml"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert AudiomaeConfig.model_validate(recipe["objective"]) == AudiomaeConfig()
    assert recipe["objective"].keys() == AudiomaeConfig.model_fields.keys()
    assert SpectrogramVitConfig.model_validate(recipe["audio_encoder"]) == SpectrogramVitConfig()


@pytest.mark.parametrize(
    "wrong", [{"mask_ratio": 1}, {"mask_ratio": 0}, {"sampler": {"kind": "pair"}}, {"depth": 4}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AudiomaeConfig.model_validate(wrong)


def _steady_tones(seed: int) -> Tensor:
    """Eight sounds of one tone each: a patch's shape follows from those before and after it."""
    generator = torch.Generator().manual_seed(seed)
    hz = 200 + 2000 * torch.rand(8, 1, generator=generator)
    return 0.3 * torch.sin(2 * math.pi * hz * torch.arange(_LENGTHS[0]) / 16_000)


@pytest.mark.slow
def test_it_learns_what_is_hidden_from_what_is_seen() -> None:
    objective = _objective(roll_and_gain=False, mask_ratio=0.5)
    optimizer = torch.optim.Adam(objective.parameters(), lr=2e-3)
    for seed in range(150):
        optimizer.zero_grad()
        _run(objective, _steady_tones(seed), [_LENGTHS[0]] * 8).loss.backward()
        optimizer.step()
    out = _run(objective, _steady_tones(10_000), [_LENGTHS[0]] * 8)
    # Nearer than each patch's mean, on tones that it has not met.
    assert out.loss < 0.8 * out.metrics["target_power"]
