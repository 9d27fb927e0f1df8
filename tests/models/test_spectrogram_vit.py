"""Proves the spectrogram ViT: transformers' AST with the same weights, patches cut by loops, sizes
added up by hand, and that neither padding nor what is hidden matters.
"""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from avrep.models.log_mel import LogMelConfig, log_mel, samples_of
from avrep.models.positions import separable_sinusoid_table
from avrep.models.spectrogram_vit import (
    SpectrogramVit,
    SpectrogramVitConfig,
    build_spectrogram_vit,
)

_MICRO = SpectrogramVitConfig(
    size="micro", spectrogram=LogMelConfig(num_bins=32, num_frames=48), patch_frames=8, patch_bins=8
)
"""6 x 4 places in 0.495 s."""
_LEARNED = _MICRO.model_copy(update={"positions": "learned"})
_BOTH = pytest.mark.parametrize("config", [_MICRO, _LEARNED], ids=["sinusoid", "learned"])


def _sounds(num_clips: int = 2, num_samples: int = samples_of(48)) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 0.1 * torch.randn(num_clips, num_samples, generator=generator)


def _parameters_by_hand(width: int, depth: int, values: int) -> int:
    attention = 3 * width * width + 2 * width + width * width + width
    mlp = 4 * width * width + 4 * width + 4 * width * width + width
    return values * width + width + depth * (attention + mlp + 4 * width) + 2 * width


@pytest.mark.parametrize(
    ("size", "width", "depth"), [("tiny", 192, 12), ("small", 384, 12), ("base", 768, 12)]
)
def test_sizes_are_added_up_by_hand(size: str, width: int, depth: int) -> None:
    tree = {"size": size, "positions": "learned", "num_class_tokens": 2}
    with torch.device("meta"):
        encoder = SpectrogramVit(SpectrogramVitConfig.model_validate(tree))
    expected = _parameters_by_hand(width, depth, 256) + (512 + 2) * width
    assert encoder.num_parameters == expected


def test_the_defaults_are_audiomae_s() -> None:
    with torch.device("meta"):
        encoder = SpectrogramVit(SpectrogramVitConfig())
    assert encoder.config.grid == (64, 8, 1)
    # A class token, and a fixed table.
    assert encoder.num_parameters == _parameters_by_hand(768, 12, 256) + 768
    assert (encoder.width, encoder.num_layers) == (768, 12)


def _their_weights(theirs: Any) -> dict[str, Tensor]:
    """The weights of transformers' AST under our names, its places brought to our order."""
    embeddings = theirs.embeddings
    table = embeddings.position_embeddings[0]
    first = torch.cat([embeddings.cls_token[0], embeddings.distillation_token[0]]) + table[:2]
    projection = embeddings.patch_embeddings.projection
    weights = {
        "embed.weight": projection.weight[:, 0].transpose(1, 2).flatten(1),
        "embed.bias": projection.bias,
        "class_tokens": first,
        "positions.table": _time_first(table[2:]),
    }
    found = {"transformer.norm": theirs.layernorm}
    for number, layer in enumerate(theirs.layers):
        block, own = f"transformer.blocks.{number}", layer.attention
        weights[f"{block}.attention.qkv.weight"] = torch.cat(
            [own.q_proj.weight, own.k_proj.weight, own.v_proj.weight]
        )
        weights[f"{block}.attention.query_bias"] = own.q_proj.bias
        weights[f"{block}.attention.value_bias"] = own.v_proj.bias
        found[f"{block}.attention.out"] = own.o_proj
        found[f"{block}.attention_norm"] = layer.layernorm_before
        found[f"{block}.mlp_norm"] = layer.layernorm_after
        found[f"{block}.mlp.0"] = layer.mlp.fc1
        found[f"{block}.mlp.2"] = layer.mlp.fc2
    for name, module in found.items():
        weights |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    return {name: value.detach().clone() for name, value in weights.items()}


def _time_first(places: Tensor) -> Tensor:
    """[... 24 d], frequency slowest, to time slowest."""
    return places.unflatten(-2, (4, 6)).transpose(-3, -2).flatten(-3, -2)


@pytest.mark.slow
def test_it_is_transformers_ast_with_the_same_weights() -> None:
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        released = transformers.ASTModel(
            transformers.ASTConfig(frequency_stride=16, time_stride=16)
        )
        tree = {"positions": "learned", "num_class_tokens": 2}
        base = SpectrogramVit(SpectrogramVitConfig.model_validate(tree))
    # Theirs has biases of keys, and places for its two tokens.
    assert released.num_parameters() - base.num_parameters == 12 * 768 + 2 * 768
    theirs = transformers.ASTModel(
        transformers.ASTConfig(
            hidden_size=96,
            num_hidden_layers=4,
            num_attention_heads=3,
            intermediate_size=384,
            patch_size=8,
            frequency_stride=8,
            time_stride=8,
            max_length=48,
            num_mel_bins=32,
            layer_norm_eps=1e-6,
        )
    ).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    ours = build_spectrogram_vit(_LEARNED.model_copy(update={"num_class_tokens": 2}), 0)
    ours.load_state_dict(_their_weights(theirs))
    sounds = _sounds()
    with torch.no_grad():
        expected = theirs(log_mel(sounds, _MICRO.spectrogram), output_hidden_states=True)
        features = ours(sounds)
        states, _ = ours.hidden_states(sounds)
    torch.testing.assert_close(
        features.tokens, _time_first(expected.last_hidden_state[:, 2:]), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(states[-1], features.tokens)
    # Theirs are before the last norm.
    for state, own in zip(states[:-1], expected.hidden_states, strict=False):
        torch.testing.assert_close(state, _time_first(own[:, 2:]), rtol=1e-4, atol=1e-4)
    assert len(states) == 5


def test_patches_are_cut_by_loops_and_run_over_time_slowest() -> None:
    encoder = build_spectrogram_vit(_MICRO, 0)
    sounds = _sounds(num_samples=samples_of(48) + 7 * 160)  # 55 frames: 7 are left over
    patches = encoder.patches(sounds)
    assert patches.grid == (6, 4, 1)
    assert patches.num_places.tolist() == [24, 24]
    assert patches.own.all()
    images = log_mel(sounds, _MICRO.spectrogram).numpy()
    for clip, image in enumerate(images):
        for place in range(24):
            time, band = 8 * (place // 4), 8 * (place % 4)
            cut = image[time : time + 8, band : band + 8]
            assert np.array_equal(patches.values[clip, place].numpy(), cut.ravel())


def test_frame_wise_patches_have_all_bins() -> None:
    config = _MICRO.model_copy(update={"patch_frames": 2, "patch_bins": 32})
    patches = build_spectrogram_vit(config, 0).patches(_sounds())
    assert patches.grid == (24, 1, 1)
    images = log_mel(_sounds(), _MICRO.spectrogram)
    assert torch.equal(patches.values, images.reshape(2, 24, 64))


@_BOTH
def test_a_clip_does_not_depend_on_its_padding(config: SpectrogramVitConfig) -> None:
    encoder = build_spectrogram_vit(config, 0)
    sounds = _sounds(3)
    lengths = torch.tensor([samples_of(48), samples_of(24), samples_of(16) - 1])
    together = encoder(sounds, lengths)
    states, num_places = encoder.hidden_states(sounds, lengths)
    assert num_places.tolist() == [24, 12, 4]
    for row, length in enumerate(lengths.tolist()):
        alone = encoder(sounds[row : row + 1, :length])
        own = alone.tokens.shape[1]
        torch.testing.assert_close(together.tokens[row, :own], alone.tokens[0])
        torch.testing.assert_close(together.pooled[row], alone.pooled[0])
        torch.testing.assert_close(alone.pooled[0], alone.tokens[0].mean(dim=0))
        own_states, _ = encoder.hidden_states(sounds[row : row + 1, :length])
        for state, expected in zip(states, own_states, strict=True):
            torch.testing.assert_close(state[row, :own], expected[0])


@_BOTH
def test_keeping_everything_is_the_same_as_hiding_nothing(config: SpectrogramVitConfig) -> None:
    encoder = build_spectrogram_vit(config, 0)
    whole = encoder(_sounds())
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0)).expand(2, -1)
    kept = encoder(_sounds(), None, order)
    torch.testing.assert_close(kept.tokens, whole.tokens[:, order[0]])
    torch.testing.assert_close(kept.pooled, whole.pooled)


def test_what_is_hidden_does_not_matter_and_rows_may_be_of_unequal_length() -> None:
    encoder = build_spectrogram_vit(_MICRO, 0)
    sounds = _sounds()
    kept = torch.tensor([[3, 0, 17], [5, 23, -1]])
    features = encoder(sounds, None, kept)
    assert features.tokens.shape == (2, 3, 96)
    alone = encoder(sounds[1:], None, kept[1:, :2])
    torch.testing.assert_close(features.tokens[1, :2], alone.tokens[0])
    torch.testing.assert_close(features.pooled[1], alone.pooled[0])
    patches = encoder.patches(sounds)
    embedded = encoder.embed(patches.values).detach().requires_grad_()
    states = encoder.contextualise(embedded, patches, kept=kept)
    states[-1][0].square().sum().backward()
    states = encoder.contextualise(embedded, patches, kept=kept)
    states[-1][1, :2].square().sum().backward()
    assert embedded.grad is not None
    for clip, places in enumerate(([0, 3, 17], [5, 23])):
        assert torch.nonzero(embedded.grad[clip].any(dim=1))[:, 0].tolist() == places


def test_positions_of_other_lengths() -> None:
    fixed, learned = (build_spectrogram_vit(config, 0).positions for config in (_MICRO, _LEARNED))
    table = torch.from_numpy(separable_sinusoid_table((9, 4), 96))
    torch.testing.assert_close(fixed((9, 4, 1))[0], table)
    torch.testing.assert_close(fixed((2, 4, 1))[0], table[:8])
    assert torch.equal(learned((2, 4, 1))[0], learned.table[:8])
    with pytest.raises(ValueError, match="end after 6 patches along time, got 9"):
        learned((9, 4, 1))
    with pytest.raises(ValueError, match=r"for 4 bands of frequency; got a grid of \(6, 3, 1\)"):
        fixed((6, 3, 1))
    longer = build_spectrogram_vit(_MICRO, 0)(_sounds(num_samples=16_000))
    assert longer.grid == (12, 4, 1)


def test_other_input_is_refused() -> None:
    encoder = build_spectrogram_vit(_MICRO, 0)
    with pytest.raises(ValueError, match=r"float\[b s\], mono at 16 kHz.*got int64\[2, 8000\]"):
        encoder(torch.zeros(2, 8000, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"got float32\[2, 1, 8000\]"):
        encoder(torch.zeros(2, 1, 8000))
    with pytest.raises(ValueError, match=r"num_samples must be int64\[2\], got int64\[1\]"):
        encoder(_sounds(), torch.tensor([8000]))
    least = samples_of(8)
    assert encoder.config.min_samples == least == 400 + 7 * 160
    encoder(_sounds(num_samples=least))
    with pytest.raises(ValueError, match=rf"at least {least} samples .* got {least - 1}"):
        encoder(_sounds(num_samples=least - 1))


def test_weights_follow_the_seed_alone() -> None:
    before = torch.get_rng_state()
    states = [build_spectrogram_vit(_LEARNED, seed).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    for name, weights in states[0].items():
        assert torch.equal(weights, states[1][name])
    for name in ("embed.weight", "class_tokens", "positions.table"):
        assert not torch.equal(states[0][name], states[2][name])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"patch_frames": 10}, "spectrogram.num_frames is 1024; .* multiple of patch_frames, 10"),
        ({"patch_bins": 48}, "spectrogram.num_bins is 128; .* multiple of patch_bins, 48"),
        ({"size": "giant"}, "size"),
        ({"num_class_tokens": 3}, "num_class_tokens"),
    ],
)
def test_a_wrong_config_is_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SpectrogramVitConfig.model_validate(wrong)
