"""Who decodes, how many share a step and how far ahead the stream reads: none of it changes a batch.

The truth is the plain generator of a single trainer.
"""

from collections.abc import Callable

import pytest

from avrep.cluster.stream import ray_stream
from avrep.media.catalog import Catalog
from avrep.pipeline.batches import batches
from avrep.types import Address

from .runs import digest, make_source, plain_digests, row_digests

pytestmark = [
    pytest.mark.faults,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
]

Record = Callable[[str, object], None]

_ONE_VISIT_BYTES = 2 * 2 * 32 * 43 * 3


@pytest.mark.parametrize(
    ("num_actors", "prefetch_bytes", "world_size"),
    [
        (2, 3 * 2 * _ONE_VISIT_BYTES, 1),
        (1, 2**28, 2),
        pytest.param(4, 2**28, 1, marks=pytest.mark.slow),
        pytest.param(2, 2**24, 4, marks=pytest.mark.slow),
    ],
)
def test_global_batches_do_not_depend_on_the_topology(
    synth_catalog: Catalog,
    record_property: Record,
    num_actors: int,
    prefetch_bytes: int,
    world_size: int,
) -> None:
    """Row by row over all ranks, from a step on that is not the first of an epoch."""
    source, steps = make_source(synth_catalog, global_batch=8), range(5, 15)
    rows: dict[int, list[tuple[Address, str]]] = {step: [] for step in steps}
    for rank in range(world_size):
        with ray_stream(
            source,
            steps,
            rank,
            world_size,
            num_actors=num_actors,
            prefetch_bytes=prefetch_bytes,
        ) as stream:
            for batch in stream:
                rows[batch.step].extend(zip(batch.addresses, row_digests(batch), strict=True))
    expected = {
        batch.step: list(zip(batch.addresses, row_digests(batch), strict=True))
        for batch in batches(source, steps)
    }
    assert rows == expected
    record_property("fault", "another topology")
    record_property("planted", 1)
    text = f"{num_actors} actors, {world_size} ranks, {prefetch_bytes / 2**20:.3g} MiB ahead: same"
    record_property("result", text)


def test_draws_of_one_visit_are_shared_out_too(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog, global_batch=6, draws_per_visit=3)
    with ray_stream(source, range(8), num_actors=2) as stream:
        assert [digest(batch) for batch in stream] == plain_digests(source, range(8))
