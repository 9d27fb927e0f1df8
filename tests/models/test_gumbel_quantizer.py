"""Proves the quantiser: choices looked up one by one, torch's Gumbel softmax with the same noise,
the law of the noise, and transformers' quantiser with the same weights.
"""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from avrep.models.gumbel_quantizer import GumbelQuantizer, gumbel_noise


def _quantizer(seed: int = 0) -> GumbelQuantizer:
    torch.manual_seed(seed)
    return GumbelQuantizer(in_width=6, num_groups=2, num_codes=5, width=8)


def _features(num_rows: int = 7) -> Tensor:
    return torch.randn(num_rows, 6, generator=torch.Generator().manual_seed(1))


def test_without_noise_each_group_gives_its_likeliest_word() -> None:
    quantizer, features = _quantizer(), _features()
    out = quantizer(features)
    logits = features @ quantizer.logits.weight.T + quantizer.logits.bias
    for row in range(7):
        for group in range(2):
            own = logits[row, 5 * group : 5 * group + 5]
            word = int(own.argmax())
            assert out.codes[row, group] == word
            torch.testing.assert_close(
                out.vectors[row, 4 * group : 4 * group + 4], quantizer.codewords[group, word]
            )
            torch.testing.assert_close(out.probabilities[row, group], own.softmax(dim=0))


def test_with_noise_value_and_gradient_are_torch_s_gumbel_softmax() -> None:
    quantizer, features = _quantizer(), _features()
    noise = gumbel_noise(7, 2, 5, torch.Generator().manual_seed(2))
    weights = torch.randn(7, 8, generator=torch.Generator().manual_seed(3))
    out = quantizer(features, noise=noise, temperature=0.7)
    (out.vectors * weights).sum().backward()
    gradients = [parameter.grad for parameter in quantizer.parameters()]
    quantizer.zero_grad(set_to_none=True)

    # torch draws its noise as minus the log of exponentials from the global generator.
    torch.manual_seed(2)
    logits = quantizer.logits(features).view(7, 2, 5)
    choice = functional.gumbel_softmax(logits, tau=0.7, hard=True)
    expected = torch.einsum("mgv,gvd->mgd", choice, quantizer.codewords).flatten(1)
    (expected * weights).sum().backward()
    torch.testing.assert_close(out.vectors, expected)
    assert torch.equal(out.codes, choice.argmax(dim=2))
    for gradient, parameter in zip(gradients, quantizer.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
    # Of the probabilities neither noise nor temperature changes anything.
    assert torch.equal(out.probabilities, quantizer(features).probabilities)


def test_equal_codes_give_equal_vectors_to_the_bit() -> None:
    noise = gumbel_noise(400, 2, 5, torch.Generator().manual_seed(0))
    out = _quantizer()(_features(400), noise=noise, temperature=0.5)
    for codes in out.codes.unique(dim=0):
        vectors = out.vectors[(out.codes == codes).all(dim=1)]
        assert (vectors == vectors[0]).all()


def test_the_noise_is_gumbel_s_and_follows_its_generator() -> None:
    noise = gumbel_noise(2000, 2, 50, torch.Generator().manual_seed(0))
    # Mean: Euler's constant; variance: pi^2 / 6; P(noise < 0) = 1 / e.
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.01)
    assert noise.var().item() == pytest.approx(1.6449, rel=0.02)
    assert (noise < 0).float().mean().item() == pytest.approx(0.3679, abs=0.005)
    assert torch.equal(noise, gumbel_noise(2000, 2, 50, torch.Generator().manual_seed(0)))


@pytest.mark.slow
def test_it_equals_transformers_quantiser() -> None:
    transformers = pytest.importorskip("transformers")
    module = pytest.importorskip("transformers.models.wav2vec2.modeling_wav2vec2")
    config = transformers.Wav2Vec2Config(
        num_codevector_groups=2, num_codevectors_per_group=5, codevector_dim=8, conv_dim=(6,) * 7
    )
    quantizer = _quantizer()
    theirs = module.Wav2Vec2GumbelVectorQuantizer(config).eval()
    theirs.weight_proj.load_state_dict(quantizer.logits.state_dict())
    theirs.codevectors.data = quantizer.codewords.data.reshape(1, 10, 4)
    features = _features()
    with torch.no_grad():
        expected, _ = theirs(features[None])
        torch.testing.assert_close(quantizer(features).vectors, expected[0])


def test_it_is_computed_in_float32_under_autocast() -> None:
    quantizer, features = _quantizer(), _features()
    with torch.autocast("cpu", torch.bfloat16):
        out = quantizer(features)
    assert torch.equal(out.vectors, quantizer(features).vectors)
    assert torch.equal(out.probabilities, quantizer(features).probabilities)


def test_it_starts_as_released_and_refuses_an_uneven_width() -> None:
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(512, 2, 320, 256)
    assert quantizer.logits.weight.std().item() == pytest.approx(1, rel=0.01)
    assert (quantizer.logits.bias == 0).all()
    assert quantizer.codewords.shape == (2, 320, 128)
    assert 0 <= quantizer.codewords.min() < 0.001
    assert 0.999 < quantizer.codewords.max() < 1
    with pytest.raises(ValueError, match="width 9 is no multiple of num_groups 2"):
        GumbelQuantizer(6, 2, 5, 9)
