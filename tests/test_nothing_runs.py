"""Nothing that loads can run: no source of ours has a call that executes, or unpacks somewhere, what a file says."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "leukfeat"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Modules whose readers execute what they read. joblib sends between its own processes by itself; we never load with it.
FORBIDDEN_MODULES = {"cPickle", "cloudpickle", "dill", "marshal", "pickle", "shelve", "_pickle"}

FORBIDDEN_CALLS = {
    "__import__", "compile", "eval", "exec", "joblib.load", "numpy.lib.format.read_array", "os.popen", "os.system",
    "pandas.read_pickle", "pd.read_pickle", "pickle.load", "pickle.loads", "runpy.run_path", "shutil.unpack_archive",
    "torch.hub.load", "torch.jit.load", "torch.package.PackageImporter", "yaml.full_load", "yaml.load_all",
    "yaml.unsafe_load", "timm.models.load_checkpoint",
}  # fmt: skip
FORBIDDEN_METHODS = {"extractall", "extract_all", "unpack_archive"}


def _argument(call: ast.Call, name: str) -> str | None:
    """A keyword argument as it stands in the source; None where it is not given."""
    return next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == name), None)


# Calls that are safe in one form only, and that form.
ALLOWED_FORMS: dict[str, Callable[[ast.Call], bool]] = {
    "np.load": lambda call: _argument(call, "allow_pickle") == "False",
    "numpy.load": lambda call: _argument(call, "allow_pickle") == "False",
    "torch.load": lambda call: _argument(call, "weights_only") == "True",
    "yaml.load": lambda call: _argument(call, "Loader") == "_StrictLoader",
    "skops_io.load": lambda call: _argument(call, "trusted") == "sorted(_TRUSTED)",
    "subprocess.run": lambda call: _argument(call, "shell") in (None, "False"),
    "subprocess.Popen": lambda call: _argument(call, "shell") in (None, "False"),
}


def complaints(source: str) -> Iterator[str]:
    """What in a source could execute a file's content."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (
                f"line {node.lineno}: imports {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES
            )
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        allowed = ALLOWED_FORMS.get(called)
        if (
            called in FORBIDDEN_CALLS
            or called.split(".")[-1] in FORBIDDEN_METHODS
            or _argument(node, "allow_pickle") not in (None, "False")
            or _argument(node, "weights_only") not in (None, "True")
            or (allowed is not None and not allowed(node))
        ):
            yield f"line {node.lineno}: calls {called}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_nothing_that_loads_can_run(module: Path) -> None:
    assert not list(complaints(module.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "source",
    [
        "eval(text)",
        "import pickle",
        "from pickle import load",
        "torch.load(file)",
        "torch.load(file, weights_only=False)",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "joblib.load(file)",
        "archive.extractall(folder)",
        "subprocess.run(command, shell=True)",
        "skops_io.load(file, trusted=found)",
    ],
)
def test_the_test_sees_what_it_is_for(source: str) -> None:
    assert list(complaints(source))
