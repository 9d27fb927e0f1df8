"""How a config's streams are opened; apart from `avrep.cluster.stream`, which imports no torch."""

from functools import partial

from avrep.cluster.stream import ray_stream
from avrep.config import DataConfig
from avrep.pipeline.stream import OpenStream, plain_stream


def stream_of(config: DataConfig) -> OpenStream:
    """Ray's streams, or without decode actors the plain ones."""
    if config.num_decode_actors == 0:
        return plain_stream
    return partial(
        ray_stream,
        num_actors=config.num_decode_actors,
        max_actors=config.max_decode_actors,
        prefetch_bytes=config.prefetch_bytes,
        read_ahead_bytes=config.read_ahead_bytes,
    )
