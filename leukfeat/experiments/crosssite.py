"""A candidate trained at every site and tested at every site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, permutations
from pathlib import Path

from leukfeat.data.backgrounds import Background
from leukfeat.data.manifest import Manifest
from leukfeat.data.sites import join_sites, part_of, relabelled
from leukfeat.data.words import IMAGE_LEVEL
from leukfeat.errors import LeukfeatError, RecipeError
from leukfeat.evaluation.runs import Run
from leukfeat.evaluation.site_matrix import Site, SiteMatrix
from leukfeat.evaluation.uncertainty import Uncertainty
from leukfeat.experiments.arms import Runner, only_candidate, sibling
from leukfeat.experiments.recipe import Recipe
from leukfeat.experiments.sections import DataSection, SiteSection, SplitSection
from leukfeat.experiments.stages import Watcher, open_data

_FOLDER = ".sites"
_GROUPING = ("grouped", "subject", "holdout", "reserved")  # splits that need subjects or groups


def cross_sites(
    recipe: Recipe,
    *,
    metric: str = "auroc",
    resampling: Uncertainty | None = None,
    runner: Runner | None = None,
) -> SiteMatrix:
    """Train a recipe's candidate on all of each site and test it on all of every other.

    The diagonal is the recipe's split inside a site, so that its models learn from fewer images than those of its row.
    Every cell is an ordinary run under ``.sites`` in the folder of runs, on a manifest of the sites concerned that is
    kept beside it; the matrix is kept in the first of them.

    Parameters
    ----------
    recipe : Recipe
        With ``sites`` and one candidate.
    metric : str
        What is measured.
    resampling : Uncertainty or None
        How intervals are made.
    runner : Runner or None
        How runs are made.

    Raises
    ------
    RecipeError
        No sites, several candidates, the same data twice, or classes that do not agree.
    LeakageError
        The same image stands at two sites.
    """
    if not recipe.sites:
        raise RecipeError(f"a {SiteMatrix.kind} needs sites: in the recipe, two or more data sets with a name each")
    recipe = only_candidate(recipe, SiteMatrix.kind)
    runner = (runner or Runner()).quieter()
    manifests = {site.name: _opened(recipe, site, runner.watcher) for site in recipe.sites}
    _agree(manifests)
    join_sites(manifests)  # refuses what two sites share, before any work
    sites = [_described(name, manifest) for name, manifest in manifests.items()]
    warnings = background_warnings(sites)
    for line in warnings:
        runner.watcher.told(line)
    runs: dict[tuple[str, str], tuple[str, Run]] = {}
    for one, other in [*((name, name) for name in manifests), *permutations(manifests, 2)]:
        runner.watcher.told(f"sites: trained on {one}, tested on {other}")
        runs[one, other] = runner(_cell(recipe, manifests, one, other))
    matrix = SiteMatrix.of(
        sites, runs, metric=metric, resampling=resampling, warnings=warnings, notes=_notes(recipe, manifests)
    )
    matrix.save(Path(runs[sites[0].name, sites[0].name][0]) / SiteMatrix.file_name)
    return matrix


def background_warnings(sites: Sequence[Site]) -> list[str]:
    """A line for every two sites of which one shows cells on black and the other does not."""
    looks = {site.name: Background(site.on_black, site.near_black, site.looked_at) for site in sites}
    return [
        f"background shift: {_on_black(one, looks[one])}, {_on_black(other, looks[other])}; a model may tell the sites"
        " by their background, and what it learned at one need not hold at the other: segment both, or neither"
        for one, other in combinations(looks, 2)
        if looks[one].shifted_from(looks[other])
    ]


def _on_black(name: str, look: Background) -> str:
    return f"{look.on_black:.0%} of {look.looked_at} images of {name} are cells on black"


def _opened(recipe: Recipe, site: SiteSection, watcher: Watcher) -> Manifest:
    """The labelled images of a site, under the names of classes that all sites share."""
    section = DataSection(**{name: getattr(site, name) for name in DataSection.model_fields})
    try:
        manifest = open_data(recipe.model_copy(update={"data": section, "sites": ()}), watcher)
        return relabelled(manifest, site.labels)
    except LeukfeatError as error:
        raise RecipeError(f"site {site.name}: {error}") from error


def _agree(manifests: Mapping[str, Manifest]) -> None:
    """Refuse sites that are the same data, or whose labels cannot mean the same."""
    for (one, first), (other, second) in combinations(manifests.items(), 2):
        if sorted(first.sha256) == sorted(second.sha256) and any(first.sha256):
            raise RecipeError(f"sites {one} and {other} are the same images; name two data sets")
    everywhere = {name for manifest in manifests.values() for name in manifest.classes}
    positive = {manifest.positive for manifest in manifests.values()}
    lacking = [
        (label not in positive, site, label)
        for site, manifest in manifests.items()
        for label in sorted(everywhere - set(manifest.classes))
    ]
    if lacking:
        minor, site, label = min(lacking)
        told = "; ".join(f"{name}: {', '.join(manifest.classes)}" for name, manifest in manifests.items())
        kind = "" if minor else ", the positive class"
        raise RecipeError(
            f"sites do not agree on labels ({told}): {site} has no image labelled {label!r}{kind};"
            " say with labels: which names mean the same, or leave the site out"
        )


def _described(name: str, manifest: Manifest) -> Site:
    look = Background.of(manifest)
    subjects = len({manifest.subject[row].casefold() for row in manifest.labelled})
    return Site(
        name=name,
        dataset=manifest.dataset,
        images=len(manifest.labelled),
        subjects=subjects if manifest.subjects_known else None,
        classes=tuple(sorted(Counter(manifest.label[row] for row in manifest.labelled).items())),
        on_black=look.on_black,
        near_black=look.near_black,
        looked_at=look.looked_at,
    )


def _cell(recipe: Recipe, manifests: Mapping[str, Manifest], trained_on: str, tested_on: str) -> Recipe:
    """The recipe on the one or two sites of a cell."""
    names = sorted({trained_on, tested_on})
    joined = join_sites({name: manifests[name] for name in names})
    file = joined.save(recipe.out / _FOLDER / "manifests" / f"{'-and-'.join(names)}-{joined.digest[:8]}.csv")
    if trained_on == tested_on:
        name, split = trained_on, _inside(recipe.split, manifests[trained_on])
    else:
        name, split = f"{trained_on}-to-{tested_on}", SplitSection(kind="fixed-test", test_part=part_of(tested_on))
    return sibling(recipe, _FOLDER, name, data=DataSection(path=file), sites=(), split=split)


def _inside(split: SplitSection, manifest: Manifest) -> SplitSection:
    """The recipe's split inside a site; by image where nobody knows the subjects."""
    if split.kind in _GROUPING and not manifest.groups_known:
        return SplitSection(kind="per-image", folds=split.folds, repeats=split.repeats, seed=split.seed)
    return split


def _notes(recipe: Recipe, manifests: Mapping[str, Manifest]) -> list[str]:
    divided = [name for name, manifest in manifests.items() if _inside(recipe.split, manifest) != recipe.split]
    return [
        "the diagonal is tested inside its site, by models that learned from a part of it; elsewhere a model learned"
        " from all of its site",
        *(
            f"{IMAGE_LEVEL}: subjects of {name} are unknown, so its diagonal divides images; a model from elsewhere"
            " loses less against it than it seems"
            for name in divided
        ),
    ]
