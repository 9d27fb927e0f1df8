"""Of the trainers that Ray gives, as many train as share every batch evenly. Three gloo ranks."""

from pathlib import Path

import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch.multiprocessing.spawn import spawn

from avrep.cluster.even_ranks import keep_even_ranks, num_even_ranks, visits_of_corpora
from avrep.training.parallel import sum_over_ranks
from tests.small_runs import two_corpora


@given(visits=st.lists(st.integers(1, 600), min_size=1, max_size=3), num_given=st.integers(1, 64))
def test_the_greatest_number_that_divides_all(visits: list[int], num_given: int) -> None:
    found = num_even_ranks(visits, num_given)
    assert 1 <= found <= num_given
    fit = [n for n in range(1, num_given + 1) if all(count % n == 0 for count in visits)]
    assert found == max(fit)


def test_what_is_shared_is_visits_not_draws() -> None:
    config = two_corpora({"draws_per_visit": 4}, {"batch_size": 24})
    assert visits_of_corpora(config) == [6, 6]


def _rank_main(rank: int, folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=3
    )
    if not keep_even_ranks(num_even_ranks([4], dist.get_world_size())):
        told = "spare"
    else:
        told = f"{dist.get_rank()} of {dist.get_world_size()}, {sum_over_ranks([rank + 1])}"
        dist.destroy_process_group()
    Path(folder, str(rank)).write_text(told)


@pytest.mark.slow
def test_spare_ranks_leave_and_the_others_are_a_group(tmp_path: Path) -> None:
    spawn(_rank_main, args=(str(tmp_path),), nprocs=3)
    told = [(tmp_path / str(rank)).read_text() for rank in range(3)]
    assert told == ["0 of 2, [3]", "1 of 2, [3]", "spare"]
