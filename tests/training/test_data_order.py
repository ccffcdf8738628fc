import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data_order import DataOrder

counts = st.integers(1, 50)
seeds = st.integers(0, 2**32 - 1)


@given(count=counts, seed=seeds, epoch=st.integers(0, 5))
def test_each_epoch_shows_every_image_once(count: int, seed: int, epoch: int) -> None:
    assert sorted(DataOrder(count, seed).take(epoch * count, count)) == list(range(count))


@given(count=counts, seed=seeds, position=st.integers(0, 500), first=st.integers(1, 80), second=st.integers(1, 80))
def test_the_order_depends_on_the_position_alone(count: int, seed: int, position: int, first: int, second: int) -> None:
    order = DataOrder(count, seed)
    whole = order.take(position, first + second)
    resumed = DataOrder(count, seed).take(position + first, second)
    np.testing.assert_array_equal(whole[first:], resumed)
    np.testing.assert_array_equal(order.take(position, first), whole[:first])


def test_epochs_and_seeds_differ() -> None:
    order = DataOrder(100, 0)
    assert not np.array_equal(order.take(0, 100), order.take(100, 100))
    assert not np.array_equal(order.take(0, 100), DataOrder(100, 1).take(0, 100))
