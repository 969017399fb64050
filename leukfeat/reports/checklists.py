"""Reporting checklists, filled in as far as a report goes: nothing is called reported without a place to see it.

References
----------
Collins, G. S. et al., TRIPOD+AI statement, BMJ 385, 2024, doi:10.1136/bmj-2023-078378.
Mongan, J. et al., Checklist for artificial intelligence in medical imaging (CLAIM), Radiology: Artificial Intelligence
2(2), 2020, doi:10.1148/ryai.2020200029 (its numbering; the update of 2024 counts 44 items otherwise).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from leukfeat.reports.table import Column, Table

State = Literal["reported", "partial", "author needed"]

AUTHOR = "author needed"


@dataclass(frozen=True)
class Item:
    """What a checklist asks for.

    Attributes
    ----------
    number : str
        In the checklist.
    words : str
        What is asked, in short.
    shown_by : tuple of str
        Places that together answer it: ``"#name"`` is a section or figure of the report, anything else a file of a run
        folder. Empty where only an author can answer.
    lacking : str
        What an author has to add in any case; empty where the places say it all.
    """

    number: str
    words: str
    shown_by: tuple[str, ...] = ()
    lacking: str = ""


@dataclass(frozen=True)
class Answer:
    """An item, and what a report has for it.

    Attributes
    ----------
    item : Item
        What is asked.
    places : tuple of str
        Where it can be seen; ``"#name"`` or a file of a run folder.
    """

    item: Item
    places: tuple[str, ...]

    @property
    def state(self) -> State:
        """``"reported"`` only where every place is there and nothing is left to the author."""
        if not self.places:
            return "author needed"
        return "partial" if self.lacking else "reported"

    @property
    def lacking(self) -> str:
        """What is missing; empty where it is reported."""
        absent = [place for place in self.item.shown_by if place not in self.places]
        if not self.places or not absent:
            return self.item.lacking
        missing = f"not here: {', '.join(place.removeprefix('#').removeprefix('figure-') for place in absent)}"
        return "; ".join(filter(None, (missing, self.item.lacking)))


@dataclass(frozen=True)
class Checklist:
    """A checklist, answered.

    Attributes
    ----------
    name, title : str
        Anchor and heading.
    answers : tuple of Answer
        In its order.
    """

    name: str
    title: str
    answers: tuple[Answer, ...]

    @property
    def summary(self) -> str:
        """How many items are in which state."""
        states = [answer.state for answer in self.answers]
        told: tuple[State, ...] = ("reported", "partial", "author needed")
        return ", ".join(f"{states.count(state)} {state}" for state in told)

    def table(self) -> Table:
        """For Markdown and CSV."""
        return Table(
            self.title,
            (Column("item"), Column("asked"), Column("state"), Column("where"), Column("to add")),
            tuple(
                (
                    answer.item.number,
                    answer.item.words,
                    answer.state,
                    ", ".join(answer.places) or None,
                    answer.lacking or None,
                )
                for answer in self.answers
            ),
        )


def checklists(anchors: Collection[str], files: Collection[str] = ()) -> tuple[Checklist, ...]:
    """TRIPOD+AI and CLAIM for a report.

    Parameters
    ----------
    anchors : collection of str
        Sections and figures that the report has, as ``"#name"``.
    files : collection of str
        Files that every run folder has, e.g. ``"split.csv"``.
    """
    there = {*anchors, *files}
    return tuple(
        Checklist(name, title, tuple(Answer(item, tuple(p for p in item.shown_by if p in there)) for item in items))
        for name, title, items in (("tripod-ai", "TRIPOD+AI", TRIPOD_AI), ("claim", "CLAIM (2020)", CLAIM))
    )


_MODEL = ("#model-card", "model/bundle.json")

TRIPOD_AI: Sequence[Item] = (
    Item("1", "title names development or evaluation of a prediction model, population and outcome"),
    Item("2", "abstract after TRIPOD+AI for abstracts"),
    Item("3a", "clinical context and reasons for the model"),
    Item("3b", "target population, purpose in care and intended users"),
    Item("3c", "known inequalities in health between groups of people"),
    Item("4", "objectives: development, evaluation, or both"),
    Item("5a", "sources of data", ("#cohort",), "why these data, and whom they represent"),
    Item("5b", "dates of data collection"),
    Item("6a", "setting: number and location of centres"),
    Item("6b", "who was eligible", ("#figure-flow",), "criteria by which subjects were chosen"),
    Item("6c", "treatments received"),
    Item("7", "preparation and checks of the data", ("#model-card", "#audit"), "whether groups were treated alike"),
    Item("8a", "outcome, and how it was assessed", ("#cohort",), "how labels were made, and by whom"),
    Item("8b", "who assessed the outcome, where that takes judgement"),
    Item("8c", "blinding of those who assessed the outcome"),
    Item("9a", "choice of the predictors", ("#runs", "recipe.yaml"), "why these networks and features"),
    Item("9b", "definition of every predictor", _MODEL),
    Item("9c", "who assessed predictors, where that takes judgement"),
    Item("10", "study size, and why it is enough", ("#cohort", "#learning-curve"), "how the size was decided on"),
    Item("11", "missing data", ("#figure-flow",), "why images are missing, if any are"),
    Item("12a", "use of the data: development, tuning, evaluation", ("#cohort", "split.csv")),
    Item("12b", "how predictors entered the model", ("#runs", "recipe.yaml")),
    Item("12c", "kind of model, all steps of building it, tuning, internal validation", ("#runs", "recipe.yaml")),
    Item("12d", "heterogeneity between clusters: how handled", ("#by-cell", "#subjects")),
    Item("12e", "measures and plots; comparison of models", ("#by-cell", "#curves", "#reliability", "#decision")),
    Item("12f", "updating of the model, such as recalibration", ("#reliability",)),
    Item("12g", "how predictions were computed", ("model/bundle.json", "predictions.csv")),
    Item("13", "class imbalance", ("#cohort", "recipe.yaml"), "why classes were weighted this way"),
    Item("14", "fairness", ("#model-card",), "age, sex and origin are not recorded: nothing was tested"),
    Item("15", "output of the model, and how thresholds were chosen", ("#operating", "#model-card")),
    Item("16", "differences between training and evaluation data", ("#cohort", "#sites"), "differences in recruitment"),
    Item("17", "ethical approval and consent"),
    Item("18a", "funding"),
    Item("18b", "conflicts of interest"),
    Item("18c", "protocol"),
    Item("18d", "registration"),
    Item("18e", "availability of data", ("#cohort",), "where and on what terms others get the data"),
    Item("18f", "availability of code", ("#reproduce",), "where the code of the study is published"),
    Item("19", "involvement of patients and the public"),
    Item("20a", "flow of participants", ("#figure-flow",)),
    Item("20b", "characteristics of the data", ("#cohort",), "age, sex, dates and treatment, per centre"),
    Item("20c", "distributions in evaluation and development data", ("#sites",), "predictors and demographics of both"),
    Item("21", "subjects and outcomes in every analysis", ("#cohort", "#runs")),
    Item("22", "the full model", _MODEL),
    Item("23a", "performance with intervals", ("#by-cell", "#curves"), "subgroups of people, if there are any"),
    Item("23b", "heterogeneity of performance between clusters", ("#subjects",)),
    Item("24", "results of updating the model"),
    Item("25", "interpretation, with fairness and earlier studies"),
    Item("26", "limitations and their effects"),
    Item("27a", "input of poor quality or missing, in use"),
    Item("27b", "what users have to do and know"),
    Item("27c", "next steps"),
)  # fmt: skip
"""The 27 items with their parts, in our words."""

CLAIM: Sequence[Item] = (
    Item("1", "title or abstract names the technique"),
    Item("2", "structured abstract"),
    Item("3", "background and clinical role"),
    Item("4", "objectives and hypotheses"),
    Item("5", "prospective or retrospective"),
    Item("6", "goal of the study"),
    Item("7", "sources of data", ("#cohort",), "whether the data are public, and where"),
    Item("8", "eligibility", ("#figure-flow",), "criteria by which subjects were chosen"),
    Item("9", "preprocessing", _MODEL),
    Item("10", "selection of subsets of the data", ("#cohort", "split.csv")),
    Item("11", "definitions of data elements"),
    Item("12", "de-identification"),
    Item("13", "missing data", ("#figure-flow",), "why images are missing, if any are"),
    Item("14", "definition of the reference standard"),
    Item("15", "reasons for the reference standard"),
    Item("16", "who annotated, with what training"),
    Item("17", "tools of annotation"),
    Item("18", "variability between and within annotators"),
    Item("19", "sample size", ("#cohort", "#learning-curve"), "how the size was decided on"),
    Item("20", "how data were assigned to partitions", ("#cohort", "split.csv")),
    Item("21", "level at which partitions are disjoint", ("#cohort", "split.csv")),
    Item("22", "the model: inputs, outputs, layers", _MODEL),
    Item("23", "software", ("#versions",)),
    Item("24", "how parameters were initialised", _MODEL),
    Item("25", "training: augmentation, optimiser, tuning", ("#runs", "recipe.yaml")),
    Item("26", "how the final model was selected", ("#runs", "recipe.yaml")),
    Item("27", "ensembling", ("#runs", "recipe.yaml")),
    Item("28", "measures of performance", ("#by-cell",)),
    Item("29", "uncertainty and significance", ("#by-cell", "#differences")),
    Item("30", "robustness", ("#audit", "#area"), "other analyses of sensitivity"),
    Item("31", "explanations", ("#explanations",), "how they were validated"),
    Item("32", "evaluation on external data", ("#sites",)),
    Item("33", "flow of participants", ("#figure-flow",)),
    Item("34", "characteristics in every partition", ("#cohort",), "age, sex and clinical findings"),
    Item("35", "performance on all partitions", ("#by-cell",)),
    Item("36", "diagnostic accuracy with its precision", ("#by-cell", "#by-subject")),
    Item("37", "analysis of failures", ("#subjects", "#confusion", "#explanations"), "what failures have in common"),
    Item("38", "limitations"),
    Item("39", "implications for practice"),
    Item("40", "registration"),
    Item("41", "protocol"),
    Item("42", "funding"),
)  # fmt: skip
"""The 42 items of 2020, in our words."""
