"""Proves that a run on several corpora mixes them as it says, writes all down, and comes back."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from avrep.assemble import build_objective, training_sources
from avrep.cluster.stream import ray_stream
from avrep.config import RunConfig, parse_config
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.batches import batches
from avrep.pipeline.quarantine import read_quarantine
from avrep.pipeline.stream import OpenStream, open_mixture, plain_stream
from avrep.pretrain import pretrain
from avrep.replay import replay_step
from avrep.report.ledger_table import audit_run
from avrep.report.replay_table import draw_replay
from avrep.training.loop import StepRecord
from avrep.types import Address
from tests.faults.runs import digest

_NUM_STEPS = 4
_SEEN, _HEARD = 4, 2
"""Items of each corpus in a step."""


@pytest.fixture(scope="module")
def speech(synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of some of the items that have sound; the second of them is damaged."""
    rows = synth_catalog.rows_with(audio=True)[:9]
    items = [synth_catalog[int(row)] for row in rows]
    items[1] = replace(items[1], length_bytes=items[1].length_bytes // 50)
    path = tmp_path_factory.mktemp("speech") / "speech.parquet"
    write_catalog(path, items, synth_catalog.root)
    return path


def _tree(catalog: Path, speech: Path) -> dict[str, Any]:
    video = {
        "kind": "rspnet",
        "sampler": {"num_frames": 4},
        "crop_px": 32,
        "short_side_px": 32,
        "out_width": 4,
        "queue_size": 8,
    }
    sound = {
        "kind": "wav2vec2",
        "sampler": {"duration_s": 0.6, "min_s": 0.4},
        "mask_length": 2,
        "num_distractors": 4,
        "num_codes": 8,
        "projection_width": 8,
    }
    return {
        "data": {"catalog": str(catalog), "num_decode_actors": 0, "max_failure_share": 1.0},
        "corpora": {"speech": {"catalog": str(speech), "batch_size": _HEARD}},
        "video_encoder": {"kind": "video_conv", "arch": "r3d_18_fast", "base_width": 4},
        "audio_encoder": {"kind": "waveform", "size": "tiny"},
        "objective": {
            "kind": "joint",
            "parts": {
                "speed": {"objective": video},
                "spoken": {"objective": sound, "weight": 0.25, "corpus": "speech"},
            },
        },
        "train": {
            "batch_size": _SEEN,
            "num_steps": _NUM_STEPS,
            "optim": {"lr": 0.01},
            "device": "cpu",
            "num_threads": 1,
            "log_every_steps": 1,
            "checkpoint_every_steps": 2,
        },
    }


@pytest.fixture
def config(synth_catalog: Catalog, speech: Path) -> RunConfig:
    return parse_config(_tree(synth_catalog.path, speech), "test")


def _run(config: RunConfig, folder: Path, **options: Any) -> dict[int, StepRecord]:
    seen: dict[int, StepRecord] = {}
    pretrain(config, folder, on_step=lambda record: seen.update({record.step: record}), **options)
    return seen


def test_each_step_has_the_stated_share_of_each_corpus(config: RunConfig, tmp_path: Path) -> None:
    records = _run(config, tmp_path / "run")
    sources = training_sources(config, build_objective(config))
    alone = list(batches(sources["speech"], range(_NUM_STEPS)))
    for step, record in records.items():
        other = record.batch.others["speech"]
        assert (len(record.batch.addresses), len(other.addresses)) == (_SEEN, _HEARD)
        assert digest(other) == digest(alone[step - 1])
        # Four views of each video that is seen, one of each that is heard.
        assert record.num_clips == len(record.batch.views) * _SEEN + len(other.views) * _HEARD
        metrics = record.result.metrics
        expected = metrics["speed_loss"] + 0.25 * metrics["spoken_loss"]
        assert record.result.loss == pytest.approx(expected, rel=1e-5)


def test_a_mixture_resumes_as_if_it_had_not_stopped(config: RunConfig, tmp_path: Path) -> None:
    whole = _run(config, tmp_path / "whole")
    _run(config, tmp_path / "cut", stop_after=2)
    rest = _run(config, tmp_path / "cut", resume=True)
    assert {step: record.result.loss for step, record in rest.items()} == {
        step: whole[step].result.loss for step in (3, 4)
    }
    reports = audit_run(tmp_path / "cut")
    assert {name: report.num_items for name, report in reports.items()} == {
        "data": _NUM_STEPS * _SEEN,
        "speech": _NUM_STEPS * _HEARD,
    }
    assert all(report.is_whole for report in reports.values())
    # Eight items in steps of two: the damaged one was met.
    assert read_quarantine(tmp_path / "cut") == []
    (entry,) = read_quarantine(tmp_path / "cut" / "corpora" / "speech")
    assert entry.key == Catalog.open(config.corpora["speech"].catalog)[1].key
    assert reports["speech"].num_substitutes == 1


@pytest.mark.slow
def test_a_step_of_a_mixture_is_replayed_bit_for_bit(config: RunConfig, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrain(config, run)
    replay = replay_step(run, 4)
    assert replay.from_step == 2
    assert replay.loss == replay.logged_loss
    by_corpus = Counter(clip.corpus for clip in replay.found.clips)
    assert by_corpus == {"data": _SEEN, "speech": _HEARD}
    for clip in replay.found.clips:
        assert clip.grad_norm is not None
        assert 0 < clip.grad_norm < math.inf
        # The loss of `data` by itself would have that of the others in it.
        assert (clip.loss_alone is None) == (clip.corpus == "data")
    draw_replay(replay, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


def test_another_corpus_does_not_pass_for_the_same(
    config: RunConfig, tmp_path: Path, synth_catalog: Catalog
) -> None:
    _run(config, tmp_path / "run", stop_after=2)
    items = [synth_catalog[int(row)] for row in synth_catalog.rows_with(audio=True)[3:9]]
    write_catalog(tmp_path / "other.parquet", items, synth_catalog.root)
    speech = config.corpora["speech"]
    other = speech.model_copy(update={"catalog": str(tmp_path / "other.parquet")})
    moved = config.model_copy(update={"corpora": {"speech": other}})
    with pytest.raises(ConfigError, match="gives other items than those that"):
        _run(moved, tmp_path / "run", resume=True)


def test_ranks_share_each_corpus_of_a_step(config: RunConfig) -> None:
    sources = training_sources(config, build_objective(config))

    def addresses(rank: int, world_size: int) -> Iterator[tuple[list[Address], list[Address]]]:
        steps = range(1, _NUM_STEPS)
        with open_mixture(plain_stream, sources, steps, rank, world_size) as stream:
            for batch in stream:
                yield list(batch.addresses), list(batch.others["speech"].addresses)

    shares = zip(addresses(0, 2), addresses(1, 2), strict=True)
    for whole, (first, second) in zip(addresses(0, 1), shares, strict=True):
        assert (len(first[0]), len(first[1])) == (_SEEN // 2, _HEARD // 2)
        assert (sorted(first[0] + second[0]), sorted(first[1] + second[1])) == (
            sorted(whole[0]),
            sorted(whole[1]),
        )


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_actors_give_the_mixture_that_the_generator_gives(config: RunConfig) -> None:
    sources = training_sources(config, build_objective(config))

    def digests(open_stream: OpenStream) -> Iterator[tuple[str, str]]:
        with open_mixture(open_stream, sources, range(1, _NUM_STEPS)) as stream:
            for batch in stream:
                yield digest(batch), digest(batch.others["speech"])

    on_ray: OpenStream = partial(ray_stream, num_actors=1)
    assert list(digests(on_ray)) == list(digests(plain_stream))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"corpora": {}}, "no corpus 'speech' in corpora; add it"),
        (
            {"corpora": {name: {"catalog": "a", "batch_size": 1} for name in ("speech", "songs")}},
            "no part of the objective has corpus: songs",
        ),
        ({"corpora": {"data": {"catalog": "a", "batch_size": 1}}}, "data is the name of"),
        ({"corpora": {"speech": {"catalog": "a"}}}, r"corpora\.speech\.batch_size: field required"),
    ],
)
def test_what_does_not_fit_is_told(
    synth_catalog: Catalog, speech: Path, change: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_config(_tree(synth_catalog.path, speech) | change, "test")


def test_one_part_at_least_is_on_data(synth_catalog: Catalog, speech: Path) -> None:
    tree = _tree(synth_catalog.path, speech)
    tree["objective"]["parts"]["speed"]["corpus"] = "speech"
    with pytest.raises(ConfigError, match="at least one part of the objective must train on data"):
        parse_config(tree, "test")
