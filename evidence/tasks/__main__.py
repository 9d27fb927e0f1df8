"""`python -m evidence.tasks`: every evaluator, by its command, on real recordings; writes
docs/evaluators.md. What the page tells of checks that are not named stays as it is.
"""

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from avrep.errors import ConfigError
from avrep.evaluation.result_files import find_results
from benchmarks.machine import describe_machine
from evidence.corpora import media_folder, media_root, synthetic_catalog
from evidence.motion import train_video
from evidence.speech import digits_catalog, train_hubert
from evidence.tasks.checks import CHECKS, TRAINED, Check
from evidence.tasks.digits import FSDD
from evidence.tasks.page import Measured, Spent, write_tasks_page
from evidence.training import TrainedRun, train_run

_ROOT = Path(__file__).resolve().parents[2]
_SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m evidence.tasks", description=__doc__)
    names = [check.name for check in CHECKS]
    parser.add_argument("checks", nargs="*", help=f"of {', '.join(names)}; all if none is named")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    parser.add_argument(
        "--work", type=Path, default=_ROOT / "runs" / "evidence", help="that of make evidence"
    )
    parser.add_argument("--out", type=Path, default=_ROOT / "docs", help="where the page goes")
    chosen = parser.parse_args()
    if unknown := set(chosen.checks) - set(names):
        parser.error(f"no check {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    torch.set_num_threads(chosen.threads)
    work = chosen.work.resolve() / "tasks"
    try:
        # Told before anything is trained.
        for below in (FSDD, *(check.media for check in CHECKS if check.media)):
            media_folder(below)
        chosen.out.mkdir(parents=True, exist_ok=True)
        checks = [check for check in CHECKS if check.name in (chosen.checks or names)]
        methods = set[str]().union(*(check.methods for check in checks))
        _name_runs(chosen.work.resolve(), work, [name for name in TRAINED if name in methods])
        for check in checks:
            _measure(check, work, chosen.threads)
    except ConfigError as error:
        parser.exit(2, f"{error}\n")
    measured = [_measured(check, work, chosen.out) for check in checks]
    page = chosen.out / "evaluators.md"
    write_tasks_page(page, CHECKS, measured)
    print(f"page: {page}")


def _name_runs(evidence: Path, work: Path, methods: Sequence[str]) -> None:
    """Let the runs of `make evidence` be found by their methods' names; train what is not there."""
    work.mkdir(parents=True, exist_ok=True)
    for method in methods:
        place = work / method
        run = _trained(evidence, method)
        place.unlink(missing_ok=True)
        place.symlink_to(run.folder)


def _trained(evidence: Path, method: str) -> TrainedRun:
    match method:
        case "hubert":
            return train_hubert(evidence, digits_catalog(evidence), _SEED)
        case "segment_avclip":
            return train_run(evidence, method, synthetic_catalog(evidence), _SEED)
        case _:
            return train_video(evidence, method, _SEED)


def _measure(check: Check, work: Path, num_threads: int) -> None:
    """Run the commands that were not run yet."""
    root = _data(check, work)
    for encoder in check.encoders:
        place = _place(check, encoder)
        if _spent_file(work / place).is_file():
            continue
        words = [encoder, "--task", check.task, "--root", str(root), *check.options]
        print(f"avrep evaluate {' '.join(words)}", flush=True)
        made, began_s = describe_machine(), time.monotonic()
        _avrep(work, num_threads, "evaluate", *words, "--out", str(place))
        spent = Spent(
            commit=made["commit"],
            processor=made["processor"],
            num_cores=made["num_cores"],
            seconds=round(time.monotonic() - began_s, 1),
        )
        said = json.dumps(dataclasses.asdict(spent))
        _spent_file(work / place).write_text(said, encoding="utf-8")


def _measured(check: Check, work: Path, out: Path) -> Measured:
    places = [work / _place(check, encoder) for encoder in check.encoders]
    return Measured(
        check=check,
        results=tuple(find_results(places)),
        spent=tuple(
            Spent(**json.loads(_spent_file(place).read_text(encoding="utf-8"))) for place in places
        ),
        pictures=_pictures(check, places[-1], out),
    )


def _place(check: Check, encoder: str) -> Path:
    """An encoder's evaluation folder, as the command is told of it."""
    return Path("results") / check.name / encoder.replace(":", "-")


def _spent_file(place: Path) -> Path:
    """What a command ran on and took: written when it has ended well."""
    return place / "spent.json"


def _data(check: Check, work: Path) -> Path:
    """The data set's folder, made if it is not there; as the command is told of it."""
    if check.write_root is None:
        return media_root() / check.media
    root = work / "data" / check.name
    if not root.is_dir():
        partial = root.with_name(f"{root.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        check.write_root(media_root(), partial)
        partial.rename(root)
    return root.relative_to(work)


def _avrep(work: Path, num_threads: int, *words: str) -> None:
    command = [sys.executable, "-c", "from avrep.cli import main; main()", *words]
    found = os.pathsep.join([str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "OMP_NUM_THREADS": str(num_threads), "PYTHONPATH": found}
    status = subprocess.run(command, cwd=work, env=environment).returncode
    if status:
        raise ConfigError(f"avrep {' '.join(words)} ended with status {status}")


def _pictures(check: Check, place: Path, out: Path) -> tuple[Path, ...]:
    """Those that the task drew for its last encoder, copied beside the page."""
    copies = []
    for path in sorted(place.glob(f"{check.task.replace('/', '-')}/*.png")):
        copies.append(out / f"evaluators_{check.name}_{path.stem}.png")
        shutil.copyfile(path, copies[-1])
    return tuple(copies)


if __name__ == "__main__":
    main()
