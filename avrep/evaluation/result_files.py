"""Where results lie, and how they are found again."""

import re
from collections.abc import Sequence
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.task_result import TaskResult, read_result, write_result

FOLDER = "results"


def evaluation_folder(encoder: str) -> Path:
    """Where an encoder's results go if nothing else is said: into its run's folder, if it has one."""
    name = encoder.partition(":")[2] if encoder.startswith("untrained:") else encoder
    if (Path(name) / "config.yaml").is_file():
        return Path(name) / ("evaluation" if name == encoder else "evaluation-untrained")
    return Path("evaluation") / re.sub(r"[^A-Za-z0-9._-]+", "-", encoder).strip("-.")


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


def find_results(places: Sequence[Path | str]) -> list[TaskResult]:
    """All results of some encoders.

    Args:
        places: of each encoder the run's folder, its evaluation folder, a result's file, or the name
            by which it was evaluated, where the results went to `evaluation_folder`.

    Raises:
        ConfigError: a place has none, or a file is none.
    """
    found: list[TaskResult] = []
    for named in places:
        place = Path(named)
        if place.is_file():
            found.append(read_result(place))
            continue
        folders = (
            *(place / "evaluation" / FOLDER, place / FOLDER, place),
            evaluation_folder(str(named)) / FOLDER,
        )
        files = next((made for folder in folders if (made := sorted(folder.glob("*.json")))), [])
        if not files:
            raise ConfigError(
                f"no results in {named}. Mend: avrep evaluate {named} --task TASK --root DIR"
            )
        found += [read_result(file) for file in files]
    return found
