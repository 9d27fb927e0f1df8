"""Proves that long names stay tellable."""

from avrep.report.wording import shortened


def test_shortened_keeps_both_ends() -> None:
    assert shortened("untrained:runs/first", 20) == "untrained:runs/first"
    cut = shortened("untrained:runs/a_long_name_of_a_run", 20)
    assert cut == "untrai…name_of_a_run"
    assert len(cut) == 20
