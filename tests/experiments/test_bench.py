"""What is measured says what to expect, and an engine that fails is told and stops nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from leukfeat.errors import UsageError
from leukfeat.experiments import bench


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything as small as it can be; no figure means anything."""
    small: dict[str, Any] = {
        "BACKBONE": "test_efficientnet", "HEAD": "logistic", "_SECONDS": 0.01, "_TABLE": (120, 60), "_HEAD_TRIALS": 1,
        "_PIXELS": 32,
    }  # fmt: skip
    for name, value in small.items():
        monkeypatch.setattr(bench, name, value)


@pytest.mark.usefixtures("_small")
def test_everything_is_measured_and_the_last_line_says_what_to_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_worth_measuring", lambda: ("eager",))
    told: list[str] = []
    found = bench.measure(told.append)
    assert [one.topic for one in found] == ["decoding", "engine eager", "head logistic", "expect"]
    assert all(one.good for one in found), found
    assert "10,000 cells with test_efficientnet and engine eager: about" in found[-1].found
    assert len(told) == 3


@pytest.mark.usefixtures("_small")
def test_an_engine_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(name: str, *_: Any) -> float:
        if name == "broken":
            raise UsageError("its library is of another year")
        return 10.0

    monkeypatch.setattr(bench, "_worth_measuring", lambda: ("broken", "eager"))
    monkeypatch.setattr(bench, "_forward_a_second", forward)
    found = {one.topic: one for one in bench.measure()}
    assert not found["engine broken"].good
    assert "another year" in found["engine broken"].found
    assert "engine eager" in found["expect"].found


def test_the_fastest_engine_is_expected_and_decoding_shares_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "choose_device", lambda: _Device("cpu"))
    # 10,000 images: 100 s of forward and, on the same processors, 100 s of decoding
    assert "engine fast: about 3 min" in bench._expected(100.0, {"slow": 1.0, "fast": 100.0}, 1.0).found
    monkeypatch.setattr(bench, "choose_device", lambda: _Device("cuda"))
    assert "engine fast: about 2 min" in bench._expected(100.0, {"slow": 1.0, "fast": 100.0}, 1.0).found
    assert not bench._expected(100.0, {}, 1.0).good


def test_a_rate_counts_what_comes_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # the first images also pay for caches and allocations; here they take ten seconds each, the others one
    clock = [0.0]

    def images() -> Iterator[int]:
        for number in range(100):
            clock[0] += 10.0 if number < 4 else 1.0
            yield 8

    monkeypatch.setattr(bench.time, "perf_counter", lambda: clock[0])
    assert bench._rate(images(), warm=32) == pytest.approx(8.0)


class _Device:
    def __init__(self, kind: str) -> None:
        self.type = kind
