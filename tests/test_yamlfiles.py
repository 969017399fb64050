"""YAML is read strictly: nothing is executed, nothing grows, and every complaint is one line that names the place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from leukfeat.errors import RecipeError
from leukfeat.yamlfiles import read_yaml, yaml_value

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "code": ("!!python/object/apply:os.system ['touch {}']", "could not determine a constructor"),
    "a module": ("!!python/module:subprocess", "could not determine a constructor"),
    "a bomb": (BOMB, "aliases, written out"),
    "a circle": ("a: &a [*a]", "stands inside what it names"),
    "deep lists": ("[" * 5000, "nested more than"),
    "deep mappings": ("{a: " * 3000, "nested more than"),
    "a list as a key": ("? [a]\n: b", "cannot be a key"),
    "a key twice": ("a: 1\nb: 2\na: 3", "stands twice"),
    "no date": ("a: 2024-99-99", "is no timestamp"),
    "no integer": ("a: !!int x", "is no int"),
    "an empty integer": ("a: !!int ''", "is no int"),
    "no float": ("a: !!float x", "is no float"),
    "no switch": ("a: !!bool x", "is no bool"),
    "no mapping": ("a: !!map [b]", "is no map"),
    "a number of 5,000 digits": (f"a: {'9' * 5000}", "is no int"),
    "a null character": ("a: \0", "not YAML"),
    "an unknown alias": ("a: *b", "undefined alias"),
    "half a text": ("a: 'b", "found unexpected end"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_plain_yaml_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    text, said = REFUSED[kind]
    file = tmp_path / "recipe.yaml"
    file.write_text(text.replace("{}", str(tmp_path / "executed")))
    with pytest.raises(RecipeError, match=said) as caught:
        read_yaml(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert not (tmp_path / "executed").exists()


def test_the_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("a: 1\nb:\n  - 2024-99-99\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml line 3: '2024-99-99' is no timestamp"):
        read_yaml(file)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "recipe.yaml").open("wb") as stream:
        stream.truncate(10**9)
    with pytest.raises(RecipeError, match="1,000,000,000 bytes are more than a recipe can have"):
        read_yaml(tmp_path / "recipe.yaml")


def test_honest_aliases_and_merges_are_read(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n")
    assert read_yaml(tmp_path / "recipe.yaml") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": [{"x": 1, "y": 2}] * 2,
    }


@pytest.mark.parametrize("text", ["[" * 5000, "2024-99-99", "{[a]: b}", "'", "!!int x"])
def test_a_value_of_an_option_is_read_as_strictly(text: str) -> None:
    with pytest.raises(RecipeError, match="is not a value such as"):
        yaml_value(text)


TEXTS = st.text(alphabet="ab01.:-_ \n[]{},&*!?|>'\"#%@<~\t=é", max_size=60)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
@example("!!timestamp x")
@example("a: !!binary x")
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever somebody types, there is no other exception, and no deep stack."""
    before = sys.getrecursionlimit()
    try:
        yaml_value(text)
    except RecipeError as error:
        assert "\n" not in str(error)  # noqa: PT017 (it need not be raised)
    assert sys.getrecursionlimit() == before
