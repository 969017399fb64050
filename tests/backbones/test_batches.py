"""Every image reaches the engine once, in order, in memory that nobody else writes to meanwhile, and bounded."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from leukfeat.backbones import batches as module
from leukfeat.backbones.batches import Batches, embedded
from leukfeat.backbones.inputs import Inputs
from leukfeat.backbones.stream import ImageWork, arranged_images
from leukfeat.data.manifest import Manifest

INPUTS = Inputs((16, 16), "none", 0.0, "bilinear", "unit", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
N = 23


class Sums:
    """An engine that keeps several batches in hand and sums up an image's pixels when it gives it back."""

    name, details, batch_size = "sums", "sums 1", None

    def __init__(self, in_flight: int = 3) -> None:
        self.in_flight = in_flight
        self.closed = False
        self.buffers: set[int] = set()

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Two sums an image: whole, and left half."""
        pixels = images.astype(np.float32)
        return np.stack([pixels.sum(axis=(1, 2, 3)), pixels[:, :, :8].sum(axis=(1, 2, 3))], axis=1)

    def stream(self, batches: Iterable[NDArray[np.uint8]]) -> Generator[NDArray[np.float32]]:
        """What the protocol of engines says."""
        held: deque[NDArray[np.uint8]] = deque()
        try:
            for images in batches:
                self.buffers.add(images.__array_interface__["data"][0])
                held.append(images)
                if len(held) == self.in_flight:
                    yield self.embed(held.popleft())
            while held:
                yield self.embed(held.popleft())
        finally:
            self.closed = True


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Images of noise, each of another mean."""
    for number in range(N):
        place = tmp_path / "cells" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 10 * number + 20, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{number:03d}.png")
    return Manifest.open(tmp_path / "cells", subjects="unknown")


def work_of(manifest: Manifest) -> list[ImageWork]:
    return [ImageWork(digest, (row,)) for row, digest in enumerate(manifest.sha256)]


def expected(manifest: Manifest) -> NDArray[np.float32]:
    images = [r.image for r in arranged_images(manifest, work_of(manifest), INPUTS, 1, 1) if r.image is not None]
    return Sums().embed(np.stack(images))


@pytest.mark.parametrize("in_flight", [1, 3])
@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 1), (1, 4), (4, 1), (5, 3), (8, 16), (64, 2)])
def test_the_batch_and_the_threads_change_nothing(
    manifest: Manifest, batch_size: int, num_workers: int, in_flight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # an engine sums when it lets go: memory handed to the threads too early would hold other images by then
    monkeypatch.setattr(module, "_BYTES_AHEAD", 0)
    with Batches(manifest, work_of(manifest), INPUTS, batch_size=batch_size, num_workers=num_workers) as batches:
        found = list(embedded(Sums(in_flight), batches))
    np.testing.assert_array_equal(np.concatenate([X for _, X in found]), expected(manifest))
    assert [place for batch, _ in found for place in batch.places] == list(range(N))
    assert [item for batch, _ in found for item in batch.work] == work_of(manifest)


def test_images_that_cannot_be_read_make_room(manifest: Manifest) -> None:
    whole = expected(manifest)
    bad = [0, 1, 2, 3, 5, 9, 22]  # the whole first batch of four, and some of others
    for row in bad:
        manifest.file(row).write_bytes(b"not an image")
    with Batches(manifest, work_of(manifest), INPUTS, batch_size=4, num_workers=2) as batches:
        found = list(embedded(Sums(), batches))
    good = [row for row in range(N) if row not in bad]
    np.testing.assert_array_equal(np.concatenate([X for batch, X in found if len(batch)]), whole[good])
    assert [place for batch, _ in found for place in batch.places] == good
    assert [row for batch, _ in found for row, _ in batch.failed] == bad
    assert [batch.asked for batch, _ in found] == [4, 4, 4, 4, 4, 3]


def test_nothing_at_all_is_no_batch(manifest: Manifest) -> None:
    with Batches(manifest, [], INPUTS, batch_size=4, num_workers=2) as batches:
        assert list(embedded(Sums(), batches)) == []


def test_memory_does_not_grow_with_the_images(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BYTES_AHEAD", 0)
    begun = 0

    def work() -> Iterator[ImageWork]:
        nonlocal begun
        for _ in range(20):
            for item in work_of(manifest):
                begun += 1
                yield item

    engine, done = Sums(in_flight=2), 0
    with Batches(manifest, work(), INPUTS, batch_size=4, num_workers=3) as batches:
        for batch, _ in embedded(engine, batches):
            done += batch.asked
            assert begun - done <= 4 * (module._BATCHES_AHEAD + engine.in_flight)
    assert done == 20 * N
    assert len(engine.buffers) <= module._BATCHES_AHEAD + engine.in_flight


def test_threads_read_while_nobody_takes_a_batch(manifest: Manifest) -> None:
    # a network takes seconds to load
    taken = 0

    def work() -> Iterator[ImageWork]:
        nonlocal taken
        for item in work_of(manifest):
            taken += 1
            yield item

    with Batches(manifest, work(), INPUTS, batch_size=4, num_workers=2):
        assert taken == N


def test_a_batch_may_change_its_size_on_the_way(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    # an engine says what it likes when it has been opened, and by then the first images have been read
    monkeypatch.setattr(module, "_BYTES_AHEAD", 0)
    with Batches(manifest, work_of(manifest), INPUTS, batch_size=2, num_workers=2) as batches:
        first = next(batches)
        batches.batch_size = 6
        found = list(embedded(Sums(), batches, [first]))
    np.testing.assert_array_equal(np.concatenate([X for _, X in found]), expected(manifest))
    assert {batch.asked for batch, _ in found} == {2, 6, 1}


def test_stopping_early_ends_the_threads_and_the_engine(manifest: Manifest) -> None:
    engine = Sums()
    with (
        Batches(manifest, work_of(manifest), INPUTS, batch_size=2, num_workers=2) as batches,
        contextlib.closing(embedded(engine, batches)) as outputs,
    ):
        next(outputs)
    assert engine.closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
