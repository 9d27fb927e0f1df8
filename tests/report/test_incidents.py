"""The report names the steps that something was wrong with, and trusts no word of their file."""

import json
from pathlib import Path

from avrep.report.html import write_report
from avrep.report.incidents import incidents_html
from avrep.training.guard import Incident, IncidentKind


def incident(step: int, *keys: str, loss: float | None = 9.5) -> Incident:
    return Incident(
        kind=IncidentKind.SPIKE if loss is not None else IncidentKind.LOSS,
        step=step,
        rank=0,
        world_size=1,
        loss=loss,
        limit=2.25,
        digest="0" * 64,
        keys={"data": keys},
        addresses={"data": ()},
    )


def test_a_row_says_what_and_whose_clips() -> None:
    page = incidents_html([incident(12, "a", "b", "c", "d"), incident(40, "<x>", loss=None)], "run")
    assert "<th scope='row'>12</th><td>loss spike</td><td>9.500</td><td>2.250</td>" in page
    assert "<td>a, b, c and 1 more</td>" in page
    assert "<td>loss is not finite</td><td></td>" in page
    assert "&lt;x&gt;" in page
    assert "<x>" not in page
    assert incidents_html([], "run") == ""


def test_of_many_some_are_shown() -> None:
    page = incidents_html([incident(step, "a") for step in range(1, 31)], "run")
    assert page.count("<tr><th scope='row'>") == 20
    assert "10 more are in run/incidents" in page


def test_a_file_that_is_none_is_a_note_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "incidents").mkdir()
    path = tmp_path / "incidents" / "rank-00000.jsonl"
    for broken in ("[1, 2]", '{"kind": "storm"}', "{", json.dumps({"kind": "loss spike"})):
        path.write_text(broken + "\n")
        page = write_report(tmp_path).read_text()
        assert "Not everything could be read" in page
        assert "<h2>Incidents</h2>" not in page
