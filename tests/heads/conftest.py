"""Small tables of features with subject effects."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from leukfeat.heads import inner


@dataclass(frozen=True)
class Cells:
    """Features, classes and subjects of generated cells."""

    X: NDArray[np.float32]
    y: NDArray[np.str_]
    groups: NDArray[np.str_]


def make_cells(
    seed: int = 0, *, subjects: int = 16, cells: int = 5, features: int = 12, signal: float = 1.0, classes: int = 2
) -> Cells:
    """Cells of subjects that each have one class and a way of their own to look (a shift of every feature)."""
    rng = np.random.default_rng(seed)
    subject = np.repeat(np.arange(subjects), cells)
    class_of_subject = rng.permutation(np.arange(subjects) % classes)
    X = rng.normal(size=(subjects, features))[subject] + 0.5 * rng.normal(size=(subjects * cells, features))
    for k in range(classes):
        X[class_of_subject[subject] == k, k] += 3.0 * signal
    names = np.array(["all", "hem", "other"])
    return Cells(X.astype(np.float32), names[class_of_subject[subject]], np.array([f"S{s}" for s in subject]))


@pytest.fixture(scope="session")
def cells_of() -> Callable[..., Cells]:
    """The maker of generated cells."""
    return make_cells


@pytest.fixture(scope="session")
def cells() -> Cells:
    """80 cells of 16 subjects in two classes."""
    return make_cells()


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boosters that stop early do so after 15 rounds at the latest, to save time."""
    monkeypatch.setattr(inner, "MOST_ROUNDS", 15)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Any]:
    """A PostgreSQL server of our own (see benchmarks/faults/postgres.py)."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (leukfeat[postgres])")
    file = Path(__file__).resolve().parents[2] / "benchmarks" / "faults" / "postgres.py"
    spec = importlib.util.spec_from_file_location("leukfeat_test_postgres", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with module.Postgres() as server:
        yield server
