"""`python -m benchmarks`: measure, then write the results' page."""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.report import SUITES, write_report
from benchmarks.results import SuiteResult, write_result
from benchmarks.suite_growth import run_growth
from benchmarks.suite_objectives import run_objectives
from benchmarks.suite_sound import run_sound
from benchmarks.suite_trainer import run_trainer
from benchmarks.suite_video import run_video
from benchmarks.targets import targets

_HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", help=f"of {', '.join(SUITES)}; all when none is named")
    parser.add_argument(
        "--quick", action="store_true", help="fewer files and rounds; rough figures"
    )
    parser.add_argument("--stride", type=int, nargs="+", choices=(2, 4), default=[2, 4])
    parser.add_argument("--work", type=Path, default=_HERE.parent / "runs" / "bench")
    parser.add_argument(
        "--out",
        type=Path,
        help="where the results go; benchmarks/results, or a "
        "folder of its own with --quick, so that rough figures replace no good ones",
    )
    chosen = parser.parse_args()
    unknown = set(chosen.suites) - set(SUITES)
    if unknown:
        parser.error(f"no suite {', '.join(sorted(unknown))}; there are {', '.join(SUITES)}")
    work = chosen.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    out = chosen.out or (work / "quick" if chosen.quick else _HERE / "results")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for suite in chosen.suites or SUITES:
        print(f"-- {suite}", file=sys.stderr, flush=True)
        write_result(out, _run(suite, work, set(chosen.stride), quick=chosen.quick))
        print(f"results: {write_report(out)}", file=sys.stderr, flush=True)


def _run(suite: str, work: Path, strides: set[int], *, quick: bool) -> SuiteResult:
    match suite:
        case "video":
            result = run_video(work, strides, quick=quick)
            for target in targets(result):
                verdict = "pass" if target.is_met else "MISS"
                ratio = f"{target.ratio.median:.2f} (at least {target.at_least:g})"
                print(f"{verdict}  {target.text}: {ratio}, {target.workload}")
            return result
        case "sound":
            return run_sound(work, quick=quick)
        case "growth":
            return run_growth(work, quick=quick)
        case "objectives":
            return run_objectives(work, quick=quick)
        case _:
            return run_trainer(work, quick=quick)


if __name__ == "__main__":
    main()
