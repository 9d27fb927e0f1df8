"""Lines come once, whole, in order, and of a file that was cut and grew again only the new ones."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from avrep.cluster.appended_lines import AppendedLines
from avrep.media.put_in_place import write_in_place


def test_what_is_there_already_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("a\nb\n")
    lines = AppendedLines(path)
    assert list(lines.new()) == []
    with path.open("a") as file:
        file.write("c\nd")
    assert list(lines.new()) == ["c\n"]
    with path.open("a") as file:
        file.write("d\n")
    assert list(lines.new()) == ["dd\n"]


def test_a_file_that_comes_later_is_told_from_its_start(tmp_path: Path) -> None:
    lines = AppendedLines(tmp_path / "lines")
    assert list(lines.new()) == []
    (tmp_path / "lines").write_text("a\n")
    assert list(lines.new()) == ["a\n"]


@given(
    begun=st.lists(st.sampled_from(["", "a", "bb", "ccc"]), max_size=8),
    rounds=st.lists(
        st.tuples(st.integers(0, 8), st.lists(st.sampled_from(["x", "yy"]), max_size=12)),
        max_size=4,
    ),
)
def test_cut_and_grown_between_two_looks(
    begun: list[str], rounds: list[tuple[int, list[str]]]
) -> None:
    """Each round keeps some lines and appends others; the reader looks when both is done."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lines"
        kept = [f"{line} {number}\n" for number, line in enumerate(begun)]
        write_in_place("".join(kept), path)
        lines = AppendedLines(path)
        for turn, (num_kept, more) in enumerate(rounds):
            added = [f"{line} {turn} {number}\n" for number, line in enumerate(more)]
            kept = kept[:num_kept]
            write_in_place("".join(kept), path)
            with path.open("a", encoding="utf-8") as file:
                file.writelines(added)
            assert list(lines.new()) == added
            kept += added
