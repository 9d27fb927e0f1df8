"""Actors are as many as fit, and what they make on Ray, killed or not, is what one process makes."""

import os
import signal
from pathlib import Path

import pytest

from avrep.cluster.data_job import Actors
from avrep.cluster.embed import embed_on_ray, plan_actors
from avrep.embedding.corpus import embed_corpus
from avrep.embedding.job import EmbedConfig
from avrep.errors import ShardError
from avrep.media.catalog import Catalog, write_catalog
from tests.faults.victims import descendants

CONFIG = EmbedConfig(batch_size=7, clips_per_part=20)


def _node(alive: bool = True, **resources: float) -> dict[str, object]:
    return {"Alive": alive, "Resources": resources}


def test_actors_are_as_many_as_fit() -> None:
    laptop = [_node(CPU=4.0)]
    assert plan_actors(laptop, None, 9) == Actors(num=4)
    assert plan_actors(laptop, 2, 9) == Actors(num=2)
    assert plan_actors(laptop, 8, 9) == Actors(num=4)
    assert plan_actors(laptop, None, 3) == Actors(num=3)
    # A node without GPUs gets no actor, and its cores count for none.
    cluster = [_node(CPU=96.0, GPU=8.0), _node(CPU=16.0, GPU=2.0), _node(CPU=64.0), _node(False)]
    assert plan_actors(cluster, None, 99) == Actors(num=10, num_cpus=8, num_gpus=1)
    assert plan_actors(cluster, 3, 99) == Actors(num=3, num_cpus=8, num_gpus=1)
    assert plan_actors([_node(CPU=2.0, GPU=4.0)], None, 9) == Actors(num=4, num_gpus=1)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_ray_makes_the_same_parts_though_an_actor_is_killed(
    tiny_run: Path,
    synth_catalog: Catalog,
    tmp_path: Path,
) -> None:
    here = embed_corpus(tiny_run, synth_catalog.path, tmp_path / "here", CONFIG)
    told: list[tuple[int, int]] = []
    killed: list[int] = []

    def kill_one(done: int, of: int) -> None:
        told.append((done, of))
        if 0 < done < of and not killed:
            killed.append(descendants(b"ray::MapWorker")[0])
            os.kill(killed[0], signal.SIGKILL)

    there = embed_on_ray(
        tiny_run,
        synth_catalog.path,
        tmp_path / "there",
        CONFIG,
        num_workers=2,
        progress=kill_one,
    )
    assert (there.num_clips, there.num_made) == (here.num_clips, here.num_clips)
    assert _contents(tmp_path / "there") == _contents(tmp_path / "here")
    assert (told[0], told[-1]) == ((0, 25), (25, 25))
    assert len(killed) == 1
    write_catalog(tmp_path / "lost.parquet", synth_catalog, str(tmp_path / "nowhere"))
    with pytest.raises(ShardError, match="when the storage is back, start the same avrep embed"):
        embed_on_ray(tiny_run, tmp_path / "lost.parquet", tmp_path / "lost", CONFIG, num_workers=1)
