"""Proves that the waveform encoder is the published network, that padding changes nothing, and what
is given out at each stage.

Truth: sizes added up by hand, torchaudio's and transformers' models with the same weights, and each
clip by itself.
"""

from typing import Any, Literal

import pytest
import torch
import torchaudio
from pydantic import ValidationError
from torch import Tensor, nn
from torchaudio.models.wav2vec2.utils import import_huggingface_model

from avrep.models.waveform import Waveform, WaveformConfig, build_waveform

_TINY = WaveformConfig(size="tiny")


def _sound(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _torchaudio_model(*, norm_first: bool) -> torchaudio.models.Wav2Vec2Model:
    """A small model of either form, with weights that tell parts apart."""
    torch.manual_seed(3)
    model = torchaudio.models.wav2vec2_model(
        extractor_mode="layer_norm" if norm_first else "group_norm",
        extractor_conv_layer_config=[
            (32, kernel, stride)
            for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True)
        ],
        extractor_conv_bias=norm_first,
        encoder_embed_dim=48,
        encoder_projection_dropout=0.1,
        encoder_pos_conv_kernel=128,
        encoder_pos_conv_groups=16,
        encoder_num_layers=3,
        encoder_num_heads=4,
        encoder_attention_dropout=0.1,
        encoder_ff_interm_features=64,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.1,
        encoder_layer_norm_first=norm_first,
        encoder_layer_drop=0.05,
        aux_num_out=None,
    )
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.2)
    return model.eval()


def _around(model: Any, *, normalises_input: bool = False) -> Waveform:
    """An encoder that shares a torchaudio model's modules."""
    width = model.encoder.transformer.layer_norm.normalized_shape[0]
    encoder = Waveform(
        model.feature_extractor, model.encoder, width, normalises_input=normalises_input
    )
    return encoder.eval()


def _base_parameters_by_hand() -> int:
    convs = 512 * 10 + 4 * 512 * 512 * 3 + 2 * 512 * 512 * 2 + 2 * 512
    projection = 2 * 512 + 512 * 768 + 768
    # Weight norm keeps a length for each of the 128 taps beside the directions.
    position = 768 * (768 // 16) * 128 + 128 + 768
    attention = 4 * (768 * 768 + 768)
    feed_forward = 768 * 3072 + 3072 + 3072 * 768 + 768
    layer = attention + feed_forward + 2 * 2 * 768
    return convs + projection + position + 2 * 768 + 12 * layer


@pytest.mark.slow
def test_base_is_torchaudio_s_base() -> None:
    encoder = build_waveform(WaveformConfig(), 0).eval()
    assert encoder.num_parameters == _base_parameters_by_hand() == 94_370_944
    assert (encoder.width, encoder.conv_width, encoder.num_layers) == (768, 512, 12)
    theirs = torchaudio.models.wav2vec2_base().eval()
    encoder.load_state_dict(theirs.state_dict())
    sound = _sound(1, 16000)
    with torch.no_grad():
        states, num_frames = encoder.hidden_states(sound)
        expected, _ = theirs.extract_features(sound)
    assert len(states) == 13
    assert num_frames.tolist() == [49]
    for state, layer in zip(states[1:], expected, strict=True):
        torch.testing.assert_close(state, layer)


@pytest.mark.slow
def test_large_has_the_published_form() -> None:
    encoder = build_waveform(WaveformConfig(size="large", dropout=0.0), 0)
    assert encoder.num_parameters == sum(
        p.numel() for p in torchaudio.models.wav2vec2_large_lv60k().parameters()
    )
    assert f"{encoder.num_parameters / 1e6:.1f}" == "315.4"
    encoder.load_state_dict(torchaudio.models.wav2vec2_large_lv60k().state_dict())
    assert encoder.normalises_input


def test_tiny_is_small_and_loads_from_torchaudio_by_name() -> None:
    encoder = build_waveform(_TINY, 0)
    assert f"{encoder.num_parameters / 1e6:.1f}" == "2.2"
    theirs = torchaudio.models.Wav2Vec2Model(encoder.feature_extractor, encoder.encoder)
    assert set(theirs.state_dict()) == set(encoder.state_dict())


@pytest.mark.parametrize("norm_first", [False, True])
def test_hidden_states_are_torchaudio_s(norm_first: bool) -> None:
    theirs = _torchaudio_model(norm_first=norm_first)
    sound = _sound(2, 8000)
    with torch.no_grad():
        states, _ = _around(theirs).hidden_states(sound)
        layers, _ = theirs.extract_features(sound)
        last, _ = theirs(sound)
    assert len(states) == 4
    for state, layer in zip(states[1:-1], layers[:-1], strict=True):
        torch.testing.assert_close(state, layer)
    torch.testing.assert_close(states[-1], last)
    # In base nothing follows the last layer; in large a norm does.
    assert torch.allclose(states[-1], layers[-1]) == (not norm_first)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert"])
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_hidden_states_are_transformers_s(
    kind: Literal["Wav2Vec2", "Hubert"], norm: Literal["group", "layer"]
) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(4)
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=(32,) * 7,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        conv_bias=norm == "layer",
    )
    theirs = getattr(transformers, f"{kind}Model")(config).eval()
    for parameter in theirs.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.2)
    encoder = _around(import_huggingface_model(theirs))
    sound = _sound(2, 8000)
    with torch.no_grad():
        states, _ = encoder.hidden_states(sound)
        given = theirs(sound, output_hidden_states=True)
    assert len(states) == len(given.hidden_states) == 4
    for state, expected in zip(states[:-1], given.hidden_states[:-1], strict=True):
        torch.testing.assert_close(state, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(states[-1], given.last_hidden_state, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_padded_clip_is_the_clip_alone(norm_first: bool) -> None:
    encoder = _around(_torchaudio_model(norm_first=norm_first), normalises_input=norm_first)
    sound = _sound(3, 9000)
    lengths = [9000, 4321, 400]
    # What lies in the padding must not matter, so it is loud.
    for row, length in enumerate(lengths):
        sound[row, length:] = 3.0
    with torch.no_grad():
        batch = encoder(sound, torch.tensor(lengths))
        states, num_frames = encoder.hidden_states(sound, torch.tensor(lengths))
        for row, length in enumerate(lengths):
            alone = encoder(sound[row : row + 1, :length])
            own = alone.tokens.shape[1]
            assert own == num_frames[row] == (length - 400) // 320 + 1
            close: dict[str, Any] = {"atol": 2e-5, "rtol": 1e-4}
            torch.testing.assert_close(batch.tokens[row, :own], alone.tokens[0], **close)
            torch.testing.assert_close(batch.pooled[row], alone.tokens[0].mean(dim=0), **close)
            torch.testing.assert_close(states[-1][row, :own], alone.tokens[0], **close)
    assert batch.grid == (27, 1, 1)
    assert batch.tokens.shape == (3, 27, 48)


def test_no_gradient_passes_between_clips_nor_from_padding() -> None:
    encoder = _around(_torchaudio_model(norm_first=False))
    sound = _sound(2, 3000).requires_grad_()
    encoder(sound, torch.tensor([3000, 2000])).pooled[1].square().sum().backward()
    assert sound.grad is not None
    assert (sound.grad[0] == 0).all()
    # Frame 5, the clip's last, ends with sample 320 * 5 + 400.
    assert (sound.grad[1, 2000:] == 0).all()
    assert (sound.grad[1, :2000] != 0).float().mean() > 0.99


def test_the_large_form_hears_no_loudness() -> None:
    encoder = _around(_torchaudio_model(norm_first=True), normalises_input=True)
    quiet = _sound(1, 4000)
    with torch.no_grad():
        torch.testing.assert_close(
            encoder(quiet).tokens, encoder(5 * quiet + 0.3).tokens, atol=2e-3, rtol=1e-2
        )
        expected = torch.nn.functional.layer_norm(quiet, quiet.shape[1:])
        plain = _around(_torchaudio_model(norm_first=True))(expected)
        torch.testing.assert_close(encoder(quiet).tokens, plain.tokens)


def test_masked_frames_are_replaced_behind_the_projection() -> None:
    theirs: Any = _torchaudio_model(norm_first=False)
    encoder = _around(theirs)
    sound, embedding = _sound(2, 6000), _sound(48, seed=1)
    masked = torch.rand(2, 18, generator=torch.Generator().manual_seed(2)) < 0.4
    with torch.no_grad():
        features, num_frames = encoder.convolve(sound)
        states = encoder.contextualise(
            encoder.normalise(features), num_frames, masked=masked, mask_embedding=embedding
        )
        x, _ = theirs.encoder._preprocess(theirs.feature_extractor(sound, None)[0])
        x[masked] = embedding
        torch.testing.assert_close(states[-1], theirs.encoder.transformer(x))
    with pytest.raises(ValueError, match="need a mask_embedding"):
        encoder.contextualise(encoder.normalise(features), num_frames, masked=masked)


def test_a_skipped_layer_is_passed_over_and_still_takes_part() -> None:
    encoder = _around(_torchaudio_model(norm_first=False))
    features, num_frames = encoder.convolve(_sound(2, 4000))
    features = encoder.normalise(features)
    kept = torch.tensor([[True, False, True], [False, False, True]])
    states = encoder.contextualise(features, num_frames, kept_layers=kept)
    assert torch.equal(states[2], states[1])
    assert torch.equal(states[1][1], states[0][1])
    assert not torch.equal(states[1][0], states[0][0])
    states[-1].square().sum().backward()
    transformer: Any = encoder.encoder.transformer
    for number, layer in enumerate(transformer.layers):
        for parameter in layer.parameters():
            assert parameter.grad is not None
            if number == 1:
                assert (parameter.grad == 0).all()


def test_weights_follow_the_seed_alone_and_start_as_fairseq_s() -> None:
    before = torch.get_rng_state()
    first, again, other = (build_waveform(_TINY, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    transformer: Any = first.encoder.transformer
    kernels = transformer.pos_conv_embed.conv.weight
    others: Any = other.encoder.transformer
    assert not torch.equal(kernels, others.pos_conv_embed.conv.weight)
    assert kernels.std().item() == pytest.approx((4 / (192 * 128)) ** 0.5, rel=0.02)
    dense = transformer.layers[2].feed_forward.intermediate_dense
    assert dense.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert (dense.bias == 0).all()
    second: Any = first.feature_extractor.conv_layers[1]
    assert second.conv.weight.std().item() == pytest.approx((2 / (64 * 3)) ** 0.5, rel=0.05)


def test_it_runs_under_autocast() -> None:
    encoder = build_waveform(_TINY, 0)
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(_sound(2, 2000), torch.tensor([2000, 1500]))
    assert features.tokens.isfinite().all()
    assert features.pooled.shape == (2, 192)


@pytest.mark.parametrize(
    ("clips", "num_samples", "message"),
    [
        (torch.zeros(16000), None, r"float\[b s\].*got float32\[16000\]"),
        (torch.zeros(2, 1, 16000), None, r"got float32\[2, 1, 16000\]"),
        (torch.zeros(1, 800, dtype=torch.int16), None, r"got int16\[1, 800\]"),
        (torch.zeros(0, 800), None, r"at least one row"),
        (torch.zeros(1, 399), None, r"at least 400 samples \(25 ms\), got 399"),
        (torch.zeros(2, 800), torch.tensor([800, 399]), "at least 400 .* got 399"),
        (
            torch.zeros(2, 800),
            torch.tensor([800, 801]),
            "num_samples says 801, but clips have 800 samples",
        ),
        (torch.zeros(2, 800), torch.tensor([800]), r"int64\[2\], got int64\[1\]"),
        (torch.zeros(2, 800), torch.tensor([800.0, 800.0]), r"got float32\[2\]"),
    ],
)
def test_anything_else_is_refused(clips: Tensor, num_samples: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_waveform(_TINY, 0)(clips, num_samples)


@pytest.mark.parametrize("wrong", [{"size": "huge"}, {"dropout": 1.0}, {"layers": 3}])
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        WaveformConfig.model_validate(wrong)
