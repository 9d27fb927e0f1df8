"""What tests share: one Ray instance a session, a small corpus, the real media."""

import os
from collections.abc import Callable, Generator, Iterator
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from xdist.remote import Producer
from xdist.scheduler.loadfile import LoadFileScheduling

from avrep.config import RunConfig, parse_config
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.pretrain import pretrain

_MEDIA_CANDIDATES = (
    os.environ.get("AVREP_MEDIA"),
    str(Path(__file__).parents[2] / "shared" / "media"),
)


# A busy machine proves nothing about the code.
settings.register_profile("avrep", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("avrep")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With AVREP_NO_SKIPS=1, as CI sets it, a test that would be skipped fails."""
    report = yield
    if report.skipped and os.environ.get("AVREP_NO_SKIPS") == "1":
        report.outcome = "failed"
        report.longrepr = f"nothing may be skipped here, but: {report.longrepr}"
    return report


class _FilesTogether(LoadFileScheduling):
    """A file stays in one process, and all files that use Ray stay in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "ray" if "ray_cluster" in _source(file) else file


@cache
def _source(file: str) -> str:
    return (Path(__file__).parents[1] / file).read_text()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """With `-n`: one Ray instance a session."""
    return _FilesTogether(config, log)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """After `-m faults`: which fault was planted, how often, and what came of it."""
    if config.getoption("markexpr") != "faults":
        return
    table = Table("fault", "planted", "result", box=SIMPLE_HEAD, width=100, pad_edge=False)
    table.columns[0].ratio, table.columns[2].ratio, table.columns[1].justify = 2, 3, "right"
    planted: dict[tuple[str, str], int] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            facts = dict(report.user_properties)
            if report.when == "call" and (facts or outcome == "failed"):
                result = facts.get("result", "as promised") if outcome == "passed" else "FAILED"
                row = str(facts.get("fault", report.nodeid)), str(result)
                # Kinds of one fault that came to the same are one row.
                planted[row] = planted.get(row, 0) + int(str(facts.get("planted", 0)))
    for (fault, result), count in planted.items():
        table.add_row(fault, str(count), result)
    with StringIO() as text:
        Console(file=text, width=100).print(table)
        terminalreporter.write("\n" + text.getvalue())


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> None:
    """Tests share two cores with the processes that they start."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def media_root() -> Path:
    """The folder of real clips: $AVREP_MEDIA, or `shared/media` beside the checkout.

    Absent, the test is skipped.
    """
    for candidate in _MEDIA_CANDIDATES:
        if candidate and (Path(candidate) / "README.md").is_file():
            return Path(candidate)
    pytest.skip("no real clips here: set AVREP_MEDIA to their folder")


@pytest.fixture(scope="session")
def synth_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic corpus of 24 videos (16 train, 8 test), one timing clip, one sound."""
    config = SynthConfig(
        num_videos=24, num_flash_beep=1, num_speech=1, duration_s=1.5, width_px=64, height_px=48
    )
    return write_corpus(tmp_path_factory.mktemp("synth") / "corpus", config)


@pytest.fixture(scope="session")
def synth_catalog(synth_folder: Path) -> Catalog:
    """The catalogue of `synth_folder`."""
    path = synth_folder.parent / "corpus.parquet"
    index_sources([str(synth_folder)], path, num_workers=1)
    return Catalog.open(path)


@pytest.fixture(scope="session")
def tiny_config(synth_catalog: Catalog) -> Callable[..., RunConfig]:
    """Makes the config of a run of 6 steps on `synth_catalog`, with changes to its train part."""

    def make(**train: object) -> RunConfig:
        tree = {
            "data": {"catalog": str(synth_catalog.path), "num_decode_actors": 0, "split": "train"},
            "video_encoder": {"kind": "video_conv", "arch": "r3d_18_fast", "base_width": 4},
            "objective": {
                "kind": "cvrl",
                "sampler": {"num_frames": 4, "stride": 2},
                "short_side_px": 32,
                "crop_px": 32,
                "head": {"hidden_width": 8, "num_hidden": 1, "out_width": 4},
            },
            "train": {
                "batch_size": 4,
                "num_steps": 6,
                "warmup_steps": 2,
                "optim": {"lr": 0.1},
                "device": "cpu",
                "num_threads": 1,
                "log_every_steps": 1,
                "checkpoint_every_steps": 2,
                **train,
            },
        }
        return parse_config(tree, "test")

    return make


@pytest.fixture(scope="session")
def tiny_run(
    tiny_config: Callable[..., RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of that run, finished."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    pretrain(tiny_config(), run)
    return run


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Ray on this machine, started once a session."""
    from avrep.cluster.session import ray_session

    with ray_session(num_decode_actors=4):
        yield
