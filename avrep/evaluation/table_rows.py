"""Which results stand in one row of a table: those of one encoder, told apart from its namesakes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import count

from avrep.evaluation.result_differences import short
from avrep.evaluation.task_result import TaskResult

_SHOWN = 4
_Seed = str | int | float | bool | None


@dataclass(slots=True)
class _Growing:
    """A row while results are dealt out."""

    name: str
    results: list[TaskResult] = field(default_factory=list[TaskResult])
    numbers: list[int] = field(default_factory=list[int])
    """Their places among all."""

    def takes(self, result: TaskResult) -> bool:
        """Whether a result may join: the same weights and seed, and its place is free."""
        return result.encoder.name == self.name and all(
            (_seed(own) == _seed(result) or None in (_seed(own), _seed(result)))
            and _place(own) != _place(result)
            # Protocols take their digests of different things.
            and (own.protocol != result.protocol or own.encoder.digest == result.encoder.digest)
            for own in self.results
        )


def labelled_results(results: Sequence[TaskResult]) -> tuple[tuple[str, TaskResult], ...]:
    """Each result with the label of its row, in the order in which they came.

    The label is the encoder's name. Two results of one name go to two rows if digests, seeds, or
    anything else of them differ (a run that trained on, a second seed, another recipe), and labels say
    by what. The same result given twice comes once.
    """
    rows: list[_Growing] = []
    for number, result in enumerate(results):
        if result in results[:number]:
            continue
        # Results come folder by folder: those of one belong together.
        row = next((row for row in reversed(rows) if row.takes(result)), None)
        if row is None:
            row = _Growing(result.encoder.name)
            rows.append(row)
        row.results.append(result)
        row.numbers.append(number)
    found: dict[int, str] = {}
    for name in {row.name for row in rows}:
        namesakes = [row for row in rows if row.name == name]
        for label, row in zip(_labels(namesakes), namesakes, strict=True):
            found |= dict.fromkeys(row.numbers, label)
    return tuple((found[number], results[number]) for number in sorted(found))


def row_labels(labelled: Sequence[tuple[str, TaskResult]]) -> tuple[str, ...]:
    """The rows from the top: encoders in the order in which they came, namesakes together."""
    names = dict.fromkeys(result.encoder.name for _, result in labelled)
    return tuple(
        dict.fromkeys(
            label for name in names for label, result in labelled if result.encoder.name == name
        )
    )


def row_facts(labelled: Sequence[tuple[str, TaskResult]]) -> tuple[str, ...]:
    """Lines that say which weights, which lists and which versions the numbers of a table are of."""
    weights: dict[tuple[str, str], dict[str, None]] = {}
    protocols: dict[tuple[str, str], dict[str, None]] = {}
    encoders: dict[tuple[str, str], dict[str, None]] = {}
    for label, result in labelled:
        data, digest = result.data, short(result.data.digest)
        task = " ".join(filter(None, (result.task, data.part)))
        lists = (task, f"data {data.name} {digest}, protocol version {result.protocol_version}")
        weights.setdefault((label, short(result.encoder.digest)), {})[result.protocol] = None
        protocols.setdefault(lists, {})[result.protocol] = None
        encoders.setdefault(lists, {})[label] = None
    labels = [label for label, _ in weights]
    return (
        *(
            f"{label}: encoder {digest}" + (f" ({few(of)})" if labels.count(label) > 1 else "")
            for (label, digest), of in weights.items()
        ),
        *(
            f"{task}: {lists} ({few(of)}; {', '.join(encoders[task, lists])})"
            for (task, lists), of in protocols.items()
        ),
    )


def few(names: Collection[str]) -> str:
    """Names with commas between them; of many the first few and how many more."""
    shown = list(names) if len(names) <= _SHOWN else list(names)[: _SHOWN - 1]
    more = f" and {len(names) - len(shown)} more" if len(names) > len(shown) else ""
    return ", ".join(shown) + more


def _labels(rows: Sequence[_Growing]) -> list[str]:
    """Of rows of one name, that and what tells them apart: digests, seeds, or a number."""
    digests = [_digest(row, rows[0]) for row in rows]
    seeds = [
        next((seed for each in row.results if (seed := _seed(each)) is not None), None)
        for row in rows
    ]
    labels: list[str] = []
    for row, digest, seed in zip(rows, digests, seeds, strict=True):
        marks = [short(digest)] if len(set(digests)) > 1 else []
        marks += [f"seed {seed}"] if len(set(seeds)) > 1 else []
        label = f"{row.name} ({', '.join(marks)})" if marks else row.name
        more = (f"{label} #{number}" for number in count(2))
        labels.append(
            label if label not in labels else next(each for each in more if each not in labels)
        )
    return labels


def _digest(row: _Growing, first: _Growing) -> str:
    """A row's digest by a protocol that it shares with the first one, if there is any."""
    wanted = {result.protocol: result.encoder.digest for result in first.results}
    shared = [result for result in row.results if result.protocol in wanted] or row.results
    other = [result for result in shared if result.encoder.digest != wanted.get(result.protocol)]
    if row is not first and not other:
        return first.results[0].encoder.digest
    return (other or row.results)[0].encoder.digest


def _place(result: TaskResult) -> tuple[str, str, str]:
    return result.task, result.data.part, result.protocol


def _seed(result: TaskResult) -> _Seed:
    return result.settings.get("seed")
