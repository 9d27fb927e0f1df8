"""Proves the tubelet ViT: published sizes added up by hand, tokens of a clip cut by loops, and that
what is hidden neither costs nor matters.
"""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from avrep.models.positions import sinusoid_table
from avrep.models.tubelet_vit import TubeletVit, TubeletVitConfig, build_tubelet_vit

_MICRO = TubeletVitConfig(size="micro", patch_px=8, num_frames=4, crop_px=16)


def _clips(num_clips: int = 2, frames: int = 4, height: int = 16, width: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(num_clips, 3, frames, height, width, generator=generator)


def _parameters_by_hand(width: int, depth: int, patch_px: int = 16) -> int:
    tubelets = 3 * 2 * patch_px * patch_px * width + width
    attention = 3 * width * width + 2 * width + width * width + width
    mlp = 4 * width * width + 4 * width + 4 * width * width + width
    return tubelets + depth * (attention + mlp + 4 * width) + 2 * width


@pytest.mark.parametrize(
    ("size", "width", "depth", "published"),
    [("tiny", 192, 12, None), ("small", 384, 12, "22"), ("base", 768, 12, "86"),
     ("large", 1024, 24, "304"), ("huge", 1280, 32, "632")],
)  # fmt: skip
def test_sizes_are_the_published_ones(
    size: str, width: int, depth: int, published: str | None
) -> None:
    config = TubeletVitConfig.model_validate({"size": size})
    with torch.device("meta"):
        encoder = TubeletVit(config)
    assert encoder.num_parameters == _parameters_by_hand(width, depth)
    assert encoder.width == width
    if published is not None:
        assert f"{encoder.num_parameters / 1e6:.0f}" == published


def test_the_base_size_is_videomae_s_to_the_parameter() -> None:
    assert build_tubelet_vit(TubeletVitConfig(), 0).num_parameters == 86_227_200
    assert _parameters_by_hand(768, 12) == 86_227_200


def test_learned_positions_add_one_vector_for_each_place_of_space_and_of_time() -> None:
    learned = _MICRO.model_copy(update={"positions": "learned"})
    fixed, free = build_tubelet_vit(_MICRO, 0), build_tubelet_vit(learned, 0)
    assert free.num_parameters - fixed.num_parameters == (2 * 2 + 2) * 96


def test_tokens_are_tubelets_cut_by_loops() -> None:
    encoder = build_tubelet_vit(_MICRO, 0)
    clips = _clips()
    weight = encoder.embed.weight.detach().double().numpy()
    bias = encoder.embed.bias
    assert bias is not None
    rows = []
    for clip in clips.double().numpy():
        row = []
        for t in range(2):
            for y in range(2):
                for x in range(2):
                    cut = clip[:, 2 * t : 2 * t + 2, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
                    row.append([(cut * kernel).sum() for kernel in weight])
        rows.append(np.array(row) + bias.detach().double().numpy() + sinusoid_table(8, 96))
    expected = encoder.transformer(torch.from_numpy(np.stack(rows)).float())
    features = encoder(clips)
    assert features.grid == (2, 2, 2)
    assert features.kept is None
    torch.testing.assert_close(features.tokens, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.pooled, features.tokens.mean(dim=1))


@pytest.mark.parametrize("positions", ["sinusoid", "learned"])
def test_keeping_everything_is_the_same_as_hiding_nothing(positions: str) -> None:
    encoder = build_tubelet_vit(_MICRO.model_copy(update={"positions": positions}), 0)
    clips = _clips()
    everything = torch.arange(8).expand(2, -1)
    whole, kept = encoder(clips), encoder(clips, everything)
    torch.testing.assert_close(kept.tokens, whole.tokens)
    torch.testing.assert_close(kept.pooled, whole.pooled)
    # In another order the tokens are the same, and come in that order.
    order = torch.tensor([[7, 0, 2, 1, 6, 5, 3, 4], [0, 1, 2, 3, 4, 5, 7, 6]])
    turned = encoder(clips, order)
    for clip in range(2):
        torch.testing.assert_close(turned.tokens[clip], whole.tokens[clip, order[clip]])


def test_what_is_hidden_does_not_matter_and_does_not_pass_through_the_blocks() -> None:
    encoder = build_tubelet_vit(_MICRO, 0)
    clips = _clips().requires_grad_()
    kept = torch.tensor([[0, 5], [2, 7]])
    lengths = []
    encoder.transformer.blocks[0].register_forward_hook(
        lambda _, inputs, __: lengths.append(inputs[0].shape[1])
    )
    features = encoder(clips, kept)
    assert lengths == [2]
    assert features.tokens.shape == (2, 2, 96)
    assert features.kept is kept
    assert features.grid == (2, 2, 2)
    torch.testing.assert_close(features.pooled, features.tokens.mean(dim=1))
    features.tokens.square().sum().backward()
    assert clips.grad is not None
    for clip in range(2):
        for place in range(8):
            t, y, x = place // 4, place // 2 % 2, place % 2
            own = clips.grad[clip, :, 2 * t : 2 * t + 2, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
            assert bool(own.any()) == (place in kept[clip])


@pytest.mark.parametrize("positions", ["sinusoid", "learned"])
def test_clips_of_another_size_are_taken(positions: str) -> None:
    encoder = build_tubelet_vit(_MICRO.model_copy(update={"positions": positions}), 0)
    features = encoder(_clips(1, frames=6, height=24, width=32))
    assert features.grid == (3, 3, 4)
    assert features.tokens.shape == (1, 36, 96)
    assert features.tokens.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 4, 16, 20), r"2 frames, 8 x 8 pixels want .* got 4 frames of 16 x 20"),
        ((1, 3, 5, 16, 16), "got 5 frames of 16 x 16"),
        ((1, 1, 4, 16, 16), r"wants float\[b 3 t h w\]"),
        ((3, 4, 16, 16), r"wants float\[b 3 t h w\]"),
    ],
)
def test_other_input_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_tubelet_vit(_MICRO, 0)(torch.zeros(shape))


def test_other_places_are_refused() -> None:
    encoder = build_tubelet_vit(_MICRO, 0)
    with pytest.raises(ValueError, match=r"got float32\[2, 1\]"):
        encoder(_clips(), torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"int64\[2 k\]; got int64\[1, 3\]"):
        encoder(_clips(), torch.zeros(1, 3, dtype=torch.int64))


def test_weights_follow_the_seed_alone() -> None:
    before = torch.get_rng_state()
    states = []
    for seed in (0, 0, 1):
        torch.rand(3)
        states.append(build_tubelet_vit(_MICRO, seed).state_dict())
    torch.set_rng_state(before)
    for name, weights in states[0].items():
        assert torch.equal(weights, states[1][name])
    assert not torch.equal(states[0]["embed.weight"], states[2]["embed.weight"])


def test_under_autocast_features_stay_close() -> None:
    encoder = build_tubelet_vit(_MICRO, 0)
    clips = _clips()
    exact = encoder(clips).pooled
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(clips)
    assert features.tokens.dtype == torch.float32
    torch.testing.assert_close(features.pooled, exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop_px": 100}, "multiple of patch_px, 16"),
        ({"num_frames": 15}, "multiple of tubelet_frames, 2"),
        ({"size": "giant"}, "size"),
        ({"width": 768}, "width"),
    ],
)
def test_a_wrong_config_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TubeletVitConfig.model_validate(wrong)
