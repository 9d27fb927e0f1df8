"""Proves that results come back as written, and stand in tables with best, marks, digests and published
figures; that what cannot be compared is marked, and that none of several of one name is lost.
"""

import json
from pathlib import Path

import pytest

from avrep.errors import ConfigError
from avrep.evaluation.published import PUBLISHED, published_for
from avrep.evaluation.result_files import (
    evaluation_folder,
    find_results,
    result_path,
    write_results,
)
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


def test_results_are_found_by_the_name_that_was_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/a").mkdir(parents=True)
    Path("runs/a/config.yaml").touch()
    names = ("runs/a", "untrained:runs/a", "logmel")
    results = [_result(name, 0.1 * number) for number, name in enumerate(names, start=1)]
    for name, result in zip(names, results, strict=True):
        write_results(evaluation_folder(name), [result])
    assert find_results(names) == results
    # What a person keeps beside it does not hide it.
    Path("logmel").mkdir()
    assert find_results(names) == results
    with pytest.raises(ConfigError, match=r"^no results in untrained:runs/b\. Mend: "):
        find_results(["untrained:runs/b"])


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
        "",
        r"runs/a\|b: encoder e  ",
        "logmel: encoder e  ",
        r"superb/pr: data ls d1, protocol version 1 (superb; runs/a\|b, logmel)",
    ]


def test_the_table_as_latex() -> None:
    table = tabulate(
        [_result("my_run", 0.2), _result("50%", 0.1), _result("50%", 0.7, task="x", metric="acc")]
    )
    assert latex(table).splitlines() == [
        "% encoder & superb/pr per & x superb acc",
        r"my\_run & 20.0\,{\scriptsize[19.0, 22.0]} & -- \\",
        r"50\% & \textbf{10.0}\,{\scriptsize[9.0, 12.0]} & 70.0\,{\scriptsize[69.0, 72.0]} \\",
        "% my_run: encoder e",
        "% 50%: encoder e",
        "% superb/pr: data ls d1, protocol version 1 (superb; my_run, 50%)",
        "% x: data ls d1, protocol version 1 (superb; 50%)",
    ]


def test_other_lists_are_marked_and_told() -> None:
    table = tabulate([_result("a", 0.2), _result("b", 0.1, data="d2")])
    assert table.notes == ("(a) b, unlike a: other lists of items: data d2 (there d1)",)
    assert "**10.0** (a) [" in markdown(table)
    assert r"\textbf{10.0}\textsuperscript{(a)}" in latex(table)


def _changed(result: TaskResult, **settings: str | float) -> TaskResult:
    return result.model_copy(update={"settings": result.settings | settings})


def test_other_settings_are_marked_and_told() -> None:
    held_out = _changed(_result("a", 0.2), select_on="held-out")
    on_test = _changed(_result("b", 0.1), num_steps=50, select_on="test")
    late = _result("b", 0.3, task="x").model_copy(update={"protocol_version": 2})
    table = tabulate([held_out, _result("a", 0.2, task="x"), on_test, late, _result("c", 0.3)])
    assert table.notes == (
        "(a) b, unlike a: num_steps 50 (there 100); select_on test (there held-out)",
        "(b) b, unlike a: version 2 of the protocol (there 1)",
        "(c) c, unlike a: select_on untold (there held-out)",
    )
    assert "% (a) b, unlike a: num_steps 50" in latex(table)


def test_what_is_chosen_on_held_out_data_may_differ() -> None:
    mine = _changed(_result("a", 0.2), lr=0.1, chosen_step=40, layer_weights="1", lrs_tried="1, 2")
    other = _changed(_result("b", 0.2), lr=0.2, chosen_step=80, layer_weights="0", lrs_tried="3, 4")
    assert tabulate([mine, other]).notes == ()
    one = _changed(other, lrs_tried="3")
    assert tabulate([mine, one]).notes == ("(a) b, unlike a: lrs_tried 1 (there 2)",)


def test_fine_tuning_takes_its_recipes_rates_and_a_linear_probe_chooses_its_own() -> None:
    def of(encoder: str, protocol: str, **settings: str | float) -> TaskResult:
        plain = _result(encoder, 0.2, task="ucf101", metric="top1")
        return _changed(plain.model_copy(update={"protocol": protocol}), **settings)

    tuned = [of("a", "finetune", recipe="small"), of("b", "finetune", recipe="vcop", lr=1.0)]
    assert tabulate(tuned).notes == (
        "(a) b, unlike a: lr 1.0 (there 0.01); recipe vcop (there small)",
    )
    linear = [of("a", "linear", how="l2 1"), of("b", "linear", how="l2 10")]
    assert tabulate(linear).notes == ()
    nearest = [of("a", "knn", how="k 20"), of("b", "knn", how="k 1")]
    assert tabulate(nearest).notes == ("(a) b, unlike a: how k 1 (there k 20)",)


def test_notes_say_whose_they_are() -> None:
    noted = [
        _result(name, 0.2).model_copy(update={"notes": notes})
        for name, notes in (("a", ("one", "two")), ("b", ("two",)), ("c", ()))
    ]
    other = _result("c", 0.5, task="ucf101").model_copy(
        update={"protocol": "linear", "notes": ("two",)}
    )
    assert tabulate([*noted, other]).notes == (
        "superb/pr of a: one",
        "superb/pr of a, b: two",
        "ucf101 linear of c: two",
    )


def test_facts_tell_digests_by_protocol_where_there_are_several() -> None:
    def of(protocol: str, digest: str) -> TaskResult:
        facts = EncoderFacts(name="a", digest=digest * 20, num_parameters=1)
        return _result("", 0.5, task="ucf101").model_copy(
            update={"encoder": facts, "protocol": protocol}
        )

    frozen = [of(protocol, "b") for protocol in ("linear", "knn", "retrieval", "few-shot-1")]
    facts = tabulate([*frozen, of("few-shot-5", "b"), of("finetune", "c")]).facts
    assert facts == (
        "a: encoder bbbbbbbbbbbb (linear, knn, retrieval and 2 more)",
        "a: encoder cccccccccccc (finetune)",
        "ucf101: data ls d1, protocol version 1 (linear, knn, retrieval and 3 more; a)",
    )


def test_weights_seeds_and_recipes_of_one_name_have_rows_of_their_own() -> None:
    """Whatever differs, no number is lost, and other tasks stay beside what they belong to."""

    def of(
        value: float, task: str = "superb/pr", digest: str = "e" * 40, **settings: float
    ) -> TaskResult:
        facts = EncoderFacts(name="runs/a", digest=digest, num_parameters=1)
        return _changed(
            _result("", value, task=task).model_copy(update={"encoder": facts}), **settings
        )

    def shown(*results: TaskResult) -> dict[str, list[float]]:
        table = tabulate(results)
        return {
            name: [cell.metric.value for (of, _), cell in table.cells.items() if of == name]
            for name in table.encoders
        }

    later = (of(0.2, digest="f" * 40), of(0.3, "superb/ks", "f" * 40))
    assert shown(of(0.1), *later) == {
        "runs/a (eeeeeeeeeeee)": [0.1],
        "runs/a (ffffffffffff)": [0.2, 0.3],
    }
    assert shown(of(0.1, seed=0), of(0.2, seed=1)) == {
        "runs/a (seed 0)": [0.1],
        "runs/a (seed 1)": [0.2],
    }
    assert shown(of(0.1), of(0.2, num_steps=9), of(0.3, num_steps=8)) == {
        "runs/a": [0.1],
        "runs/a #2": [0.2],
        "runs/a #3": [0.3],
    }
    assert shown(of(0.1), of(0.1), of(0.2, "superb/ks")) == {"runs/a": [0.1, 0.2]}
    tuned = of(0.4, digest="0" * 40).model_copy(update={"protocol": "finetune"})
    assert shown(of(0.1), tuned) == {"runs/a": [0.1, 0.4]}


def test_published_figures_are_fractions_of_known_numbers() -> None:
    assert all(0 < figure.value < 1 for figure in PUBLISHED)
    assert len({(f.task, f.protocol, f.metric, f.encoder) for f in PUBLISHED}) == len(PUBLISHED)
    (first, *_) = published_for("ucf101", "finetune", "top1")
    assert (first.encoder, first.value) == ("VideoMAE, ViT-B, K400", 0.961)


def test_every_published_figure_stands_under_a_task_and_protocol_that_there_is() -> None:
    protocols = {
        "superb": {"superb/sid", "superb/asv", "superb/pr"},
        "retrieval": {"ucf101", "hmdb51"},
        "linear": {"kinetics"},
        "attentive": {"kinetics", "ssv2"},
        "finetune": {"ucf101", "hmdb51", "kinetics", "ssv2"},
        "offset": {"sync"},
    }
    found: dict[str, set[str]] = {}
    for figure in PUBLISHED:
        found.setdefault(figure.protocol, set()).add(figure.task)
    assert found == protocols
    probed = {figure.encoder: figure.value for figure in published_for("ssv2", "attentive", "top1")}
    assert probed["V-JEPA, ViT-L"] == 0.695
    assert not published_for("ssv2", "linear", "top1")
    (nearest, *_) = published_for("ucf101", "retrieval", "r@1")
    assert nearest.note == "split 1; 10 clips, one centre crop"


def test_a_published_figure_is_told_once_whatever_parts_there_are() -> None:
    def of(part: str) -> TaskResult:
        plain = _result("a", 0.5, task="ucf101", metric="top1")
        facts = DataFacts(
            name="ucf101", digest=part, num_train=1, num_valid=1, num_test=1, part=part
        )
        return plain.model_copy(update={"protocol": "finetune", "data": facts})

    table = tabulate([of(part) for part in ("split 1", "split 2", "split 3", "mean of 3 splits")])
    assert len(table.columns) == 4
    assert table.published == published_for("ucf101", "finetune", "top1")
    assert markdown(table).count("| VCOP |") == 1


def test_published_figures_are_not_told_beside_other_data() -> None:
    def on(*, other_lists: bool, encoder: str = "a") -> TaskResult:
        facts = DataFacts(
            name="mine" if other_lists else "ucf101",
            digest="d",
            num_train=1,
            num_valid=1,
            num_test=1,
            other_lists=other_lists,
        )
        plain = _result(encoder, 0.5, task="ucf101", metric="top1")
        return plain.model_copy(update={"protocol": "finetune", "data": facts})

    own = on(other_lists=True)
    assert tabulate([own]).published == ()
    assert "VCOP" not in markdown(tabulate([own]))
    assert tabulate([own, on(other_lists=False, encoder="b")]).published
