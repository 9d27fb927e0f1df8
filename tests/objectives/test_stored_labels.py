"""A batch gets the labels of its crops; frames without labels do not count in HuBERT's loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.errors import ConfigError
from avrep.media.claimed_folder import write_claim
from avrep.media.label_store import FACTS, RowLabels, shard_path, write_shard
from avrep.models.waveform import WaveformConfig, build_waveform
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.hubert import Hubert, HubertConfig
from avrep.objectives.stored_labels import StoredLabels
from avrep.types import Address

_NUM_SAMPLES = 8000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two seconds of labels for rows 0 and 2, whose sound begins at 0 and at 0.5 s; none for 1."""
    labels = np.arange(200, dtype=np.uint16) % 6
    write_shard(shard_path(tmp_path, 0), [RowLabels(0.0, labels), None, RowLabels(0.5, labels)])
    claim = {"version": 1, "catalog_digest": "ab", "num_rows": 3, "num_clusters": 6}
    write_claim(
        tmp_path, FACTS, {**claim, "rate_hz": 100, "seed": 0, "features": {}, "summary": {}}
    )
    return tmp_path


def _batch(starts_s: dict[int, float]) -> BatchTensors:
    """Half a second of each row, from its start on."""
    sounds = [
        0.1 * torch.randn(_NUM_SAMPLES, generator=torch.Generator().manual_seed(row))
        for row in starts_s
    ]
    view = ViewTensors(
        video=None,
        pts_s=torch.zeros(len(starts_s), 0, dtype=torch.float64),
        audio=torch.stack(sounds),
        audio_start_s=torch.tensor(list(starts_s.values()), dtype=torch.float64),
        rate_hz=16000,
    )
    return BatchTensors(step=0, views=(view,), addresses=tuple(Address(0, row) for row in starts_s))


def _objective(folder: Path) -> Hubert:
    config = HubertConfig(
        labels=str(folder), num_classes=6, mask_length=3, projection_width=16, layer_drop=0.0
    )
    encoder = build_waveform(WaveformConfig(size="tiny", dropout=0.0), 0)
    return Hubert(config, encoder, StoredLabels(folder, 6, 100), 0)


def test_each_crop_has_the_labels_from_its_first_sample_on(folder: Path) -> None:
    labels = StoredLabels(folder, 6, 100)(_batch({2: 0.75, 1: 0.0, 0: 1.8}))
    assert labels.dtype == torch.int64
    assert labels.shape == (3, 50)
    # A quarter of a second into row 2's sound is label 25.
    assert labels[0].tolist() == [number % 6 for number in range(25, 75)]
    assert labels[1].tolist() == [-1] * 50
    assert labels[2].tolist() == [number % 6 for number in range(180, 200)] + [-1] * 30


def test_the_last_frame_of_any_length_has_its_label(folder: Path) -> None:
    objective = _objective(folder)
    for num_samples in (7999, 7920, 7760, 7601, 7600):
        whole = _batch({0: 0.0})
        audio = whole.views[0].audio
        assert audio is not None
        view = ViewTensors(
            video=None,
            pts_s=whole.views[0].pts_s,
            audio=audio[:, :num_samples],
            audio_start_s=whole.views[0].audio_start_s,
            rate_hz=16000,
        )
        batch = BatchTensors(step=0, views=(view,), addresses=whole.addresses)
        assert objective(batch, torch.Generator()).loss.isfinite()


def _prediction(objective: Hubert, batch: BatchTensors) -> Tensor:
    return objective(batch, torch.Generator()).metrics["prediction_loss"]


def test_a_row_without_labels_does_not_count(folder: Path) -> None:
    objective = _objective(folder)
    alone = _prediction(objective, _batch({0: 0.25}))
    with_it = _prediction(objective, _batch({0: 0.25, 1: 0.0}))
    torch.testing.assert_close(with_it, alone)
    assert not torch.isclose(_prediction(objective, _batch({0: 0.25, 2: 0.6})), alone)


def test_a_batch_without_any_label_leaves_the_penalty_alone(folder: Path) -> None:
    objective = _objective(folder)
    out = objective(_batch({1: 0.0}), torch.Generator())
    assert out.metrics["prediction_loss"] == 0
    assert out.metrics["masked_accuracy"] == 0
    torch.testing.assert_close(out.loss.detach(), 10 * out.metrics["feature_penalty"])
    out.loss.backward()
    for name, parameter in objective.named_parameters():
        # None is unused, which DDP would wait for.
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_labels_of_another_kind_are_refused(folder: Path) -> None:
    for num_classes, rate_hz, told in (
        (7, 100, "num_classes 6, the config says 7; set objective.num_classes=6"),
        (6, 50, "label_rate_hz 100, the config says 50; set objective.label_rate_hz=100"),
    ):
        with pytest.raises(ConfigError, match=told):
            StoredLabels(folder, num_classes, rate_hz).open()
