"""Something-Something v2 as it comes off the archive: numbered videos, and three JSON lists.

    <root>/20bn-something-something-v2/78687.webm
    <root>/labels/labels.json       {"Holding something next to something": "45", ...}
    <root>/labels/train.json        [{"id": "78687", "template": "Holding [something] next to [something]", ...}]
    <root>/labels/validation.json

A video's class is its template without the brackets. The lists are also found under their older
names, `something-something-v2-train.json` and so on. The test list has no labels: the validation
list is what results are quoted on.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from avrep.errors import ConfigError
from avrep.evaluation.action.data import ActionData, data_on_disk
from avrep.evaluation.action.lists import refuse
from avrep.evaluation.action.on_disk import find_file, media_below, misplaced
from avrep.evaluation.action.split import ActionSplit, LabelledVideo

OFFICIAL_SIZES = (168_913, 24_777)
"""Train and validation videos."""
_OFFICIAL_CLASSES = 174
_MAX_BYTES = 256 << 20
_LAYOUT = """
├── 20bn-something-something-v2
│   ├── 1.webm
│   └── 2.webm ...
└── labels
    ├── labels.json
    ├── train.json
    └── validation.json
"""


def find_ssv2(root: Path, *, allow_missing: bool = False) -> ActionData:
    """Train on the train list, test on the validation list.

    Raises:
        ConfigError: no such lists or no videos; see `read_ssv2` and `data_on_disk`.
    """
    lists = [find_file(root, name) for name in ("labels.json", "train.json", "validation.json")]
    for name, path in zip(("labels.json", "train.json", "validation.json"), lists, strict=True):
        if path is None:
            raise misplaced("ssv2", root, f"no {name}", _LAYOUT)
    labels, train, validation = (path for path in lists if path is not None)
    files = media_below(root)
    if not files:
        raise misplaced("ssv2", root, "no videos", _LAYOUT)
    split = read_ssv2(labels, train, validation)
    notes = ["tested on the validation list: the test list has no labels"]
    own_name = ""
    if len(split.class_names) != _OFFICIAL_CLASSES:
        own_name = root.resolve().name
        notes.append(f"{len(split.class_names)} classes: not Something-Something's own lists")
    return data_on_disk(
        "ssv2",
        split,
        root,
        own_name=own_name,
        notes=notes,
        allow_missing=allow_missing,
        files=files,
    )


def read_ssv2(labels: Path, train: Path, validation: Path) -> ActionSplit:
    """Read the three lists.

    Raises:
        ConfigError: a list that is not of this form, a template that is no class, a video listed
            twice; or, with 174 classes, another number of videos than the published lists have.
    """
    class_names = _read_classes(labels)
    label_of = {name: label for label, name in enumerate(class_names)}
    sides = [_read_videos(path, label_of) for path in (train, validation)]
    times = Counter(video.path for side in sides for video in side)
    repeats = [path for path, count in times.items() if count > 1]
    refuse(repeats, "videos are listed twice", "fetch the lists again")
    sizes = (len(sides[0]), len(sides[1]))
    if len(class_names) == _OFFICIAL_CLASSES and sizes != OFFICIAL_SIZES:
        raise ConfigError(
            f"{train.name} and {validation.name} list {sizes[0]} and {sizes[1]} videos, the "
            f"published lists {OFFICIAL_SIZES[0]} and {OFFICIAL_SIZES[1]}. Mend: fetch them again"
        )
    return ActionSplit(class_names=class_names, train=sides[0], test=sides[1])


def _read_classes(path: Path) -> tuple[str, ...]:
    """Class names in the order of their numbers, which count from 0."""
    found = _read_json(path)
    if not isinstance(found, dict) or not all(str(n).isdigit() for n in found.values()):
        raise ConfigError(f"{path.name}: want a number from 0 for each class")
    names = {int(number): _plain(name) for name, number in found.items()}
    if sorted(names) != list(range(len(found))):
        raise ConfigError(f"{path.name}: the classes' numbers must be 0 to {len(found) - 1}")
    return tuple(names[number] for number in range(len(names)))


def _read_videos(path: Path, label_of: dict[str, int]) -> tuple[LabelledVideo, ...]:
    found = _read_json(path)
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{path.name}: want a list of videos")
    videos = []
    for number, entry in enumerate(found, start=1):
        name = str(entry.get("id", "")) if isinstance(entry, dict) else ""
        if not name.isdigit() or not isinstance(entry.get("template"), str):
            raise ConfigError(f"{path.name}, video {number}: want an id and a template")
        label = label_of.get(_plain(entry["template"]))
        if label is None:
            raise ConfigError(f"{path.name}, video {name}: {entry['template']!r} is no class")
        videos.append(LabelledVideo(path=f"{name}.webm", label=label, group=None))
    return tuple(videos)


def _plain(template: str) -> str:
    return template.replace("[", "").replace("]", "").strip()


def _read_json(path: Path) -> Any:
    if path.stat().st_size > _MAX_BYTES:
        raise ConfigError(f"{path} is over {_MAX_BYTES >> 20} MiB: not a list of videos")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from None
