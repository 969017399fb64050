"""Studies: what is learned from several runs of one candidate, as values that can be kept as JSON.

A study holds numbers with their intervals, and the names of the runs they come from; the runs hold the predictions.
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, Union, get_args, get_origin, get_type_hints

import numpy as np

from leukfeat.errors import RunError
from leukfeat.evaluation.predictions import Predictions
from leukfeat.jsonfiles import parse_json
from leukfeat.textfiles import write_text

SCHEMA = 1


class Study:
    """A base for frozen dataclasses of plain values, other such dataclasses, tuples and optional values.

    Attributes
    ----------
    kind : str
        What it is, in words.
    file_name : str
        Of its file in a run folder.
    """

    kind: ClassVar[str]
    file_name: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON types; a number that is none is None."""
        return {"study": self.kind, "schema": SCHEMA, **_plain(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """What :meth:`to_dict` made.

        Raises
        ------
        RunError
            Another study, one of another version, or a part is missing or of a wrong type.
        """
        if content.get("study") != cls.kind or content.get("schema") != SCHEMA:
            found = content.get("study", "file of no study")
            raise RunError(
                f"a {cls.kind} of schema {SCHEMA} is read here, and this is a {found} of schema"
                f" {content.get('schema')}; make it again"
            )
        try:
            made: Self = _made(cls, content)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{cls.kind}: {error} is missing or of a wrong type; make it again") from error
        return made

    def save(self, file: Path | str) -> Path:
        """Write JSON, whole or not at all."""
        with write_text(file) as stream:
            json.dump(self.to_dict(), stream, indent=1, ensure_ascii=False, allow_nan=False)
        return Path(file)

    @classmethod
    def load(cls, file: Path | str) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        RunError
            No such file, no JSON, or another study.
        """
        try:
            content = parse_json(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{file}: cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise RunError(f"{file}: holds no study")
        try:
            return cls.from_dict(content)
        except RunError as error:
            raise RunError(f"{file}: {error}") from error


def in_order(predictions: Predictions) -> Predictions:
    """Rows by repeat and sample: every split deals the same samples into folds of its own."""
    return predictions.take(np.lexsort((predictions.sample, predictions.repeat)))


def same_rows(one: Predictions, other: Predictions) -> bool:
    """Whether row by row the same samples of the same groups were tested, so that resamples can be shared."""
    return one.classes == other.classes and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("sample", "repeat", "y_true", "group")
    )


def _plain(value: Any) -> Any:
    """A value as JSON types."""
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _made(kind: Any, content: Any) -> Any:
    """A value of a type, as a type hint states it, from JSON types."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        return kind(**{part.name: _made(hints[part.name], content[part.name]) for part in fields(kind)})
    members = get_args(kind)
    if get_origin(kind) is tuple:
        each = members[:1] * len(content) if members[1:] == (Ellipsis,) else members
        return tuple(_made(member, part) for member, part in zip(each, content, strict=True))
    if get_origin(kind) in (Union, types.UnionType):
        (member,) = (one for one in members if one is not type(None))
        return None if content is None else _made(member, content)
    if kind is float:
        return math.nan if content is None else float(content)
    known = content in members if get_origin(kind) is Literal else type(content) is kind
    if not known:
        raise TypeError(f"{content!r}")
    return content
