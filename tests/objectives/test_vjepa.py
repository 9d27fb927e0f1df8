"""Proves V-JEPA: its loss in numpy loops, its masks' addresses, its teacher, what is published, and
transformers' V-JEPA 2 with the same weights.

V-JEPA 2 tells places by rotating queries and keys. Heads of 4 numbers are too narrow for that, so
transformers' has no positions then; with ours set to zero the two are one network.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from avrep.assemble import build_objective
from avrep.config import load_config
from avrep.errors import ConfigError
from avrep.losses.vjepa import normalised_features
from avrep.models.masks import BlockMaskConfig, take_places
from avrep.models.positions import SinusoidPositions
from avrep.models.transformer import Attention
from avrep.models.tubelet_vit import TubeletVit, TubeletVitConfig, build_tubelet_vit
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.models.vjepa_predictor import VjepaPredictorConfig
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.mae_st import MaeSt
from avrep.objectives.vjepa import Vjepa, VjepaConfig
from avrep.sampling.clips import UniformConfig
from avrep.types import Address

_CONFIGS = Path(__file__).parents[2] / "configs"
_CPU = torch.device("cpu")
_TOY = VjepaConfig(
    sampler=UniformConfig(num_frames=4),
    crop_px=48,
    predictor=VjepaPredictorConfig(width=48, depth=1, num_heads=2),
    momentum=(0.5, 1.0),
)
_ENCODER = TubeletVitConfig(
    size="micro", patch_px=8, num_frames=4, crop_px=48, positions="separable"
)


def _objective(config: VjepaConfig = _TOY, seed: int = 0) -> Vjepa:
    return Vjepa(config, build_tubelet_vit(_ENCODER, seed), seed)


def _batch(video: Tensor, step: int = 0, epoch: int = 0) -> BatchTensors:
    return BatchTensors(
        step=step,
        views=(ViewTensors(video=video, pts_s=torch.zeros(len(video), 4, dtype=torch.float64)),),
        addresses=tuple(Address(epoch, row) for row in range(len(video))),
    )


def _noise(num_clips: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_clips, 3, 4, 48, 48, generator=generator)


def _ramps(num_clips: int, seed: int) -> Tensor:
    """Clips of one ramp each, along a random direction of time and space: any tubelet tells it."""
    rng = np.random.default_rng(seed)
    axes = [np.linspace(-1, 1, length) for length in (4, 48, 48)]
    clips = []
    for _ in range(num_clips):
        slopes = rng.standard_normal(3)
        ramp = sum(slope * axis for slope, axis in zip(slopes, np.ix_(*axes), strict=True))
        clips.append(np.stack([ramp, -ramp, ramp]))
    return torch.from_numpy(np.stack(clips)).float()


def test_it_equals_loops_in_numpy() -> None:
    objective = _objective()
    # A teacher of its own weights, so that it cannot be mistaken for the encoder.
    objective.teacher.module.load_state_dict(build_tubelet_vit(_ENCODER, 9).state_dict())
    video = _noise(3)
    batch = _batch(video)
    out = objective(batch, torch.Generator())
    with torch.no_grad():
        whole: Any = objective.teacher.module(video).tokens.double().numpy()
    losses = []
    for kind in range(2):
        kept, masked = objective.draw_masks(batch, kind, _CPU)
        with torch.no_grad():
            seen = objective.encoder(video, kept).tokens
            predicted: Any = objective.predictor(seen, kept, masked, (2, 6, 6), kind).double()
        total, count = 0.0, 0
        for clip in range(3):
            for number, place in enumerate(masked[clip].tolist()):
                token = whole[clip, place]
                token = (token - token.mean()) / np.sqrt(token.var() + 1e-5)
                for got, wanted in zip(predicted[clip, number].tolist(), token, strict=True):
                    total += abs(got - wanted)
                    count += 1
        losses.append(total / count)
        assert out.metrics[f"mask{kind}_loss"].item() == pytest.approx(losses[-1], rel=1e-5)
    assert out.loss.item() == pytest.approx(sum(losses) / 2, rel=1e-5)


def test_who_predicts_nothing_has_the_targets_magnitude_as_loss() -> None:
    objective = _objective()
    nn.init.zeros_(objective.predictor.head.weight)
    video = _noise()
    out = objective(_batch(video), torch.Generator())
    with torch.no_grad():
        targets = normalised_features(objective.encoder(video).tokens)
    assert out.metrics["target_magnitude"].item() == pytest.approx(targets.abs().mean().item())
    assert out.loss.item() == pytest.approx(targets.abs().mean().item(), rel=0.01)


def test_masks_follow_seed_step_and_address_alone() -> None:
    batch = _batch(_noise())
    masks = _objective().draw_masks(batch, 0, _CPU)
    assert not torch.equal(masks[1][0], masks[1][1])
    # Other pictures and another place in the batch: the same masks.
    turned = BatchTensors(step=0, views=batch.views, addresses=batch.addresses[::-1])
    for part, again in zip(masks, _objective().draw_masks(turned, 0, _CPU), strict=True):
        assert torch.equal(part, again.flip(0))
    for other in (
        _objective(seed=1).draw_masks(batch, 0, _CPU),
        _objective().draw_masks(batch, 1, _CPU),
        _objective().draw_masks(_batch(_noise(), epoch=1), 0, _CPU),
    ):
        assert not torch.equal(masks[1][:, :9], other[1][:, :9])
    # Blocks of another size in another step; one size for all clips of a step.
    sizes = {
        len(_objective().draw_masks(_batch(_noise(1), step=step), 1, _CPU)[0][0])
        for step in range(12)
    }
    assert len(sizes) > 1


def test_hidden_places_are_blocks_at_all_times_and_the_rest_is_seen() -> None:
    one = VjepaConfig.model_validate(
        {**_TOY.model_dump(), "masks": [{"num_blocks": 1, "scale": 0.3}]}
    )
    kept, masked = _objective(one).draw_masks(_batch(_noise(6)), 0, _CPU)
    for seen, hidden in zip(kept, masked, strict=True):
        assert sorted([*seen.tolist(), *hidden.tolist()]) == [*range(72)]
        where = torch.zeros(72, dtype=torch.bool)
        where[hidden] = True
        first, second = where.unflatten(0, (2, 6, 6))
        assert torch.equal(first, second)
        rows, columns = first.any(dim=1), first.any(dim=0)
        assert torch.equal(first, rows[:, None] & columns[None])


def test_several_clips_of_an_item_have_masks_of_their_own() -> None:
    config = _TOY.model_copy(update={"sampler": UniformConfig(num_frames=4, num_clips=2)})
    objective, single = _objective(config), _batch(_noise(2))
    batch = BatchTensors(step=0, views=single.views * 2, addresses=single.addresses)
    kept, masked = objective.draw_masks(batch, 0, _CPU)
    assert kept.shape[0] == 4
    assert not torch.equal(masked[:2], masked[2:])
    assert objective(batch, torch.Generator()).loss.isfinite()


def test_the_teacher_follows_by_the_step_s_momentum_and_gets_no_gradient() -> None:
    objective = _objective()
    start = objective.teacher.module.embed.weight.clone()
    assert torch.equal(start, objective.encoder.embed.weight)
    nn.init.zeros_(objective.encoder.embed.weight)
    objective.after_step(1, 10)
    torch.testing.assert_close(objective.teacher.module.embed.weight, 0.5 * start)
    objective.after_step(6, 10)
    torch.testing.assert_close(objective.teacher.module.embed.weight, 0.5 * 0.75 * start)
    objective(_batch(_noise()), torch.Generator()).loss.backward()
    assert all(parameter.grad is None for parameter in objective.teacher.parameters())


def test_a_teacher_that_tells_no_clip_from_another_is_seen() -> None:
    objective = _objective()
    alive = objective(_batch(_noise()), torch.Generator()).metrics["teacher_spread"]
    assert alive.item() > 0.01
    # Its tokens still differ from place to place, so that the loss alone looks healthy.
    nn.init.zeros_(objective.teacher.module.embed.weight)
    out = objective(_batch(_noise()), torch.Generator())
    assert out.metrics["teacher_spread"].item() < 1e-5
    assert out.metrics["target_magnitude"].item() > 0.5


@pytest.mark.slow
def test_what_is_hidden_is_learnt_from_what_is_seen() -> None:
    # A teacher that stays as it began, so that there is one truth to learn.
    objective = _objective(_TOY.model_copy(update={"momentum": (1.0, 1.0)}))
    parameters = [p for p in objective.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    for step in range(150):
        optimizer.zero_grad()
        objective(_batch(_ramps(8, step), step, epoch=step), torch.Generator()).loss.backward()
        optimizer.step()
        objective.after_step(step + 1, 150)
    video = _ramps(32, 10_000)
    with torch.no_grad():
        loss = objective(_batch(video, 10_000, epoch=10_000), torch.Generator()).loss.item()
        targets = normalised_features(objective.teacher.module(video).tokens)
    # Who knows only the place has the distance from its mean over clips.
    blind = (targets - targets.mean(dim=0)).abs().mean().item()
    assert loss < 0.9 * blind


def test_it_asks_for_what_is_released() -> None:
    with torch.device("meta"):
        encoder = TubeletVit(TubeletVitConfig(size="large", positions="separable"))
    objective = Vjepa(VjepaConfig(), encoder, 0)
    (spec,) = objective.view_specs()
    assert isinstance(spec.sampler, UniformConfig)
    assert (spec.sampler.num_frames, spec.sampler.stride, spec.sampler.fps) == (16, 4, None)
    (augment,) = objective.augments()
    assert (augment.crop_px, augment.area, augment.aspect) == (224, (0.3, 1.0), (0.75, 1.35))
    assert (augment.flip_probability, augment.jitter_probability) == (0.5, 0)
    assert (augment.mean, augment.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert [(blocks.num_blocks, blocks.scale, blocks.aspect) for blocks in VjepaConfig().masks] == [
        (8, 0.15, (0.75, 1.5)),
        (2, 0.7, (0.75, 1.5)),
    ]
    assert len(objective.predictor.transformer.blocks) == 12
    assert objective.predictor.mask_tokens.shape == (2, 384)


def test_the_published_recipe_writes_the_defaults_out() -> None:
    recipe = load_config(_CONFIGS / "vjepa_vm2m.yaml")
    assert recipe.objective == VjepaConfig()
    assert isinstance(recipe.video_encoder, TubeletVitConfig)
    assert (recipe.video_encoder.size, recipe.video_encoder.positions) == ("large", "separable")
    train = recipe.train
    # The released schedules run over 1.25 times the steps that are taken, and are cut off.
    lr, end = train.optim.lr, train.num_steps * 1.25
    progress = (train.num_steps - train.warmup_steps) / (end - train.warmup_steps)
    released = 1e-6 + (lr - 1e-6) * (1 + np.cos(np.pi * progress)) / 2
    assert train.lr_at(train.num_steps) == pytest.approx(released)
    assert VjepaConfig().momentum[1] == pytest.approx(0.998 + 0.002 / 1.25)


@pytest.mark.parametrize("method", ["vjepa", "mae_st"])
def test_the_toy_recipe_fits_its_encoder(method: str) -> None:
    objective = build_objective(load_config(_CONFIGS / "toy" / f"{method}.yaml"))
    assert type(objective) is {"vjepa": Vjepa, "mae_st": MaeSt}[method]


def test_other_encoders_and_blocks_are_refused() -> None:
    conv = build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), 0)
    with pytest.raises(ConfigError, match=r"vjepa wants .* tubelet_vit, not .* VideoConv"):
        Vjepa(_TOY, conv, 0)
    wide = _TOY.model_copy(update={"masks": (BlockMaskConfig(num_blocks=1, scale=0.95),)})
    with pytest.raises(ConfigError, match=r"masks\.0\.scale is 0\.95: .* all 6 x 6 places"):
        _objective(wide)


@pytest.mark.parametrize(
    "wrong", [{"masks": []}, {"momentum": [0.9, 1.1]}, {"mask_ratio": 0.9}, {"momentum": [0.9]}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VjepaConfig.model_validate(wrong)


def _blocks_weights(blocks: str, layers: Any) -> dict[str, Tensor]:
    """The weights of layers of transformers' V-JEPA 2 under our names."""
    weights: dict[str, Tensor] = {}
    for number, layer in enumerate(layers):
        block, own = f"{blocks}.{number}", layer.attention
        weights[f"{block}.attention.qkv.weight"] = torch.cat(
            [own.query.weight, own.key.weight, own.value.weight]
        )
        weights[f"{block}.attention.query_bias"] = own.query.bias
        weights[f"{block}.attention.value_bias"] = own.value.bias
        found = {
            "attention.out": own.proj,
            "attention_norm": layer.norm1,
            "mlp_norm": layer.norm2,
            "mlp.0": layer.mlp.fc1,
            "mlp.2": layer.mlp.fc2,
        }
        for name, module in found.items():
            for key, value in module.state_dict().items():
                weights[f"{block}.{name}.{key}"] = value
    return weights


def _their_weights(theirs: Any) -> dict[str, Tensor]:
    encoder, predictor = theirs.encoder, theirs.predictor
    weights = _blocks_weights("encoder.transformer.blocks", encoder.layer)
    weights |= _blocks_weights("predictor.transformer.blocks", predictor.layer)
    weights["predictor.mask_tokens"] = predictor.embeddings.mask_tokens.flatten(1)
    found = {
        "encoder.embed": encoder.embeddings.patch_embeddings.proj,
        "encoder.transformer.norm": encoder.layernorm,
        "predictor.embed": predictor.embeddings.predictor_embeddings,
        "predictor.transformer.norm": predictor.layernorm,
        "predictor.head": predictor.proj,
    }
    for name, module in found.items():
        weights |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    weights |= {
        name.replace("encoder.", "teacher.module.", 1): value
        for name, value in weights.items()
        if name.startswith("encoder.")
    }
    return {name: value.detach().clone() for name, value in weights.items()}


@pytest.mark.slow
def test_without_positions_it_is_transformers_vjepa2_with_the_same_weights() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.VJEPA2Model(
        transformers.VJEPA2Config(
            patch_size=8,
            crop_size=48,
            frames_per_clip=4,
            hidden_size=96,
            num_attention_heads=24,
            num_hidden_layers=4,
            pred_hidden_size=48,
            pred_num_attention_heads=12,
            pred_num_hidden_layers=1,
            pred_num_mask_tokens=2,
        )
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    ours = _objective().eval()
    ours.load_state_dict(_their_weights(theirs))
    for module in ours.modules():
        if isinstance(module, Attention):
            module.num_heads = module.qkv.in_features // 4
        elif isinstance(module, SinusoidPositions):
            module.table.zero_()

    video = _noise()
    batch = _batch(video)
    kept, masked = ours.draw_masks(batch, 1, _CPU)
    with torch.no_grad():
        # It shows the predictor tokens that have seen the whole clip, and takes its second token.
        expected = theirs(video.transpose(1, 2), context_mask=[kept], target_mask=[masked])
        tokens = ours.encoder(video).tokens
        predicted = ours.predictor(take_places(tokens, kept), kept, masked, (2, 6, 6), 1)
        hidden = functional.layer_norm(expected.predictor_output.target_hidden_state, (96,))
        loss = functional.l1_loss(expected.predictor_output.last_hidden_state, hidden)
        own_loss = functional.l1_loss(predicted, take_places(normalised_features(tokens), masked))
        context = theirs.encoder.embeddings(video.transpose(1, 2))
        context = take_places(context, kept)
        for layer in theirs.encoder.layer:
            context = layer(context, kept)[0]
        seen = theirs.encoder.layernorm(context)
    for got, wanted in (
        (tokens, expected.last_hidden_state),
        (ours.encoder(video, kept).tokens, seen),
        (predicted, expected.predictor_output.last_hidden_state),
        (own_loss, loss),
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
