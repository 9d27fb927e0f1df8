"""Proves that every encoder of sound is found by its name, and that a wrong name is told plainly."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from avrep.config import parse_config
from avrep.errors import ConfigError
from avrep.evaluation.sound.states import states_of
from avrep.evaluation.sound.upstream_log_mel import LogMel
from avrep.evaluation.sound.upstream_own import own_upstream
from avrep.media.catalog import Catalog
from avrep.pretrain import pretrain
from avrep.trained import load_encoder
from avrep.upstreams import open_upstream


def energies(wave: Tensor) -> Tensor:
    """float[n 1]: the energy of each 400 samples."""
    return wave.unfold(0, 400, 400).square().mean(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def run(synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps of wav2vec 2.0, tiny."""
    tree = {
        "data": {"catalog": str(synth_catalog.path), "num_decode_actors": 0, "split": "train"},
        "audio_encoder": {"kind": "waveform", "size": "tiny"},
        "objective": {"kind": "wav2vec2", "sampler": {"duration_s": 1.0, "min_s": 0.5}},
        "train": {
            "batch_size": 2,
            "num_steps": 2,
            "optim": {"name": "adamw", "lr": 0.001},
            "device": "cpu",
            "num_threads": 1,
            "checkpoint_every_steps": 2,
        },
    }
    folder = tmp_path_factory.mktemp("runs") / "wav2vec2"
    pretrain(parse_config(tree, "test"), folder)
    return folder


@pytest.mark.slow
def test_a_run_is_its_encoder_and_untrained_is_as_it_began(run: Path) -> None:
    trained, untrained = open_upstream(str(run)), open_upstream(f"untrained:{run}")
    assert trained.facts.name == str(run)
    assert untrained.facts.name == f"untrained:{run}"
    assert trained.facts.digest != untrained.facts.digest
    assert trained.facts.num_parameters == untrained.facts.num_parameters
    wave = 0.1 * torch.randn(8_000, generator=torch.Generator().manual_seed(0))
    for upstream, is_trained in ((trained, True), (untrained, False)):
        expected = own_upstream(load_encoder(run, "audio", trained=is_trained), "other")
        assert expected.facts.digest == upstream.facts.digest
        assert torch.equal(states_of(upstream, [wave]).states, states_of(expected, [wave]).states)


def test_others_are_found_by_what_stands_before_the_colon() -> None:
    for name in ("logmel", "logmel-no-cmvn"):
        upstream = open_upstream(name)
        assert isinstance(upstream, LogMel)
        assert upstream.facts.name == name
    upstream = open_upstream("python:tests.test_upstreams:energies")
    assert (upstream.num_states, upstream.width, upstream.frame_samples) == (1, 1, 400)
    assert upstream.facts.name == "python:tests.test_upstreams:energies"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("hf:", "'hf:' names no encoder; give a run's folder, untrained:RUN, logmel"),
        ("hf:nowhere", r"no config\.json in nowhere"),
        ("torchaudio:NOTHING", "no pipeline 'NOTHING'"),
        ("python:json", "want python:package.module:name"),
        ("nowhere", "no run at nowhere, and 'nowhere' names no other encoder; give"),
        ("untrained:nowhere", "no run at nowhere"),
        ("log-mel", "no run at log-mel"),
    ],
)
def test_a_wrong_name_is_told_in_one_line(name: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault) as told:
        open_upstream(name)
    assert "\n" not in str(told.value)
