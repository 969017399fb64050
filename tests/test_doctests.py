"""Every example in a docstring is true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import leukfeat

MODULES = [
    module.name
    for module in pkgutil.walk_packages(leukfeat.__path__, "leukfeat.")
    if not module.name.endswith("__main__")
]


OPTIONAL = {"leukfeat.experiments.daskworkers": "distributed", "leukfeat.experiments.rayworkers": "ray"}


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name], reason=f"{OPTIONAL[name]} is not installed")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
