"""Proves that recomputed blocks give the same loss and gradients, and keep fewer bytes."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from avrep.models.blocks import blocks_of
from avrep.models.draws import draws_from
from avrep.models.features import Encoder
from avrep.models.recompute import recompute_in_backward
from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.models.waveform import WaveformConfig, build_waveform


def _vit() -> Encoder:
    config = TubeletVitConfig(size="micro", patch_px=8, num_frames=4, crop_px=32, drop_path=0.5)
    return build_tubelet_vit(config, 0)


def _conv() -> Encoder:
    return build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), 0)


def _wave() -> Encoder:
    return build_waveform(WaveformConfig(size="tiny", dropout=0.3), 0)


def _loss(encoder: Encoder, rng: torch.Generator) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    if encoder.width == 192:
        sound = 0.1 * torch.randn(2, 8000, generator=generator)
        with draws_from(rng):
            return encoder(sound).tokens.square().mean()
    clips = torch.randn(4, 3, 4, 32, 32, generator=generator)
    features = encoder(clips, None, rng) if encoder.width == 96 else encoder(clips)
    return features.pooled.square().mean()


def _train(encoder: Encoder) -> tuple[Tensor, dict[str, Tensor], int, Tensor]:
    """Loss, gradients, bytes kept for the backward pass, and what the generator draws next."""
    kept: dict[int, int] = {}
    weights = {p.untyped_storage().data_ptr() for p in encoder.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor.untyped_storage().nbytes()
        return tensor

    rng = torch.Generator().manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = _loss(encoder, rng)
    torch.rand(5)  # What is drawn in between must not matter.
    loss.backward()
    gradients = {n: p.grad for n, p in encoder.named_parameters() if p.grad is not None}
    return loss.detach(), gradients, sum(kept.values()), torch.rand(1, generator=rng)


# What convolutions before the blocks keep, stays.
@pytest.mark.parametrize(("build", "share"), [(_vit, 0.3), (_conv, 0.8), (_wave, 0.7)])
def test_loss_gradients_and_averages_are_the_same_and_bytes_fewer(
    build: Callable[[], Encoder], share: float
) -> None:
    plain, again = build(), build()
    for block in blocks_of(again):
        recompute_in_backward(block)
    loss, gradients, num_bytes, drawn = _train(plain)
    other, same, fewer_bytes, other_drawn = _train(again)
    assert torch.equal(other, loss)
    assert torch.equal(other_drawn, drawn)
    assert same.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, msg=name)
    state = again.state_dict()
    assert state.keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(state[name], value), name
    assert fewer_bytes < share * num_bytes, (fewer_bytes, num_bytes)


def test_the_global_generator_goes_on_as_without() -> None:
    encoder = _wave()
    for block in blocks_of(encoder):
        recompute_in_backward(block)
    before = torch.get_rng_state()
    _loss(encoder, torch.Generator()).backward()
    assert torch.equal(torch.get_rng_state(), before)


class _Pathways(nn.Module):
    """Writes into the list that it is given, as pytorchvideo's SlowFast does."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.0))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        maps[0] = maps[0] * self.weight
        return maps


def test_a_list_that_is_written_into_is_given_again_as_it_was() -> None:
    block = _Pathways()
    recompute_in_backward(block)
    x = torch.tensor(2.0, requires_grad=True)
    block([x])[0].square().backward()
    # d/dw (2 w)^2 = 8 w.
    assert block.weight.grad is not None
    assert block.weight.grad.item() == 24.0


def test_a_deep_copy_computes_with_its_own_weights() -> None:
    block = nn.Linear(1, 1, bias=False)
    recompute_in_backward(block)
    twin = copy.deepcopy(block)
    nn.init.constant_(block.weight, 2.0)
    nn.init.constant_(twin.weight, 5.0)
    assert twin(torch.ones(1, 1)).item() == 5.0


def test_without_gradients_nothing_is_kept_nor_computed_twice() -> None:
    calls: list[int] = []

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(1)
            return x

    block = Counting()
    recompute_in_backward(block)
    with torch.no_grad():
        block(torch.ones(1))
    assert len(calls) == 1
