"""SUPERB's query by example: nothing is trained; the layer is chosen on dev, MTWV is of eval."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from avrep.evaluation.metrics import statistic_intervals
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.states import ReadStates, fresh_states
from avrep.evaluation.sound.upstream import Upstream
from avrep.evaluation.subsequence_dtw import Frames, subsequence_distances, unit_frames
from avrep.evaluation.superb.quesst14 import QueryCorpus, QuerySet, read_quesst14
from avrep.evaluation.superb.sox_effects import gain
from avrep.evaluation.superb.stdlist import DECIMALS, THRESHOLD, write_stdlist
from avrep.evaluation.task_result import DataFacts, Metric, TaskResult, as_metric
from avrep.evaluation.term_detection import (
    RankedTerms,
    actual_twv,
    maximum_twv,
    term_trials,
)
from avrep.media.put_in_place import put_in_place

NAME = "superb/qbe"
VERSION = 1
MIN_QUERY_FRAMES = 5
"""A query of fewer scores 0 everywhere."""

_LEAST = 1e-9
_NOTES = (
    "mtwv and atwv are of all queries and documents that the ground truth lists, as the challenge's "
    "tool has them: those in other languages are not searched and score -10, which makes the figure "
    "smaller; mtwv_searched is of what was searched alone",
)

Scores = npt.NDArray[np.float64]
"""float64[q d]: of each query in each document."""
Tell = Callable[[str, int, int], None]


def query_scores(queries: Sequence[Frames], documents: Sequence[Frames]) -> Scores:
    """How likely each query is in each document, comparable between queries.

    Frames are standardised over all queries and documents together, dimension by dimension; a score
    is minus the distance of `subsequence_distances`, standardised over a query's documents and
    rounded as the file of results has it.

    Args:
        queries: float32[n d] each.
        documents: float32[n d] each.

    Returns:
        float64[q d].
    """
    mean, std = _moments([*queries, *documents])
    ready = [unit_frames((frames - mean) / std) for frames in documents]
    scores = np.zeros((len(queries), len(documents)))
    for row, frames in enumerate(queries):
        if len(frames) >= MIN_QUERY_FRAMES:
            scores[row] = -subsequence_distances(unit_frames((frames - mean) / std), ready)
    spread = np.maximum(scores.std(axis=1, keepdims=True), _LEAST)
    return np.round((scores - scores.mean(axis=1, keepdims=True)) / spread, DECIMALS) + 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRun:
    """A corpus, an encoder, and where what is done is kept."""

    corpus: QueryCorpus
    upstream: Upstream
    read_states: ReadStates
    folder: Path
    tell: Tell | None = None

    def scores(self, part: str, layer: int) -> Scores:
        """Of a part's queries by one layer; read where they were made before."""
        queries = self._part(part).queries
        path = self.folder / "scores" / f"{part}-{layer}-{self._digest()}.npy"
        if path.is_file():
            return np.load(path, allow_pickle=False)
        frames = self._frames([*queries, *self.corpus.documents], layer, f"{part}, layer {layer}")
        scores = query_scores(frames[: len(queries)], frames[len(queries) :])
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, scores)
        put_in_place(partial, path)
        return scores

    def named(self, part: str, scores: Scores) -> dict[str, dict[str, float]]:
        """Scores by the names of queries and documents."""
        documents = [recording.key for recording in self.corpus.documents]
        rows = zip(self._part(part).queries, scores.tolist(), strict=True)
        return {query.key: dict(zip(documents, row, strict=True)) for query, row in rows}

    def facts(self) -> DataFacts:
        return DataFacts(
            name="QUESST 2014 (nnenglish)",
            digest=_corpus_digest(self.corpus),
            num_train=0,
            num_valid=len(self.corpus.dev.queries),
            num_test=len(self.corpus.eval.queries),
        )

    def _part(self, part: str) -> QuerySet:
        return self.corpus.dev if part == "dev" else self.corpus.eval

    def _digest(self) -> str:
        text = f"{self.upstream.facts.digest} {_corpus_digest(self.corpus)} {VERSION}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def _frames(self, recordings: Sequence[Recording], layer: int, what: str) -> list[Frames]:
        found = []
        for number, recording in enumerate(recordings, start=1):
            states = self.read_states([recording])
            own = states.states[layer, 0, : int(states.num_frames[0])]
            found.append(own.float().cpu().numpy())
            if self.tell:
                self.tell(what, number, len(recordings))
        return found


def run_query_by_example(
    upstream: Upstream,
    root: Path,
    folder: Path,
    *,
    own_data: bool = False,
    read_states: ReadStates | None = None,
    seed: int = 0,
    tell: Tell | None = None,
) -> TaskResult:
    """Measure an encoder: every layer on dev, the best one on eval.

    Args:
        upstream: the frozen encoder.
        root: QUESST 2014's folder.
        folder: for scores and `benchmark.stdlist.xml`; a run that was stopped goes on in it.
        own_data: whether it is another data set in QUESST 2014's layout: then counts may differ.
        read_states: how hidden states are had, of sounds at -3 dB; computed for each layer anew if
            None.
        seed: of the intervals' resamples.
        tell: told how far it is.

    Raises:
        ConfigError: see `read_quesst14`.
    """
    corpus = read_quesst14(root, own_data=own_data)
    run = QueryRun(
        corpus=corpus,
        upstream=upstream,
        read_states=read_states or fresh_states(upstream, gain),
        folder=folder,
        tell=tell,
    )
    on_dev = []
    for layer in range(upstream.num_states):
        ranked = _ranked(corpus.dev, run.named("dev", run.scores("dev", layer)))
        on_dev.append(maximum_twv(ranked)[0])
    layer = int(np.argmax(on_dev))
    scores = run.named("eval", run.scores("eval", layer))
    write_stdlist(folder / "benchmark.stdlist.xml", scores)
    return TaskResult(
        task=NAME,
        protocol="superb",
        protocol_version=VERSION,
        encoder=upstream.facts,
        data=replace(run.facts(), name=root.name, other_lists=True)
        if corpus.notes
        else run.facts(),
        metrics=term_metrics(corpus, scores, seed=seed),
        settings={
            "seed": seed,
            "chosen_layer": layer,
            "dev_mtwv": " ".join(f"{value:.4f}" for value in on_dev),
        },
        notes=(*_NOTES, *corpus.notes),
    )


def term_metrics(
    corpus: QueryCorpus, scores: Mapping[str, Mapping[str, float]], *, seed: int
) -> tuple[Metric, ...]:
    """MTWV, ATWV of YES above 2, and MTWV of what was searched, with intervals over queries.

    Args:
        corpus: its eval part.
        scores: of each of its queries, of each document.
        seed: decides the resamples.
    """
    everything = _ranked(corpus.eval, scores)
    searched = RankedTerms(
        term_trials(
            [query.key for query in corpus.eval.queries],
            [document.key for document in corpus.documents],
            corpus.eval.occurrences,
            scores,
        )
    )

    def all_figures(times: Scores) -> Scores:
        return np.array(
            [maximum_twv(everything, times)[0], actual_twv(everything, THRESHOLD, times)]
        )

    def own_figure(times: Scores) -> Scores:
        return np.array([maximum_twv(searched, times)[0]])

    found = (
        *statistic_intervals(all_figures, everything.num_queries, seed=seed),
        *statistic_intervals(own_figure, searched.num_queries, seed=seed),
    )
    sizes = everything.num_trials, everything.num_trials, searched.num_trials
    return tuple(
        as_metric(name, interval, num_trials, in_percent=False, chance=0.0)
        for name, interval, num_trials in zip(
            ("mtwv", "atwv", "mtwv_searched"), found, sizes, strict=True
        )
    )


def _ranked(queries: QuerySet, scores: Mapping[str, Mapping[str, float]]) -> RankedTerms:
    return RankedTerms(
        term_trials(queries.all_queries, queries.all_documents, queries.occurrences, scores)
    )


def _moments(frames: Sequence[Frames]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and standard deviation (n - 1) of each dimension, over all frames of all sounds."""
    count = sum(len(each) for each in frames)
    mean = sum(each.sum(axis=0, dtype=np.float64) for each in frames) / count
    squares = sum(np.square(each - mean).sum(axis=0) for each in frames)
    std = np.sqrt(squares / max(count - 1, 1))
    return np.asarray(mean, np.float32), np.asarray(np.maximum(std, _LEAST), np.float32)


def _corpus_digest(corpus: QueryCorpus) -> str:
    digest = hashlib.sha256()
    for part in (corpus.dev, corpus.eval):
        listed = [query.key for query in part.queries], part.all_queries, part.all_documents
        digest.update(repr(listed).encode())
        occurrences = {name: sorted(part.occurrences[name]) for name in sorted(part.occurrences)}
        digest.update(repr(occurrences).encode())
    digest.update(repr([document.key for document in corpus.documents]).encode())
    return digest.hexdigest()[:16]
