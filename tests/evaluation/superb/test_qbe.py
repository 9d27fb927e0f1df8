"""Proves query by example: the archive's lists, the scores of queries in documents, the layer chosen on
dev, the file for the scoring tool, and that a run goes on where it stopped.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.errors import ConfigError
from avrep.evaluation.sound.upstream import HiddenStates
from avrep.evaluation.subsequence_dtw import Frames, subsequence_distances, unit_frames
from avrep.evaluation.superb.qbe import query_scores, run_query_by_example
from avrep.evaluation.superb.quesst14 import read_quesst14
from avrep.evaluation.superb.stdlist import write_stdlist
from avrep.evaluation.task_result import TaskResult
from tests.evaluation.superb.voices import Bands, Sound, voice, write_sound

NUM_DOCUMENTS = 8


def word(number: int, seed: int) -> Sound:
    """0.6 s of six chords."""
    drawn = np.random.default_rng(100 + number)
    chords = [drawn.permutation(12)[:4].tolist() for _ in range(6)]
    return np.concatenate([sum(voice(tone, 1600, seed) / 4 for tone in tones) for tones in chords])


def write_archive(root: Path) -> Path:
    """English documents of two words each, queries of one; and one of each in another language."""
    folder = root / "quesst14Database"
    lists: dict[str, list[str]] = {"utterances": [], "dev": [], "eval": []}
    for number in range(NUM_DOCUMENTS):
        name = f"Audio/quesst14_{number:05}.wav"
        spoken = [word(number, number), word((number + 1) % NUM_DOCUMENTS, 50 + number)]
        write_sound(folder / name, np.concatenate(spoken))
        lists["utterances"].append(f"quesst14Database/{name} nnenglish")
    lists["utterances"].append("quesst14Database/Audio/quesst14_00099.wav czech")
    for part, numbers in (("dev", range(4)), ("eval", range(4, 8))):
        truth = folder / f"scoring/groundtruth_quesst14_{part}"
        truth.mkdir(parents=True)
        terms, occurrences = [], []
        for number in numbers:
            query = f"quesst14_{part}_{number:04}"
            write_sound(folder / f"{part}_queries/{query}.wav", word(number, 200 + number))
            lists[part].append(f"quesst14Database/{part}_queries/{query}.wav nnenglish")
            terms.append(query)
            occurrences += [
                f"LEXEME quesst14_{document:05} 1 0.0 0.3 {query} lex spk 0.5"
                for document in (number, (number - 1) % NUM_DOCUMENTS)
            ]
        lists[part].append(f"quesst14Database/{part}_queries/quesst14_{part}_0099.wav czech")
        terms.append(f"quesst14_{part}_0099")
        occurrences.append(f"LEXEME quesst14_00099 1 0.0 0.3 quesst14_{part}_0099 lex spk 0.5")
        (truth / f"quesst14_{part}.rttm").write_text("\n".join(occurrences) + "\n")
        listed = "".join(f'<term termid="{term}"><termtext>x</termtext></term>' for term in terms)
        (truth / f"quesst14_{part}.tlist.xml").write_text(f"<termlist>{listed}</termlist>")
        names = [f"Audio/quesst14_{number:05}.wav" for number in (*range(NUM_DOCUMENTS), 99)]
        listed = "".join(f'<excerpt audio_filename="{name}" channel="1"/>' for name in names)
        (truth / "quesst14.ecf.xml").write_text(f"<ecf>{listed}</ecf>")
    for key, lines in lists.items():
        (folder / f"scoring/language_key_{key}.lst").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("quesst"))


@pytest.fixture(scope="module")
def finished(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TaskResult, Path]:
    folder = tmp_path_factory.mktemp("qbe")
    return run_query_by_example(Bands(), archive, folder, own_data=True), folder


def test_the_official_layout(archive: Path) -> None:
    corpus = read_quesst14(archive, own_data=True)
    assert corpus == read_quesst14(archive / "quesst14Database", own_data=True)
    with pytest.raises(
        ConfigError, match="is not QUESST 2014 as it was expected: it has 4 dev queries"
    ):
        read_quesst14(archive)
    assert [each.key for each in corpus.documents[:2]] == ["quesst14_00000", "quesst14_00001"]
    assert len(corpus.documents) == NUM_DOCUMENTS
    assert corpus.dev.queries[0].key == "quesst14_dev_0000"
    assert len(corpus.dev.queries) == len(corpus.eval.queries) == 4
    assert len(corpus.eval.all_queries) == 5
    assert corpus.eval.all_documents[-1] == "quesst14_00099"
    assert corpus.eval.occurrences["quesst14_eval_0004"] == {"quesst14_00004", "quesst14_00003"}
    assert corpus.notes[0].endswith("8 documents (officially 2438)")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("language_key_dev.lst", "a.wav nnenglish\n", r"dev\.lst:1: want 'quesst14Database/<wav>"),
        ("language_key_dev.lst", "q/a.wav czech\n", r"dev\.lst has nothing in nnenglish"),
        (
            "language_key_dev.lst",
            "q/a.wav nnenglish\n",
            r"1 of 1 sounds of .*dev\.lst are missing: a",
        ),
        ("groundtruth_quesst14_dev/quesst14_dev.tlist.xml", "<termlist/>", "4 queries are not in"),
        ("groundtruth_quesst14_dev/quesst14.ecf.xml", "<ecf/>", "8 documents are not in"),
        ("groundtruth_quesst14_dev/quesst14.ecf.xml", "<ecf>", "is no list of <excerpt"),
        ("groundtruth_quesst14_dev/more.rttm", "", r"has 2 files \*\.rttm, wants one"),
        ("groundtruth_quesst14_dev/quesst14_dev.rttm", "LEXEME d 1 0 1 q\n", "names no query"),
        ("groundtruth_quesst14_dev/quesst14_dev.rttm", "SPKR x\n", "occurs in any document"),
    ],
)
def test_a_faulty_archive_is_refused(
    archive: Path, tmp_path: Path, file: str, text: str, message: str
) -> None:
    for path in archive.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(archive)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (tmp_path / "quesst14Database/scoring" / file).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_quesst14(tmp_path)
    with pytest.raises(ConfigError, match=r"is not QUESST 2014 .*: there is no folder scoring\."):
        read_quesst14(tmp_path / "quesst14Database/Audio")


def test_scores_worked_out_again() -> None:
    rng = np.random.default_rng(0)
    queries = [rng.normal(3, 2, size=(n, 4)).astype(np.float32) for n in (6, 4, 9)]
    documents = [rng.normal(3, 2, size=(n, 4)).astype(np.float32) for n in (20, 30, 5)]
    frames = torch.cat([torch.from_numpy(each) for each in (*queries, *documents)])
    mean, std = frames.mean(0).numpy(), frames.std(0).numpy()

    def standardised(sound: Frames) -> Frames:
        return ((sound - mean) / std).astype(np.float32)

    ready = [unit_frames(standardised(each)) for each in documents]
    found = query_scores(queries, documents)
    for row in (0, 2):
        raw = -subsequence_distances(unit_frames(standardised(queries[row])), ready)
        np.testing.assert_allclose(found[row], (raw - raw.mean()) / raw.std(), atol=1e-4)
    # Of fewer than five frames.
    assert found[1].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(found, np.round(found, 4))


def test_the_result(finished: tuple[TaskResult, Path], archive: Path) -> None:
    result, _ = finished
    assert result.data.name == archive.name
    assert result.data.other_lists
    assert (result.task, result.settings["chosen_layer"]) == ("superb/qbe", 1)
    mtwv, atwv, searched = result.metrics
    assert [metric.name for metric in result.metrics] == ["mtwv", "atwv", "mtwv_searched"]
    # Words are found where they are; the one query of five that is not searched costs a fifth.
    assert searched.value == pytest.approx(1)
    assert mtwv.value == pytest.approx(0.8)
    assert (mtwv.num_items, searched.num_items) == (5 * 9, 4 * 8)
    assert atwv.value <= mtwv.value
    assert any("in other languages are not searched" in note for note in result.notes)


def test_the_file_for_the_scoring_tool(finished: tuple[TaskResult, Path]) -> None:
    root = ElementTree.parse(finished[1] / "benchmark.stdlist.xml").getroot()
    assert (root.tag, root.attrib["system_id"]) == ("stdlist", "benchmark")
    lists = root.findall("detected_termlist")
    assert [each.attrib["termid"] for each in lists] == [
        f"quesst14_eval_{number:04}" for number in range(4, 8)
    ]
    terms = lists[0].findall("term")
    assert [term.attrib["file"] for term in terms][:2] == ["quesst14_00000", "quesst14_00001"]
    scores = [float(term.attrib["score"]) for term in terms]
    assert np.mean(scores) == pytest.approx(0, abs=1e-3)
    assert int(np.argmax(scores)) in (3, 4)


def test_yes_is_above_two(tmp_path: Path) -> None:
    write_stdlist(tmp_path / "a/list.xml", {"q": {"d1": 2.0, "d2": 2.00011, "d3": -1.5}})
    text = (tmp_path / "a/list.xml").read_text()
    assert text.startswith("<?xml version='1.0' encoding='UTF-8'?>\n<stdlist")
    terms = ElementTree.fromstring(text).iter("term")
    assert [(term.attrib["score"], term.attrib["decision"]) for term in terms] == [
        ("2.0000", "NO"),
        ("2.0001", "YES"),
        ("-1.5000", "NO"),
    ]


def test_what_was_scored_is_not_scored_again(
    finished: tuple[TaskResult, Path], archive: Path
) -> None:
    class Deaf(Bands):
        def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
            raise AssertionError(f"all is there, but {len(waves)} sounds were asked for")

    assert run_query_by_example(Deaf(), archive, finished[1], own_data=True) == finished[0]
