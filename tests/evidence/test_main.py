"""`python -m evidence` tells what is missing before it trains anything. Training itself is stood in for."""

import sys
from pathlib import Path

import pytest

from evidence.__main__ import main
from evidence.cells import Cell
from evidence.methods import METHODS


def _run(work: Path, *words: str) -> None:
    sys.argv = [
        "evidence",
        *words,
        "--seeds",
        "1",
        "--work",
        str(work),
        "--out",
        str(work / "page"),
    ]
    main()


@pytest.mark.parametrize(
    ("method", "folder"), [("hubert", "speech/fsdd"), ("segment_avclip", "av/grid")]
)
def test_media_that_are_not_here_are_told_before_an_earlier_method_trains(
    method: str,
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trained: list[str] = []

    def stand_in(work: Path, pictures: Path, seed: int) -> list[Cell]:
        del work, pictures
        trained.append("cvrl")
        return [
            Cell(
                method="cvrl",
                question="motion class",
                seed=seed,
                keys=["a", "b"],
                clusters=["a", "b"],
                trained=[1.0, 1.0],
                untrained=[0.0, 1.0],
                chance=0.5,
                facts={"steps": 1.0, "cpu_s": 1.0},
            )
        ]

    for trainable in ("cvrl", method):
        monkeypatch.setitem(METHODS, trainable, stand_in)
    monkeypatch.setenv("AVREP_MEDIA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", sys.argv)
    with pytest.raises(SystemExit) as ended:
        _run(tmp_path / "work", "cvrl", method)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert told == f"no {folder} in {tmp_path}: set AVREP_MEDIA to the folder that has it\n"
    assert trained == []
    # Where no such recordings are needed, none are asked for.
    _run(tmp_path / "work", "cvrl")
    assert trained == ["cvrl"]
    assert (tmp_path / "work" / "page" / "evidence.md").is_file()
