"""TunedHead: a scikit-learn classifier that tunes its whole Pipeline on grouped inner folds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from leukfeat.errors import HeadError, UsageError
from leukfeat.heads.catalog import find_head
from leukfeat.heads.database import without_password
from leukfeat.heads.inner import InnerFits
from leukfeat.heads.plan import StudyPlan, identify
from leukfeat.heads.refit import calibration_folds, refit
from leukfeat.heads.scoring import find_metric
from leukfeat.heads.space import fits, is_listed
from leukfeat.heads.spec import HeadSpec
from leukfeat.heads.study import best_of, search
from leukfeat.heads.table import Splits, Table, given_pairs, grouped_pairs, inner_folds, refuse_not_finite
from leukfeat.heads.threads import TRUSTING, one_thread, processors, side_by_side

InnerFoldsArgument = int | Sequence[tuple[ArrayLike, ArrayLike]]


class TunedHead(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """A classification head, tuned on inner folds that keep groups together.

    Scaler, reduction and classifier are one Pipeline. Each trial is fitted on the fitting rows of the inner folds and
    judged on their validation rows, which nothing is learned from. The best trial's Pipeline is then fitted on all
    rows: a booster with the median number of rounds that the inner folds found, a support-vector machine with a
    sigmoid calibration learned on scores of held-out grouped folds.

    Parameters
    ----------
    head : str
        A name in :data:`leukfeat.heads.catalog.HEADS`.
    n_trials : int
        Finished trials, pruned ones included. The first has the defaults of the head; 0 means no tuning at all, those
        defaults are fitted.
    metric : str or None
        A name in :data:`leukfeat.heads.scoring.METRICS`; None is ``auroc`` for two classes, ``balanced_accuracy`` for
        more.
    inner_folds : int or sequence of (training rows, validation rows)
        How many folds (fewer where the rarest class has fewer groups), or the folds themselves as row numbers; one
        pair makes the validation part of a hold-out split the only judge.
    timeout : float or None
        Begin no further trial after so many seconds. What is found then depends on the machine's speed.
    storage : str, path, Storage or None
        Where trials are kept: None (memory), a journal file, or a database URL. ``fit`` with the same rows and
        settings continues a stopped study there; several processes that do it at once share the trials.
    study_name : str or None
        Name of the study; None derives one from rows and settings, so that one storage serves many fits.
    params : mapping or None
        Parameters that are given and not searched, by the names of the library's own arguments; ``n_estimators`` of a
        booster takes the place of early stopping. A list narrows the search of a choice to its values. Three have
        names of their own, because they are given in units that mean the same for any number d of features:
        ``C_times_d`` of logistic regression, ``gamma_times_d`` of the support-vector machine,
        ``max_features_per_sqrt_d`` of the forest.
    out_of_fold : bool
        Whether ``inner_rows_`` and ``inner_proba_`` are made, which takes one more fit an inner fold of a booster and
        some of a support-vector machine; without, both are empty.
    n_jobs : int or None
        Threads that work on inner folds, or on the trees of a forest, side by side: None is 1, -1 one for each
        processor. What is found does not depend on it.
    device : str
        ``cpu``; ``cuda`` for boosters.
    random_state : int, RandomState or None
        Seeds inner folds, trials and classifiers.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        Classes, the order of the columns of ``predict_proba``.
    n_features_in_ : int
        Number of features.
    estimator_ : Pipeline or CalibratedClassifierCV
        What predicts. Its classes are the numbers 0 … K-1.
    best_params_ : dict
        Parameters it was built with; for a booster with ``n_estimators``.
    best_score_ : float or None
        Mean of ``metric_`` over the inner folds; None without tuning.
    metric_ : str
        What was made better.
    trials_ : list of dict
        One a finished trial: ``number, state, value, params, seconds, inner_scores, rounds``; JSON types.
    n_pruned_, inner_fits_, n_inner_folds_ : int
        Trials that were pruned; fits on inner folds in all trials; inner folds there were.
    implementation_ : str
        Which library and class ran.
    inner_rows_ : ndarray of shape (m,), int64
        Rows of X as given to ``fit`` that inner folds validate on, sorted; a head that was read from a folder has
        none of these two.
    inner_proba_ : ndarray of shape (m, K), float64
        Their probabilities by models with ``best_params_`` that had not seen them (see
        :meth:`leukfeat.heads.inner.InnerFits.out_of_fold`): what a temperature or a threshold may be learned from.
        Both are empty without ``out_of_fold``, and where a support-vector machine has too few groups to be calibrated
        inside inner folds.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(n_samples=60, random_state=0)
    >>> head = TunedHead("logistic", n_trials=2).fit(X, y, groups=[row // 3 for row in range(60)])
    >>> head.predict_proba(X).shape
    (60, 2)
    """

    def __init__(
        self,
        head: str = "xgboost",
        *,
        n_trials: int = 30,
        metric: str | None = None,
        inner_folds: InnerFoldsArgument = 4,
        timeout: float | None = None,
        storage: Any = None,
        study_name: str | None = None,
        params: Mapping[str, Any] | None = None,
        out_of_fold: bool = True,
        n_jobs: int | None = None,
        device: str = "cpu",
        random_state: Any = 0,
    ) -> None:
        self.head = head
        self.n_trials = n_trials
        self.metric = metric
        self.inner_folds = inner_folds
        self.timeout = timeout
        self.storage = storage
        self.study_name = study_name
        self.params = params
        self.out_of_fold = out_of_fold
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> Self:
        """Tune and fit.

        Parameters
        ----------
        X : array-like of shape (n, d)
            Features.
        y : array-like of shape (n,)
            Classes.
        groups : array-like of shape (n,) or None
            Rows of one group are never on both sides of an inner fold; None makes each row its own group.

        Returns
        -------
        self

        Raises
        ------
        HeadError
            Features that are not finite, one class only, a class with one group, inner folds that do not hold, or a
            storage that cannot be used.
        UsageError
            A setting of the wrong type, or an unknown head, metric or parameter (:exc:`UnknownNameError`).
        """
        spec = find_head(self.head)
        self._check_settings(spec)
        n_jobs = processors(self.n_jobs)
        table = self._checked_table(X, y, groups)
        self.metric_, metric = find_metric(self.metric, len(self.classes_))
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        fold_seed, search_seed, model_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(3) // 2)
        with _quietly(), one_thread(), side_by_side(n_jobs) as pool:
            pairs = self._inner_pairs(table, fold_seed)
            given = dict(self.params or {})
            fixed = {name: value for name, value in given.items() if not is_listed(value)}
            stops_early = spec.stops_early and "n_estimators" not in fixed
            folds = inner_folds(table, pairs, stops_early=stops_early, seed=fold_seed)
            self.n_inner_folds_ = len(folds)
            calibration = calibration_folds(table, pairs, fold_seed) if spec.calibrated else ()
            largest = min(*(len(fold.fit) for fold in (*folds, *calibration)), len(table.y) // 2)
            if not fits(fixed.get("reduction", "none"), largest, table.X.shape[1]):
                raise HeadError(
                    f"reduction {fixed['reduction']!r} is given, but the smallest inner fold has {largest} rows and"
                    f" there are {table.X.shape[1]} features; give a smaller one, or leave it to the search"
                )
            space = spec.space_for(largest, table.X.shape[1], given)
            inner = InnerFits(
                spec,
                table,
                folds,
                metric,
                largest_reduction=largest,
                seed=model_seed,
                device=self.device,
                pool=pool,
                n_jobs=n_jobs,
            )
            if self.n_trials:
                settings = {
                    "head": self.head,
                    "implementation": spec.implementation(len(table.y), self.device),
                    "metric": self.metric_,
                    "random seed": seed,
                }
                plan = StudyPlan(
                    name=self.study_name,
                    identity=identify(table, pairs, space, fixed, settings),
                    n_folds=len(pairs),
                    n_trials=int(self.n_trials),
                    timeout=self.timeout,
                    seed=search_seed,
                    greater_is_better=metric.greater_is_better,
                    storage=self.storage,
                )
                self.trials_ = search(inner.judge, space, fixed, plan)
                best = best_of(self.trials_, greater_is_better=metric.greater_is_better)
                self.best_params_ = dict(best["params"])
                self.best_score_ = best["value"]
                if stops_early:
                    self.best_params_["n_estimators"] = max(1, int(np.median(best["rounds"])))
            else:
                self.trials_, self.best_score_ = [], None
                self.best_params_ = {**{d.name: d.default for d in space}, **fixed}
            self.n_pruned_ = sum(trial["state"] == "pruned" for trial in self.trials_)
            self.inner_fits_ = sum(len(trial["inner_scores"]) for trial in self.trials_)
            self.implementation_ = spec.implementation(len(table.y), self.device)
            self.estimator_, (self.inner_rows_, self.inner_proba_) = refit(
                inner, self.best_params_, calibration, out_of_fold=self.out_of_fold
            )
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, K), columns in the order of ``classes_``."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False, ensure_all_finite=False)
        refuse_not_finite(X)
        with one_thread():
            return np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row."""
        proba = self.predict_proba(X)
        return np.asarray(self.classes_[proba.argmax(axis=1)])

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        shown = self.get_params(deep=False)
        if self.storage is not None:
            shown["storage"] = without_password(str(self.storage))
        return str(BaseEstimator.__repr__(type(self)(**shown), N_CHAR_MAX))

    def _html_repr(self) -> str:
        import html

        return f"<pre>{html.escape(repr(self))}</pre>"

    def _check_settings(self, spec: HeadSpec) -> None:
        if isinstance(self.n_trials, bool) or not isinstance(self.n_trials, int | np.integer) or self.n_trials < 0:
            raise UsageError(f"n_trials is {self.n_trials!r}; give a whole number, 0 for no tuning")
        if self.timeout is not None and not (isinstance(self.timeout, int | float) and self.timeout > 0):
            raise UsageError(f"timeout is {self.timeout!r}; give seconds, more than 0, or None")
        count = self.inner_folds
        if isinstance(count, bool | str) or (isinstance(count, int | np.integer) and count < 2):
            raise UsageError(f"inner_folds is {count!r}; give 2 or more, or a list of (training rows, validation rows)")
        if self.device not in spec.devices:
            raise UsageError(f"device is {self.device!r}; head {spec.name} runs on {' or '.join(spec.devices)}")
        spec.check_params(self.params or {})

    def _checked_table(self, X: Any, y: Any, groups: Any) -> Table:
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], ensure_all_finite=False)
        refuse_not_finite(X)
        check_classification_targets(y)
        self.classes_, y_index = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise HeadError(
                f"the {len(y)} rows are of one class, {str(self.classes_[0])!r}; a head needs at least 2 classes"
            )
        if groups is None:
            group_index = np.arange(len(y))
        else:
            groups = np.asarray(groups)
            if groups.shape != (len(y),):
                raise HeadError(f"groups has shape {groups.shape} for {len(y)} rows; give one group a row")
            _, group_index = np.unique(groups, return_inverse=True)
        names = tuple(str(name) for name in self.classes_)
        return Table(X, y_index.astype(np.int64), group_index.astype(np.int64), names)

    def _inner_pairs(self, table: Table, seed: int) -> Splits:
        if isinstance(self.inner_folds, int | np.integer):
            return grouped_pairs(table, int(self.inner_folds), seed)
        return given_pairs(table, self.inner_folds)


@contextmanager
def _quietly() -> Iterator[None]:
    """What is expected is not warned of, in threads neither: the filters are everybody's, so they are set here once.

    A solver may stop at its limit of iterations: one more kind of regularisation, judged by its score.
    """
    with warnings.catch_warnings(), sklearn.config_context(**TRUSTING):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
