"""Proves of every kind of encoder that it gives a sound what the sound has alone, and its own states.

Truth: each sound by itself; torchaudio's and transformers' models with the same weights; SUPERB's
FBANK restated.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torchaudio
from torch import Tensor, nn
from torchaudio.models.wav2vec2.utils import import_huggingface_model

from avrep.errors import ConfigError
from avrep.evaluation.sound.states import states_of
from avrep.evaluation.sound.upstream import HiddenStates, Upstream
from avrep.evaluation.sound.upstream_log_mel import LogMel
from avrep.evaluation.sound.upstream_own import own_upstream
from avrep.evaluation.sound.upstream_python import PythonUpstream, python_upstream
from avrep.evaluation.sound.upstream_torchaudio import TorchaudioUpstream, torchaudio_upstream
from avrep.evaluation.sound.upstream_transformers import (
    TransformersUpstream,
    transformers_upstream,
)
from avrep.models.audio_conv import AudioConvConfig, build_audio_conv
from avrep.models.log_mel import LogMelConfig
from avrep.models.spectrogram_vit import SpectrogramVitConfig, build_spectrogram_vit
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.models.waveform import Waveform, WaveformConfig, build_waveform

_CPU = torch.device("cpu")
_CONV = zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True)
_LAYERS = [(16, kernel, stride) for kernel, stride in _CONV]


def _sound(length: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(seed))


def _torchaudio_model(*, norm_first: bool, wavlm: bool = False) -> nn.Module:
    shape: dict[str, Any] = {
        "extractor_mode": "layer_norm" if norm_first else "group_norm",
        "extractor_conv_layer_config": _LAYERS,
        "extractor_conv_bias": norm_first,
        "encoder_embed_dim": 32,
        "encoder_projection_dropout": 0.1,
        "encoder_pos_conv_kernel": 32,
        "encoder_pos_conv_groups": 4,
        "encoder_num_layers": 3,
        "encoder_num_heads": 4,
        "encoder_attention_dropout": 0.1,
        "encoder_ff_interm_features": 48,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.1,
        "encoder_layer_norm_first": norm_first,
        "encoder_layer_drop": 0.05,
        "aux_num_out": None,
    }
    torch.manual_seed(3)
    if wavlm:
        model = torchaudio.models.wavlm_model(
            **shape, encoder_num_buckets=32, encoder_max_distance=64
        )
    else:
        model = torchaudio.models.wav2vec2_model(**shape)
    return _distinct(model)


def _distinct(model: nn.Module) -> nn.Module:
    """Norms and biases that tell parts apart."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.2)
    return model.eval()


def _spectrogram(**changes: Any) -> Upstream:
    config = SpectrogramVitConfig(
        size="micro", spectrogram=LogMelConfig(num_frames=64, num_bins=32), **changes
    )
    return own_upstream(build_spectrogram_vit(config, 0), "spectrogram")


def _frames(wave: Tensor) -> Tensor:
    """Two states of each 200 samples."""
    frames = wave.unfold(0, 200, 200)[:, :8]
    return torch.stack([frames, frames.square()])


_KINDS: dict[str, Callable[[], Upstream]] = {
    "logmel": LogMel,
    "logmel, no cmvn": lambda: LogMel(normalises=False),
    "waveform": lambda: own_upstream(build_waveform(WaveformConfig(size="tiny"), 0), "run"),
    "spectrogram": _spectrogram,
    "spectrogram, learned": lambda: _spectrogram(positions="learned", num_class_tokens=2),
    "frame-wise": lambda: _spectrogram(patch_frames=2, patch_bins=32),
    "conv": lambda: own_upstream(build_audio_conv(AudioConvConfig(base_width=4), 0), "run"),
    "torchaudio": lambda: TorchaudioUpstream(
        _torchaudio_model(norm_first=False), "base", normalises=False, device=_CPU
    ),
    "torchaudio, large": lambda: TorchaudioUpstream(
        _torchaudio_model(norm_first=True), "large", normalises=True, device=_CPU
    ),
    "torchaudio, wavlm": lambda: TorchaudioUpstream(
        _torchaudio_model(norm_first=False, wavlm=True), "wavlm", normalises=False, device=_CPU
    ),
    "python": lambda: PythonUpstream(_frames, "python"),
}


def _own(given: HiddenStates, row: int) -> Tensor:
    return given.states[:, row, : int(given.num_frames[row])]


@pytest.mark.parametrize("kind", _KINDS)
def test_alone_is_as_in_a_batch(kind: str) -> None:
    upstream = _KINDS[kind]()
    # Of one length twice, and one longer than the spectrogram's learned positions, 64 frames.
    lengths = [4_000, 16_000, 7_777, 4_000, max(1, upstream.min_samples)]
    waves = [_sound(length, seed) for seed, length in enumerate(lengths)]
    together = states_of(upstream, waves)
    assert together.states.shape[0] == upstream.num_states
    assert together.states.shape[3] == upstream.width
    assert together.num_frames[-1] >= 1
    for row, wave in enumerate(waves):
        alone = states_of(upstream, [wave])
        torch.testing.assert_close(_own(together, row), _own(alone, 0), atol=5e-5, rtol=1e-4)
        expected = len(wave) / upstream.frame_samples
        assert abs(int(alone.num_frames[0]) - expected) <= max(2.0, 0.03 * expected), row


@pytest.mark.parametrize("kind", _KINDS)
def test_the_shortest_sound_has_a_frame_and_no_gradient_is_kept(kind: str) -> None:
    upstream = _KINDS[kind]()
    given = states_of(upstream, [_sound(1)])
    assert given.num_frames[0] >= 1
    assert given.states.isfinite().all()
    assert not given.states.requires_grad


def test_digests_are_of_the_weights() -> None:
    first, again = ([make().facts.digest for make in _KINDS.values()] for _ in range(2))
    assert first == again
    assert len(set(first)) == len(_KINDS)


def test_waveform_states_are_the_encoder_s() -> None:
    encoder = build_waveform(WaveformConfig(size="tiny"), 0).eval()
    upstream = own_upstream(encoder, "run")
    given = states_of(upstream, [_sound(16_000)])
    with torch.no_grad():
        states, _ = encoder.hidden_states(_sound(16_000)[None])
    assert (upstream.num_states, upstream.frame_samples) == (5, 320)
    assert torch.equal(given.states, torch.stack(states))
    assert upstream.facts.num_parameters == encoder.num_parameters


def test_bands_of_a_spectrogram_are_averaged() -> None:
    config = SpectrogramVitConfig(
        size="micro", spectrogram=LogMelConfig(num_frames=64, num_bins=32)
    )
    encoder = build_spectrogram_vit(config, 0).eval()
    given = states_of(own_upstream(encoder, "run"), [_sound(8_400)])
    with torch.no_grad():
        states, num_places = encoder.hidden_states(_sound(8_400)[None])
    # 51 frames are 3 patches of 16, of 2 bands each.
    assert num_places.tolist() == [6]
    assert given.num_frames.tolist() == [3]
    last = states[-1][0]
    for moment in range(3):
        expected = (last[2 * moment] + last[2 * moment + 1]) / 2
        torch.testing.assert_close(given.states[-1, 0, moment], expected)


def test_a_sound_past_the_learned_positions_is_taken_in_pieces() -> None:
    upstream = _spectrogram(positions="learned")
    wave = _sound(3 * 64 * 160)
    given = states_of(upstream, [wave])
    # Windows of the last piece end with the sound: 62 frames are 3 whole patches.
    assert given.num_frames.tolist() == [4 + 4 + 3]
    second = states_of(upstream, [wave[64 * 160 : 64 * 160 + 400 + 63 * 160]])
    torch.testing.assert_close(given.states[:, 0, 4:8], second.states[:, 0])


def test_logmel_is_superb_s_fbank() -> None:
    wave = _sound(8_000)
    energies = torchaudio.compliance.kaldi.fbank(
        wave[None], num_mel_bins=80, frame_length=25.0, frame_shift=10.0, use_log_fbank=True
    )
    deltas = torchaudio.transforms.ComputeDeltas(win_length=5)
    slopes = deltas(energies.T[None])
    features = torch.cat([energies, slopes[0].T, deltas(slopes)[0].T], dim=1)
    expected = (features - features.mean(dim=0)) / (1e-10 + features.std(dim=0))
    given = states_of(LogMel(), [wave])
    assert given.states.shape == (1, 1, 48, 240)
    torch.testing.assert_close(given.states[0, 0], expected)
    plain = states_of(LogMel(normalises=False), [wave])
    torch.testing.assert_close(plain.states[0, 0], features)


def test_logmel_of_silence_is_silent() -> None:
    silence = torch.zeros(4_000)
    assert (states_of(LogMel(), [silence]).states == 0).all()
    half = torch.cat([_sound(4_000), silence])
    assert states_of(LogMel(), [half]).states.abs().max() < 20


@pytest.mark.parametrize("norm_first", [False, True])
def test_torchaudio_s_states_are_ours_with_the_same_weights(norm_first: bool) -> None:
    model: Any = _torchaudio_model(norm_first=norm_first)
    ours = Waveform(model.feature_extractor, model.encoder, 32, normalises_input=norm_first)
    waves = [_sound(6_000), _sound(4_000, 1), _sound(6_000, 2)]
    given = states_of(
        TorchaudioUpstream(model, "theirs", normalises=norm_first, device=_CPU), waves
    )
    expected = states_of(own_upstream(ours, "ours"), waves)
    assert given.num_frames.tolist() == expected.num_frames.tolist() == [18, 12, 18]
    for row in range(3):
        torch.testing.assert_close(_own(given, row), _own(expected, row), atol=5e-5, rtol=1e-4)


def test_a_pipeline_is_read_from_where_torch_hub_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ConfigError, match=r"not at .*hubert_fairseq_base_ls960\.pth\. Mend: fetch"):
        torchaudio_upstream("HUBERT_BASE", "torchaudio:HUBERT_BASE")
    with pytest.raises(ConfigError, match="no pipeline 'HUBERT_TINY' of speech; it has HUBERT_ASR"):
        torchaudio_upstream("HUBERT_TINY", "torchaudio:HUBERT_TINY")
    model = _torchaudio_model(norm_first=False)
    (tmp_path / "checkpoints").mkdir()
    torch.save(model.state_dict(), tmp_path / "checkpoints" / "hubert_fairseq_base_ls960.pth")
    # The published network takes 2 s to build.
    bundle: Any = torchaudio.pipelines.HUBERT_BASE
    small = {**bundle._params, "extractor_conv_layer_config": _LAYERS}
    small |= {"encoder_embed_dim": 32, "encoder_pos_conv_kernel": 32, "encoder_pos_conv_groups": 4}
    small |= {"encoder_num_layers": 3, "encoder_num_heads": 4, "encoder_ff_interm_features": 48}
    monkeypatch.setattr(bundle, "_params", small)
    given = torchaudio_upstream("HUBERT_BASE", "torchaudio:HUBERT_BASE")
    direct = TorchaudioUpstream(model, "direct", normalises=False, device=_CPU)
    assert given.facts.digest == direct.facts.digest
    assert (given.facts.name, given.num_states) == ("torchaudio:HUBERT_BASE", 4)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("here", "want python:package.module:name"),
        ("no_such_module:f", "cannot import no_such_module"),
        ("math:no_such", "math has no no_such"),
        ("math:pi", "is a float; want a callable"),
    ],
)
def test_a_name_that_is_no_callable_is_told(path: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        python_upstream(path, f"python:{path}")


class _Doubling(nn.Module):
    """Gives one state, twice each sample of a hundred."""

    frame_samples = 100

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    @torch.inference_mode()
    def forward(self, wave: Tensor) -> Tensor:
        return self.factor * wave.unfold(0, 100, 100)


def test_a_module_that_gives_one_state_is_an_encoder() -> None:
    upstream = PythonUpstream(_Doubling(), "python:doubling")
    given = states_of(upstream, [_sound(1_000)])
    torch.testing.assert_close(given.states[0, 0], 2 * _sound(1_000).reshape(10, 100))
    # It may be weighed: what inference mode made could not.
    scalar = torch.ones((), requires_grad=True)
    (given.states * scalar).sum().backward()
    assert upstream.facts.num_parameters == 1


def test_what_is_no_encoder_of_sound_is_refused() -> None:
    encoder = build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), 0)
    with pytest.raises(ConfigError, match="run: VideoConv is no encoder of sound"):
        own_upstream(encoder, "run")


_HF: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 32,
    "num_conv_pos_embedding_groups": 4,
}


def _save_transformers(folder: Path, kind: str, norm: str, **preprocessor: object) -> Any:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(4)
    config = getattr(transformers, f"{kind}Config")(
        **_HF,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        conv_bias=norm == "layer",
    )
    model = _distinct(getattr(transformers, f"{kind}Model")(config))
    saved: Any = model
    saved.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return model


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Hubert", "Wav2Vec2", "WavLM"])
@pytest.mark.parametrize("norm", ["group", "layer"])
def test_a_transformers_folder_gives_the_model_s_states(
    tmp_path: Path, kind: str, norm: str
) -> None:
    normalises = norm == "layer"
    model = _save_transformers(tmp_path, kind, norm, do_normalize=normalises, sampling_rate=16_000)
    upstream = transformers_upstream(tmp_path, f"hf:{tmp_path}")
    assert isinstance(upstream, TransformersUpstream)
    assert (upstream.num_states, upstream.width) == (4, 32)
    assert (upstream.frame_samples, upstream.min_samples) == (320, 400)
    waves = [3 * _sound(6_000) + 0.2, _sound(4_000, 1), _sound(6_000, 2)]
    given = states_of(upstream, waves)
    theirs = TorchaudioUpstream(
        import_huggingface_model(model), "theirs", normalises=normalises, device=_CPU
    )
    expected = states_of(theirs, waves)
    for row, wave in enumerate(waves):
        torch.testing.assert_close(_own(given, row), _own(expected, row), atol=1e-4, rtol=1e-3)
        alone = states_of(upstream, [wave])
        torch.testing.assert_close(_own(given, row), _own(alone, 0), atol=5e-5, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Wav2Vec2", "Data2VecAudio"])
def test_the_waveform_is_normalised_as_the_folder_says(tmp_path: Path, kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    wave = 5 * _sound(6_000) + 0.3
    states = {}
    for normalises in (False, True):
        folder = tmp_path / str(normalises)
        model = _save_transformers(folder, kind, "layer", do_normalize=normalises)
        states[normalises] = states_of(transformers_upstream(folder, "hf"), [wave]).states[:, 0]
        extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalises)
        inputs = extractor(wave.numpy(), sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            given = model(inputs.input_values, output_hidden_states=True)
        expected = torch.cat([*given.hidden_states[:-1], given.last_hidden_state])
        torch.testing.assert_close(states[normalises], expected, atol=5e-5, rtol=1e-4)
    assert not torch.allclose(states[False], states[True], atol=1e-2)


@pytest.mark.slow
def test_a_folder_that_lacks_something_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")

    def refused(fault: str) -> None:
        with pytest.raises(ConfigError, match=fault):
            transformers_upstream(tmp_path, "hf:folder")

    refused(r"no config\.json in")
    _save_transformers(tmp_path, "Hubert", "group", sampling_rate=8_000)
    refused("takes 8000 Hz")
    (tmp_path / "preprocessor_config.json").unlink()
    refused(r"no preprocessor_config\.json .*how the waveform is normalised")
    (tmp_path / "preprocessor_config.json").write_text("{}")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    refused(r"has no \*\.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    refused("holds a 'bert'; want one of hubert")
    (tmp_path / "config.json").write_text("{")
    refused("is not JSON")


def test_batches_are_of_equal_lengths() -> None:
    """The group norm of base would make a padded sound another."""
    model: Any = _torchaudio_model(norm_first=False)
    seen: list[Sequence[int]] = []
    upstream = TorchaudioUpstream(model, "base", normalises=False, device=_CPU)
    hook = model.feature_extractor.register_forward_pre_hook(
        lambda _, given: seen.append(list(given[0].shape))
    )
    states_of(upstream, [_sound(length) for length in (4_000, 5_000, 4_000)])
    hook.remove()
    assert seen == [[2, 4_000], [1, 5_000]]
