"""Arrows point down, and heavy libraries live in one place each (see docs/design/0001-layers.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "leukfeat"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What a folder (or a module beside the folders) may import of the package, besides itself.
FOUNDATION = {"errors", "textfiles", "jsonfiles", "yamlfiles", "processors"}
LAYERS = {
    "errors": set(),
    "textfiles": set(),
    "jsonfiles": set(),
    "yamlfiles": {"errors"},
    "processors": set(),
    "data": FOUNDATION,
    "backbones": FOUNDATION | {"data"},
    "features": FOUNDATION | {"data", "backbones"},
    "heads": FOUNDATION | {"data.folds"},
    "evaluation": FOUNDATION | {"data"},
    "audit": FOUNDATION | {"data", "evaluation"},
    "reports": FOUNDATION | {"data", "evaluation", "audit"},
    "explain": FOUNDATION | {"data", "backbones", "heads"},
    "experiments": FOUNDATION
    | {"data", "backbones", "features", "heads", "evaluation", "audit", "explain", "reports.training"},
    "cli": FOUNDATION | {"data", "backbones", "features", "heads", "evaluation", "audit", "reports", "experiments"},
    "__main__": {"cli"},
}

# Where a heavy library may be imported at all.
HOMES = {
    "torch": {"backbones", "explain", "experiments.doctor"},
    "timm": {"backbones"},
    "torchvision": {"backbones"},
    "openvino": {"backbones.engines"},
    "onnxruntime": {"backbones.engines"},
    "h5py": {"features"},
    "pyarrow": {"features"},
    "sklearn": {"heads", "evaluation", "audit", "experiments.candidates"},
    "statsmodels": set(),
    "xgboost": {"heads"},
    "lightgbm": {"heads"},
    "optuna": {"heads"},
    "skops": {"heads"},
    "matplotlib": {"reports", "explain"},
    "jinja2": {"reports"},
    "typer": {"cli"},
    "rich": {"cli"},
    "joblib": {"experiments", "reports.processes"},
    "distributed": {"experiments.daskworkers"},
    "ray": {"experiments.rayworkers"},
    "pydantic": {"experiments"},
    "yaml": {"yamlfiles", "experiments"},
    "PIL": {"data", "backbones.inputs", "audit", "explain"},
    "pandas": set(),
    "pickle": set(),
}


def _name(module: Path) -> str:
    parts = module.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


NAMES = {f"leukfeat.{_name(module)}" for module in MODULES}


def _imports(module: Path) -> Iterator[tuple[str, int, bool]]:
    """Every imported dotted name with its line, and whether it is for the type checker only."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node  # type: ignore[attr-defined]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        above: ast.AST | None = node
        typing_only = False
        while above is not None:
            typing_only |= isinstance(above, ast.If) and "TYPE_CHECKING" in ast.unparse(above.test)
            above = getattr(above, "parent", None)
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, typing_only) for alias in node.names)
        else:
            assert node.level == 0, f"{module}:{node.lineno}: import from the defining module, by its full name"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in NAMES else str(node.module), node.lineno, typing_only


def _within(name: str, homes: set[str]) -> bool:
    return any(name == home or name.startswith(f"{home}.") for home in homes)


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_arrows_point_down(module: Path) -> None:
    name = _name(module)
    if not name:
        return  # the package's own __init__ lists the public names
    folder = name.split(".")[0]
    for imported, line, _ in _imports(module):
        if not imported.startswith("leukfeat."):
            continue
        target = imported.removeprefix("leukfeat.")
        assert _within(target, LAYERS[folder] | {folder}), f"{name}:{line} imports {imported}"


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_heavy_libraries_stay_at_home(module: Path) -> None:
    name = _name(module)
    for imported, line, typing_only in _imports(module):
        library = imported.split(".")[0]
        if library in HOMES and not typing_only:
            assert _within(name, HOMES[library]), f"{name}:{line} imports {imported}"


def test_no_circles() -> None:
    """A module never imports, however indirectly, a module that imports it."""
    arrows = {
        _name(module): {
            target.removeprefix("leukfeat.")
            for target, _, typing_only in _imports(module)
            if target.startswith("leukfeat.") and not typing_only
        }
        for module in MODULES
    }
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " → ".join((*above, name))
        if name not in done:
            for target in arrows.get(name, ()):
                visit(target, (*above, name))
            done.add(name)

    for name in arrows:
        visit(name, ())


@pytest.mark.parametrize("module", MODULES, ids=_name)
def test_modules_are_nouns_of_a_size_one_can_read(module: Path) -> None:
    assert module.stem not in {"utils", "helpers", "common", "base", "misc"}
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines <= 350, f"{_name(module)} has {lines} lines: which two nouns does it hold?"
