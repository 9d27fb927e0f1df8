"""Proves which parts of networks count as blocks, and which layer each parameter of an encoder is in."""

import pytest
import torch

from avrep.models.audio_conv import AudioConvConfig, build_audio_conv
from avrep.models.blocks import blocks_of, layer_of_each
from avrep.models.features import Encoder
from avrep.models.spectrogram_vit import SpectrogramVitConfig, build_spectrogram_vit
from avrep.models.tubelet_vit import TubeletVitConfig, build_tubelet_vit
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.models.waveform import WaveformConfig, build_waveform
from avrep.objectives.vjepa import Vjepa
from tests.objectives.test_contract import TOYS


def _layers(encoder: Encoder) -> dict[str, int]:
    layers = layer_of_each(encoder)
    return {name: layers[parameter] for name, parameter in encoder.named_parameters()}


def test_layers_of_transformers() -> None:
    vit = _layers(build_tubelet_vit(TubeletVitConfig(size="micro", positions="learned"), 0))
    assert vit["embed.weight"] == 0
    assert {layer for name, layer in vit.items() if name.startswith("positions.")} == {0}
    assert vit["transformer.blocks.0.mlp.0.weight"] == 1
    assert vit["transformer.blocks.3.attention.qkv.weight"] == 4
    assert vit["transformer.norm.weight"] == 5

    sound = _layers(build_spectrogram_vit(SpectrogramVitConfig(size="micro"), 0))
    assert (sound["class_tokens"], sound["transformer.blocks.1.mlp_norm.bias"]) == (0, 2)
    assert sound["transformer.norm.bias"] == 5

    wave = _layers(build_waveform(WaveformConfig(size="tiny"), 0))
    assert wave["feature_extractor.conv_layers.6.conv.weight"] == 0
    # In this size it stands before the layers.
    assert wave["encoder.transformer.layer_norm.weight"] == 0
    assert wave["encoder.transformer.layers.3.final_layer_norm.weight"] == 4


def test_layers_of_residual_networks_are_their_stages() -> None:
    layers = _layers(build_video_conv(VideoConvConfig(arch="r3d_18", base_width=4), 0))
    assert layers["trunk.stem.0.weight"] == 0
    assert layers["trunk.layer1.0.conv1.0.weight"] == 1
    assert layers["trunk.layer4.1.conv2.1.bias"] == 4


@pytest.mark.parametrize(
    ("config", "num_blocks"),
    [
        (VideoConvConfig(arch="r3d_50", base_width=4), 4),
        (VideoConvConfig(arch="x3d_m"), 4),
        (VideoConvConfig(arch="s3d_g"), 9),
        pytest.param(VideoConvConfig(arch="c3d"), 0, marks=pytest.mark.slow),
        pytest.param(VideoConvConfig(arch="r2plus1d_18"), 4, marks=pytest.mark.slow),
        pytest.param(VideoConvConfig(arch="r2plus1d_50"), 4, marks=pytest.mark.slow),
        pytest.param(VideoConvConfig(arch="slow_r50"), 4, marks=pytest.mark.slow),
        pytest.param(VideoConvConfig(arch="slowfast_r50"), 4, marks=pytest.mark.slow),
    ],
)
def test_stages_are_run_one_after_the_other(config: VideoConvConfig, num_blocks: int) -> None:
    encoder = build_video_conv(config, 0).eval()
    run: list[int] = []
    for number, block in enumerate(encoder.blocks()):
        block.register_forward_hook(lambda *_, number=number: run.append(number))
    with torch.no_grad():
        encoder(torch.zeros(1, 3, 8, 32, 32))
    assert run == [*range(num_blocks)]


def test_sound_s_convolutions_have_no_blocks() -> None:
    assert build_audio_conv(AudioConvConfig(base_width=4), 0).blocks() == ()


def test_an_objective_s_blocks_are_those_of_encoder_teacher_and_predictor_once_each() -> None:
    objective = TOYS[Vjepa](0)
    blocks = blocks_of(objective)
    assert len(blocks) == len({id(block) for block in blocks}) == 4 + 4 + 1
