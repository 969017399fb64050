"""YAML's safe subset, read strictly: nothing is executed, nothing grows, and a key that stands twice is an error.

A few hundred bytes of YAML can stand for terabytes (an anchor that is named twice in another, and so on), hold
themselves, or nest deeper than Python's stack; such a text is refused before a value is made of it.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from leukfeat.errors import RecipeError

_MERGE = "tag:yaml.org,2002:merge"  # <<: *anchor; what stands beside it wins
_DEEPEST = 40  # levels of nesting; a recipe has six
_LARGEST = 4_000_000  # bytes of a file, and characters with every alias written out


def read_yaml(file: Path) -> Any:
    """The content of a file as plain Python types.

    Raises
    ------
    RecipeError
        The file is missing, cannot be read, is no YAML, or has a key that stands twice; the message names the line.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise RecipeError(
                f"{file}: {file.stat().st_size:,} bytes are more than a recipe can have; is it another file?"
            )
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
        raise RecipeError(f"{text[:60]!r} is not a value such as 0.0003, frozen or {{rotate: 45}}") from None
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 takes 1e-4 for text
        except ValueError:
            return value
    return value


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice, and whatever is larger than it looks."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}  # characters of each finished node, aliases written out

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """One node of the text; an alias gives the node that it names."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs say nothing of it
        here = event.start_mark
        self._depth += 1
        if self._depth > _DEEPEST:
            raise yaml.composer.ComposerError(None, None, f"nested more than {_DEEPEST} deep", here)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if node not in self._sizes:
            if isinstance(event, yaml.AliasEvent):
                problem = f"*{event.anchor} stands inside what it names"
                raise yaml.composer.ComposerError(None, None, problem, here)
            self._sizes[node] = 1 + self._inside(node)
        if self._sizes[node] > _LARGEST:
            problem = "its aliases, written out, are more than a recipe can have"
            raise yaml.composer.ComposerError(None, None, problem, here)
        return node

    def _inside(self, node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return len(node.value)
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(child,) for child in node.value]
        return sum(self._sizes[child] for pair in pairs for child in pair)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        # what PyYAML's constructors let through where a text is not of the type it claims to be, or looks like
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            problem = f"{str(node.value)[:40]!r} is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose keys are all different."""
        seen: set[object] = set()
        if not isinstance(node, yaml.MappingNode):  # "!!map [a]"
            raise yaml.constructor.ConstructorError(None, None, "is no mapping", node.start_mark)
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                problem = f"a {type(key).__name__} cannot be a key"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)
