"""Proves wav2vec 2.0's objective: transformers' pretraining model with the same weights, mask, noise
and distractors, a restatement in numpy loops with padding, two ranks, and that it learns.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import yaml
from pydantic import ValidationError
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from avrep import rng
from avrep.losses.wav2vec2 import sample_distractors
from avrep.models.gumbel_quantizer import gumbel_noise
from avrep.models.span_masks import span_mask
from avrep.models.waveform import WaveformConfig, build_waveform
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.wav2vec2 import Wav2vec2, Wav2vec2Config, gumbel_temperature
from avrep.types import Address

_ADDRESSES = tuple(Address(2, item, 1) for item in (5, 3, 8, 6))
_LENGTHS = [8000, 6500, 5000, 7777]
_CONFIG = Wav2vec2Config(
    projection_width=32, num_codes=8, num_distractors=20, feature_dropout=0.0, layer_drop=0.0
)


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


def _objective(seed: int = 0, dropout: float = 0.0, **changes: Any) -> Wav2vec2:
    encoder = build_waveform(WaveformConfig(size="tiny", dropout=dropout), 0)
    return Wav2vec2(_CONFIG.model_copy(update=changes), encoder, seed)


def _at(row: int, lane: int) -> np.random.Generator:
    return rng.at(0, rng.Stage.OBJECTIVE, _ADDRESSES[row], lane)


def _draws(
    lengths: list[int], num_codes: int = 8
) -> tuple[np.ndarray, list[np.ndarray], list[Tensor]]:
    """The masks bool[b n], and each clip's distractors and noise, drawn from their addresses."""
    frames = [(length - 400) // 320 + 1 for length in lengths]
    masks = np.zeros((len(lengths), max(frames)), dtype=bool)
    distractors, noise = [], []
    for row, own in enumerate(frames):
        masks[row, :own] = span_mask(own, 0.65, 10, _at(row, 0))
        num_masked = int(masks[row].sum())
        distractors.append(sample_distractors(num_masked, 20, _at(row, 2)))
        generator = torch.Generator().manual_seed(int(_at(row, 3).integers(0, 2**63)))
        noise.append(gumbel_noise(num_masked, 2, num_codes, generator))
    return masks, distractors, noise


def _in_transformers(objective: Wav2vec2) -> Any:
    """A model of the same size from transformers with the objective's weights, and no dropout."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Wav2Vec2Config(
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=3,
        intermediate_size=768,
        conv_dim=(64,) * 4 + (128,) * 3,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        feat_quantizer_dropout=0.0,
        layerdrop=0.0,
        num_codevectors_per_group=objective.config.num_codes,
        codevector_dim=32,
        proj_codevector_dim=32,
    )
    model = transformers.Wav2Vec2ForPreTraining(config)
    encoder, inner = objective.encoder, model.wav2vec2
    inner.feature_extractor.load_state_dict(encoder.feature_extractor.state_dict())
    inner.feature_projection.load_state_dict(encoder.encoder.feature_projection.state_dict())
    inner.encoder.load_state_dict(encoder.encoder.transformer.state_dict())
    inner.masked_spec_embed.data = objective.mask_embedding.data.clone()
    model.quantizer.weight_proj.load_state_dict(objective.quantizer.logits.state_dict())
    model.quantizer.codevectors.data = objective.quantizer.codewords.data.reshape(1, -1, 16)
    model.project_hid.load_state_dict(objective.project_context.state_dict())
    model.project_q.load_state_dict(objective.project_targets.state_dict())
    return model


def _their_negatives(masks: np.ndarray, distractors: list[np.ndarray]) -> Tensor:
    """int64[b n k]: frame numbers in the flattened batch."""
    b, n = masks.shape
    negatives = np.zeros((b, n, 20), dtype=np.int64)
    for row in range(b):
        places = np.flatnonzero(masks[row])
        negatives[row, places] = row * n + places[distractors[row]]
    return torch.from_numpy(negatives)


@pytest.mark.slow
def test_in_evaluation_the_contrastive_loss_is_transformers_s() -> None:
    objective = _objective().eval()
    theirs = _in_transformers(objective).eval()
    masks, distractors, _ = _draws([8000] * 4)
    with torch.no_grad():
        out = objective(_batch(_sound()), torch.Generator())
        given = theirs(
            _sound(),
            mask_time_indices=torch.from_numpy(masks),
            sampled_negative_indices=_their_negatives(masks, distractors),
        )
    expected = given.contrastive_loss / masks.sum()
    torch.testing.assert_close(out.metrics["contrastive_loss"], expected, rtol=1e-4, atol=1e-4)
    # Theirs counts the chosen words in evaluation.
    torch.testing.assert_close(
        out.metrics["code_perplexity"], given.codevector_perplexity, rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
def test_in_training_loss_and_gradients_are_transformers_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Where codes are equal by chance theirs compares vectors that rounding has made unequal; with
    # 320 words a book that does not come up here.
    objective = _objective(penalty_weight=0.0, feature_gradient_scale=1.0, num_codes=320)
    theirs = _in_transformers(objective).train()
    masks, distractors, noise = _draws([8000] * 4, num_codes=320)
    out = objective(_batch(_sound()), torch.Generator())
    out.loss.backward()
    all_noise = torch.zeros(4, 24, 2, 320)
    all_noise[torch.from_numpy(masks)] = torch.cat(noise)

    def given_noise(logits: Tensor, tau: float, hard: bool) -> Tensor:
        """In the place of torch's, which draws for all frames from the global generator."""
        assert hard
        soft = ((logits + all_noise.view(-1, 320)) / tau).softmax(dim=1)
        choice = functional.one_hot(soft.argmax(dim=1), 320).float()
        return choice - soft.detach() + soft

    monkeypatch.setattr(functional, "gumbel_softmax", given_noise)
    theirs.set_gumbel_temperature(2.0)
    given = theirs(
        _sound(),
        mask_time_indices=torch.from_numpy(masks),
        sampled_negative_indices=_their_negatives(masks, distractors),
    )
    num_masked = int(masks.sum())
    (given.loss / num_masked).backward()
    close: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(out.loss, (given.loss / num_masked).detach(), **close)
    contrastive, diversity = given.contrastive_loss / num_masked, given.diversity_loss / num_masked
    torch.testing.assert_close(out.metrics["contrastive_loss"], contrastive.detach(), **close)
    torch.testing.assert_close(out.metrics["diversity_loss"], diversity.detach(), **close)
    perplexity = given.codevector_perplexity.detach()
    torch.testing.assert_close(out.metrics["prob_perplexity"], perplexity, **close)

    ours, inner = objective.encoder, theirs.wav2vec2
    codewords = objective.quantizer.codewords.grad
    assert codewords is not None
    pairs = [
        (objective.mask_embedding.grad, inner.masked_spec_embed.grad),
        (codewords.flatten(0, 1), theirs.quantizer.codevectors.grad[0]),
    ]
    for one, other in [
        (objective.quantizer.logits, theirs.quantizer.weight_proj),
        (objective.project_context, theirs.project_hid),
        (objective.project_targets, theirs.project_q),
        (ours.feature_extractor, inner.feature_extractor),
        (ours.encoder.feature_projection, inner.feature_projection),
        (ours.encoder.transformer, inner.encoder),
    ]:
        others = dict(other.named_parameters())
        pairs += [(p.grad, others[name].grad) for name, p in one.named_parameters()]
    for one, other in pairs:
        assert one is not None
        scale = other.abs().max().item()
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3 * scale + 1e-6)


def test_it_equals_loops_in_numpy_with_padding() -> None:
    objective = _objective()
    batch = _batch(_sound(), _LENGTHS, step=200_000)
    out = objective(batch, torch.Generator())
    masks, distractors, noise = _draws(_LENGTHS)
    weight: Any = objective.quantizer.logits.weight.detach().double().numpy()
    words: Any = objective.quantizer.codewords.detach().double().numpy()
    project: Any = objective.project_targets.weight.detach().double().numpy()
    shift: Any = objective.project_targets.bias.detach().double().numpy()
    losses, hits, squares, use = [], [], [], []
    for row, length in enumerate(_LENGTHS):
        with torch.no_grad():
            raw, frames = objective.encoder.convolve(_sound()[row : row + 1, :length])
            features = objective.encoder.normalise(raw)
            mask = torch.from_numpy(masks[row : row + 1, : int(frames)])
            states = objective.encoder.contextualise(
                features, frames, masked=mask, mask_embedding=objective.mask_embedding
            )
            context: Any = objective.project_context(states[-1])[mask].double().numpy()
        squares += raw[0].double().square().mean(dim=1).tolist()
        targets, codes = [], []
        for feature, drawn in zip(features[mask].double().numpy(), noise[row].numpy(), strict=True):
            logits = (weight @ feature).reshape(2, 8)
            exps = np.exp(logits - logits.max(axis=1, keepdims=True))
            use.append(exps / exps.sum(axis=1, keepdims=True))
            code = (logits + drawn).argmax(axis=1)
            codes.append(tuple(code))
            joined = np.concatenate([words[0, code[0]], words[1, code[1]]])
            targets.append(project @ joined + shift)
        for t, c in enumerate(context):
            rows = [r for r in distractors[row][t] if codes[r] != codes[t]]
            cosines = [
                c @ targets[r] / np.linalg.norm(c) / np.linalg.norm(targets[r]) / 0.1
                for r in [t, *rows]
            ]
            losses.append(math.log(sum(math.exp(v) for v in cosines)) - cosines[0])
            hits.append(all(cosines[0] > v for v in cosines[1:]))
    mean_use = np.mean(use, axis=0)
    perplexity = np.exp(-(mean_use * np.log(mean_use + 1e-7)).sum(axis=1)).sum()
    metrics = {name: value.item() for name, value in out.metrics.items()}
    assert metrics["contrastive_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert metrics["contrastive_accuracy"] == pytest.approx(np.mean(hits), abs=1e-6)
    assert metrics["prob_perplexity"] == pytest.approx(perplexity, rel=1e-4)
    assert metrics["feature_penalty"] == pytest.approx(np.mean(squares), rel=1e-4)
    expected = np.mean(losses) + 0.1 * (16 - perplexity) / 16 + 10 * np.mean(squares)
    assert out.loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_temperature_falls_to_its_floor() -> None:
    assert gumbel_temperature(0, 2.0, 0.5, 0.999995) == 2.0
    # Halved after ln 2 / 5e-6 = 138,629 steps, at the floor after twice as many.
    assert gumbel_temperature(138_629, 2.0, 0.5, 0.999995) == pytest.approx(1.0, rel=1e-5)
    assert gumbel_temperature(277_250, 2.0, 0.5, 0.999995) > 0.5
    assert gumbel_temperature(277_270, 2.0, 0.5, 0.999995) == 0.5
    # It is of the step alone, and only the gradient feels it.
    gradients = []
    for step in (0, 300_000, 0):
        objective = _objective()
        out = objective(_batch(_sound(), step=step), torch.Generator())
        out.loss.backward()
        gradients.append(objective.quantizer.logits.weight.grad)
    assert torch.equal(gradients[0], gradients[2])
    assert not torch.equal(gradients[0], gradients[1])


def test_all_that_is_drawn_for_a_clip_follows_its_address() -> None:
    objective = _objective(layer_drop=0.4)
    loss = objective(_batch(_sound()), torch.Generator()).loss
    assert torch.equal(objective(_batch(_sound()), torch.Generator().manual_seed(9)).loss, loss)
    reordered = _batch(_sound().flip(0), addresses=_ADDRESSES[::-1])
    torch.testing.assert_close(objective(reordered, torch.Generator()).loss, loss)
    others = _batch(_sound(), addresses=_ADDRESSES[::-1])
    assert not torch.equal(objective(others, torch.Generator()).loss, loss)
    with_dropout = _objective(feature_dropout=0.1)
    losses = [
        with_dropout(_batch(_sound()), torch.Generator().manual_seed(seed)).loss.item()
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_every_parameter_takes_part_and_the_global_generator_does_not() -> None:
    objective = _objective(layer_drop=0.5, dropout=0.1, feature_dropout=0.1)
    before = torch.get_rng_state()
    objective(_batch(_sound(), _LENGTHS), torch.Generator()).loss.backward()
    assert torch.equal(torch.get_rng_state(), before)
    for name, parameter in objective.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_it_asks_for_what_the_released_code_uses() -> None:
    encoder = build_waveform(WaveformConfig(size="tiny"), 0)
    objective = Wav2vec2(Wav2vec2Config(), encoder, 0)
    (spec,) = objective.view_specs()
    assert spec.geometry.rate_hz == 16000
    assert spec.sampler.kind == "sound"
    assert objective.augments() == (None,)
    assert objective.quantizer.codewords.shape == (2, 320, 128)
    assert objective.project_targets.weight.shape == (256, 256)
    config = objective.config
    assert (config.mask_probability, config.mask_length) == (0.65, 10)
    assert (config.temperature, config.num_distractors) == (0.1, 100)
    assert (config.diversity_weight, config.penalty_weight) == (0.1, 10.0)
    assert (config.feature_gradient_scale, config.layer_drop) == (0.1, 0.05)


def test_the_recipe_is_the_defaults_written_out() -> None:
    path = Path(__file__).parents[2] / "configs" / "wav2vec2_ls960.yaml"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert Wav2vec2Config.model_validate(recipe["objective"]) == Wav2vec2Config()
    assert recipe["objective"].keys() == Wav2vec2Config.model_fields.keys()
    assert WaveformConfig.model_validate(recipe["audio_encoder"]) == WaveformConfig()


def test_other_batches_are_refused() -> None:
    objective = _objective()
    view = _batch(_sound()).views[0]
    slow = ViewTensors(video=None, pts_s=view.pts_s, audio=view.audio, rate_hz=8000)
    with pytest.raises(ValueError, match="one view with sound at 16000 Hz"):
        objective(BatchTensors(step=0, views=(slow,), addresses=_ADDRESSES), torch.Generator())
    with pytest.raises(ValueError, match="4 rows came with 0 addresses"):
        objective(_batch(_sound(), addresses=()), torch.Generator())
    with pytest.raises(ValueError, match="9 frames is too short for 2 spans of 10"):
        objective(_batch(_sound(), [8000, 8000, 3000, 8000]), torch.Generator())


def test_spans_that_the_shortest_clip_cannot_hold_are_refused() -> None:
    # Two spans of 10 start in 12 frames: 11 x 320 + 400 samples.
    Wav2vec2Config.model_validate({"sampler": {"min_s": 3920 / 16000}})
    with pytest.raises(ValidationError, match=r"spans of 10 frames need clips of 0.245 s"):
        Wav2vec2Config.model_validate({"sampler": {"min_s": 3919 / 16000}})


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0},
        {"num_codes": 1},
        {"num_groups": 3},
        {"mask_probability": 0},
        {"negatives": 100},
    ],
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Wav2vec2Config.model_validate(wrong)


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


@pytest.mark.slow
def test_it_learns_which_target_is_hidden() -> None:
    # Tones of 0.1 s out of three, and noise so that no two frames are alike.
    generator = torch.Generator().manual_seed(1)
    notes = torch.randint(3, (4, 5), generator=generator)
    hz = torch.tensor([300.0, 700.0, 1500.0])[notes].repeat_interleave(1600, dim=1)
    audio = 0.3 * torch.sin(2 * math.pi * hz * torch.arange(8000) / 16000)
    audio = audio + 0.02 * torch.randn(4, 8000, generator=generator)
    objective = _objective(
        mask_probability=0.3, mask_length=3, num_distractors=10, gumbel_start=1.0
    )
    optimizer = torch.optim.AdamW(objective.parameters(), lr=5e-4)
    losses, accuracies = [], []
    for step in range(80):
        addresses = tuple(Address(step, item) for item in range(4))
        optimizer.zero_grad()
        out = objective(_batch(audio, addresses=addresses, step=step), torch.Generator())
        out.loss.backward()
        optimizer.step()
        losses.append(out.metrics["contrastive_loss"].item())
        accuracies.append(out.metrics["contrastive_accuracy"].item())
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    assert np.mean(accuracies[:3]) < 0.5 < 0.75 < np.mean(accuracies[-5:])
