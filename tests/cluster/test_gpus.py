"""Who gets a GPU, and who is told that there is none: by hand, as there are none here."""

import pytest

from avrep.cluster.gpus import Gpus, takes_gpus, wait_notice
from avrep.errors import ConfigError


def test_cuda_means_gpus_though_none_is_registered_yet() -> None:
    assert [takes_gpus("cuda", num) for num in (0, 4)] == [True, True]
    assert [takes_gpus("auto", num) for num in (0, 4)] == [False, True]
    assert [takes_gpus("cpu", num) for num in (0, 4)] == [False, False]


def _told(num_wanted: int, num: int, num_free: int, *, can_grow: bool) -> str | None:
    found = Gpus(num=num, num_free=num_free, can_grow=can_grow)
    return wait_notice(num_wanted, found, asked=f"--workers {num_wanted}", mend="lower it")


def test_whoever_waits_is_told_what_for() -> None:
    assert _told(4, 4, 4, can_grow=True) is None
    assert _told(1, 1, 1, can_grow=False) is None
    assert _told(4, 0, 0, can_grow=True) == (
        "--workers 4: waiting for 4 GPUs; of the cluster's nodes that are there now, 0 of 0 are free"
    )
    assert "waiting for 4 GPUs" in str(_told(4, 8, 3, can_grow=True))
    # They are somebody's, who may be done one day.
    assert "waiting for 1 GPU;" in str(_told(1, 1, 0, can_grow=False))


@pytest.mark.parametrize("num", [0, 1])
def test_nobody_waits_for_gpus_that_never_come(num: int) -> None:
    with pytest.raises(ConfigError) as error:
        _told(2, num, num, can_grow=False)
    assert str(error.value) == (
        f"--workers 2 wants 2 GPUs, one for each worker, and Ray finds {num} on this machine; "
        "lower it, or set RAY_ADDRESS to a cluster that has them"
    )
