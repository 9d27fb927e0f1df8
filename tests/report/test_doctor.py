"""Proves that the doctor reports what is really here, and finds what was broken on purpose.

Faults are planted as modules of the same name ahead of the real ones on the search path.
"""

import io
import os
import sys
from importlib import metadata
from pathlib import Path

import pytest
from rich.console import Console

from avrep.report import doctor
from avrep.report.doctor import examine
from avrep.report.findings import Finding, exit_status, findings_table
from avrep.report.machine import free_memory_bytes, usable_cores
from avrep.report.trials import Trial, try_libraries


def plant(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> None:
    (folder / f"{name}.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def by_name(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    assert len({f.name for f in findings}) == len(findings)
    return {f.name: f for f in findings}


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> dict[str, Trial]:
    """Outcomes that `examine` is given, to be changed by the test; importing torch takes seconds."""
    outcomes = {
        name: Trial(outcome="ok", said="[]" if name == "torch" else "")
        for name in ("torch", "torchvision", "torchaudio", "torchcodec", "av", "decord")
    }
    monkeypatch.setattr(doctor, "try_libraries", lambda _groups, _limit: outcomes)
    return outcomes


@pytest.mark.slow
def test_this_environment_is_found_as_it_is() -> None:
    found = by_name(examine(time_limit_s=250))
    for name in ("torch", "torchvision", "torchaudio", "av", "ray", "avrep"):
        assert found[name].status == "ok"
        assert found[name].found.startswith(metadata.version(name))
        assert found[name].mend == ""
    assert found["av"].found.endswith("decodes 8 frames of 8")
    assert found["torch set"].status == "ok"
    assert sys.executable in found["python"].found


def test_pyav_and_decord_decode_the_clip_that_the_doctor_encodes() -> None:
    pytest.importorskip("decord")
    said = Trial(outcome="ok", said="decodes 8 frames of 8")
    assert try_libraries((("av", "decord"),)) == {"av": said, "decord": said}


def test_a_library_that_ends_its_process_is_named_and_those_before_it_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n"
    plant(tmp_path, monkeypatch, "decord", body)
    found = try_libraries((("av", "decord", "json"),))
    assert found["av"].outcome == "ok"
    assert found["decord"] == Trial(outcome="broken", said="it ended its process (SIGSEGV)")
    assert found["json"] == Trial(outcome="untried", said="not tried, because of decord")


def test_a_library_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, monkeypatch, "decord", "import time\ntime.sleep(600)\n")
    found = try_libraries((("decord",),), time_limit_s=3)
    assert found["decord"] == Trial(outcome="slow", said="not finished after 3 s")


@pytest.mark.parametrize(
    ("body", "outcome", "said"),
    [
        ("raise OSError('libtorch.so: cannot open\\nmore')", "broken", "OSError: libtorch.so"),
        ("import no_such_dependency", "broken", "No module named 'no_such_dependency'"),
        ("print('{\"name\": \"x\"}', 3, '[]')", "ok", ""),
        ("raise AttributeError()", "broken", "AttributeError: "),
    ],
)
def test_whatever_an_import_does_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, outcome: str, said: str
) -> None:
    plant(tmp_path, monkeypatch, "planted_library", body)
    trial = try_libraries((("planted_library",),))["planted_library"]
    assert trial.outcome == outcome
    assert said in trial.said


def test_a_module_that_is_not_there_is_missing() -> None:
    trial = try_libraries((("no_such_library",),))["no_such_library"]
    assert trial.outcome == "missing"


def test_all_well_exits_with_zero(trials: dict[str, Trial]) -> None:
    assert trials
    findings = examine()
    assert exit_status(findings) == 0
    assert all(f.mend == "" for f in findings if f.status == "ok")


@pytest.mark.parametrize(
    ("name", "trial", "status", "mend"),
    [
        ("av", Trial(outcome="missing"), "fail", 'pip install "av'),
        ("av", Trial(outcome="broken", said="OSError"), "fail", "pip install --force-reinstall"),
        (
            "torchaudio",
            Trial(outcome="broken", said="OSError: x.so"),
            "fail",
            "pip install --force",
        ),
        ("torchvision", Trial(outcome="missing"), "fail", 'pip install "torch'),
        ("decord", Trial(outcome="missing"), "warn", 'pip install "decord'),
        ("decord", Trial(outcome="broken", said="SIGSEGV"), "warn", "pip install --force"),
        ("torchcodec", Trial(outcome="missing"), "warn", 'pip install "torchcodec'),
        (
            "torchcodec",
            Trial(outcome="broken", said="RuntimeError: Could not load libtorchcodec. FFmpeg is"),
            "warn",
            "apt-get install ffmpeg",
        ),
        ("torch", Trial(outcome="slow", said="not finished"), "warn", "run this again"),
    ],
)
def test_each_fault_has_its_mend_and_only_what_is_needed_fails(
    trials: dict[str, Trial], name: str, trial: Trial, status: str, mend: str
) -> None:
    trials[name] = trial
    findings = examine()
    found = by_name(findings)[name]
    assert found.status == status
    assert found.mend.startswith(mend)
    assert exit_status(findings) == (1 if status == "fail" else 0)


def test_mends_of_the_torch_set_name_all_three_as_avrep_requires_them(
    trials: dict[str, Trial],
) -> None:
    trials["torchaudio"] = Trial(outcome="missing")
    mend = by_name(examine())["torchaudio"].mend
    for name in ("torch", "torchvision", "torchaudio"):
        requirement = next(
            r for r in metadata.requires("avrep") or [] if r.startswith((f"{name}<", f"{name}>"))
        )
        assert f'"{requirement}"' in mend


@pytest.mark.parametrize(
    ("versions", "status"),
    [
        (("2.11.0", "0.26.0", "2.11.0"), "ok"),
        (("2.11.1+cu130", "0.26.0+cu130", "2.11.0+cu130"), "ok"),
        (("2.11.0+cpu", "0.26.0", "2.11.0"), "fail"),
        (("2.10.0", "0.26.0", "2.11.0"), "fail"),
        (("2.11.0", "0.25.0", "2.11.0"), "fail"),
        (("2.11.0", "0.26.0", None), "fail"),
    ],
)
def test_a_set_that_was_not_built_together_is_found(
    trials: dict[str, Trial],
    monkeypatch: pytest.MonkeyPatch,
    versions: tuple[str | None, str | None, str | None],
    status: str,
) -> None:
    assert trials
    known = dict(zip(("torch", "torchvision", "torchaudio"), versions, strict=True))
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: known.get(name, real(name)))
    assert by_name(examine())["torch set"].status == status


def test_a_missing_ray_is_found(trials: dict[str, Trial], monkeypatch: pytest.MonkeyPatch) -> None:
    assert trials
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "ray" else real(name))
    findings = examine()
    assert by_name(findings)["ray"].mend.startswith('pip install "ray[')
    assert exit_status(findings) == 1


def test_gpus_are_listed(trials: dict[str, Trial]) -> None:
    trials["torch"] = Trial(outcome="ok", said='[["NVIDIA H100", 85899345920]]')
    assert by_name(examine())["GPUs"].found == "1: NVIDIA H100 (80 GiB)"


def write_tree(root: Path, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "proc", root / "cgroup"


MEMINFO = "MemTotal: 65536 kB\nMemAvailable: 32768 kB\n"


def test_limits_of_the_second_kind_of_control_group(tmp_path: Path) -> None:
    proc, cgroups = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a/b\n",
            "proc/meminfo": MEMINFO,
            "cgroup/a/b/cpu.max": "max 100000\n",
            "cgroup/a/cpu.max": "50000 100000\n",
            "cgroup/a/b/memory.max": "max\n",
            "cgroup/a/b/memory.current": "99\n",
            "cgroup/a/memory.max": "1000000\n",
            "cgroup/a/memory.current": "700000\n",
            "cgroup/a/memory.stat": "anon 5\ninactive_file 50000\n",
        },
    )
    assert usable_cores(proc, cgroups) == 0.5
    assert free_memory_bytes(proc, cgroups) == 1_000_000 - 700_000 + 50_000


def test_limits_of_the_first_kind_of_control_group(tmp_path: Path) -> None:
    proc, cgroups = write_tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n0::/\n",
            "proc/meminfo": MEMINFO,
            "cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "75000\n",
            "cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "cgroup/memory/job/memory.limit_in_bytes": "2000000\n",
            "cgroup/memory/job/memory.usage_in_bytes": "500000\n",
            "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "cgroup/memory/memory.usage_in_bytes": "5\n",
        },
    )
    assert usable_cores(proc, cgroups) == 0.75
    assert free_memory_bytes(proc, cgroups) == 1_500_000


def test_without_limits_the_machine_itself_counts(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/\n", "proc/meminfo": MEMINFO, "cgroup/cpu.max": "-1 100000\n"}
    proc, cgroups = write_tree(tmp_path, files)
    assert usable_cores(proc, cgroups) == len(os.sched_getaffinity(0))
    assert free_memory_bytes(proc, cgroups) == 32768 * 1024
    assert free_memory_bytes(tmp_path / "none", tmp_path / "none") is None


def test_the_table_shows_every_finding_and_its_mend() -> None:
    findings = (
        Finding(name="av", status="fail", found="not [installed]", mend="pip install av"),
        Finding(name="ray", status="ok", found="2.60.0"),
    )
    console = Console(width=60, record=True, file=io.StringIO())
    console.print(findings_table(findings))
    text = console.export_text()
    assert "not [installed]" in text
    assert "mend: pip install av" in text
    assert "2.60.0" in text
    assert exit_status(findings) == 1
    assert exit_status(findings[1:]) == 0
