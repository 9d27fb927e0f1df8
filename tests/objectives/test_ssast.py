"""Proves SSAST's objective: losses known beforehand, a restatement in numpy loops with padding, the
published recipe, and that it learns what is hidden from what is seen.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from avrep import rng
from avrep.models.log_mel import LogMelConfig, samples_of
from avrep.models.masks import cluster_mask, random_mask
from avrep.models.spectrogram_vit import (
    SpectrogramVit,
    SpectrogramVitConfig,
    build_spectrogram_vit,
)
from avrep.objectives.base import BatchTensors, LossOut, ViewTensors
from avrep.objectives.ssast import Ssast, SsastConfig
from avrep.sampling.sound import SoundConfig
from avrep.types import Address

_ENCODER = SpectrogramVitConfig(
    size="micro",
    spectrogram=LogMelConfig(num_bins=32, num_frames=48),
    patch_frames=8,
    patch_bins=8,
    positions="learned",
    num_class_tokens=2,
)
_TOY = SsastConfig(sampler=SoundConfig(duration_s=0.5, min_s=0.2), cluster=(1, 2))
_ADDRESSES = tuple(Address(1, item) for item in (4, 9))
_LENGTHS = [samples_of(48), samples_of(24)]


def _objective(**changes: object) -> Ssast:
    config = _TOY.model_copy(update=changes)
    return Ssast(config, build_spectrogram_vit(_ENCODER, 0), 0)


def _sound() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(2, _LENGTHS[0], generator=generator)


def _run(objective: Ssast, sound: Tensor, lengths: list[int] | None = None) -> LossOut:
    view = ViewTensors(
        video=None,
        pts_s=torch.zeros(len(sound), 0, dtype=torch.float64),
        audio=sound,
        num_samples=torch.tensor(lengths or _LENGTHS),
        rate_hz=16_000,
    )
    addresses = _ADDRESSES if len(sound) == 2 else tuple(Address(0, i) for i in range(len(sound)))
    batch = BatchTensors(step=0, views=(view,), addresses=addresses)
    return objective(batch, torch.Generator())


def _silence(head: nn.Sequential) -> None:
    for parameter in head.parameters():
        nn.init.zeros_(parameter)


def test_who_says_nothing_has_losses_known_beforehand() -> None:
    objective = _objective()
    _silence(objective.tell)
    _silence(objective.rebuild)
    out = _run(objective, _sound(), [_LENGTHS[0]] * 2)
    # 19 of 24 are hidden, all alike to it.
    assert out.metrics["discriminative_loss"].item() == pytest.approx(math.log(19), rel=1e-5)
    power = out.metrics["generative_loss"].item()
    assert out.loss.item() == pytest.approx(math.log(19) + 10 * power, rel=1e-5)
    # White noise is alike at all times and rises with frequency in mel.
    assert 0 < out.metrics["target_spread"].item() < power


@pytest.mark.parametrize("cluster", [(1, 2), None])
def test_it_equals_loops_in_numpy_with_padding(cluster: tuple[int, int] | None) -> None:
    objective = _objective(cluster=cluster)
    sound = _sound()
    out = _run(objective, sound)
    encoder = objective.encoder
    told, wrong, hits, count = 0.0, 0.0, 0, 0
    for row, (length, address) in enumerate(zip(_LENGTHS, _ADDRESSES, strict=True)):
        own = sound[row : row + 1, :length]
        draws = rng.at(0, rng.Stage.OBJECTIVE, address, 0)
        grid = (length // 160 // 8, 4, 1)
        if cluster is None:
            masked = random_mask(grid, 0.78125, draws).masked
        else:
            masked = cluster_mask(grid, 0.78125, cluster, draws).masked
        with torch.no_grad():
            patches = encoder.patches(own)
            embedded = encoder.embed(patches.values)
            for place in masked:
                embedded[0, place] = objective.mask_embedding
            last = encoder.contextualise(embedded, patches)[-1][0, masked]
            c: Any = objective.tell(last).double().numpy()
            g: Any = objective.rebuild(last).double().numpy()
        x: Any = patches.values[0, masked].double().numpy()
        for i in range(len(masked)):
            products = [c[i] @ x[j] for j in range(len(masked))]
            told -= products[i] - math.log(sum(math.exp(product) for product in products))
            wrong += np.mean((g[i] - x[i]) ** 2)
            hits += int(np.argmax(products)) == i
        count += len(masked)
    assert out.metrics["discriminative_loss"].item() == pytest.approx(told / count, rel=1e-4)
    assert out.metrics["generative_loss"].item() == pytest.approx(wrong / count, rel=1e-4)
    assert out.metrics["patch_accuracy"].item() == pytest.approx(hits / count, rel=1e-5)
    assert out.loss.item() == pytest.approx((told + 10 * wrong) / count, rel=1e-4)


def test_what_is_hidden_goes_into_the_targets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = _objective()
    seen: list[Tensor] = []
    objective.tell.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    patches = objective.encoder.patches(_sound()[:1])
    values = patches.values.clone().requires_grad_()
    monkeypatch.setattr(objective.encoder, "patches", lambda *_: replace(patches, values=values))
    _run(objective, _sound()[:1], [_LENGTHS[0]])
    seen[0].square().sum().backward()
    masked = cluster_mask(
        (6, 4, 1), 0.78125, (1, 2), rng.at(0, rng.Stage.OBJECTIVE, Address(0, 0), 0)
    ).masked
    assert values.grad is not None
    for place in range(24):
        assert bool(values.grad[0, place].any()) == (place not in masked)


def test_it_asks_for_what_is_published() -> None:
    tree = {"positions": "learned", "num_class_tokens": 2}
    with torch.device("meta"):
        encoder = SpectrogramVit(SpectrogramVitConfig.model_validate(tree))
    objective = Ssast(SsastConfig(), encoder, 0)
    (spec,) = objective.view_specs()
    assert spec.geometry.rate_hz == 16_000
    assert isinstance(spec.sampler, SoundConfig)
    assert encoder.config.num_places(round(spec.sampler.duration_s * 16_000)) == 512
    mask = objective.draw_mask((64, 8, 1), np.random.default_rng(0))
    assert len(mask.masked) == 400
    assert [part.weight.shape for part in objective.tell if isinstance(part, nn.Linear)] == [
        (768, 768),
        (256, 768),
    ]


def test_the_recipe_is_the_defaults_written_out() -> None:
    path = Path(__file__).parents[2] / "configs" / "ssast_as_ls.yaml"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert SsastConfig.model_validate(recipe["objective"]) == SsastConfig()
    assert recipe["objective"].keys() == SsastConfig.model_fields.keys()
    published = SpectrogramVitConfig(positions="learned", num_class_tokens=2)
    assert SpectrogramVitConfig.model_validate(recipe["audio_encoder"]) == published


@pytest.mark.parametrize(
    "wrong", [{"mask_ratio": 1}, {"cluster": [3, 2]}, {"cluster": [0, 2]}, {"num_masked": 400}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SsastConfig.model_validate(wrong)


def _rising_tones(seed: int) -> Tensor:
    """Eight sounds that rise steadily, each from a tone of its own."""
    generator = torch.Generator().manual_seed(seed)
    start_hz = 200 + 400 * torch.rand(8, 1, generator=generator)
    times_s = torch.arange(_LENGTHS[0]) / 16_000
    return 0.3 * torch.sin(2 * math.pi * (start_hz * times_s + 2500 * times_s**2))


@pytest.mark.slow
def test_it_learns_what_is_hidden_from_what_is_seen() -> None:
    objective = _objective(mask_ratio=0.5)
    optimizer = torch.optim.Adam(objective.parameters(), lr=2e-3)
    for seed in range(150):
        optimizer.zero_grad()
        _run(objective, _rising_tones(seed), [_LENGTHS[0]] * 8).loss.backward()
        optimizer.step()
    out = _run(objective, _rising_tones(10_000), [_LENGTHS[0]] * 8)
    # Nearer than the clip's mean, and told from 12 much oftener than by chance.
    assert out.metrics["generative_loss"] < 0.4 * out.metrics["target_spread"]
    assert out.metrics["patch_accuracy"] > 0.3
