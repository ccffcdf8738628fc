import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.engine import latents

seeds = st.integers(0, latents.SEEDS - 1)


@given(seed=seeds, size=st.integers(1, 64))
def test_a_latent_is_what_a_fresh_random_state_draws(seed: int, size: int) -> None:
    expected = np.random.RandomState(seed).randn(size).astype(np.float32)
    np.testing.assert_array_equal(latents.from_seed(seed, size), expected)


def test_an_odd_size_leaves_nothing_behind_for_the_next_seed() -> None:
    first = latents.from_seed(7, 5)  # the generator makes normals in pairs and keeps the second
    latents.from_seed(8, 3)
    np.testing.assert_array_equal(latents.from_seed(7, 5), first)


def test_threads_do_not_disturb_each_other() -> None:
    wrong = []

    def draw(seed: int) -> None:
        expected = np.random.RandomState(seed).randn(16).astype(np.float32)
        wrong.extend(1 for _ in range(500) if not np.array_equal(latents.from_seed(seed, 16), expected))

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_after_the_last_seed_comes_the_first() -> None:
    assert latents.consecutive(2**32 - 2, 4) == (2**32 - 2, 2**32 - 1, 0, 1)
