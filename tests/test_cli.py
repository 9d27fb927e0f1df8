"""The command: each part alone, each mistake one line with exit code 2, help with an example."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from avrep.cli import main
from avrep.errors import ConfigError

COMMANDS = ("index", "inspect", "synth", "train", "evaluate", "report", "demo", "doctor")
QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.yaml"


@dataclass(frozen=True)
class Done:
    status: int
    stdout: str
    stderr: str


@pytest.fixture
def avrep(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Done]:
    """Runs the command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["avrep", *words])
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(avrep: Callable[..., Done], command: str) -> None:
    done = avrep(command, "--help")
    assert done.status == 0
    assert f"avrep {command}" in done.stdout.partition("Example:")[2]


def test_help_loads_neither_torch_nor_ray() -> None:
    code = (
        "import sys, avrep.cli; print(sorted({'torch', 'ray', 'av', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_installed_command_is_this_one() -> None:
    command = Path(sys.executable).with_name("avrep")
    done = subprocess.run([command, "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "nonsense" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["index", "no-such-folder"], "no such file, folder or URL: no-such-folder"),
        (["inspect", "none.parquet"], "no catalogue at none.parquet; make one: avrep index"),
        (["inspect"], "name a catalogue, or a config with --recipe"),
        (["train", "none.yaml"], "no config at none.yaml"),
        (["train", str(QUICKSTART), "--set", "train.lr=1"], "train.lr: no such key"),
        (["train", str(QUICKSTART), "--set", "data.num_decode_actors=0"], "no catalogue at"),
        (["evaluate", "none"], "no run at none"),
        (["report", "none"], "none"),
        (["demo", "--data", "none"], "--data none: no such folder"),
        (["demo", "--splits", "x", "--fold", "zero"], "--fold zero: give the number"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    avrep: Callable[..., Done], words: list[str], message: str
) -> None:
    done = avrep(*words)
    assert done.status == 2
    assert message in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("avrep:")]
    assert message in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words", [["--debug", "inspect", "x.parquet"], ["inspect", "x.parquet", "--debug"]]
)
def test_debug_shows_the_traceback(avrep: Callable[..., Done], words: list[str]) -> None:
    with pytest.raises(ConfigError, match="no catalogue"):
        avrep(*words)


def test_unknown_commands_and_options_are_refused(avrep: Callable[..., Done]) -> None:
    assert avrep("indxe").status == 2
    assert avrep("index", "--colour").status == 2


def test_index_inspect_and_a_recipes_sheet(
    avrep: Callable[..., Done], synth_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"garbage")
    done = avrep("index", str(synth_folder), "bad.mp4", "-o", "c.parquet")
    assert done.status == 0, done.stderr
    assert "26 items in c.parquet" in done.stdout
    assert "1 files rejected" in done.stdout
    assert "bad.mp4" in (tmp_path / "c.rejects.csv").read_text()
    done = avrep("inspect", "c.parquet")
    assert done.status == 0, done.stderr
    assert "picture and sound" in done.stdout
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    words = ["--recipe", str(QUICKSTART), "--set", "train.batch_size=4", "-o", "sheet.png"]
    done = avrep("inspect", "c.parquet", *words)
    assert done.status == 0, done.stderr
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
