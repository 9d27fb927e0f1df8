"""A trainer's decode actors at Ray's own Prometheus endpoint; see `avrep.cluster.run_gauges`."""

from ray.util.metrics import Counter, Gauge


class PoolGauges:
    """How many decode actors a trainer has, and how many it had to replace."""

    def __init__(self) -> None:
        self._actors = Gauge("avrep_decode_actors", "Decode actors of a trainer.", ("state",))
        self._replaced = Counter("avrep_replaced_actors", "Decode actors that were replaced.")

    def tell(self, num_running: int, num_starting: int) -> None:
        self._actors.set(num_running, {"state": "running"})
        self._actors.set(num_starting, {"state": "starting"})

    def replaced(self) -> None:
        self._replaced.inc()
