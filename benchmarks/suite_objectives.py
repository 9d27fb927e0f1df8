"""Each objective's step, fed by the stream, beside the same step on a batch that is there already."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice, repeat
from pathlib import Path

import torch

from avrep.assemble import training_source, use_threads
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.training.loop import StepRecord, train
from avrep.training.optim import build_optimizer
from avrep.types import Batch
from benchmarks.machine import describe_machine
from benchmarks.measure import Spread, in_child, spread
from benchmarks.results import SuiteResult
from benchmarks.rounds import quiet_ray
from benchmarks.step_cases import StepCase

RECIPES = (
    *("quickstart", "toy/rspnet", "toy/videomae", "toy/mae_st", "toy/vjepa", "toy/wav2vec2"),
    *("toy/hubert", "toy/audiomae", "toy/ssast", "toy/segment_avclip", "toy/synchformer"),
    "toy/syncnet",
)
"""One of each objective, for two CPU cores."""
_CORPUS = SynthConfig(num_videos=96)
# More steps than the actors make ahead while the cached batch is trained on.
_WARM_STEPS = 5
_LIMIT_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FedStep:
    """What a step takes, and how much longer it takes where its batch comes from the stream."""

    method: str
    recipe_steps: int
    """That the recipe has."""
    cached_s: Spread
    fed_s: Spread
    fed_over_cached: Spread
    """Round by round."""
    wait_share: Spread
    """Of the fed steps' time."""


def run_objectives(work: Path, *, quick: bool) -> SuiteResult:
    """All objectives one after the other, each in a process of its own; both kinds of step in turns."""
    made = describe_machine()
    num_actors = max(1, made["num_cores"] // 2)
    num_rounds, num_steps = (2, 4) if quick else (3, 10)
    cases = toy_cases(work, num_actors)
    facts: list[FedStep] = []
    absent: dict[str, str] = {}
    for case in cases:
        try:
            facts.append(in_child(_with_ray, case, num_rounds, num_steps, limit_s=_LIMIT_S))
        except RuntimeError as error:
            absent[case.method] = str(error)[:300]
    settings = {
        "corpus": "avrep synth",
        "num_videos": _CORPUS.num_videos,
        "decode_actors": num_actors,
    }
    settings |= {"num_rounds": num_rounds, "num_steps": num_steps}
    return SuiteResult(
        suite="objectives",
        made=made,
        settings=settings,
        absent=absent,
        facts=tuple(asdict(fact) for fact in facts),
    )


def toy_cases(work: Path, num_actors: int) -> list[StepCase]:
    """The recipes, on the corpus that they are made for, written to `work` once."""
    corpus = write_corpus(work / "toy", _CORPUS, num_workers=2)
    catalogs = {"": work / "toy.parquet", "speech": work / "toy_speech.parquet"}
    for below, path in catalogs.items():
        index_sources([str(corpus / below)], path, num_workers=2)
    return [
        StepCase(
            recipe=recipe,
            size="toy",
            overrides=(
                f"data.catalog={catalogs['speech' if recipe == 'toy/ssast' else '']}",
                f"data.num_decode_actors={num_actors}",
                # What is measured on logged steps would be measured on all that are cached.
                "train.log_every_steps=100000",
            ),
        )
        for recipe in RECIPES
    ]


def fed_and_cached(case: StepCase, num_rounds: int, num_steps: int) -> FedStep:
    """Time both kinds of step in turns, so that a noisy neighbour meets both; Ray must be initialised.

    Args:
        case: what to train.
        num_rounds: turns of each kind.
        num_steps: timed in each turn, after some that are not.
    """
    from avrep.cluster.stream_of import stream_of

    config, objective = case.config(), case.build()
    use_threads(config)
    source = training_source(config, objective)
    taken: list[tuple[float, float]] = []

    def on_step(record: StepRecord) -> None:
        taken.append((record.elapsed_s, record.wait_s))

    per_turn = _WARM_STEPS + num_steps
    with stream_of(config.data)(source, range(1 + num_rounds * per_turn)) as stream:
        train(
            config.train,
            objective,
            build_optimizer(objective.named_parameters(), config.train.optim),
            turns(stream, num_rounds, per_turn),
            seed=config.seed,
            device=torch.device("cpu"),
            on_step=on_step,
        )
    rounds = [
        taken[first + _WARM_STEPS : first + per_turn] for first in range(0, len(taken), per_turn)
    ]
    elapsed_s = [sum(elapsed for elapsed, _ in turn) for turn in rounds]
    waited_s = [sum(waited for _, waited in turn) for turn in rounds]
    cached_s, fed_s = elapsed_s[::2], elapsed_s[1::2]
    return FedStep(
        method=case.method,
        recipe_steps=config.train.num_steps,
        cached_s=spread([seconds / num_steps for seconds in cached_s]),
        fed_s=spread([seconds / num_steps for seconds in fed_s]),
        fed_over_cached=spread([fed / own for fed, own in zip(fed_s, cached_s, strict=True)]),
        wait_share=spread([wait / fed for wait, fed in zip(waited_s[1::2], fed_s, strict=True)]),
    )


def turns(stream: Iterator[Batch], num_rounds: int, per_turn: int) -> Iterator[Batch]:
    cached = next(stream)
    for _ in range(num_rounds):
        yield from repeat(cached, per_turn)
        yield from islice(stream, per_turn)


def _with_ray(case: StepCase, num_rounds: int, num_steps: int) -> FedStep:
    with quiet_ray():
        return fed_and_cached(case, num_rounds, num_steps)
