"""Fixtures of every test: one thread, one seed."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors are fastest on one thread, here and in the commands that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def seed() -> int:
    """Every test starts from the same random numbers, whichever tests ran before it."""
    value = 1
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    return value
