"""The exceptions leukfeat raises on purpose.

::

    LeukfeatError
    ├── UsageError (ValueError)          the request itself is wrong; the command line exits with status 2
    │   ├── UnknownNameError (KeyError)  no such backbone, head, data set, …
    │   └── RecipeError                  a recipe or leukfeat.yaml that cannot be read
    ├── ManifestError (ValueError)       rows, labels or subjects of a data set
    ├── ImageError (ValueError)          one image file that cannot be turned into RGB
    ├── MissingImagesError (ValueError)  images that could not be read, and nobody said to go on without them
    ├── SplitError (ValueError)          an impossible or unsound split
    ├── LeakageError (ValueError)        test data met training data
    ├── WeightsError (ValueError)        weights that cannot be had, or do not fit the architecture
    ├── EngineError (ValueError)         an engine that cannot run a network, or that computes something else
    ├── TrainingError (ValueError)       a network that cannot be trained on these rows, or not with these settings
    ├── StoreError (ValueError)          a feature store or feature file that cannot be trusted
    ├── HeadError (ValueError)           a classification head that cannot be fitted
    ├── PredictionsError (ValueError)    predictions that cannot be read or scored
    ├── RunError (ValueError)            a run folder or a model bundle
    ├── WorkerError                      workers that cannot be reached, or that cannot do what they are sent
    └── ComparisonError (ValueError)     runs that cannot be compared

Every message says in one line what was found, where, and what to do. The command line prints it without a traceback
and exits with :attr:`LeukfeatError.exit_status`. The module imports nothing of the package.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LeukfeatError(Exception):
    """The root of the tree; catch it to catch everything leukfeat raises on purpose."""

    exit_status = 1

    def __str__(self) -> str:
        # KeyError shows its message quoted; ours reads the same whatever else a child inherits.
        return "" if not self.args else str(self.args[0])


class UsageError(LeukfeatError, ValueError):
    """The request itself is wrong."""

    exit_status = 2


class UnknownNameError(UsageError, KeyError):
    """A name that is in none of our tables.

    Parameters
    ----------
    kind : str
        What the name should have named, e.g. ``"head"``.
    name : str
        The name that was asked for.
    known : iterable of str
        The names there are.

    Examples
    --------
    >>> print(UnknownNameError("head", "xgbost", ["svm", "xgboost"]))
    head 'xgbost' is not known; did you mean 'xgboost'? known: svm, xgboost
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, shown: int = 20) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        rest = "" if len(names) <= shown else f", … ({len(names)} in all)"
        super().__init__(f"{kind} {name!r} is not known{hint} known: {', '.join(names[:shown])}{rest}")
        self.kind, self.name = kind, name

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class RecipeError(UsageError):
    """A recipe or ``leukfeat.yaml`` with an unknown key, a wrong type or a missing file."""


class ManifestError(LeukfeatError, ValueError):
    """Rows, labels or subjects of a data set that cannot be taken as they stand."""


class ImageError(LeukfeatError, ValueError):
    """One image that cannot be turned into RGB pixels.

    Parameters
    ----------
    path : str
        The file, as the user knows it.
    reason : str
        Why, in a few words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class MissingImagesError(LeukfeatError, ValueError):
    """Images that could not be read, and nobody said to go on without them."""


class SplitError(LeukfeatError, ValueError):
    """A split that cannot be made, or that does not hold what it promises."""


class LeakageError(LeukfeatError, ValueError):
    """A test image or a test subject was part of what trained the model."""


class WeightsError(LeukfeatError, ValueError):
    """Weights that cannot be found, downloaded, or loaded into the architecture."""


class EngineError(LeukfeatError, ValueError):
    """An engine that cannot run this network, or whose vectors are not those of PyTorch."""


class TrainingError(LeukfeatError, ValueError):
    """A network that cannot be trained: a class without images, a loss that is no number, too little memory."""


class StoreError(LeukfeatError, ValueError):
    """A feature store, a part of it, or a feature file that cannot be trusted."""


class HeadError(LeukfeatError, ValueError):
    """A classification head that cannot be fitted on these rows."""


class PredictionsError(LeukfeatError, ValueError):
    """Predictions that cannot be read or scored."""


class RunError(LeukfeatError, ValueError):
    """A run folder or a model bundle that is missing, unfinished or damaged."""


class WorkerError(LeukfeatError):
    """Workers that cannot be reached, lack what they need, or were lost with their work too often."""


class ComparisonError(LeukfeatError, ValueError):
    """Runs that must not be put side by side."""


def _rebuild(kind: type[LeukfeatError], args: tuple[object, ...], state: dict[str, object]) -> LeukfeatError:
    """Make an error again after its way through a process boundary, without calling its own constructor."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error
