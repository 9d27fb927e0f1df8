"""Actors are as many as fit, and what they make on Ray, killed or not, is what one process makes."""

import os
import signal
from pathlib import Path

import pytest

from avrep.cluster.data_job import Actors
from avrep.cluster.embed import check_gpus, embed_on_ray, plan_actors
from avrep.cluster.gpus import Gpus
from avrep.embedding.corpus import embed_corpus
from avrep.embedding.job import EmbedConfig
from avrep.errors import ConfigError, ShardError
from avrep.media.catalog import Catalog, write_catalog
from tests.faults.victims import descendants

CONFIG = EmbedConfig(batch_size=7, clips_per_part=20)


def _node(alive: bool = True, **resources: float) -> dict[str, object]:
    return {"Alive": alive, "Resources": resources}


def test_actors_are_as_many_as_fit() -> None:
    laptop = [_node(CPU=4.0)]
    assert plan_actors(laptop, None, 9) == Actors(num=4)
    assert plan_actors(laptop, 2, 9) == Actors(num=2)
    # Nodes may still come for those that somebody asked for.
    assert plan_actors(laptop, 8, 9) == Actors(num=8)
    assert plan_actors(laptop, 8, 5) == Actors(num=5)
    assert plan_actors(laptop, None, 3) == Actors(num=3)
    # A node without GPUs gets no actor, and its cores count for none.
    cluster = [_node(CPU=96.0, GPU=8.0), _node(CPU=16.0, GPU=2.0), _node(CPU=64.0), _node(False)]
    assert plan_actors(cluster, None, 99) == Actors(num=10, num_cpus=8, num_gpus=1)
    assert plan_actors(cluster, 3, 99) == Actors(num=3, num_cpus=8, num_gpus=1)
    assert plan_actors(cluster, 12, 99) == Actors(num=12, num_cpus=8, num_gpus=1)
    assert plan_actors([_node(CPU=2.0, GPU=4.0)], None, 9) == Actors(num=4, num_gpus=1)


def test_the_device_decides_though_no_gpu_is_there_yet() -> None:
    head = [_node(object_store_memory=1e9)]
    assert plan_actors(head, 8, 99, "cuda") == Actors(num=8, num_gpus=1)
    assert plan_actors(head, 8, 99, "auto") == Actors(num=8)
    with_gpus = [_node(CPU=16.0, GPU=4.0)]
    assert plan_actors(with_gpus, None, 99, "cuda") == Actors(num=4, num_cpus=4, num_gpus=1)
    assert plan_actors(with_gpus, None, 99, "cpu") == Actors(num=16)


def test_who_waits_for_gpus_says_for_how_many() -> None:
    none, four = Gpus(num=0, num_free=0, can_grow=True), Gpus(num=4, num_free=4, can_grow=True)
    with pytest.raises(ConfigError, match="has no GPU yet; say with --workers how many"):
        check_gpus(none, None, "cuda")
    assert str(check_gpus(none, 8, "cuda")).startswith("--workers 8: waiting for 8 GPUs")
    assert check_gpus(none, None, "auto") is check_gpus(none, 8, "cpu") is None
    assert check_gpus(four, None, "cuda") is check_gpus(four, 4, "auto") is None
    for found, num_workers, asked in (
        (Gpus(num=0, num_free=0, can_grow=False), None, "--device cuda wants 1 GPU,"),
        (Gpus(num=1, num_free=1, can_grow=False), 2, "--workers 2 wants 2 GPUs,"),
    ):
        with pytest.raises(ConfigError, match=asked):
            check_gpus(found, num_workers, "cuda")


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
