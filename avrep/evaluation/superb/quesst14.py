"""QUESST 2014 as it comes off its archive, its English part, as SUPERB searches it.

    quesst14Database/Audio/quesst14_00001.wav
    quesst14Database/dev_queries/quesst14_dev_0001.wav       and eval_queries
    quesst14Database/scoring/language_key_utterances.lst     quesst14Database/Audio/... nnenglish
    quesst14Database/scoring/language_key_dev.lst            and language_key_eval.lst
    quesst14Database/scoring/groundtruth_quesst14_dev/       and groundtruth_quesst14_eval: one
        *.rttm of occurrences, one *.tlist.xml of all queries, one *.ecf.xml of all documents

The ground truth is of all languages: the scoring tool asks it of every query and every document, and
SUPERB's recipe gives those that it did not search the score -10.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import read_lines, refuse
from avrep.evaluation.sound.layout import Layout
from avrep.evaluation.sound.recordings import Recording

LANGUAGE = "nnenglish"
_LAYOUT = Layout(
    name="QUESST 2014",
    source="the challenge's archive",
    tree="""\
quesst14Database/
    Audio/
    dev_queries/
    eval_queries/
    scoring/language_key_utterances.lst, language_key_dev.lst, language_key_eval.lst
    scoring/groundtruth_quesst14_dev/
    scoring/groundtruth_quesst14_eval/""",
)
_OFFICIAL = {"dev queries": 138, "eval queries": 138, "documents": 2438}


@dataclass(frozen=True, slots=True, kw_only=True)
class QuerySet:
    """Queries and where they occur."""

    queries: tuple[Recording, ...] = field(repr=False)
    """Those that are searched for."""
    all_queries: tuple[str, ...] = field(repr=False)
    """Those that are scored."""
    all_documents: tuple[str, ...] = field(repr=False)
    """Those that are scored."""
    occurrences: Mapping[str, frozenset[str]] = field(repr=False)
    """The documents of each query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCorpus:
    """What is searched, for what."""

    documents: tuple[Recording, ...] = field(repr=False)
    dev: QuerySet
    eval: QuerySet
    notes: tuple[str, ...] = ()


def read_quesst14(root: Path, *, own_data: bool = False) -> QueryCorpus:
    """Read the lists, and refuse what would spoil a measurement.

    Args:
        root: the folder quesst14Database, or the one above it.
        own_data: whether it is another data set in this layout: then counts may differ.

    Raises:
        ConfigError: nothing like the tree above; other counts than its English part has; a malformed
            line; sounds that are missing; a query or a document that the ground truth does not know.
    """
    folder = root / "quesst14Database" if (root / "quesst14Database").is_dir() else root
    if not (folder / "scoring").is_dir():
        raise _LAYOUT.error(root, "there is no folder scoring")
    documents = _recordings(folder, "utterances")
    dev, evaluated = (_query_set(folder, part, documents) for part in ("dev", "eval"))
    found = {
        "dev queries": len(dev.queries),
        "eval queries": len(evaluated.queries),
        "documents": len(documents),
    }
    notes = _LAYOUT.check_counts(root, found, _OFFICIAL, own_data=own_data)
    return QueryCorpus(documents=documents, dev=dev, eval=evaluated, notes=notes)


def _recordings(folder: Path, part: str) -> tuple[Recording, ...]:
    """The English ones of a language key."""
    recordings = []
    key = folder / "scoring" / f"language_key_{part}.lst"
    for where, line in read_lines(key):
        fields = line.split()
        if len(fields) != 2 or "/" not in fields[0] or ".." in fields[0]:
            raise ConfigError(f"{where}: want 'quesst14Database/<wav> <language>', got {line!r}")
        if fields[1] == LANGUAGE:
            path = folder / fields[0].partition("/")[2]
            recordings.append(Recording(key=path.stem, path=path))
    if not recordings:
        raise ConfigError(f"{key.name} has nothing in {LANGUAGE}")
    missing = [recording.key for recording in recordings if not recording.path.is_file()]
    refuse(
        missing,
        f"of {len(recordings)} sounds of {key.name} are missing",
        "extract the whole archive",
    )
    return tuple(recordings)


def _query_set(folder: Path, part: str, documents: tuple[Recording, ...]) -> QuerySet:
    truth = folder / "scoring" / f"groundtruth_quesst14_{part}"
    queries = _recordings(folder, part)
    all_queries = _attributes(_only(truth, "*.tlist.xml"), "term", "termid")
    names = _attributes(_only(truth, "*.ecf.xml"), "excerpt", "audio_filename")
    all_documents = tuple(dict.fromkeys(Path(name).stem for name in names))
    for what, known, listed in (
        ("queries", all_queries, queries),
        ("documents", all_documents, documents),
    ):
        strange = sorted({recording.key for recording in listed} - set(known))
        refuse(strange, f"{what} are not in {truth.name}", "take both from one archive")
    occurrences = _occurrences(_only(truth, "*.rttm"), frozenset(all_queries))
    if not any(occurrences.get(query.key) for query in queries):
        raise ConfigError(f"{truth.name}: no query in {LANGUAGE} occurs in any document")
    return QuerySet(
        queries=queries,
        all_queries=all_queries,
        all_documents=all_documents,
        occurrences=occurrences,
    )


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ConfigError(
            f"{folder} has {len(found)} files {pattern}, wants one. Mend: extract the archive anew"
        )
    return found[0]


def _attributes(path: Path, tag: str, attribute: str) -> tuple[str, ...]:
    """The attribute of every element of a kind, in order, none twice."""
    try:
        elements = ElementTree.parse(path).getroot().iter(tag)
        return tuple(dict.fromkeys(element.attrib[attribute] for element in elements))
    except (ElementTree.ParseError, KeyError) as error:
        raise ConfigError(f"{path} is no list of <{tag} {attribute}=...>: {error}") from None


def _occurrences(path: Path, queries: frozenset[str]) -> dict[str, frozenset[str]]:
    """`LEXEME <document> 1 <start> <length> ... <query> ...`, a line an occurrence."""
    found: dict[str, set[str]] = {}
    for where, line in read_lines(path):
        fields = line.split()
        if fields[0] != "LEXEME":
            continue
        query = next((field for field in fields[2:] if field in queries), None)
        if query is None:
            raise ConfigError(f"{where}: names no query of the list: {line!r}")
        found.setdefault(query, set()).add(fields[1])
    return {query: frozenset(documents) for query, documents in found.items()}
