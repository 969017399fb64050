"""Seeds keep their promise whoever draws at the same time."""

from __future__ import annotations

import threading

import torch

from leukfeat.backbones.chance import own_chance


def test_threads_that_draw_at_once_get_what_their_seeds_promise() -> None:
    meeting = threading.Barrier(8)
    drawn: dict[int, list[float]] = {}

    def draw(seed: int) -> None:
        meeting.wait()
        with own_chance():
            torch.manual_seed(seed)
            drawn[seed] = [float(torch.rand(())) for _ in range(200)]

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, numbers in drawn.items():
        own = torch.Generator().manual_seed(seed)
        assert numbers == [float(torch.rand((), generator=own)) for _ in range(200)]


def test_the_callers_chance_is_left_alone() -> None:
    before = torch.get_rng_state()
    with own_chance(), own_chance():
        torch.manual_seed(1)
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
