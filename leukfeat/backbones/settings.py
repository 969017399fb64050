"""Values of a frozen specification, checked and put into their one form; every error names the key.

Each function looks at one field of a dataclass that is being made, and writes its canonical form back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from leukfeat.errors import UnknownNameError, UsageError

_Part = TypeVar("_Part")


def check_choice(spec: Any, key: str, name: str, known: Sequence[str]) -> None:
    """A name out of a table.

    Raises
    ------
    UnknownNameError
        It is in none.
    """
    value = getattr(spec, name)
    if value not in known:
        raise UnknownNameError(f"{key}.{name}", str(value), known)


def check_flag(spec: Any, key: str, name: str) -> None:
    """True or false.

    Raises
    ------
    UsageError
        It is neither.
    """
    if not isinstance(value := getattr(spec, name), bool):
        raise UsageError(f"{key}.{name} is {value!r}; give true or false")


def check_whole(spec: Any, key: str, name: str, *, low: int, high: int | None = None) -> None:
    """A whole number between bounds; None passes.

    Raises
    ------
    UsageError
        It is not.
    """
    value = getattr(spec, name)
    if value is None:
        return
    if not _is_number(value) or value != int(value) or value < low or (high is not None and value > high):
        bounds = f"{low} or more" if high is None else f"{low} … {high}"
        raise UsageError(f"{key}.{name} is {value!r}; give a whole number, {bounds}")
    object.__setattr__(spec, name, int(value))


def check_wholes(spec: Any, key: str, name: str, *, low: int) -> None:
    """A sequence of whole numbers, kept as a tuple.

    Raises
    ------
    UsageError
        It is not.
    """
    value = getattr(spec, name)
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(_is_number(one) and one == int(one) and one >= low for one in value)
    ):
        raise UsageError(f"{key}.{name} is {value!r}; give a list of whole numbers, {low} or more, e.g. [256]")
    object.__setattr__(spec, name, tuple(int(one) for one in value))


def check_number(
    spec: Any,
    key: str,
    name: str,
    *,
    low: float,
    high: float = math.inf,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """A number between bounds, kept as float; None and names (checked elsewhere) pass where the field allows them.

    Raises
    ------
    UsageError
        It is not.
    """
    value = getattr(spec, name)
    if value is None or (name == "class_weights" and isinstance(value, str)):
        return
    _within(f"{key}.{name}", value, low, high, open_low, open_high)
    object.__setattr__(spec, name, float(value))


def check_pair(
    spec: Any,
    key: str,
    name: str,
    *,
    low: float,
    high: float = math.inf,
    around: float | None = None,
    ordered: bool = True,
) -> None:
    """Two numbers, the smaller first unless ``ordered`` is off; one number r stands for ``around`` ± r.

    Raises
    ------
    UsageError
        They are not.
    """
    value = getattr(spec, name)
    if around is not None and _is_number(value) and value >= 0:
        value = (around - value, around + value)
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        one = ", or one number r for -r … r" if around is not None else ""
        raise UsageError(f"{key}.{name} is {value!r}; give two numbers{', the smaller first' if ordered else ''}{one}")
    for number in value:
        _within(f"{key}.{name}", number, low, high, open_low=False, open_high=False)
    if ordered and value[0] > value[1]:
        raise UsageError(f"{key}.{name} is {list(value)!r}; give the smaller number first")
    object.__setattr__(spec, name, (float(value[0]), float(value[1])))


def check_pairs(spec: Any, key: str, name: str, *, low: float, open_low: bool = False) -> None:
    """A mapping of names to numbers, kept as sorted pairs.

    Raises
    ------
    UsageError
        It is not.
    """
    value = getattr(spec, name)
    if not isinstance(value, Mapping):
        whole = isinstance(value, Sequence) and not isinstance(value, str)
        if not whole or not all(isinstance(pair, Sequence) and len(pair) == 2 for pair in value):
            raise UsageError(f"{key}.{name} is {value!r}; give a mapping of names to numbers")
        value = dict(value)
    for entry, number in value.items():
        if not isinstance(entry, str) or not entry:
            raise UsageError(f"{key}.{name} has the key {entry!r}; a key is a name (put it in quotes)")
        _within(f"{key}.{name}.{entry}", number, low, math.inf, open_low, open_high=False)
    object.__setattr__(spec, name, tuple(sorted((entry, float(number)) for entry, number in value.items())))


def part_of(kind: type[_Part], key: str, value: Any) -> _Part:
    """An object of a kind, or one made of a mapping with its fields."""
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise UsageError(f"{key} is {value!r}; give a mapping of its options")
    known = [one.name for one in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for name in value:
        if name not in known:
            raise UnknownNameError(f"key of {key}", str(name), known, shown=len(known))
    return kind(**value)


def fill_defaults(spec: Any, key: str, kind: str, name: str, table: Mapping[str, Mapping[str, Any]]) -> None:
    """Fill options left open with those of a kind, and refuse options that only other kinds have."""
    optional = {option for options in table.values() for option in options}
    for option in sorted(optional):
        if option in table[name]:
            if getattr(spec, option) is None:
                object.__setattr__(spec, option, table[name][option])
        elif getattr(spec, option) is not None:
            homes = ", ".join(repr(other) for other in table if option in table[other])
            raise UsageError(f"{key}.{option} belongs to {kind} {homes}, not to {name!r}; leave it out")


def described(spec: Any) -> dict[str, Any]:
    """All fields as JSON types: pairs of a name and a number become a mapping, other tuples lists."""
    told: dict[str, Any] = {}
    for one in dataclasses.fields(spec):
        value = getattr(spec, one.name)
        if one.name in ("lr_of", "multiply"):
            value = dict(value)
        elif isinstance(value, tuple):
            value = list(value)
        told[one.name] = value.describe() if hasattr(value, "describe") else value
    return told


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _within(key: str, value: Any, low: float, high: float, open_low: bool, open_high: bool) -> None:
    inside = _is_number(value) and (low < value if open_low else low <= value)
    if inside and (value < high if open_high else value <= high):
        return
    least = f"above {low:g}" if open_low else f"{low:g} or more"
    most = "" if high == math.inf else f", below {high:g}" if open_high else f", at most {high:g}"
    number = ""
    if isinstance(value, str):
        number = " (YAML takes 1e-3 for text; write 0.001 or 1.0e-3)"
    raise UsageError(f"{key} is {value!r}; give a number, {least}{most}{number}")
