"""The quarantine's table: one row an item, whole within 80 columns, and nothing a terminal obeys."""

import dataclasses

import pytest
from rich.console import Console

from avrep.pipeline.quarantine import QuarantineEntry
from avrep.report.quarantine_table import quarantine_summary, quarantine_table

ENTRY = QuarantineEntry(
    step=1204,
    epoch=2,
    item=5,
    draw=0,
    key="abseiling/0347ZoDXyP0_000095_000105.mp4",
    uri="s3://corpora/kinetics400/train/shard-000412.tar",
    offset_bytes=41_943_552,
    length_bytes=1_048_576,
    stage="video",
    error="MediaError",
    reason="no frame could be decoded",
    attempts=1,
    node="ip-10-0-3-17",
    time_utc="2026-01-05T09:12:00+00:00",
)


def render(entries: list[QuarantineEntry], width: int) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(quarantine_table(entries))
    return capture.get()


def letters(text: str) -> str:
    """What is left when a column's line breaks and its neighbours' gaps are taken out."""
    return "".join(text.split())


@pytest.mark.parametrize("width", [80, 120])
def test_everything_is_there_and_fits(width: int) -> None:
    lines = render([ENTRY], width).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:4] == ["stage", "step", "tries", "item,"]
    assert lines[1].split()[:4] == ["video", "1,204", "1", ENTRY.key]
    first = lines[0].index("item,")
    where = f"{ENTRY.uri}, bytes 41,943,552 to 42,992,128; MediaError; on ip-10-0-3-17"
    said = "".join(line[first:] for line in lines[1:])
    assert letters(said) == letters(ENTRY.key + ENTRY.reason + where)


def test_an_item_is_one_row_with_all_its_tries() -> None:
    later = dataclasses.replace(ENTRY, step=1300, attempts=4, reason="another reason")
    text = render([ENTRY, later], 120)
    assert "another reason" not in text
    assert text.splitlines()[1].split()[:3] == ["video", "1,204", "5"]
    assert quarantine_summary([ENTRY, later]) == "1 item quarantined: video 1"


def test_items_are_counted_by_stage() -> None:
    entries = [
        dataclasses.replace(ENTRY, key=f"{number}.mp4", stage=stage)
        for number, stage in enumerate(["read", "crash", "read", "deadline", "read", "crash"])
    ]
    assert quarantine_summary(entries) == "6 items quarantined: read 3, crash 2, deadline 1"


def test_a_long_quarantine_is_cut_and_says_so() -> None:
    entries = [dataclasses.replace(ENTRY, key=f"{number}.mp4") for number in range(1205)]
    assert render(entries, 120).count(".mp4") == 200
    assert quarantine_summary(entries).endswith("1,205; 1,005 items not shown")


def test_names_and_reasons_are_shown_not_obeyed() -> None:
    evil = dataclasses.replace(
        ENTRY,
        key="a[bold]b\x1b[2J.mp4",
        reason="line\nline [red]\x07\ud800",
        uri="x\u202e.mp4",
        node="",
        error="",
    )
    text = render([evil], 120)
    assert "a[bold]b?[2J.mp4" in text
    assert "line?line [red]??" in text
    assert "x?.mp4, bytes" in text
    assert "\x1b" not in text
    text.encode("utf-8")
