"""Proves VideoMAE's objective: a loss known beforehand, a restatement in numpy loops, and
transformers' VideoMAE with the same weights.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from avrep.models.mae_decoder import MaeDecoderConfig
from avrep.models.tubelet_vit import TubeletVit, TubeletVitConfig, build_tubelet_vit
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.videomae import Videomae, VideomaeConfig
from avrep.sampling.clips import UniformConfig
from avrep.types import Address

_TOY = VideomaeConfig(
    sampler=UniformConfig(num_frames=4),
    crop_px=32,
    mask_ratio=0.75,
    decoder=MaeDecoderConfig(width=48, depth=1, num_heads=2),
)
_ENCODER = TubeletVitConfig(size="micro", patch_px=8, num_frames=4, crop_px=32)


def _objective(seed: int = 0, config: VideomaeConfig = _TOY) -> Videomae:
    return Videomae(config, build_tubelet_vit(_ENCODER, seed), seed)


def _batch(video: Tensor) -> BatchTensors:
    addresses = tuple(Address(0, item) for item in range(len(video)))
    pts_s = torch.zeros(video.shape[0], video.shape[2], dtype=torch.float64)
    return BatchTensors(step=0, views=(ViewTensors(video=video, pts_s=pts_s),), addresses=addresses)


def _noise(num_clips: int = 3, seed: int = 0) -> Tensor:
    return torch.randn(num_clips, 3, 4, 32, 32, generator=torch.Generator().manual_seed(seed))


def _normalised(colours: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (colours - mean[:, None, None, None]) / std[:, None, None, None]


def test_who_predicts_each_cube_s_mean_has_a_loss_known_beforehand() -> None:
    objective = _objective()
    nn.init.zeros_(objective.decoder.head.weight)
    out = objective(_batch(_noise()), torch.Generator())
    # 128 pixels with an unbiased deviation of 1 have a mean square of 127 / 128.
    assert out.loss.item() == pytest.approx(127 / 128, rel=1e-4)
    assert out.metrics["target_power"].item() == pytest.approx(127 / 128, rel=1e-4)
    assert out.metrics["prediction_power"].item() == 0
    # Without normalising, the mean square of the colours: 0.25 + 1 / 12 of uniform ones.
    raw = _objective(config=_TOY.model_copy(update={"normalise_targets": False}))
    nn.init.zeros_(raw.decoder.head.weight)
    colours = torch.rand(3, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    loss = raw(_batch(_normalised(colours)), torch.Generator()).loss.item()
    assert loss == pytest.approx(1 / 3, rel=0.02)


def test_it_equals_loops_in_numpy() -> None:
    objective = _objective()
    video = _noise(2)
    batch = _batch(video)
    loss = objective(batch, torch.Generator()).loss.item()
    hidden = objective.reconstruct(batch).hidden
    assert hidden.sum(dim=1).tolist() == [24, 24]
    kept, masked = (
        torch.stack([torch.nonzero(row)[:, 0] for row in rows]) for rows in (~hidden, hidden)
    )
    with torch.no_grad():
        tokens = objective.encoder(video, kept).tokens
        predicted: Any = objective.decoder(tokens, kept, masked, (2, 4, 4)).double().numpy()
    colours: Any = video.double().numpy() * np.array([0.229, 0.224, 0.225])[:, None, None, None]
    total, count = 0.0, 0
    for clip in range(2):
        for number, place in enumerate(masked[clip].tolist()):
            t, y, x = place // 16, place // 4 % 4, place % 4
            cube = colours[clip, :, 2 * t : 2 * t + 2, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
            for channel in range(3):
                values = cube[channel] - cube[channel].mean()
                values = values / (math.sqrt((values**2).sum() / 127) + 1e-6)
                for pixel, value in enumerate(values.ravel()):
                    total += (predicted[clip, number, 3 * pixel + channel] - value) ** 2
                    count += 1
    assert loss == pytest.approx(total / count, rel=1e-4)


def test_masks_are_tubes() -> None:
    hidden = _objective().reconstruct(_batch(_noise(4))).hidden
    assert torch.equal(hidden[:, :16], hidden[:, 16:])
    assert (hidden.sum(dim=1) == 24).all()


def test_pictures_show_input_mask_and_prediction() -> None:
    objective = _objective()
    colours = torch.rand(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    nn.init.zeros_(objective.decoder.head.weight)
    made = objective.reconstruct(_batch(_normalised(colours)))
    torch.testing.assert_close(made.frames, colours, atol=1e-5, rtol=0)
    for clip in range(2):
        for place in range(32):
            t, y, x = place // 16, place // 4 % 4, place % 4
            inside = (slice(2 * t, 2 * t + 2), slice(8 * y, 8 * y + 8), slice(8 * x, 8 * x + 8))
            own = (clip, slice(None), *inside)
            true = made.frames[own]
            if made.hidden[clip, place]:
                assert (made.seen[own] == 0.5).all()
                mean = true.mean(dim=(1, 2, 3), keepdim=True).expand_as(true)
                torch.testing.assert_close(made.filled[own], mean)
            else:
                assert torch.equal(made.seen[own], true)
                assert torch.equal(made.filled[own], true)
    assert not made.filled.requires_grad


def test_it_asks_for_what_is_published() -> None:
    with torch.device("meta"):
        encoder = TubeletVit(TubeletVitConfig())
    objective = Videomae(VideomaeConfig(), encoder, 0)
    (spec,) = objective.view_specs()
    assert isinstance(spec.sampler, UniformConfig)
    assert (spec.sampler.num_frames, spec.sampler.stride, spec.sampler.fps) == (16, 4, None)
    (augment,) = objective.augments()
    assert (augment.crop_px, augment.area, augment.aspect) == (224, (0.5, 1.0), (0.75, 1.333))
    assert (augment.jitter_probability, augment.gray_probability) == (0, 0)
    assert (augment.blur_probability, augment.solarize_probability) == (0, 0)
    assert objective.decoder.head.out_features == 1536
    assert objective.decoder.embed.bias is None
    # 94.2 M in all, from the released table of layers.
    decoder = 768 * 384 + 384 + 4 * (12 * 384**2 + 12 * 384) + 2 * 384 + 384 * 1536 + 1536
    assert sum(p.numel() for p in objective.decoder.parameters()) == decoder
    assert f"{(decoder + 86_227_200) / 1e6:.1f}" == "94.2"


def test_the_decoder_does_not_start_from_the_encoder_s_draws() -> None:
    encoder = build_tubelet_vit(_ENCODER, 0)
    heads = [Videomae(_TOY, encoder, seed).decoder.head.weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])
    mask_token = _objective().decoder.mask_token
    assert 0 < mask_token.abs().max() <= 0.02


@pytest.mark.parametrize(
    "wrong", [{"mask_ratio": 1}, {"mask_ratio": 0}, {"sampler": {"kind": "pair"}}, {"depth": 4}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VideomaeConfig.model_validate(wrong)


def _their_weights(theirs: Any) -> dict[str, Tensor]:
    """The weights of transformers' VideoMAE under our names."""
    found = {
        "encoder.embed": theirs.videomae.embeddings.patch_embeddings.projection,
        "encoder.transformer.norm": theirs.videomae.layernorm,
        "decoder.embed": theirs.encoder_to_decoder,
        "decoder.transformer.norm": theirs.decoder.norm,
        "decoder.head": theirs.decoder.head,
    }
    weights = {"decoder.mask_token": theirs.mask_token.flatten()}
    stacks = {
        "encoder": theirs.videomae.encoder.layer,
        "decoder": theirs.decoder.decoder_layers,
    }
    for part, layers in stacks.items():
        for number, layer in enumerate(layers):
            block = f"{part}.transformer.blocks.{number}"
            own = layer.attention.attention
            weights[f"{block}.attention.qkv.weight"] = torch.cat(
                [own.query.weight, own.key.weight, own.value.weight]
            )
            weights[f"{block}.attention.query_bias"] = own.query.bias
            weights[f"{block}.attention.value_bias"] = own.value.bias
            found[f"{block}.attention.out"] = layer.attention.output.dense
            found[f"{block}.attention_norm"] = layer.layernorm_before
            found[f"{block}.mlp_norm"] = layer.layernorm_after
            found[f"{block}.mlp.0"] = layer.intermediate.dense
            found[f"{block}.mlp.2"] = layer.output.dense
    for name, module in found.items():
        weights |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    return {name: value.detach().clone() for name, value in weights.items()}


@pytest.mark.slow
def test_it_is_transformers_videomae_with_the_same_weights() -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.VideoMAEForPreTraining(
        transformers.VideoMAEConfig(
            image_size=32,
            patch_size=8,
            num_frames=4,
            hidden_size=96,
            num_hidden_layers=4,
            num_attention_heads=3,
            intermediate_size=384,
            decoder_hidden_size=48,
            decoder_num_hidden_layers=1,
            decoder_num_attention_heads=2,
            decoder_intermediate_size=192,
            layer_norm_eps=1e-6,
            # The released code ends pretraining's encoder with a norm; transformers leaves it out
            # with mean pooling.
            use_mean_pooling=False,
        )
    ).eval()
    theirs.decoder.norm.eps = 1e-6
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    ours = _objective().eval()
    ours.load_state_dict(_their_weights(theirs))

    video = _normalised(torch.rand(3, 3, 4, 32, 32, generator=generator))
    batch = _batch(video)
    hidden = ours.reconstruct(batch).hidden
    kept, masked = (
        torch.stack([torch.nonzero(row)[:, 0] for row in rows]) for rows in (~hidden, hidden)
    )
    with torch.no_grad():
        pixels = video.transpose(1, 2)
        expected = theirs(pixels, bool_masked_pos=hidden)
        encoded = theirs.videomae(pixels, bool_masked_pos=hidden).last_hidden_state
        whole = theirs.videomae(pixels).last_hidden_state
        features = ours.encoder(video, kept)
        logits = ours.decoder(features.tokens, kept, masked, features.grid)
        loss = ours(batch, torch.Generator()).loss
    for got, wanted in (
        (features.tokens, encoded),
        (ours.encoder(video).tokens, whole),
        (logits, expected.logits),
        (loss, expected.loss),
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
