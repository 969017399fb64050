"""Batches come out in order, however long each call takes, and no more of them are taken in than was said."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from leukfeat.backbones.engines.lanes import Lanes, processors


def batches(*sizes: int) -> Iterator[NDArray[np.uint8]]:
    """Images of one pixel, numbered through."""
    start = 0
    for size in sizes:
        yield np.arange(start, start + size, dtype=np.uint8).reshape(size, 1, 1, 1)
        start += size


def numbers(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), 1).astype(np.float32)


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize("threads", [1, 4])
def test_rows_come_out_in_the_order_of_images(chunk: int, threads: int) -> None:
    def uneven(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(0.002 * (int(images[0, 0, 0, 0]) % 3))  # later calls overtake
        return numbers(images)

    found = list(Lanes(uneven, chunk=chunk, threads=threads).stream(batches(7, 1, 5, 2)))
    assert [len(batch) for batch in found] == [7, 1, 5, 2]
    np.testing.assert_array_equal(np.concatenate(found)[:, 0], np.arange(15))


def test_no_more_batches_are_taken_than_are_in_flight() -> None:
    # each is a piece of memory that the caller must not touch
    taken = 0

    def counted() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        for batch in batches(*[2] * 6):
            taken += 1
            yield batch

    lanes = Lanes(numbers, chunk=1, threads=2)
    for given, _ in enumerate(lanes.stream(counted())):
        assert taken - given <= lanes.in_flight


def test_the_next_batch_is_computed_while_the_caller_is_busy() -> None:
    second = threading.Event()

    def watched(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        if images[0, 0, 0, 0] == 4:
            second.set()
        return numbers(images)

    stream = Lanes(watched, chunk=4, threads=1).stream(batches(4, 4, 4))
    next(stream)
    assert second.wait(10)
    stream.close()


def test_closing_ends_all_threads() -> None:
    stream = Lanes(numbers, chunk=1, threads=2).stream(batches(8, 8, 8))
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine")]


def test_a_call_that_fails_fails_the_stream() -> None:
    def broken(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        list(Lanes(broken, chunk=1, threads=2).stream(batches(3)))


def test_pytorch_has_its_threads_back_afterwards() -> None:
    # what trains after an extraction would run on one core otherwise
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen: set[int] = set()

        def count(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen.add(torch.get_num_threads())
            return numbers(images)

        list(Lanes(count, chunk=1, threads=2, torch_alone=True).stream(batches(4)))
        assert seen == {1}
        assert torch.get_num_threads() == 3
        in_new_thread: list[int] = []
        thread = threading.Thread(target=lambda: in_new_thread.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert in_new_thread == [3]
    finally:
        torch.set_num_threads(before)


def test_pytorchs_number_of_threads_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert processors() == 3
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert processors() == 8
