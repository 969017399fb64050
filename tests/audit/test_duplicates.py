"""Duplicates: copies are found however they were made, and different cells are no copies."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from leukfeat.audit.contact_sheets import CASES, TILES, contact_sheet
from leukfeat.audit.data_set import duplicate_findings, manifest_findings
from leukfeat.audit.duplicates import Duplicates, find_duplicates
from leukfeat.audit.field_groups import with_field_groups
from leukfeat.audit.fingerprints import cell_of, fingerprint, standardised
from leukfeat.audit.lookup import embedded_pairs, likely_pairs
from leukfeat.data.manifest import Manifest
from leukfeat.data.splits import SplitPlan
from leukfeat.data.synthetic import draw_cell
from leukfeat.data.words import FIELDS_ARE_NO_PATIENTS
from leukfeat.errors import SplitError

Pixels = NDArray[np.uint8]
SIZE = 72


def cell(number: int) -> Pixels:
    return draw_cell(5, number % 6, number, "ALL" if number % 2 else "HEM", size=SIZE)


@lru_cache
def smear(number: int, size: int = 240) -> Pixels:
    """Stained discs on a bright ground."""
    rng = np.random.default_rng([7, number])
    y, x = np.mgrid[:size, :size].astype(np.float32)
    light = np.full((size, size), 235, dtype=np.float32)
    for _ in range(60):
        at, radius = rng.uniform(0, size, 2), rng.uniform(6, 14)
        light -= np.clip(1.3 - np.hypot(y - at[0], x - at[1]) / radius, 0, 0.8) * rng.uniform(40, 160)
    return np.repeat(np.clip(light, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def field(number: int, top: int = 0, left: int = 0, size: int = 150) -> Pixels:
    """A piece of a smear."""
    return smear(number)[top : top + size, left : left + size]


def jpeg(pixels: Pixels, quality: int = 60) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def rotated(pixels: Pixels, degrees: float) -> Pixels:
    return np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC))


def manifest_of(folder: Path, images: dict[str, Pixels], **columns: tuple[str, ...]) -> Manifest:
    """PNG files with a row each; every one of its own subject unless columns say otherwise."""
    digests = []
    for name, pixels in images.items():
        Image.fromarray(pixels).save(folder / name)
        digests.append(hashlib.sha256((folder / name).read_bytes()).hexdigest())
    names = tuple(images)
    stated = {"label": tuple("AB"[k % 2] for k in range(len(names))), "subject": names, **columns}
    return Manifest(sample=names, path=names, sha256=tuple(digests), root=folder, **stated)  # type: ignore[arg-type]


def pairs_of(found: Duplicates) -> set[tuple[str, str]]:
    return {(found.manifest.sample[pair.first], found.manifest.sample[pair.second]) for pair in found.pairs}


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "quarter turn": lambda image: np.rot90(image),
    "half turn": lambda image: np.rot90(image, 2),
    "mirrored": lambda image: image[:, ::-1],
    "mirrored and turned": lambda image: np.rot90(image[::-1]),
    "encoded anew": jpeg,
    "cropped": lambda image: image[3:-5, 4:-2],
    "cropped and enlarged": lambda image: np.asarray(Image.fromarray(image[2:-4, 3:-3]).resize((SIZE, SIZE))),
    "turned by 30 degrees": lambda image: rotated(image, 30),
    "darker": lambda image: (image * 0.8).astype(np.uint8),
    "all at once": lambda image: jpeg(np.rot90(image[:, ::-1])[4:-2, 3:-4]),
}


def test_a_changed_copy_of_a_cell_is_found_and_nothing_else(tmp_path: Path) -> None:
    """Every change that augmentation, a web page or a spreadsheet makes; and no two different cells are one."""
    images = {f"{number:02d}.png": cell(number) for number in range(len(CHANGES) + 12)}
    images |= {f"{number:02d}-copy.png": change(cell(number)) for number, change in enumerate(CHANGES.values())}
    found = pairs_of(find_duplicates(manifest_of(tmp_path, images)))
    missed = [name for k, name in enumerate(CHANGES) if (f"{k:02d}.png", f"{k:02d}-copy.png") not in found]
    assert missed == []
    assert len(found) == len(CHANGES)


def test_a_shifted_field_of_one_smear_is_found(tmp_path: Path) -> None:
    """Repeated captures of a smear overlap by a part only: what a hash of the whole image cannot see."""
    images = {"here.png": field(0), "there.png": field(0, 50, 60)}  # 50 and 60 pixels away: 40 % of the area in common
    images |= {f"other-{k}.png": field(k + 1) for k in range(6)}
    images["turned.png"] = np.rot90(field(0, 0, 30))
    found = find_duplicates(manifest_of(tmp_path, images))
    assert {("here.png", "there.png"), ("here.png", "turned.png")} <= pairs_of(found)
    assert not {name for pair in pairs_of(found) for name in pair if name.startswith("other")}
    shifted = next(pair.match for pair in found.pairs if found.manifest.sample[pair.second] == "there.png")
    assert shifted.overlap == pytest.approx(0.4, abs=0.1)
    assert found.groups == ((0, 1, 8),)


def test_descriptors_do_not_change_under_turning_and_mirroring() -> None:
    """The look-up compares descriptors only: if they turned with the image, no turned copy would be proposed."""
    prints = [
        fingerprint(cell(0)),
        fingerprint(np.rot90(cell(0)[:, ::-1])),
        *(fingerprint(cell(k)) for k in range(1, 9)),
    ]
    first, second, *others = standardised(prints)
    assert (first @ second.T).max(axis=1).mean() > 0.9
    assert np.mean([(first @ other.T).max(axis=1).mean() for other in others]) < 0.8


def test_pixels_in_another_format_are_the_same_image(tmp_path: Path) -> None:
    """A BMP and a PNG of one cell differ in every byte, and a sha256 of files cannot link them."""
    images = {"a.png": cell(1), "a.bmp": cell(1), "b.png": cell(2)}
    found = find_duplicates(manifest_of(tmp_path, images, label=("A", "B", "A")))
    assert found.same_pixels == ((0, 1),)
    codes = {one.code: one for one in duplicate_findings(found)}
    assert codes["identical-across-labels"].samples == ("a.png", "a.bmp")


def test_an_image_that_cannot_be_read_is_named_and_the_rest_is_compared(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, {"a.png": cell(1), "b.png": cell(1)[:, ::-1], "c.png": cell(3)})
    (tmp_path / "c.png").write_bytes(b"no image")
    found = find_duplicates(manifest)
    assert found.unread == (2,)
    assert pairs_of(found) == {("a.png", "b.png")}
    assert "unread-images" in {one.code for one in duplicate_findings(found)}


def test_few_images_and_plain_ones_are_no_trouble(tmp_path: Path) -> None:
    """One image, no texture at all, one pixel: nothing to find, and no warning from a division by zero."""
    plain = np.full((40, 40, 3), 200, dtype=np.uint8)
    images = {"one.png": plain, "two.png": plain + 1, "dot.png": plain[:1, :1], "black.png": plain * 0}
    assert find_duplicates(manifest_of(tmp_path, images)).pairs == ()
    assert find_duplicates(manifest_of(tmp_path, {"one.png": cell(0)})).groups == ()
    assert len(likely_pairs([], [])) == 0


def test_close_embeddings_propose_pairs_and_do_not_decide(tmp_path: Path) -> None:
    """An embedding that calls two different cells the same is not believed without looking."""
    manifest = manifest_of(tmp_path, {f"{k}.png": cell(k) for k in range(4)})
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((4, 8))
    embeddings[1] = embeddings[0] + 1e-3
    embeddings[3] = np.nan
    assert embedded_pairs(embeddings).tolist() == [[0, 1]]
    assert find_duplicates(manifest, embeddings=embeddings).pairs == ()


def test_a_cell_on_black_is_told_from_a_field() -> None:
    assert cell_of(cell(0)) is not None
    assert cell_of(jpeg(cell(0), 50)) is not None, "JPEG leaves the black not quite black"
    assert cell_of(field(0)) is None


@pytest.fixture
def twins(tmp_path: Path) -> Manifest:
    """Ten cells without subjects; the second shows the first again, the fourth the third."""
    images = {
        f"{k}.png": cell(k - k % 2 if k < 4 else k) if k % 2 == 0 or k >= 4 else cell(k - 1)[::-1] for k in range(10)
    }
    return manifest_of(tmp_path, images, label=tuple("AABB" + "ABABAB"), subject=("unknown",) * 10)


def test_field_groups_let_a_set_without_subjects_be_split(twins: Manifest, tmp_path: Path) -> None:
    """``--write-groups`` then ``--split grouped``: near-duplicates stay together, and nobody calls them patients."""
    with pytest.raises(SplitError, match="unknown"):
        SplitPlan.grouped(twins, n_folds=2)
    grouped = Manifest.load(with_field_groups(find_duplicates(twins)).save(tmp_path / "groups.csv"))
    plan = SplitPlan.grouped(grouped, n_folds=2)
    assert grouped.group[0] == grouped.group[1] != grouped.group[2] == grouped.group[3]
    assert len(set(grouped.group)) == 8
    assert all({0, 1} <= set(part.tolist()) or not {0, 1} & set(part.tolist()) for part in (plan.folds[0].test,))
    assert FIELDS_ARE_NO_PATIENTS in plan.notes
    assert "linked subjects" not in plan.describe()[0]


def test_field_groups_join_subjects_and_declared_groups(twins: Manifest) -> None:
    """With subject ids only what was found is declared, and a group of the user's own is kept."""
    known = replace(twins, subject=tuple("abcdefghij"), declared_group=("", "slide-1", *[""] * 7, "slide-1"))
    grouped = with_field_groups(replace(find_duplicates(twins), manifest=known))
    assert grouped.declared_group[:2] == ("slide-1", "slide-1")
    assert grouped.declared_group[4:9] == ("",) * 5
    assert grouped.group[0] == grouped.group[1] == grouped.group[9] == "a+b+j"


def test_near_duplicates_of_two_subjects_are_a_finding(twins: Manifest) -> None:
    known = replace(twins, subject=tuple("abcdefghij"), label=("A", "B", *twins.label[2:]))
    codes = {one.code: one for one in duplicate_findings(replace(find_duplicates(twins), manifest=known))}
    assert codes["near-duplicate-across-subjects"].evidence[0]["subjects"] == ["a", "b"]
    assert codes["near-duplicate-across-labels"].evidence[0]["labels"] == ["A", "B"]
    assert codes["near-duplicates"].words.startswith("2 groups")


def test_contact_sheets_show_what_is_there_and_say_what_is_not(twins: Manifest) -> None:
    sheet = contact_sheet(twins, [["0.png", "1.png"], ["no such.png"], ["2.png"] * (TILES + 3)] + [["3.png"]] * CASES)
    assert sheet.width < 1280
    assert np.asarray(sheet).min() < 60, "a dark cell on it"


@pytest.mark.real
def test_taleqani_has_forty_groups_of_identical_fields(shared: Path) -> None:
    manifest = Manifest.open(shared / "data" / "taleqani", subjects="unknown")
    identical = next(one for one in manifest_findings(manifest) if one.code == "identical-images")
    assert len(identical.evidence) == 40


@pytest.mark.real
def test_cnmc_shows_some_cells_twice(shared: Path) -> None:
    """Found by this search and looked at: the same cell of subject 11 in two microscope images, and H6 = H2."""
    manifest = Manifest.open(shared / "data" / "cnmc" / "C-NMC_Leukemia")
    wanted = [
        row for row, name in enumerate(manifest.sample) if "UID_11_" in name or "UID_H6_" in name or "UID_H2_" in name
    ]
    found = pairs_of(find_duplicates(manifest, wanted[:60]))
    folder = "training_data/fold_0/"
    assert (f"{folder}all/UID_11_4_1_all.bmp", f"{folder}all/UID_11_5_4_all.bmp") in found
    assert (f"{folder}hem/UID_H6_1_1_hem.bmp", "training_data/fold_2/hem/UID_H2_1_1_hem.bmp") in found
