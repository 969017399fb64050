"""Findings: a closed table of codes, and what stops a run."""

from __future__ import annotations

import json

import pytest

from leukfeat.audit.findings import CODES, SEVERITIES, Finding, check_codes, in_order, refuse
from leukfeat.errors import LeakageError, UnknownNameError, UsageError


def test_every_code_says_what_it_means_and_what_to_do() -> None:
    for name, code in CODES.items():
        assert code.severity in SEVERITIES, name
        assert code.meaning, name
        assert code.action, name


def test_a_finding_survives_json() -> None:
    found = Finding.of("identical-across-folds", "2 images", [{"samples": ["a.png", "b.png"], "fold": 0}])
    assert Finding.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_a_code_of_no_table_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'subject-across-folds'"):
        Finding.of("subjects-across-folds", "1 subject")
    with pytest.raises(UnknownNameError):
        check_codes(["subject-across-fold"])
    with pytest.raises(UsageError, match="severity"):
        Finding("subject-probe", "bad", "words", "action")  # type: ignore[arg-type]


def test_only_a_leak_can_be_allowed() -> None:
    """A report that says "leak allowed: shortcut-size" would tell of a leak that is none."""
    assert check_codes(["tuning-leak", "tuning-leak"]) == ("tuning-leak",)
    with pytest.raises(UsageError, match=r"shortcut-size is a warning and stops nothing.*subject-across-folds"):
        check_codes(["shortcut-size"])


def test_only_an_undeclared_leak_that_nobody_allows_stops() -> None:
    leak = Finding.of("subject-across-folds", "1 subject", [{"samples": ["a.png"]}])
    declared = Finding.of("subject-across-folds", "1 subject", declared=True)
    warning = Finding.of("subjects-unknown", "no ids")
    refuse([declared, warning])
    refuse([leak], allowed=["subject-across-folds"])
    with pytest.raises(LeakageError, match=r"cells: subject-across-folds: 1 subject, e.g. a.png; .*--allow subject-"):
        refuse([warning, leak], allowed=["tuning-leak"], where="cells")


def test_one_line_names_every_code_that_has_to_be_allowed() -> None:
    leaks = [Finding.of("tuning-leak", "x"), Finding.of("subject-across-folds", "y")]
    with pytest.raises(LeakageError) as caught:
        refuse(leaks)
    assert "--allow subject-across-folds --allow tuning-leak" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_stops_comes_first() -> None:
    note, warning = Finding.of("near-duplicates", "n"), Finding.of("subjects-unknown", "w")
    declared, leak = Finding.of("tuning-leak", "d", declared=True), Finding.of("tuning-leak", "l")
    assert in_order([note, declared, warning, leak]) == (leak, declared, warning, note)
