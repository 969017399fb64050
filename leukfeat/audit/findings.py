"""What an audit finds: a code, how bad it is, the evidence, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leukfeat.audit.codes import CODES, SEVERITIES, Code, Severity
from leukfeat.errors import LeakageError, UnknownNameError, UsageError

__all__ = ["CODES", "SEVERITIES", "Code", "Finding", "Severity", "check_codes", "in_order", "refuse"]


@dataclass(frozen=True)
class Finding:
    """One thing that an audit has found.

    Attributes
    ----------
    code : str
        A key of :data:`CODES`.
    severity : ``"leak"``, ``"warning"`` or ``"note"``
        As the code has it, unless the evidence is milder or graver.
    words : str
        What was found, with counts, in one line.
    action : str
        What to do, in one line.
    evidence : tuple of mapping
        JSON values, a mapping for each case, e.g. ``{"samples": [...], "fold": 0}`` or ``{"area": 0.78}``;
        ``samples`` names images, for contact sheets.
    declared : bool
        The split announces it (``per-image``, ``official``): it is reported, and stops nothing.

    Raises
    ------
    UnknownNameError
        The code is in no table.
    UsageError
        The severity is none.

    Examples
    --------
    >>> found = Finding.of("subject-across-folds", "2 subjects in training and test of fold 0")
    >>> found.severity, found.stops
    ('leak', True)
    """

    code: str
    severity: Severity
    words: str
    action: str
    evidence: tuple[Mapping[str, Any], ...] = ()
    declared: bool = False

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise UnknownNameError("finding", self.code, CODES, shown=len(CODES))
        if self.severity not in SEVERITIES:
            raise UsageError(f"finding {self.code}: severity {self.severity!r} is none of {', '.join(SEVERITIES)}")

    @classmethod
    def of(
        cls,
        code: str,
        words: str,
        evidence: Iterable[Mapping[str, Any]] = (),
        *,
        declared: bool = False,
        severity: Severity | None = None,
        action: str | None = None,
    ) -> Finding:
        """A finding with the severity and the action of its code, where nothing else is said.

        Raises
        ------
        UnknownNameError
            The code is in no table.
        """
        if code not in CODES:
            raise UnknownNameError("finding", code, CODES, shown=len(CODES))
        kind = CODES[code]
        return cls(code, severity or kind.severity, words, action or kind.action, tuple(evidence), declared)

    @property
    def stops(self) -> bool:
        """Whether it is a leak that nothing has declared."""
        return self.severity == "leak" and not self.declared

    @property
    def samples(self) -> tuple[str, ...]:
        """Every image that the evidence names, once, in order."""
        return tuple(dict.fromkeys(name for case in self.evidence for name in case.get("samples", ())))

    def __str__(self) -> str:
        declared = ", declared by the split" if self.declared else ""
        return f"{self.severity}{declared} [{self.code}] {self.words}"

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON types."""
        return {
            "code": self.code,
            "severity": self.severity,
            "declared": self.declared,
            "words": self.words,
            "action": self.action,
            "evidence": [dict(case) for case in self.evidence],
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Finding:
        """What :meth:`to_dict` described.

        Raises
        ------
        KeyError
            A field is missing.
        UnknownNameError
            Another version's code.
        """
        return cls(
            code=facts["code"],
            severity=facts["severity"],
            words=facts["words"],
            action=facts["action"],
            evidence=tuple(facts["evidence"]),
            declared=bool(facts["declared"]),
        )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings, worst first: leaks that stop, declared leaks, warnings, notes."""
    order = list(CODES)
    return tuple(
        sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.declared, order.index(one.code)))
    )


def check_codes(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes that a user allows, each once.

    Raises
    ------
    UnknownNameError
        One of them is in no table.
    UsageError
        One of them is no leak, and stops nothing.
    """
    wanted = tuple(dict.fromkeys(codes))
    leaks = [code for code, kind in CODES.items() if kind.severity == "leak"]
    for code in wanted:
        if code not in CODES:
            raise UnknownNameError("finding", code, leaks, shown=len(leaks))
        if code not in leaks:
            raise UsageError(
                f"{code} is a {CODES[code].severity} and stops nothing, so there is nothing to allow; leaks that can be"
                f" allowed: {', '.join(leaks)}"
            )
    return wanted


def refuse(findings: Sequence[Finding], allowed: Iterable[str] = (), *, where: str = "") -> None:
    """Stop where there is a leak that is neither declared nor allowed.

    Parameters
    ----------
    findings : sequence of Finding
        What was found.
    allowed : iterable of str
        Codes that are accepted; they stay in the record.
    where : str
        The data set, for the message.

    Raises
    ------
    LeakageError
        The first such leak, how many there are, and how to go on.
    """
    accepted = set(allowed)
    leaks = [one for one in in_order(findings) if one.stops and one.code not in accepted]
    if not leaks:
        return
    first, codes = leaks[0], list(dict.fromkeys(one.code for one in leaks))
    example = f", e.g. {', '.join(first.samples[:2])}" if first.samples else ""
    more = f" (and {len(codes) - 1} more: {', '.join(codes[1:])})" if len(codes) > 1 else ""
    allow = " ".join(f"--allow {code}" for code in codes)
    prefix = f"{where}: " if where else ""
    raise LeakageError(
        f"{prefix}{first.code}: {first.words}{example}{more}; {first.action}, or accept it with {allow},"
        " which every report then says"
    )
