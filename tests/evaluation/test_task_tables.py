"""Proves that results come back as written, and stand in tables with best, marks and published figures."""

import json
from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.published import PUBLISHED, published_for
from avrep.evaluation.result_files import find_results, result_path, write_results
from avrep.evaluation.task_result import DataFacts, EncoderFacts, Metric, TaskResult, read_result
from avrep.evaluation.task_tables import Column, latex, markdown, tabulate


def _result(
    encoder: str, value: float, *, task: str = "superb/pr", metric: str = "per", data: str = "d1"
) -> TaskResult:
    return TaskResult(
        task=task,
        protocol="superb",
        protocol_version=1,
        encoder=EncoderFacts(name=encoder, digest="e", num_parameters=10),
        data=DataFacts(name="ls", digest=data, num_train=5, num_valid=2, num_test=3),
        metrics=(
            Metric(
                name=metric,
                value=value,
                ci_low=value - 0.01,
                ci_high=value + 0.02,
                num_items=3,
                num_clusters=2,
                higher_is_better=metric != "per",
            ),
        ),
        settings={"lr": 0.01, "num_steps": 100, "steps_chosen": "best"},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    result = _result("runs/a", 0.0484)
    (path,) = write_results(tmp_path / "evaluation", [result])
    assert path == tmp_path / "evaluation" / "results" / "superb-pr-superb.json"
    assert read_result(path) == result
    assert find_results([tmp_path]) == [result]
    assert find_results([tmp_path / "evaluation"]) == [result]
    assert find_results([path]) == [result]


def test_parts_have_files_of_their_own() -> None:
    part = DataFacts(name="ls", digest="d", num_train=1, num_valid=1, num_test=1, part="fold 2")
    fold = _result("a", 0.5).model_copy(update={"data": part})
    assert result_path(Path("x"), fold).name == "superb-pr-fold2-superb.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surplus": 1}, "surplus"),
        ({"metrics": []}, "metrics"),
        ({"task": 3}, "task"),
        ({"schema": "other"}, "schema"),
    ],
)
def test_no_other_file_is_a_result(tmp_path: Path, change: dict, message: str) -> None:
    (path,) = write_results(tmp_path, [_result("a", 0.1)])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigError, match=f"no result of a task: {message}"):
        read_result(path)


def test_a_place_without_results_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Mend: avrep evaluate"):
        find_results([tmp_path])


def test_a_metric_keeps_its_value_in_its_interval() -> None:
    with pytest.raises(ValueError, match=r"acc 0.5 outside \[0.6, 0.7\]"):
        Metric(name="acc", value=0.5, ci_low=0.6, ci_high=0.7, num_items=1, num_clusters=1)


def test_the_lower_error_rate_is_the_best() -> None:
    table = tabulate([_result("a", 0.2), _result("b", 0.1), _result("c", 0.1)])
    assert table.best(Column("superb/pr", "", "superb", "per")) == {"b", "c"}
    assert tabulate([_result("a", 0.2)]).best(Column("superb/pr", "", "superb", "per")) == set()
    equal = tabulate([_result("a", 0.2), _result("b", 0.2)])
    assert equal.best(Column("superb/pr", "", "superb", "per")) == set()


def test_the_table_as_markdown() -> None:
    table = tabulate([_result("runs/a|b", 0.2), _result("logmel", 0.1)])
    assert markdown(table).splitlines() == [
        "| encoder | superb/pr per |",
        "| --- | ---: |",
        r"| runs/a\|b | 20.0 [19.0, 22.0] |",
        "| logmel | **10.0** [9.0, 12.0] |",
        "",
        "| published | task | metric | value | source |",
        "| --- | --- | --- | ---: | --- |",
        "| WavLM Base | superb/pr superb | per | 4.8 | WavLM (as quoted in s3prl, issue 498) |",
    ]


def test_the_table_as_latex() -> None:
    table = tabulate(
        [_result("my_run", 0.2), _result("50%", 0.1), _result("50%", 0.7, task="x", metric="acc")]
    )
    assert latex(table).splitlines() == [
        "% encoder & superb/pr per & x superb acc",
        r"my\_run & 20.0\,{\scriptsize[19.0, 22.0]} & -- \\",
        r"50\% & \textbf{10.0}\,{\scriptsize[9.0, 12.0]} & 70.0\,{\scriptsize[69.0, 72.0]} \\",
    ]


def test_other_lists_are_marked_and_told() -> None:
    table = tabulate([_result("a", 0.2), _result("b", 0.1, data="d2")])
    assert table.notes == ("* superb/pr per: on other lists of items than above",)
    assert "**10.0**\\* [" in markdown(table)


def test_published_figures_are_fractions_of_known_numbers() -> None:
    assert all(0 < figure.value < 1 for figure in PUBLISHED)
    assert len({(f.task, f.protocol, f.metric, f.encoder) for f in PUBLISHED}) == len(PUBLISHED)
    (first, *_) = published_for("ucf101", "finetune", "top1")
    assert (first.encoder, first.value) == ("VideoMAE, ViT-B, K400", 0.961)
