"""Where results lie, and how they are found again."""

from collections.abc import Sequence
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.task_result import TaskResult, read_result, write_result

FOLDER = "results"


def result_path(evaluation_dir: Path, result: TaskResult) -> Path:
    """The file of one result below an encoder's evaluation folder."""
    words = [result.task, result.data.part, result.protocol]
    name = "-".join(word for word in words if word).replace("/", "-").replace(" ", "")
    return evaluation_dir / FOLDER / f"{name}.json"


def write_results(evaluation_dir: Path, results: Sequence[TaskResult]) -> tuple[Path, ...]:
    """Write each result to its place; an earlier one of the same task is replaced."""
    paths = tuple(result_path(evaluation_dir, result) for result in results)
    for path, result in zip(paths, results, strict=True):
        write_result(path, result)
    return paths


def find_results(places: Sequence[Path]) -> list[TaskResult]:
    """All results of some encoders.

    Args:
        places: of each encoder the run's folder, its evaluation folder, or a result's file.

    Raises:
        ConfigError: a place has none, or a file is none.
    """
    found: list[TaskResult] = []
    for place in places:
        if place.is_file():
            found.append(read_result(place))
            continue
        folders = (place / "evaluation" / FOLDER, place / FOLDER, place)
        files = next((made for folder in folders if (made := sorted(folder.glob("*.json")))), [])
        if not files:
            raise ConfigError(
                f"no results in {place}. Mend: avrep evaluate {place} --task TASK --root DIR"
            )
        found += [read_result(file) for file in files]
    return found
