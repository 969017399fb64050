"""Which attention a network gets, where, and with which options; what exists is in one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from leukfeat.errors import UnknownNameError, UsageError

ADAPTIVE = "adaptive"
NONE = "none"


@dataclass(frozen=True)
class Kind:
    """What a kind of attention gives, and the options it has with their defaults.

    Attributes
    ----------
    gives : {"map", "vector"}
        A map of the same shape, or the embedding itself, in place of pooling.
    options : mapping
        Name of an option to its default.
    """

    gives: Literal["map", "vector"]
    options: Mapping[str, Any]


_SAEED: Mapping[str, Any] = {
    "mlp": "linear",
    "mlp_bias": False,
    "reduction": 16,
    "spatial_bn": False,
    "spatial_kernel": 3,
}

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "cbam": Kind(
            "map",
            {
                "mlp_bias": False,
                "order": "channel-spatial",
                "reduction": 16,
                "residual": "none",
                "spatial_bn": True,
                "spatial_kernel": 7,
            },
        ),
        "eca": Kind("map", {"kernel_size": ADAPTIVE}),
        "felbo": Kind("vector", {}),
        "gwap": Kind("vector", _SAEED),
        "saeed": Kind("vector", {**_SAEED, "merge": "concat"}),
        "saeed-cbam": Kind("map", _SAEED),
    }
)


def _is_odd(value: Any) -> bool:
    return type(value) is int and value > 0 and value % 2 == 1


def _one_of(*names: str) -> tuple[Callable[[Any], bool], str]:
    return lambda value: isinstance(value, str) and value in names, f"give {' or '.join(map(repr, names))}"


_SWITCH: tuple[Callable[[Any], bool], str] = (lambda value: type(value) is bool, "give true or false")
_ODD: tuple[Callable[[Any], bool], str] = (_is_odd, "give an odd number, so that the window has a middle")

# What an option may be, and how that is said. None has no place here: it stands for the kind's default.
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "after": _one_of("last", "blocks"),
    "pre_pool": _SWITCH,
    "kernel_size": (lambda value: value == ADAPTIVE or _is_odd(value), "give 'adaptive' or an odd number"),
    "reduction": (lambda value: type(value) is int and value > 0, "give a whole number of 1 or more"),
    "mlp": _one_of("linear", "bottleneck"),
    "mlp_bias": _SWITCH,
    "spatial_kernel": _ODD,
    "spatial_bn": _SWITCH,
    "order": _one_of("channel-spatial", "spatial-channel"),
    "residual": _one_of("none", "conv1x1"),
    "merge": _one_of("concat", "add"),
}


@dataclass(frozen=True, kw_only=True)
class AttentionSpec:
    """Attention on a network's feature maps. An option that is left out takes the default of its kind.

    Attributes
    ----------
    name : str
        A name in :data:`KINDS`. ``eca``, ``cbam`` and ``saeed-cbam`` give a map; ``gwap``, ``felbo`` and ``saeed``
        give the embedding, and take the place of pooling.
    after : {"last", "blocks"}
        On the map that is pooled, or after every stage of the network (kinds that give a map).
    pre_pool : bool
        With ``after="blocks"``: where a stage ends in a pooling layer, as in VGG, stand before that layer.
    kernel_size : "adaptive" or int
        ``eca``: channels that one weight is made of; adaptive to their number, or a fixed odd number.
    reduction : int
        ``cbam``, and Saeed's kinds with ``mlp="bottleneck"``: the hidden layer has C / reduction units.
    mlp : {"linear", "bottleneck"}
        Saeed's kinds: W0 is one linear layer, as the equation has it, or a shared MLP, as the text has it.
    mlp_bias : bool
        Whether channel attention has bias terms.
    spatial_kernel : int
        Side of the window of spatial attention: 7 in ``cbam``, 3 in Saeed's kinds.
    spatial_bn : bool
        Whether batch normalisation follows the convolution of spatial attention.
    order : {"channel-spatial", "spatial-channel"}
        ``cbam``: which of the two comes first.
    residual : {"none", "conv1x1"}
        ``cbam``: add a 1×1 convolution of the result to the map that came in, as the prose of Sajon et al. has it.
    merge : {"concat", "add"}
        ``saeed``: how the two vectors become one.

    Raises
    ------
    UnknownNameError
        A name there is not.
    UsageError
        An option of another kind, or a value that means nothing.

    Examples
    --------
    >>> AttentionSpec(name="eca").kernel_size
    'adaptive'
    >>> AttentionSpec(name="cbam", spatial_bn=False).label
    'cbam spatial_bn false'
    """

    name: str
    after: str = "last"
    pre_pool: bool = False
    kernel_size: str | int | None = None
    reduction: int | None = None
    mlp: str | None = None
    mlp_bias: bool | None = None
    spatial_kernel: int | None = None
    spatial_bn: bool | None = None
    order: str | None = None
    residual: str | None = None
    merge: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in KINDS:
            raise UnknownNameError("attention", str(self.name), (NONE, *KINDS))
        kind = KINDS[self.name]
        given = {name: value for name, value in self._fields().items() if name != "name" and value is not None}
        foreign = sorted(set(given) - set(kind.options) - {"after", "pre_pool"})
        if foreign:
            theirs = ", ".join(("after", *kind.options, "pre_pool"))
            raise UsageError(f"attention {self.name}: has no option {foreign[0]!r}; its options: {theirs}")
        for option, value in {**kind.options, **given}.items():
            holds, advice = _CHECKS[option]
            if not holds(value):
                raise UsageError(f"attention {self.name}: {option} is {value!r}; {advice}")
            object.__setattr__(self, option, value)
        if self.after == "blocks" and kind.gives != "map":
            maps = ", ".join(name for name, kind in KINDS.items() if kind.gives == "map")
            raise UsageError(
                f"attention {self.name}: gives a vector, so it cannot stand after blocks; use after: last, or one of"
                f" {maps}"
            )
        if self.pre_pool and self.after != "blocks":
            raise UsageError(f"attention {self.name}: pre_pool belongs to after: blocks; leave it out")
        if self.mlp == "linear" and self.reduction != kind.options["reduction"]:
            raise UsageError(
                f"attention {self.name}: reduction {self.reduction} with mlp 'linear', which has no hidden layer;"
                " add mlp: bottleneck"
            )

    @classmethod
    def of(cls, value: AttentionSpec | str | Mapping[str, Any] | None) -> AttentionSpec | None:
        """The spec that a value from a recipe or a command line stands for.

        Parameters
        ----------
        value : AttentionSpec, str, mapping or None
            A spec, a name, the fields of a spec, or nothing; ``"none"`` is nothing too.

        Raises
        ------
        UnknownNameError
            A name or an option there is not.
        UsageError
            A mapping without a name, options of no attention, or a value of another type.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, str):
            return None if value == NONE else cls(name=value)
        if not isinstance(value, Mapping):
            raise UsageError(
                f"attention is {value!r}; give a name such as cbam, or fields such as {{name: eca, after: blocks}}"
            )
        fields = [field.name for field in dataclasses.fields(cls)]
        for option in value:
            if option not in fields:
                raise UnknownNameError("option of attention", str(option), fields)
        if value.get("name") is None:
            raise UsageError(f"attention has no name; add name: one of {', '.join(KINDS)}")
        if value["name"] == NONE:
            if len(value) > 1:
                raise UsageError(f"attention none: has no option {sorted(set(value) - {'name'})[0]!r}; leave it out")
            return None
        return cls(**value)

    @property
    def label(self) -> str:
        """The name, then whatever is unusual about it; for tables."""
        usual = {"after": "last", "pre_pool": False, **KINDS[self.name].options}
        unusual = [
            f"after {value}" if option == "after" else f"{option} {_told(value)}"
            for option, value in self.describe().items()
            if option != "name" and value != usual[option]
        ]
        return " ".join((self.name, *unusual))

    def describe(self) -> dict[str, Any]:
        """The name and the options of its kind, as JSON types; :meth:`from_description` reads them again."""
        return {name: value for name, value in self._fields().items() if value is not None}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> AttentionSpec:
        """The spec that :meth:`describe` described."""
        return cls(**description)

    def _fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}


def _told(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
