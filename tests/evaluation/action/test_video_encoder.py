"""Proves that any function can be measured, and that a digest tells one encoder from another."""

import pytest
import torch
from torch import Tensor, nn

from avrep.augment.eval_crops import CropConfig
from avrep.evaluation.action.video_encoder import (
    VideoEncoder,
    colour_histogram,
    encoder_of_function,
    small_pixels,
)
from avrep.sampling.clips import ClipConfig

CLIP = ClipConfig(num_frames=4, stride=2)
CROPS = CropConfig(short_side_px=16, crop_px=16)


class Net(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layer = nn.Linear(3, 5)

    def forward(self, clips: Tensor) -> Tensor:
        return self.layer(clips.mean(dim=(2, 3, 4)))


def encoder(seed: int = 0, clip: ClipConfig = CLIP, crops: CropConfig = CROPS) -> VideoEncoder:
    return encoder_of_function(Net(seed), "net", clip=clip, crops=crops)


def test_the_digest_is_of_what_decides_the_numbers() -> None:
    assert encoder().facts == encoder().facts
    assert encoder().facts.num_parameters == 20
    others = [
        encoder(seed=1),
        encoder(clip=ClipConfig(num_frames=4, stride=4)),
        encoder(crops=CropConfig(short_side_px=16, crop_px=16, mean=(0.4, 0.5, 0.5))),
        encoder_of_function(Net(0), "another", clip=CLIP, crops=CROPS),
    ]
    digests = {other.facts.digest for other in (encoder(), *others)}
    assert len(digests) == 5


def test_its_features_are_the_functions() -> None:
    clips = torch.randn(3, 3, 4, 16, 16)
    torch.testing.assert_close(encoder().module(clips).pooled, Net(0)(clips))


def test_a_function_of_another_form_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"two must give float\[b d\].*float32\[2, 3, 4\] for b = 2"
    ):
        encoder_of_function(lambda clips: clips.mean(dim=(3, 4)), "two", clip=CLIP, crops=CROPS)


def test_a_colour_histogram_knows_colours_and_nothing_else() -> None:
    clips = torch.full((1, 3, 2, 4, 4), -1.0)
    clips[:, 0, :, :, :2] = 1.0
    found = colour_histogram(clips).view(3, 16)
    assert found.sum(dim=1).tolist() == [1.0, 1.0, 1.0]
    assert found[0, 0] == found[0, 15] == 0.5
    assert found[1, 0] == found[2, 0] == 1.0
    noise = torch.rand(2, 3, 4, 8, 8) * 2 - 1
    torch.testing.assert_close(colour_histogram(noise), colour_histogram(noise.flip(2)))
    torch.testing.assert_close(colour_histogram(noise), colour_histogram(noise.flip(4)))


def test_small_pixels_know_place_and_change() -> None:
    clips = torch.zeros(1, 3, 3, 16, 16)
    clips[:, :, 1, :2, :2] = 6.0
    found = small_pixels(clips)[0]
    assert found.shape == (3 * 64 + 64,)
    assert found[:192].view(3, 8, 8)[:, 0, 0].tolist() == pytest.approx([2.0, 2.0, 2.0])
    assert found[192].item() == pytest.approx(6.0)
    assert found[193:].abs().max() == 0
