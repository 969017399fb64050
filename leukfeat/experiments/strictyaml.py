"""YAML's safe subset, read strictly: a key that stands twice is an error, and 1e-4 is a number."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from leukfeat.errors import RecipeError

_MERGE = "tag:yaml.org,2002:merge"  # <<: *anchor; what stands beside it wins


def read_yaml(file: Path) -> Any:
    """The content of a file as plain Python types.

    Raises
    ------
    RecipeError
        The file is missing, cannot be read, is no YAML, or has a key that stands twice; the message names the line.
    """
    try:
        return yaml.load(file.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise RecipeError(f"{file}: no such recipe") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{file}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{file}{where}: {getattr(error, 'problem', None) or 'not YAML'}") from error


def yaml_value(text: str) -> Any:
    """A value as a recipe would write it: ``0.0003``, ``[0.2, 1.2]``, ``{rotate: 45}``.

    Raises
    ------
    RecipeError
        Not YAML.
    """
    try:
        value = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError:
        raise RecipeError(f"{text!r} is not a value such as 0.0003, frozen or {{rotate: 45}}") from None
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 takes 1e-4 for text
        except ValueError:
            return value
    return value


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are all different."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
