"""Proves HuBERT's objective: torchaudio's pretraining model with the same weights and mask, a
restatement in numpy loops with padding and missing labels, two ranks, and that it learns.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torchaudio
import yaml
from pydantic import ValidationError
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torchaudio.models.wav2vec2.components import LogitGenerator

from avrep import rng
from avrep.models.span_masks import span_mask
from avrep.models.waveform import Waveform, WaveformConfig, build_waveform
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.hubert import Hubert, HubertConfig
from avrep.training.monitor import watch_features
from avrep.types import Address

_ADDRESSES = tuple(Address(2, item, 1) for item in (5, 3, 8, 6))
_LENGTHS = [8000, 6500, 5000, 7777]


def _sound(num_clips: int = 4, num_samples: int = 8000) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(num_clips, num_samples, generator=generator)


def _batch(
    audio: Tensor,
    num_samples: list[int] | None = None,
    addresses: tuple[Address, ...] = _ADDRESSES,
    step: int = 0,
) -> BatchTensors:
    view = ViewTensors(
        video=None,
        pts_s=torch.zeros(audio.shape[0], 0, dtype=torch.float64),
        audio=audio,
        num_samples=None if num_samples is None else torch.tensor(num_samples),
        rate_hz=16000,
    )
    return BatchTensors(step=step, views=(view,), addresses=addresses)


def _labels(batch: BatchTensors) -> Tensor:
    """Six clusters at 100 Hz, each row's a function of its item; row ends lack labels."""
    rows = []
    for address in batch.addresses:
        generator = torch.Generator().manual_seed(address.item)
        row = torch.randint(6, (50,), generator=generator)
        row[30 + address.item :] = -1
        rows.append(row)
    return torch.stack(rows)


_CONFIG = HubertConfig(labels="unused", num_classes=6, projection_width=16)


def _objective(seed: int = 0, dropout: float = 0.0, **changes: Any) -> Hubert:
    encoder = build_waveform(WaveformConfig(size="tiny", dropout=dropout), 0)
    return Hubert(_CONFIG.model_copy(update=changes), encoder, _labels, seed)


def _masks(lengths: list[int], addresses: tuple[Address, ...], seed: int = 0) -> np.ndarray:
    frames = [(length - 400) // 320 + 1 for length in lengths]
    masks = np.zeros((len(lengths), max(frames)), dtype=bool)
    for row, (own, address) in enumerate(zip(frames, addresses, strict=True)):
        generator = rng.at(seed, rng.Stage.OBJECTIVE, address, 0)
        masks[row, :own] = span_mask(own, 0.8, 10, generator)
    return masks


class _GivenMask(nn.Module):
    """Takes the place of torchaudio's generator of random masks."""

    def __init__(self, embedding: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.mask_embedding = nn.Parameter(embedding.detach().clone())
        self.mask = mask

    def forward(self, x: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        assert padding is None
        return torch.where(self.mask[..., None], self.mask_embedding, x), self.mask


def test_loss_and_gradients_are_those_of_torchaudio_s_pretraining_model() -> None:
    objective = _objective().eval()
    audio = _sound()

    def labels(batch: BatchTensors) -> Tensor:
        return _labels(batch).clamp_min(0)

    objective.labels = labels
    batch = _batch(audio)
    out = objective(batch, torch.Generator())
    out.loss.backward()

    ours = objective.encoder
    encoder = torchaudio.models.Wav2Vec2Model(ours.feature_extractor, ours.encoder)
    mask = torch.from_numpy(_masks([8000] * 4, _ADDRESSES))
    head = LogitGenerator(192, 6, 16, False, False)
    head.label_embeddings.data = objective.cluster_embeddings.data.clone()
    head.final_proj.load_state_dict(objective.project.state_dict())
    theirs = torchaudio.models.HuBERTPretrainModel(
        encoder, _GivenMask(objective.mask_embedding, mask), head, 0.1
    ).eval()
    gradients = {name: p.grad for name, p in objective.named_parameters()}
    objective.zero_grad()
    masked_logits, _, penalty = theirs(audio, labels(batch)[:, : 2 * mask.shape[1] : 2])
    loss = functional.cross_entropy(masked_logits, torch.zeros(int(mask.sum())).long())
    (loss + 10 * penalty).backward()

    torch.testing.assert_close(out.loss, (loss + 10 * penalty).detach())
    torch.testing.assert_close(out.metrics["feature_penalty"], penalty.detach())
    accuracy = (masked_logits[:, 0] >= masked_logits[:, 1:].amax(dim=1)).float().mean()
    torch.testing.assert_close(out.metrics["masked_accuracy"], accuracy)
    for name, parameter in objective.encoder.named_parameters():
        ours_grad = gradients[f"encoder.{name}"]
        assert ours_grad is not None
        assert parameter.grad is not None
        scale = parameter.grad.abs().max().item()
        torch.testing.assert_close(
            ours_grad, parameter.grad, rtol=1e-3, atol=1e-4 * scale + 1e-8, msg=name
        )
    embedding = theirs.mask_generator.mask_embedding.grad
    torch.testing.assert_close(gradients["mask_embedding"], embedding, rtol=1e-3, atol=1e-6)


def test_it_equals_loops_in_numpy_with_padding_and_missing_labels() -> None:
    objective = _objective().eval()
    audio, batch = _sound(), _batch(_sound(), _LENGTHS)
    out = objective(batch, torch.Generator())
    masks, labels = _masks(_LENGTHS, _ADDRESSES), _labels(batch).numpy()
    embeddings: Any = objective.cluster_embeddings.detach().double().numpy()
    losses, squares, num_missing = [], [], 0
    for row, length in enumerate(_LENGTHS):
        with torch.no_grad():
            raw, frames = objective.encoder.convolve(audio[row : row + 1, :length])
            own = int(frames)
            states = objective.encoder.contextualise(
                objective.encoder.normalise(raw),
                frames,
                masked=torch.from_numpy(masks[row : row + 1, :own]),
                mask_embedding=objective.mask_embedding,
            )
            projected: Any = objective.project(states[-1])[0].double().numpy()
        squares += raw[0].double().square().mean(dim=1).tolist()
        for t in range(own):
            label = labels[row, t * 100 * 320 // 16000]
            if not masks[row, t]:
                continue
            if label < 0:
                num_missing += 1
                continue
            o = projected[t] / np.linalg.norm(projected[t])
            logits = [o @ e / np.linalg.norm(e) / 0.1 for e in embeddings]
            losses.append(math.log(sum(math.exp(v) for v in logits)) - logits[label])
    assert num_missing > 0
    assert out.metrics["prediction_loss"].item() == pytest.approx(np.mean(losses), rel=1e-4)
    assert out.metrics["feature_penalty"].item() == pytest.approx(np.mean(squares), rel=1e-4)
    expected = np.mean(losses) + 10 * np.mean(squares)
    assert out.loss.item() == pytest.approx(expected, rel=1e-4)


def test_masks_and_dropped_layers_follow_addresses_and_dropout_the_generator() -> None:
    objective = _objective(layer_drop=0.4)
    batch = _batch(_sound())
    loss = objective(batch, torch.Generator()).loss
    assert torch.equal(objective(batch, torch.Generator().manual_seed(9)).loss, loss)
    reordered = _batch(_sound().flip(0), addresses=_ADDRESSES[::-1])
    torch.testing.assert_close(objective(reordered, torch.Generator()).loss, loss)
    others = _batch(_sound(), addresses=_ADDRESSES[::-1])
    assert not torch.equal(objective(others, torch.Generator()).loss, loss)
    assert not torch.equal(_objective(layer_drop=0.0)(batch, torch.Generator()).loss, loss)
    with_dropout = _objective(dropout=0.1)
    losses = [
        with_dropout(batch, torch.Generator().manual_seed(seed)).loss.item() for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_watch_sees_the_mean_over_each_clip_s_own_frames() -> None:
    objective = _objective(layer_drop=0.0)
    batch = _batch(_sound(), _LENGTHS)
    with watch_features(objective.encoder) as watch:
        objective(batch, torch.Generator())
    contexts, frames = objective.encode(batch).contexts, objective.encode(batch).num_frames
    assert watch.pooled is not None
    for pooled, own, length in zip(watch.pooled, contexts, frames.tolist(), strict=True):
        torch.testing.assert_close(pooled, own[:length].mean(dim=0).detach())


def test_every_parameter_takes_part_even_where_layers_are_dropped() -> None:
    objective = _objective(layer_drop=0.9, dropout=0.1)
    objective(_batch(_sound(), _LENGTHS), torch.Generator()).loss.backward()
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_it_asks_for_what_the_released_code_uses() -> None:
    objective = Hubert(
        HubertConfig(labels="unused"), build_waveform(WaveformConfig(size="tiny"), 0), _labels, 0
    )
    (spec,) = objective.view_specs()
    assert spec.geometry.rate_hz == 16000
    assert spec.sampler.kind == "sound"
    assert objective.augments() == (None,)
    assert objective.cluster_embeddings.shape == (100, 256)
    config = objective.config
    assert (config.mask_probability, config.mask_length) == (0.8, 10)
    assert (config.temperature, config.penalty_weight) == (0.1, 10.0)
    assert (config.feature_gradient_scale, config.layer_drop) == (0.1, 0.05)


def test_the_recipe_is_the_defaults_written_out() -> None:
    path = Path(__file__).parents[2] / "configs" / "hubert_ls960.yaml"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    config = HubertConfig.model_validate(recipe["objective"])
    assert config == HubertConfig(labels=config.labels)
    assert recipe["objective"].keys() == HubertConfig.model_fields.keys()
    assert WaveformConfig.model_validate(recipe["audio_encoder"]) == WaveformConfig()


def test_other_batches_and_labels_are_refused() -> None:
    objective = _objective()
    batch = _batch(_sound())
    silent = ViewTensors(video=None, pts_s=batch.views[0].pts_s, rate_hz=16000)
    for views in ((silent,), batch.views * 2):
        wrong = BatchTensors(step=0, views=views, addresses=_ADDRESSES)
        with pytest.raises(ValueError, match="one view with sound at 16000 Hz"):
            objective(wrong, torch.Generator())
    with pytest.raises(ValueError, match="4 rows came with 0 addresses"):
        objective(_batch(_sound(), addresses=()), torch.Generator())
    for labels, message in [
        (torch.zeros(4, 50), r"int64\[4 k\], got float32\[4, 50\]"),
        (torch.zeros(3, 50).long(), r"got int64\[3, 50\]"),
        (torch.full((4, 50), 6), "label 6 is not below num_classes 6"),
        (torch.zeros(4, 24).long(), "24 labels at 100 Hz do not reach the last of 24 frames"),
    ]:
        objective.labels = lambda _, labels=labels: labels
        with pytest.raises(ValueError, match=message):
            objective(batch, torch.Generator())


def test_spans_that_the_shortest_clip_cannot_hold_are_refused() -> None:
    # Two spans of 10 start in 12 frames: 11 x 320 + 400 samples.
    HubertConfig.model_validate({"labels": "unused", "sampler": {"min_s": 3920 / 16000}})
    with pytest.raises(ValidationError, match=r"spans of 10 frames need clips of 0.245 s"):
        HubertConfig.model_validate({"labels": "unused", "sampler": {"min_s": 3919 / 16000}})


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0}, {"num_classes": 1}, {"mask_probability": 1.1}, {"mask": 0.5}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        HubertConfig.model_validate({"labels": "unused", **wrong})


def _rank_main(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    # Three clips for one rank and one for the other: unequal numbers of masked frames, unequal
    # padding.
    rows = slice(0, 3) if rank == 0 else slice(3, 4)
    lengths = _LENGTHS[rows]
    audio = _sound()[rows, : max(lengths)]
    objective = _objective(layer_drop=0.3)
    module = DistributedDataParallel(objective)
    out = module(_batch(audio, lengths, _ADDRESSES[rows]), torch.Generator())
    out.loss.backward()
    gradients = {name: p.grad for name, p in objective.named_parameters()}
    result = {"loss": out.loss.detach(), "metrics": {**out.metrics}, "gradients": gradients}
    torch.save(result, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_with_unequal_clips_equal_one(tmp_path: Path) -> None:
    spawn(_rank_main, args=(str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    objective = _objective(layer_drop=0.3)
    out = objective(_batch(_sound(), _LENGTHS), torch.Generator())
    out.loss.backward()
    losses = torch.stack([result["loss"] for result in ranks])
    assert losses[0] != losses[1]
    torch.testing.assert_close(losses.mean(), out.loss.detach())
    for name, value in out.metrics.items():
        torch.testing.assert_close(
            torch.stack([result["metrics"][name] for result in ranks]).mean(), value
        )
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None
        scale = parameter.grad.abs().max().item()
        for result in ranks:
            torch.testing.assert_close(
                result["gradients"][name],
                parameter.grad,
                rtol=1e-3,
                atol=1e-4 * scale + 1e-8,
                msg=name,
            )


def _tones() -> tuple[Tensor, Tensor]:
    """Four clips of 0.5 s, each a row of tones of 0.1 s out of three, and which at 100 Hz."""
    generator = torch.Generator().manual_seed(1)
    notes = torch.randint(3, (4, 5), generator=generator)
    labels = notes.repeat_interleave(10, dim=1)
    hz = torch.tensor([300.0, 700.0, 1500.0])[notes].repeat_interleave(1600, dim=1)
    audio = 0.3 * torch.sin(2 * math.pi * hz * torch.arange(8000) / 16000)
    return audio, labels


@pytest.mark.slow
def test_it_learns_which_tone_is_hidden() -> None:
    audio, labels = _tones()
    encoder = build_waveform(WaveformConfig(size="tiny", dropout=0.0), 0)
    assert isinstance(encoder, Waveform)
    config = HubertConfig(
        labels="unused",
        num_classes=3,
        mask_probability=0.3,
        mask_length=3,
        layer_drop=0.0,
        projection_width=16,
    )
    objective = Hubert(config, encoder, lambda _: labels, 0)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-4)
    losses, accuracies = [], []
    for step in range(60):
        batch = _batch(audio, addresses=tuple(Address(step, item) for item in range(4)))
        optimizer.zero_grad()
        out = objective(batch, torch.Generator())
        out.loss.backward()
        optimizer.step()
        losses.append(out.metrics["prediction_loss"].item())
        accuracies.append(out.metrics["masked_accuracy"].item())
    assert np.mean(losses[:3]) > 0.9
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    assert np.mean(accuracies[-5:]) > 0.75
