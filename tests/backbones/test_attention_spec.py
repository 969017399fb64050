"""Attention is asked for by name; what means nothing is refused before a network is built."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from leukfeat.backbones.attention_spec import KINDS, AttentionSpec
from leukfeat.errors import UnknownNameError, UsageError


@pytest.mark.parametrize("name", KINDS)
def test_a_description_is_read_back_as_the_same_spec(name: str) -> None:
    """Specs travel in recipes and in the metadata of weights files."""
    spec = AttentionSpec(name=name)
    assert AttentionSpec.from_description(spec.describe()) == spec
    assert hash(AttentionSpec.from_description(spec.describe())) == hash(spec)


def test_a_default_that_is_written_out_changes_nothing() -> None:
    """Features are kept under the description, so two ways of asking for the same must not differ."""
    assert AttentionSpec(name="cbam", reduction=16, spatial_kernel=7) == AttentionSpec(name="cbam")
    assert AttentionSpec(name="eca", kernel_size="adaptive").describe() == AttentionSpec(name="eca").describe()


def test_a_description_holds_only_options_of_its_kind() -> None:
    assert AttentionSpec(name="eca").describe() == {
        "name": "eca",
        "after": "last",
        "pre_pool": False,
        "kernel_size": "adaptive",
    }


def test_defaults_are_those_of_the_papers() -> None:
    cbam, saeed = AttentionSpec(name="cbam"), AttentionSpec(name="saeed")
    assert (cbam.spatial_kernel, cbam.reduction, cbam.mlp_bias, cbam.residual) == (7, 16, False, "none")
    assert (saeed.spatial_kernel, saeed.mlp, saeed.spatial_bn, saeed.merge) == (3, "linear", False, "concat")


@pytest.mark.parametrize("nothing", [None, "none", {"name": "none"}])
def test_none_is_no_attention(nothing: Any) -> None:
    assert AttentionSpec.of(nothing) is None


def test_a_name_a_mapping_and_a_spec_stand_for_the_same() -> None:
    spec = AttentionSpec(name="eca")
    assert AttentionSpec.of("eca") == AttentionSpec.of({"name": "eca"}) == AttentionSpec.of(spec) == spec


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        AttentionSpec(name="eca").after = "blocks"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"name": "saeed"}, "saeed"),
        ({"name": "eca", "after": "blocks", "kernel_size": 9}, "eca after blocks kernel_size 9"),
        ({"name": "cbam", "after": "blocks", "pre_pool": True}, "cbam after blocks pre_pool true"),
    ],
)
def test_a_label_says_what_is_unusual(fields: dict[str, Any], label: str) -> None:
    assert AttentionSpec(**fields).label == label


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "eca", "reduction": 8}, "attention eca: has no option 'reduction'; its options: after, kernel_size"),
        ({"name": "felbo", "mlp": "linear"}, "has no option 'mlp'"),
        ({"name": "cbam", "merge": "add"}, "has no option 'merge'"),
        ({"name": "eca", "kernel_size": 4}, "kernel_size is 4; give 'adaptive' or an odd number"),
        ({"name": "eca", "kernel_size": -3}, "kernel_size is -3"),
        ({"name": "eca", "kernel_size": True}, "kernel_size is True"),
        ({"name": "cbam", "spatial_kernel": 6}, "spatial_kernel is 6; give an odd number"),
        ({"name": "cbam", "reduction": 0}, "reduction is 0; give a whole number of 1 or more"),
        ({"name": "cbam", "reduction": 2.0}, "reduction is 2.0"),
        ({"name": "cbam", "mlp_bias": "no"}, "mlp_bias is 'no'; give true or false"),
        ({"name": "cbam", "order": "both"}, "order is 'both'; give 'channel-spatial' or 'spatial-channel'"),
        ({"name": "cbam", "residual": ["conv1x1"]}, "residual is ['conv1x1']"),
        ({"name": "eca", "after": "first"}, "after is 'first'; give 'last' or 'blocks'"),
        ({"name": "eca", "pre_pool": True}, "pre_pool belongs to after: blocks"),
        ({"name": "saeed", "reduction": 8}, "reduction 8 with mlp 'linear', which has no hidden layer"),
    ],
)
def test_an_option_that_means_nothing_is_refused_in_one_line(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        AttentionSpec(**fields)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.gives == "vector"])
def test_a_vector_cannot_stand_between_blocks(name: str) -> None:
    with pytest.raises(UsageError, match="gives a vector"):
        AttentionSpec(name=name, after="blocks")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("cbm", "attention 'cbm' is not known; did you mean 'cbam'?"),
        ({"name": "eca", "kernel": 9}, "option of attention 'kernel' is not known"),
    ],
)
def test_an_unknown_name_is_answered_with_those_there_are(value: Any, told: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        AttentionSpec.of(value)
    assert told in str(caught.value)


@pytest.mark.parametrize("value", [{"after": "blocks"}, {"name": "none", "after": "blocks"}, 3, ["eca"]])
def test_what_is_no_attention_at_all_is_refused(value: Any) -> None:
    with pytest.raises(UsageError):
        AttentionSpec.of(value)
