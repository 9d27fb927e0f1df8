"""Measuring a run: both encoders see the same clips, and the numbers are those of the features."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.cluster.run import evaluate_run
from avrep.evaluate import (
    AUGMENTED_INSTANCE,
    PLAIN_INSTANCE,
    Embedder,
    compare_measurements,
    find_task,
    measure_run,
)
from avrep.evaluation.protocols import ProtocolConfig
from avrep.evaluation.results import read_rows
from avrep.media.catalog import Catalog
from avrep.models.features import Encoder, Features
from avrep.pipeline.stream import plain_stream
from avrep.trained import read_run_config


class MeanColour(Encoder):
    """An encoder whose truth is plain to see: the clip's mean colour and its first pixel."""

    def forward(self, clips: Tensor, /) -> Features:
        pooled = torch.cat([clips.mean(dim=(2, 3, 4)), clips[:, :, 0, 0, 0]], dim=1)
        return Features(tokens=pooled[:, None], grid=(1, 1, 1), pooled=pooled)


def test_a_video_has_a_vector_for_each_clip_and_crop(
    tiny_run: Path, synth_catalog: Catalog
) -> None:
    config = read_run_config(tiny_run, ["evaluation.num_clips=3", "evaluation.num_crops=3"])
    encoders = {"a": MeanColour(6), "b": MeanColour(6)}
    done: list[tuple[int, int]] = []
    embedder = Embedder(
        config, encoders, torch.device("cpu"), plain_stream, lambda *now: done.append(now)
    )
    rows = synth_catalog.rows_with(video=True)[:5]
    embedding = embedder.plain(rows)
    assert embedding.rows.tolist() == rows.tolist()
    assert embedding.keys == tuple(synth_catalog[int(row)].key for row in rows)
    assert embedding.features["a"].shape == (5, 9, 6)
    np.testing.assert_array_equal(embedding.features["a"], embedding.features["b"])
    assert done[-1] == (5, 5)
    # Frames are 43 x 32: left, centre and right crops of one clip start at other pixels.
    first_pixel = embedding.features["a"][:, :3, 3:]
    assert (np.abs(np.diff(first_pixel, axis=1)).sum(axis=2) > 0).any()


def test_augmented_clips_are_the_same_each_time_and_not_the_plain_ones(
    tiny_run: Path, synth_catalog: Catalog
) -> None:
    config = read_run_config(tiny_run)
    rows = synth_catalog.rows_with(video=True)[:4]
    embedder = Embedder(config, {"a": MeanColour(6)}, torch.device("cpu"), plain_stream, None)
    first, again = (embedder.augmented(rows).features["a"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (4, 2, 6)
    plain = embedder.plain(rows).features["a"]
    assert np.abs(first - plain[:, [0, -1]]).max() > 0.1


def test_measurement_to_rows(tiny_run: Path) -> None:
    config = read_run_config(tiny_run, ["evaluation.num_clips=2"])
    task = find_task(config)
    protocols = ProtocolConfig(num_resamples=100)
    measured = measure_run(config, tiny_run, task, protocols=protocols)
    assert not any("could not be decoded" in score.note for score in measured.pretrained)
    rows = compare_measurements([measured], protocols=protocols, seed=0)
    found = {(row.protocol, row.label, row.encoder) for row in rows}
    for encoder in ("pretrained", "untrained", "difference"):
        assert ("linear", "speed", encoder) in found
        assert ("knn", "speed", encoder) in found
        assert ("retrieval", "speed", encoder) in found
        assert ("instance", PLAIN_INSTANCE, encoder) in found
        assert ("instance", AUGMENTED_INSTANCE, encoder) in found
    by_place = {(r.protocol, r.label, r.metric, r.encoder): r.value for r in rows}
    for (protocol, label, metric, encoder), value in by_place.items():
        if encoder == "difference":
            mine, other = (
                by_place[protocol, label, metric, name] for name in ("pretrained", "untrained")
            )
            assert value == pytest.approx(mine - other)


def test_test_videos_that_were_trained_on_are_told_of(tiny_run: Path) -> None:
    protocols = ProtocolConfig(protocols=("knn",), num_resamples=100)
    notes: dict[str, set[str]] = {}
    for split in ("train", "test", "null"):
        config = read_run_config(tiny_run, ["evaluation.num_clips=2", f"data.split={split}"])
        measured = measure_run(config, tiny_run, find_task(config), protocols=protocols)
        notes[split] = {score.note for score in measured.pretrained}
        assert not any("trained on" in score.note for score in measured.untrained)
    num_test = len(measured.task.test)
    seen = f"the encoder was trained on {num_test} of these {num_test} test videos, without labels"
    assert not any("trained on" in note for note in notes["train"])
    assert all(seen in note for note in notes["test"] | notes["null"])


def test_an_untrained_run_differs_from_itself_by_nothing(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give both names the same weights: every difference is exactly zero."""
    import avrep.evaluate as module

    original = module.load_encoder

    def always_trained(run: Path, *, trained: bool = True) -> Encoder:
        del trained
        return original(run)

    monkeypatch.setattr(module, "load_encoder", always_trained)
    config = read_run_config(tiny_run, ["evaluation.num_clips=2"])
    protocols = ProtocolConfig(num_resamples=100)
    measured = measure_run(config, tiny_run, find_task(config), protocols=protocols)
    rows = compare_measurements([measured], protocols=protocols, seed=0)
    assert {row.value for row in rows if row.encoder == "difference"} == {0.0}


def test_items_that_cannot_be_decoded_are_told_of(
    tiny_run: Path, synth_folder: Path, synth_catalog: Catalog, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(synth_folder, moved)
    config = read_run_config(tiny_run, ["evaluation.num_clips=2", f"data.root={moved}"])
    task = find_task(config)
    item = synth_catalog[int(task.test[0])]
    (moved / item.shard).write_bytes(b"x" * item.length_bytes)
    protocols = ProtocolConfig(protocols=("knn",), num_resamples=100)
    measured = measure_run(config, tiny_run, task, protocols=protocols)
    rows = compare_measurements([measured], protocols=protocols, seed=0)
    told = [row.note for row in rows if row.encoder != "difference"]
    assert all(f"1 items could not be decoded, {item.key}" in note for note in told)
    assert {row.num_test for row in rows} == {len(task.test) - 1}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_command_writes_the_rows(tiny_run: Path) -> None:
    overrides = ["evaluation.num_clips=2", "data.num_decode_actors=2"]
    rows = evaluate_run(tiny_run, overrides=overrides)
    assert read_rows(tiny_run / "evaluation" / "catalog.json") == rows
