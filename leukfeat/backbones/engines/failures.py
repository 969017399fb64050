"""What the libraries of engines raise, and how it is told in one line."""

from __future__ import annotations

# What torch.export, torch.compile and the ONNX exporter raise about networks they cannot take, and where they may not
# write; they document no common root.
EXPORT_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    ImportError,
    OSError,
)

_LONGEST = 200


def reason_of(error: BaseException) -> str:
    """The beginning of an error's message, on one line; its name where it has none."""
    return " ".join(str(error).split())[:_LONGEST] or type(error).__name__


def gave_up(library: str, error: BaseException) -> str:
    """The message where an engine fails that had been running."""
    return f"{library} gave up: {reason_of(error)}; use --engine eager (finished rows are kept)"
