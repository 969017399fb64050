"""What a reader needs to check and to repeat: papers, checklists, model cards, settings, versions, commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from leukfeat.evaluation.caveats import caveats
from leukfeat.evaluation.metrics import METRICS
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.uncertainty import Estimate
from leukfeat.reports.checklists import checklists
from leukfeat.reports.contents import flat, parameters
from leukfeat.reports.page.material import Material
from leukfeat.reports.sections import Section, anchors
from leukfeat.reports.table import Cell, Column, Table

_COMMAND = "command"  # where a run's environment keeps the words it was started with


def cost(material: Material) -> Section:
    """Time and size."""
    table = material.tables["cost"]
    return Section("cost", table.title, tables=(table,))


def papers(material: Material) -> Section | None:
    """What papers report, beside the numbers of these runs."""
    rows: list[tuple[Cell, ...]] = []
    words, unstated = [], []
    for name, folder in material.folders.items():
        if not folder.reported:
            continue
        told = ". ".join(str(folder.paper[key]) for key in ("title", "where", "doi") if folder.paper.get(key))
        words.append(f"{name}: {told or 'a paper that the recipe does not name'}.")
        unstated += [f"{name}: {line}" for line in folder.unstated]
        for metric, value in folder.reported.items():
            ours = material.by_cell.estimate(name, metric) if metric in METRICS else None
            rows.append(
                (name, METRICS[metric].title if metric in METRICS else metric, float(value), ours, _fits(value, ours))
            )
    if not rows:
        return None
    heads = (Column("run"), Column("statistic"), Column("paper", form=".4g"), Column("here, by cell", form=".3f"))
    table = Table(
        "Reported and found",
        (*heads, Column("paper's number within our interval")),
        tuple(rows),
        ("a paper's number is never a target of this code; data, split and what the paper leaves open may differ",),
    )
    parts = (
        (Section("unstated", "What the papers leave open", points=tuple(unstated), folded=True),) if unstated else ()
    )
    return Section("paper", "Reported by the paper", tuple(words), tables=(table,), parts=parts)


def _fits(value: float, ours: Estimate | None) -> str | None:
    if ours is None or not ours.score.defined or not ours.interval.defined:
        return None
    return "yes" if value in ours.interval else "no"


def cards(material: Material) -> Section | None:
    """The model cards, folded."""
    parts = [
        Section(f"card-{number}", name, parts=card_parts(folder.card, number), folded=True)
        for number, (name, folder) in enumerate(material.folders.items(), start=1)
        if folder.card
    ]
    if not parts:
        return None
    told = ("Of the models that were fitted on all labelled images and kept; research use only, not for diagnosis.",)
    return Section("model-card", "Model cards", told, parts=tuple(parts))


def card_parts(markdown: str, number: int) -> tuple[Section, ...]:
    """The sections of a model card: headings, lists and paragraphs of Markdown, nothing else.

    Examples
    --------
    >>> card_parts("# Card\\n\\n## Output\\n\\n- A **probability**\\n  each.\\n", 1)[0].points
    ('A probability each.',)
    """
    found: list[tuple[str, list[str], list[str]]] = []
    for block in markdown.split("\n"):
        line = block.replace("**", "").replace("`", "").strip()
        if block.startswith("## "):
            found.append((line.removeprefix("## "), [], []))
        elif not found or not line or line.startswith("# "):
            continue
        elif line.startswith("- "):
            found[-1][2].append(line.removeprefix("- "))
        elif found[-1][2]:  # a list's line goes on
            found[-1][2][-1] += f" {line}"
        elif found[-1][1]:
            found[-1][1][-1] += f" {line}"
        else:
            found[-1][1].append(line)
    return tuple(
        Section(f"card-{number}-{k}", title, tuple(words), points=tuple(points))
        for k, (title, words, points) in enumerate(found, start=1)
    )


def runs(material: Material) -> Section:
    """Everything that is recorded about each run, folded."""
    problems = tuple(problem for folder in material.folders.values() for problem in folder.problems)
    parts = tuple(_details(run, k) for k, run in enumerate(material.runs, start=1))
    return Section("runs", "Runs", points=problems, parts=parts)


def _details(run: Run, number: int) -> Section:
    chosen = parameters(run)
    facts = tuple(flat(run.candidate).items())
    told = () if facts else ("Nothing is recorded about what was evaluated: these are predictions from a file.",)
    return Section(
        f"run-{number}",
        run.name,
        told,
        points=caveats(run),
        facts=facts,
        tables=(chosen,) if chosen.rows else (),
        folded=True,
    )


def versions(material: Material) -> Section | None:
    """Software and machine; of runs that differ each its own."""
    by_content: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for run in material.runs:
        told = {name: value for name, value in run.environment.items() if name != _COMMAND}
        if told:
            by_content.setdefault(tuple(flat(told).items()), []).append(run.name)
    if not by_content:
        return None
    if len(by_content) == 1:
        (facts,) = by_content
        return Section("versions", "Versions", facts=facts)
    parts = tuple(
        Section(f"versions-{k}", ", ".join(names), facts=facts, folded=True)
        for k, (facts, names) in enumerate(by_content.items(), start=1)
    )
    return Section("versions", "Versions", parts=parts)


def reproduce(material: Material) -> Section | None:
    """The exact commands."""
    commands = list(
        dict.fromkeys(str(run.environment[_COMMAND]) for run in material.runs if run.environment.get(_COMMAND))
    )
    if material.command:
        commands.append(material.command)
    if not commands:
        return None
    how = material.by_cell.how
    seeds = f"Intervals: {how.n_draws:,} resamples with seed {how.seed}."
    digests = _digests(material.runs)
    return Section("reproduce", "How to reproduce", (seeds,), commands=tuple(commands), facts=digests)


def _digests(found: Sequence[Run]) -> tuple[tuple[str, str], ...]:
    kinds: Mapping[str, set[str]] = {
        "data digest": {str(run.data["digest"]) for run in found if "digest" in run.data},
        "split digest": {str(run.split["digest"]) for run in found if "digest" in run.split},
    }
    own = [(f"predictions of {run.name}", run.predictions.digest[:16]) for run in found]
    return (*((name, ", ".join(sorted(d[:16] for d in some))) for name, some in kinds.items() if some), *own)


def answered(material: Material, sections: Sequence[Section]) -> Section:
    """The checklists, answered from the sections that there are and the files that every run folder has."""
    having = [set(folder.files) for folder in material.folders.values()]
    files = set.intersection(*having) if len(having) == len(material.runs) and having else set()
    found = checklists(anchors(sections), files)
    told = (
        "An item is called reported only where this report or a run folder shows it; the place stands beside it. What"
        " only an author can say is left to the author.",
    )
    parts = tuple(Section(one.name, f"{one.title}: {one.summary}", checklists=(one,), folded=True) for one in found)
    return Section("checklists", "Reporting checklists", told, parts=parts)
