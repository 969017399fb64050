"""Batches on their way through a GPU come out whole and in order, however little of its memory is free.

The GPU is played by the CPU: what is copied, queued and waited for is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from leukfeat.backbones.engines.cuda import Queue
from leukfeat.errors import UsageError


@pytest.fixture(autouse=True)
def _played(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is copied back before somebody waits for the event that is recorded after it."""
    queued: list[tuple[Tensor, Tensor]] = []
    copy = Tensor.copy_

    class Event:
        def record(self, stream: object) -> None:
            self.copies = [*queued]
            queued.clear()

        def synchronize(self) -> None:
            for back, embedding in self.copies:
                copy(back, embedding)

    monkeypatch.setattr(Tensor, "copy_", lambda back, embedding, non_blocking: queued.append((back, embedding)))
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self.clone())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "the stream")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)


def batches(*sizes: int) -> Iterator[NDArray[np.uint8]]:
    """Images of one pixel, numbered through, in memory that is used again as soon as it may be."""
    start, buffers = 0, [np.empty((max(sizes), 1, 1, 1), np.uint8) for _ in range(Queue.in_flight + 1)]
    for number, size in enumerate(sizes):
        images = buffers[number % len(buffers)][:size]
        images[:, 0, 0, 0] = np.arange(start, start + size)
        yield images
        start += size


def forward(room: int, passes: list[int]) -> Callable[[Tensor], Tensor]:
    """The numbers of images and their squares; more than ``room`` images do not fit."""

    def numbers(images: Tensor) -> Tensor:
        if len(images) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        passes.append(len(images))
        with torch.inference_mode():
            x = images.reshape(len(images), 1).float()
            return torch.cat([x, x * x], dim=1)

    return numbers


@pytest.mark.parametrize(("room", "expected"), [(100, [8, 8, 3]), (8, [8, 8, 3]), (7, [4, 4, 4, 4, 3]), (1, [1] * 19)])
def test_what_does_not_fit_is_computed_in_pieces(room: int, expected: list[int]) -> None:
    passes: list[int] = []
    found = list(Queue(forward(room, passes), torch.device("cpu")).stream(batches(8, 8, 3)))
    assert [X.shape for X in found] == [(8, 2), (8, 2), (3, 2)]
    whole = np.concatenate(found)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole[:, 0], np.arange(19))
    np.testing.assert_array_equal(whole[:, 1], np.arange(19.0) ** 2)
    assert passes == expected


def test_a_batch_that_fits_where_others_did_not_stays_whole() -> None:
    # the last one of a data set is small, and so may be those filled before the engine was open
    passes: list[int] = []
    list(Queue(forward(4, passes), torch.device("cpu")).stream(batches(3, 8, 3, 8)))
    assert passes == [3, 4, 4, 3, 4, 4]


def test_a_memory_that_holds_not_one_image_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^not even one image fits [^\n]*--device cpu[^\n]*$"):
        list(Queue(forward(0, []), torch.device("cpu")).stream(batches(8)))


def test_no_more_batches_are_taken_than_are_in_flight() -> None:
    taken = 0

    def counted() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        for images in batches(2, 2, 2, 2, 2):
            taken += 1
            yield images

    for given, _ in enumerate(Queue(forward(9, []), torch.device("cpu")).stream(counted())):
        assert taken - given <= Queue.in_flight
