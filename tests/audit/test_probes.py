"""An embedding that tells subjects or sites is found out, one that does not is not, and copies do not count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leukfeat.audit.probes import Probe, probe_sites, probe_subjects
from leukfeat.data.manifest import Manifest
from leukfeat.errors import UsageError


def cohort(subjects: int = 12, cells: int = 6, sites: int = 0) -> Manifest:
    """Subjects of two classes, and, where there are sites, some of each class at each."""
    who = np.repeat(np.arange(subjects), cells)
    names = tuple(f"{number:04d}" for number in range(len(who)))
    return Manifest(
        sample=names,
        path=names,
        label=tuple("ab"[k % 2] for k in who),
        subject=tuple(f"S{k}" for k in who),
        sha256=tuple(f"{number:064x}" for number in range(len(who))),
        site=tuple(f"site {k // 2 % sites}" for k in who) if sites else (),
    )


def embeddings(manifest: Manifest, of: tuple[str, ...], strength: float, seed: int = 0) -> np.ndarray:
    """Noise, and a direction of its own for each value of a column."""
    rng = np.random.default_rng(seed)
    code = np.unique(of, return_inverse=True)[1]
    return rng.normal(size=(len(manifest), 16)) + strength * rng.normal(size=(code.max() + 1, 16))[code]


def test_an_embedding_that_knows_subjects_is_found() -> None:
    """Cells of one subject lie together."""
    manifest = cohort()
    probe = probe_subjects(embeddings(manifest, manifest.subject, 2.0), manifest)
    assert probe.share > 0.8
    assert probe.p_value == pytest.approx(0.001)
    finding = probe.finding()
    assert finding is not None
    assert (finding.code, finding.severity) == ("subject-probe", "warning")


def test_noise_tells_nobody() -> None:
    """By chance alone a p value is below 0.05 in a twentieth of the cases."""
    manifest = cohort()
    probes = [
        probe_subjects(embeddings(manifest, manifest.subject, 0.0, seed), manifest, n_permutations=199)
        for seed in range(60)
    ]
    assert sum(probe.p_value < 0.05 for probe in probes) <= 7
    assert np.mean([probe.share for probe in probes]) == pytest.approx(probes[0].chance, abs=0.02)


def test_chance_is_that_of_dealing_subjects_anew() -> None:
    """Each class has 6 subjects of 6 cells: of the 35 other cells of the class 5 are the same subject's."""
    manifest = cohort()
    probe = probe_subjects(embeddings(manifest, manifest.subject, 0.0), manifest)
    assert probe.chance == pytest.approx(5 / 35, abs=0.005)


def test_knowing_the_class_is_not_knowing_the_subject() -> None:
    """Otherwise every useful embedding would be accused: subjects are asked for within their class."""
    manifest = cohort()
    probe = probe_subjects(embeddings(manifest, manifest.label, 5.0), manifest)
    assert probe.p_value > 0.05
    assert probe.finding() is None


def test_copies_are_no_neighbours() -> None:
    """An image finds its own copy whatever the embedding; that says nothing about subjects."""
    plain = cohort(cells=4)
    X = embeddings(plain, plain.subject, 0.0)
    again = tuple(f"{name} again" for name in plain.sample)
    for columns in ({"sha256": plain.sha256 * 2}, {"copy_of": ("",) * len(plain) + plain.sample}):
        twice = replace(
            plain,
            sample=plain.sample + again,
            path=plain.path + again,
            label=plain.label * 2,
            subject=plain.subject * 2,
            site=(),
            declared_group=(),
            official=(),
            **{"sha256": tuple(f"{n:064x}" for n in range(2 * len(plain))), "copy_of": (), **columns},
        )
        assert probe_subjects(np.concatenate([X, X]), twice).share < 0.4


def test_some_rows_can_be_asked() -> None:
    """Embeddings of the test part, say; each belongs to the row of its place."""
    manifest = cohort()
    X = embeddings(manifest, manifest.subject, 2.0)
    rows = np.arange(len(manifest))[::-1][:48]
    assert probe_subjects(X[rows], manifest, rows).share > 0.8


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (replace(cohort(), subject=("unknown",) * 72), "subjects are unknown"),
        (cohort(cells=1), "no class has two subjects, one of whom has two different images"),
        (cohort(subjects=2), "no class has two subjects, one of whom has two different images"),
    ],
)
def test_small_samples_have_a_reason_instead_of_a_share(manifest: Manifest, reason: str) -> None:
    """One cell each, one subject each, nobody knows whose."""
    probe = probe_subjects(np.random.default_rng(0).normal(size=(len(manifest), 3)), manifest)
    assert not probe.defined
    assert probe.reason == reason
    finding = probe.finding()
    assert finding is not None
    assert finding.code == "shortcuts-unmeasured"
    assert probe.to_dict()["share"] is None


def test_an_embedding_that_knows_sites_is_found() -> None:
    """Cells of other subjects from the same microscope lie together."""
    manifest = cohort(subjects=32, sites=2)
    probe = probe_sites(embeddings(manifest, manifest.site, 2.0), manifest)
    assert probe.share > 0.9
    assert probe.p_value < 0.01
    finding = probe.finding()
    assert finding is not None
    assert finding.code == "site-probe"


def test_a_site_is_found_behind_subjects() -> None:
    """Were cells of one subject neighbours, an embedding that knows both would only ever show the subject."""
    manifest = cohort(subjects=32, sites=2)
    both = embeddings(manifest, manifest.subject, 4.0) + embeddings(manifest, manifest.site, 4.0, seed=1)
    probe = probe_sites(both, manifest)
    assert probe.share < 1
    assert probe.p_value < 0.05


def test_knowing_the_subject_is_not_knowing_the_site() -> None:
    """A subject's cells are of one site; were they neighbours, every embedding would tell the site."""
    manifest = cohort(subjects=32, sites=2)
    probes = [
        probe_sites(embeddings(manifest, manifest.subject, 3.0, seed), manifest, n_permutations=199)
        for seed in range(30)
    ]
    assert sum(probe.p_value < 0.05 for probe in probes) <= 5


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (cohort(), "no site is stated"),
        (cohort(sites=1), "no class has at least three subjects from two sites"),
        (
            replace(cohort(sites=2), site=tuple("ab".index(label) * "x" or "y" for label in cohort().label)),
            "three subj",
        ),
    ],
)
def test_sites_that_cannot_be_told_have_a_reason(manifest: Manifest, reason: str) -> None:
    """None, one, or one for each class: there is nothing to tell within a class."""
    probe = probe_sites(np.random.default_rng(0).normal(size=(len(manifest), 3)), manifest)
    assert reason in probe.reason


def test_rows_that_do_not_fit_are_refused() -> None:
    """Embeddings of other images than the manifest's would be told with confidence."""
    manifest = cohort()
    X = embeddings(manifest, manifest.subject, 1.0)
    with pytest.raises(UsageError, match=r"embeddings of shape \(71, 16\) for 72 rows"):
        probe_subjects(X[1:], manifest)
    X[3, 2] = np.nan
    with pytest.raises(UsageError, match="1 are not finite"):
        probe_subjects(X, manifest)


def test_a_constant_embedding_is_no_error() -> None:
    """Dead features, as of random networks: all cells are equally near."""
    manifest = cohort()
    probe = probe_subjects(np.ones((len(manifest), 4)), manifest)
    assert isinstance(probe, Probe)
    assert probe.defined


def test_the_seed_decides_the_dealing_only() -> None:
    """The share is a fact; chance and p value vary a little with the permutations."""
    manifest = cohort()
    X = embeddings(manifest, manifest.subject, 0.5)
    first, same, other = (probe_subjects(X, manifest, seed=seed) for seed in (0, 0, 1))
    assert first == same
    assert first.share == other.share
    assert first.chance != other.chance
