"""A trainer's decode actors at Ray's own Prometheus endpoint; see `avrep.cluster.run_gauges`."""

from ray.util.metrics import Counter, Gauge


class PoolGauges:
    """How many decode actors a stream has, and how many it had to replace.

    Args:
        catalog: path of the catalogue that they decode, which tells a mixture's streams apart.
    """

    def __init__(self, catalog: str) -> None:
        self._tags = {"catalog": catalog}
        self._actors = Gauge(
            "avrep_decode_actors", "Decode actors of a trainer.", ("catalog", "state")
        )
        self._replaced = Counter(
            "avrep_replaced_actors", "Decode actors that were replaced.", ("catalog",)
        )

    def tell(self, num_running: int, num_starting: int) -> None:
        """Set how many there are now."""
        self._actors.set(num_running, {**self._tags, "state": "running"})
        self._actors.set(num_starting, {**self._tags, "state": "starting"})

    def replaced(self) -> None:
        """Count one more."""
        self._replaced.inc(1, self._tags)
