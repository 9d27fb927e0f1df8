"""Proves intent classification's reader on small tables in Fluent Speech Commands' layout."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from avrep.errors import ConfigError
from avrep.evaluation.sound.utterance import UtteranceHead
from avrep.evaluation.superb.ic import IntentClassification

_HEADER = ",path,speakerId,transcription,action,object,location\n"
_ROWS = {
    "train": [
        '0,wavs/speakers/s1/a.wav,s1,"Turn on, please",activate,lights,kitchen',
        "1,wavs/speakers/s1/b.wav,s1,Bring it,bring,juice,none",
        "2,wavs/speakers/s2/c.wav,s2,Turn on,activate,juice,none",
    ],
    "valid": ["0,wavs/speakers/s3/d.wav,s3,Turn on,activate,lights,none"],
    "test": [
        "0,wavs/speakers/s4/e.wav,s4,Bring it,bring,juice,none",
        "1,wavs/speakers/s4/f.wav,s4,Turn on,activate,lights,none",
    ],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four speakers."""
    (tmp_path / "data").mkdir()
    for side, rows in _ROWS.items():
        (tmp_path / "data" / f"{side}_data.csv").write_text(_HEADER + "\n".join(rows) + "\n")
        for row in rows:
            path = tmp_path / row.split(",")[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return tmp_path


def test_the_tables_are_read(root: Path) -> None:
    task = IntentClassification(own_data=True)
    data = task.read(root, "")
    assert (len(data.train), len(data.valid), len(data.test)) == (3, 1, 2)
    assert data.train[0].labels == ("activate", "lights", "kitchen")
    assert data.test[0].recording.speaker == "s4"
    # In the order of training.
    assert task.classes(data) == (
        ("activate", "bring"),
        ("lights", "juice"),
        ("kitchen", "none"),
    )
    assert task.build_head(5, data).classify.out_features == 6
    assert "3 training utterances (officially 23132)" in data.notes[0]


def test_all_three_must_be_right(root: Path) -> None:
    task = IntentClassification(own_data=True)
    data = task.read(root, "")
    told = [("bring", "juice", "none"), ("activate", "lights", "kitchen")]
    assert task.selection(data.test, told) == 0.5
    acc, *_ = task.metrics(data.test, told, seed=0)
    assert (acc.value, acc.num_items, acc.num_clusters) == (0.5, 2, 1)


def test_the_loss_is_the_sum_of_three_cross_entropies(root: Path) -> None:
    task = IntentClassification(own_data=True)
    data = task.read(root, "")
    torch.manual_seed(0)
    head = task.build_head(5, data)
    assert isinstance(head, UtteranceHead)
    features, num_frames = torch.randn(3, 4, 5), torch.tensor([4, 2, 1])
    scores = torch.stack(
        [
            head.classify(head.project(features[row, :own]).mean(dim=0))
            for row, own in enumerate(num_frames.tolist())
        ]
    )
    wanted = torch.tensor([[0, 0, 0], [1, 1, 1], [0, 1, 1]])
    expected = sum(
        functional.cross_entropy(scores[:, 2 * slot : 2 * slot + 2], wanted[:, slot])
        for slot in range(3)
    )
    torch.testing.assert_close(head.loss(features, num_frames, data.train), expected)
    best = [scores[:, 2 * slot : 2 * slot + 2].argmax(dim=1).tolist() for slot in range(3)]
    names = task.classes(data)
    assert head.predict(features, num_frames, data.train) == [
        tuple(names[slot][best[slot][row]] for slot in range(3)) for row in range(3)
    ]


def test_predictions_are_written_for_superb_s_tools(root: Path, tmp_path: Path) -> None:
    task = IntentClassification(own_data=True)
    data = task.read(root, "")
    (path,) = task.write_outputs(tmp_path / "out", data, [each.labels for each in data.test])
    assert path.name == "test_predict.csv"
    assert path.read_text() == "e,bring,juice,none\nf,activate,lights,none\n"


def test_what_is_missing_is_told_with_the_tree(root: Path) -> None:
    def refused(fault: str, *, own_data: bool = True) -> None:
        with pytest.raises(ConfigError, match=fault):
            IntentClassification(own_data=own_data).read(root, "")

    refused(r"2 test utterances \(officially 3793\)", own_data=False)
    table = root / "data/valid_data.csv"
    whole = table.read_text()
    table.write_text(whole.replace("lights", "heat"))
    refused("object 'heat' is never trained")
    table.write_text(whole.replace("action", "deed"))
    refused("has no column 'action'; its columns are , path, speakerId")
    table.write_text(_HEADER + "0,wavs/speakers/s3/d.wav,s3\n")
    refused(r"valid_data\.csv:2: the row is cut short")
    table.write_text(_HEADER)
    refused("there is no validation utterances")
    table.write_text(whole)
    (root / "wavs/speakers/s2/c.wav").unlink()
    refused(r"1 missing: wavs/speakers/s2/c\.wav.*(\n.*)*data/train_data\.csv")
    table.unlink()
    refused(r"1 missing: data/valid_data\.csv")
