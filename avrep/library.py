"""avrep from another program: clips into one's own loop, and a run's encoder on a file."""

from collections.abc import Iterator
from pathlib import Path

import torch

from avrep import rng
from avrep.assemble import build_objective, usable_rows
from avrep.augment.eval_crops import crop_views
from avrep.cluster.session import ray_session
from avrep.cluster.stream import ray_stream
from avrep.dense_clips import crop_config, dense_spec
from avrep.embedding.store import FeatureStore
from avrep.media.catalog import Catalog
from avrep.media.decode import decode_views
from avrep.media.local_file import local_item
from avrep.pipeline.batches import batches
from avrep.pipeline.collate import collate
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.sampling.spec import SamplerConfig, ViewSpec, draw_views, wants_audio, wants_video
from avrep.trained import read_run_config
from avrep.types import Address, Batch, Geometry


def stream_clips(
    catalog: Path | str,
    sampler: SamplerConfig,
    *,
    batch_size: int,
    num_epochs: int = 1,
    short_side_px: int | None = None,
    seed: int = 0,
    num_decode_actors: int = 0,
    root: str | None = None,
) -> Iterator[Batch]:
    """Clips of a catalogue's videos, shuffled each epoch, batch by batch.

    The batches are the same for any number of actors.

    Args:
        catalog: what `avrep index` wrote.
        sampler: which clips of each video.
        batch_size: videos in a batch; those that do not fill a last one wait for another epoch.
        num_epochs: how often to go through the videos.
        short_side_px: scale frames to this shorter side; as stored when None.
        seed: of the order and of the clips.
        num_decode_actors: Ray actors that decode; 0 decodes here, without Ray.
        root: where the files are now, if they moved since they were indexed.

    Yields:
        Batches whose views are uint8[b t h w 3], padded below and right where sizes differ.

    Raises:
        ConfigError: no such catalogue, or fewer videos than a batch has.
    """
    opened = Catalog.open(catalog, root)
    spec = ViewSpec(sampler=sampler, geometry=Geometry(short_side_px=short_side_px))
    rows = usable_rows(opened, video=wants_video(spec), audio=wants_audio(spec))
    plan = Plan(seed=seed, rows=rows, global_batch=batch_size)
    source = StreamSource(catalog=opened, plan=plan, specs=(spec,))
    steps = range(num_epochs * plan.steps_per_epoch)
    if num_decode_actors == 0:
        yield from batches(source, steps)
        return
    with (
        ray_session(num_decode_actors),
        ray_stream(source, steps, num_actors=num_decode_actors) as stream,
    ):
        yield from stream


def eval_clips(run_dir: Path | str, file: Path | str) -> torch.Tensor:
    """A file's clips as a run's evaluation would show them to its encoder.

    Args:
        run_dir: the run whose config says which clips.
        file: a video on disk.

    Returns:
        float32[n 3 t h w]: evenly spaced clips, each clip's crops in a row.

    Raises:
        ConfigError: no such run or file.
        MediaError: the file holds no usable video.
    """
    config = read_run_config(Path(run_dir))
    objective = build_objective(config)
    spec = dense_spec(config, objective, config.evaluation.num_clips)
    nothing_random = rng.at(config.seed, rng.Stage.EVALUATION, Address(0, 0))
    with local_item(Path(file), config.data.limits) as (item, data):
        times = draw_views(spec, item, nothing_random)
        view = collate(decode_views(data, times, spec.geometry, limits=config.data.limits))
    if view.video is None:
        raise ValueError("a view without frames")
    crops = crop_views(torch.from_numpy(view.video), view.size_px, crop_config(config, objective))
    return crops.flatten(0, 1)


def open_features(folder: Path | str) -> FeatureStore:
    """The vectors that `avrep embed` wrote.

    `.read()` gives all of them as numpy arrays, `.batches()` a thousand at a time, in the catalogue's
    order; `.facts` says what they are of.

    Raises:
        ConfigError: there are none, or they are not finished.
    """
    return FeatureStore.open(folder)
