"""The command: each part alone, each mistake one line with exit code 2, help with an example."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from avrep.assemble import build_objective, training_source
from avrep.cli import main
from avrep.config import RunConfig, dump_config
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.batches import batches
from avrep.pipeline.ledger import LedgerWriter
from avrep.pipeline.quarantine import QuarantineWriter, read_quarantine

COMMANDS = (
    *("index", "inspect", "synth", "train", "evaluate", "report", "demo", "doctor"),
    *("quarantine", "ledger", "pack", "label", "embed", "search"),
)
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


@pytest.mark.parametrize(
    ("modules", "spared"),
    [
        ("avrep.cli", {"torch", "ray", "av", "numpy"}),
        # What `avrep index` needs.
        ("avrep.media.index, avrep.report.progress", {"torch", "ray"}),
    ],
)
def test_what_takes_seconds_is_loaded_where_it_is_needed(modules: str, spared: set[str]) -> None:
    code = f"import sys, {modules}; print(sorted({spared} & set(sys.modules)))"
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
        (["inspect", "."], ". is a folder, not a catalogue; make one: avrep index . -o FILE"),
        (["inspect"], "name a catalogue, or a config with --recipe"),
        (["train", "none.yaml"], "no config at none.yaml"),
        (["train", str(QUICKSTART), "--set", "train.lr=1"], "train.lr: no such key"),
        (["train", str(QUICKSTART), "--set", "data.num_decode_actors=0"], "no catalogue at"),
        (["evaluate", "none"], "no run at none"),
        (["report", "none"], "none"),
        (["quarantine", "none"], "no run at none; make one: avrep train CONFIG --out none"),
        (["ledger", "none"], "no run at none; make one: avrep train CONFIG --out none"),
        (["label", "none.parquet"], "no catalogue at"),
        (["embed", "none", "none.parquet"], "no run at none; make one: avrep train CONFIG"),
        (["search", "none", "--like", "a"], "no features at none; make them: avrep embed RUN"),
        (["search", "none", "--like", "a.mp4@-1"], "a.mp4@-1: write it as FILE@SECONDS"),
        (
            ["embed", "r", "c.parquet", "-o", "s3://b/x"],
            "--out s3://b/x: write to a folder of this",
        ),
        (["train", str(QUICKSTART), "-o", "gs://b/x"], "checkpoints alone go to a store"),
        (["search", "none"], "say what to look for: one of --like FILE, --image FILE, --sound"),
        (["demo", "--data", "none"], "--data none: no such folder"),
        (
            ["demo", "--data", "d", "--splits", "x", "--fold", "zero"],
            "--fold zero: give the number",
        ),
        (["demo", "--fold", "all"], "--splits and --fold are of your own clips"),
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
    for option in (("--every", "nan"), ("--every", "4000"), ("--batch", "5000")):
        refused = avrep("embed", "run", "corpus.parquet", *option)
        assert refused.status == 2
        assert f"Invalid value for '{option[0]}'" in refused.stderr


def test_index_inspect_and_a_recipes_sheet(
    avrep: Callable[..., Done], synth_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"garbage")
    done = avrep("index", str(synth_folder), "bad.mp4", "-o", "c.parquet")
    assert done.status == 0, done.stderr
    assert "26 items in c.parquet" in done.stdout
    assert "1 of 27 files rejected" in done.stdout
    assert "bad.mp4" in (tmp_path / "c.rejects.csv").read_text()
    done = avrep("index", "bad.mp4", "-o", "none.parquet")
    assert done.status == 2
    assert "avrep: 1 of 1 files rejected" in done.stderr
    done = avrep("inspect", "c.parquet")
    assert done.status == 0, done.stderr
    assert "picture and sound" in done.stdout
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    words = ["--recipe", str(QUICKSTART), "--set", "train.batch_size=4", "-o", "sheet.png"]
    done = avrep("inspect", "c.parquet", *words)
    assert done.status == 0, done.stderr
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def damaged(
    synth_folder: Path,
    synth_catalog: Catalog,
    tiny_config: Callable[..., RunConfig],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder with a run on a corpus of which four files were overwritten after indexing."""
    folder = tmp_path_factory.mktemp("damaged")
    corpus = folder / "corpus"
    shutil.copytree(synth_folder, corpus)
    # Without checksums, so that it is the decoder that finds out.
    items = [replace(item, crc32=None) for item in synth_catalog]
    write_catalog(folder / "c.parquet", items, str(corpus))
    for item in [item for item in items if item.labels.get("split") == "train"][::4]:
        (corpus / item.shard).rename(corpus / f"{item.shard}.whole")
        (corpus / item.shard).write_bytes(bytes(item.length_bytes))
    config = tiny_config()
    data = config.data.model_copy(update={"catalog": str(folder / "c.parquet")})
    write_records(config.model_copy(update={"data": data}), folder / "run")
    return folder


def write_records(config: RunConfig, run: Path) -> None:
    """What a run of 6 steps, with a checkpoint at every other, writes down of its stream."""
    source = training_source(config, build_objective(config))
    ledger, quarantine = LedgerWriter(run, 0, 0), QuarantineWriter(run, 0)
    for batch in batches(source, range(6)):
        ledger.add(batch, place=0)
        quarantine.add(batch.step, batch.failures)
        if batch.step % 2:
            ledger.flush()
    (run / "config.yaml").write_text(dump_config(config))


@pytest.fixture
def damaged_run(damaged: Path, tmp_path: Path) -> Path:
    """A copy of that run, in the folder where the command runs."""
    return shutil.copytree(damaged / "run", tmp_path / "run")


def test_a_runs_ledger_is_checked(avrep: Callable[..., Done], damaged_run: Path) -> None:
    done = avrep("ledger", "run")
    assert done.status == 0, done.stdout + done.stderr
    assert read_quarantine(damaged_run)
    words = " ".join(done.stdout.split())
    assert "every planned item reached the trainer once: 24 items in 6 steps" in words
    assert int(words.rpartition(", ")[2].split()[0]) >= 1  # Substitutes.
    for path in (damaged_run / "ledger").glob("step-00000002-*"):
        path.unlink()
    done = avrep("ledger", "run")
    assert done.status == 1
    assert "the ledger is not what was planned: 8 missing" in " ".join(done.stdout.split())
    shutil.rmtree(damaged_run / "ledger")
    done = avrep("ledger", "run")
    assert done.status == 2
    assert "run has no ledger; train with --set data.ledger=true" in done.stderr


def test_a_quarantine_is_shown_and_cleared(avrep: Callable[..., Done], damaged_run: Path) -> None:
    keys = list(dict.fromkeys(entry.key for entry in read_quarantine(damaged_run)))
    assert len(keys) > 1
    done = avrep("quarantine", "run")
    assert done.status == 0, done.stderr
    assert f"{len(keys)} items quarantined: open {len(keys)}" in done.stdout
    done = avrep("quarantine", "run", keys[1])
    assert "1 item quarantined: open 1" in done.stdout
    done = avrep("quarantine", "run", keys[1], "--clear")
    assert done.stdout == "1 item forgotten; a resumed run tries them again\n"
    assert avrep("quarantine", "run", keys[1]).status == 2
    done = avrep("quarantine", "run", "--clear")
    assert done.stdout.startswith(f"{len(keys) - 1} item")
    done = avrep("quarantine", "run")
    assert (done.status, done.stdout) == (0, "nothing is quarantined in run\n")
    done = avrep("quarantine", "run", "--clear", "--retry")
    assert done.status == 2
    assert "choose one" in done.stderr


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_retry_releases_what_works_again(avrep: Callable[..., Done], damaged_run: Path) -> None:
    before = {entry.key: entry for entry in read_quarantine(damaged_run)}
    mended = min(before)
    shard = Path(before[mended].uri)
    whole, zeros = shard.with_name(f"{shard.name}.whole"), shard.read_bytes()
    shutil.copyfile(whole, shard)
    done = avrep("quarantine", "run", "--retry")
    # Others share the folder.
    shard.write_bytes(zeros)
    assert done.status == 0, done.stderr
    assert "1 item released; a resumed run tries them again" in done.stdout
    assert f"{len(before) - 1} item" in done.stdout
    assert {entry.key for entry in read_quarantine(damaged_run)} == before.keys() - {mended}


@pytest.mark.slow
def test_a_command_that_is_started_again_goes_on(
    avrep: Callable[..., Done], tiny_config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(dump_config(tiny_config(num_steps=2)))
    words = ("train", str(config), "-o", "run")
    assert avrep(*words, "--resume-if-begun").status == 0
    assert avrep(*words, "--resume-if-begun").status == 0
    again = avrep(*words)
    assert (again.status, "holds a run already" in again.stderr) == (2, True)
    assert avrep("train", str(config), "-o", "none", "--resume").status == 2


@pytest.mark.slow
def test_a_corpus_is_embedded_and_searched(
    avrep: Callable[..., Done],
    tiny_run: Path,
    damaged: Path,
    synth_catalog: Catalog,
    synth_folder: Path,
    tmp_path: Path,
) -> None:
    words = ["embed", str(tiny_run), str(damaged / "c.parquet"), "--workers", "0"]
    done = avrep(*words)
    assert done.status == 0, done.stderr
    summary, failed, following = done.stdout.splitlines()
    assert re.fullmatch(
        r"21 items: 84 clips of 32 numbers; 4 items failed; 1 item without such a stream; "
        r"\d+\.\d clips/s; in features",
        summary,
    )
    assert failed == "4 items quarantined: open 4; why is in features/quarantine"
    assert following == "next: avrep search features --like FILE"
    done = avrep(*words, "--clips", "2")
    assert "features holds features of other clips; name a new folder" in done.stderr
    assert avrep(*words, "--clips", "2", "--every", "1").status == 2

    video = next(item for item in synth_catalog if item.labels.get("split") == "test")
    place = f"{synth_folder / video.key}@0.0"
    done = avrep("search", "features", "--like", place, "-k", "3", "-o", "found.png")
    assert done.status == 0, done.stderr
    head, first, *_, last = done.stdout.splitlines()
    assert head.split() == ["similarity", "seconds", "item"]
    assert first.split()[:2] == ["1", "1.0000"]
    assert last.startswith("the 3 nearest of 84 clips to 0")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    done = avrep("search", "features", "--sound", place)
    assert done.status == 2
    assert "search it by --like FILE or --image FILE" in done.stderr
    done = avrep("search", "features", "--like", f"{video.key}@later")
    assert "write it as FILE@SECONDS, counted from its start" in done.stderr
