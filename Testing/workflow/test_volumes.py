"""Volumes: mixtures are taken apart, and a head of known volumes has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import ImageError, RegistrationError
from PhysMRISynthLib.imaging.head.tissue_labels import labels_of, labels_table, rows_of, tissue_labels
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.results.map_set import read_map_set
from PhysMRISynthLib.workflow.results.tissue_fractions import tissue_fractions
from PhysMRISynthLib.workflow.results.tissue_volumes import brain_volumes, probability_maps
from Testing.workflow.map_folders import head, write_maps

NAMES = [tissue.name for tissue in tissue_table()]


def mixed(fractions: np.ndarray) -> TissueMaps:
    """Maps of voxels (1, 1, N) of white matter, cortex and fluid: water adds up, rates do with their water as weight."""
    pd, t1, t2 = np.exp(np.stack([tissue_table()[NAMES.index(name)].theta for name in ("white_matter", "cortex", "csf")])).T
    water = pd @ fractions
    maps = [water, water / ((pd / t1) @ fractions), water / ((pd / t2) @ fractions)]
    pd, t1, t2 = (values.astype(np.float32)[None, None] for values in maps)
    return TissueMaps(pd, t1, t2, np.ones(pd.shape, dtype=bool), sitk.Image(int(pd.size), 1, 1, sitk.sitkFloat32))


def test_mixtures_are_taken_apart() -> None:
    true = np.random.default_rng(3).dirichlet([0.5, 0.5, 0.5], 500).T
    maps = mixed(true)
    everywhere, unknown = np.ones(maps.pd.shape, dtype=bool), np.full(maps.pd.shape, 255, dtype=np.uint8)
    found = tissue_fractions(maps, unknown, everywhere, 3.0).values
    rows = [NAMES.index(name) for name in ("white_matter", "cortex", "csf")]
    assert np.abs(found[rows] - true).max() < 2e-3
    assert found.sum(axis=0) == pytest.approx(1.0, abs=1e-5)


def ball(nucleus: float = 0.0, noise: float = 0.0) -> tuple[TissueMaps, np.ndarray, dict[str, float]]:
    """Maps in voxels of 2 mm of a ball of white matter in cortex in fluid in bone, with a nucleus in the middle perhaps, the share of brain
    in each voxel, and the true volumes (ml)."""
    side = 24
    radius = np.sqrt(sum((axis - side + 0.5) ** 2 for axis in np.indices((2 * side,) * 3)))
    layers = (("deep_grey", nucleus), ("white_matter", 12.0), ("cortex", 17.0), ("csf", 20.3))
    amounts, brain, true = np.zeros((3, side, side, side)), np.zeros((side,) * 3), {}
    inner = 0.0
    for name, outer in layers:
        share = ((radius >= inner) & (radius < outer)).reshape(side, 2, side, 2, side, 2).mean(axis=(1, 3, 5))
        pd, t1, t2 = np.exp(tissue_table()[NAMES.index(name)].theta)
        amounts += np.array([pd, pd / t1, pd / t2])[:, None, None, None] * share
        brain, true[name], inner = brain + share, float(share.sum()) * 0.008, outer
    rng = np.random.default_rng(5)
    water, r1, r2 = amounts * np.exp(noise * rng.standard_normal(amounts.shape)) + 1e-9
    grid = sitk.Image([side] * 3, sitk.sitkFloat32)
    grid.SetSpacing([2.0] * 3)
    maps = TissueMaps(*(v.astype(np.float32) for v in (water, water / r1, water / r2)), np.ones(water.shape, dtype=bool), grid)
    return maps, brain, true


def test_the_surface_of_the_brain_counts_by_what_of_it_is_brain() -> None:
    maps, share, true = ball()
    brain = share > 0.7  # a mask that is too small
    found = tissue_fractions(maps, np.full(brain.shape, 255, dtype=np.uint8), brain, 3.0)
    for name in ("white_matter", "cortex", "csf"):
        assert found.of(NAMES.index(name)).sum(dtype=float) * 0.008 == pytest.approx(true[name], rel=0.01), name
    assert np.abs(found.values.sum(axis=0) - share[found.where]).max() < 1e-3


def test_a_nucleus_of_no_certain_class_is_not_taken_for_white_matter_and_cortex() -> None:
    maps, share, true = ball(nucleus=6.0, noise=0.01)
    radius = np.sqrt(sum((axis - 11.5) ** 2 for axis in np.indices(share.shape)))
    tissue = np.where(radius < 1, NAMES.index("deep_grey"), np.where((radius > 6.5) & (radius < 8), NAMES.index("cortex"), 255))
    found = tissue_fractions(maps, tissue.astype(np.uint8), share > 0.5, 3.0)
    assert found.of(NAMES.index("deep_grey")).sum(dtype=float) * 0.008 == pytest.approx(true["deep_grey"], rel=0.05)


def test_fractions_are_possible_whatever_the_maps_say() -> None:
    rng = np.random.default_rng(4)
    maps = mixed(rng.dirichlet([1.0, 1.0, 1.0], 300).T)
    wild = replace(maps, pd=maps.pd * np.float32(1.4), t2=(maps.t2 * rng.uniform(0.2, 4.0, maps.t2.shape)).astype(np.float32))
    found = tissue_fractions(wild, np.full(maps.pd.shape, 255, dtype=np.uint8), np.ones(maps.pd.shape, dtype=bool), 3.0).values
    assert found.min() >= 0.0 and found.sum(axis=0) == pytest.approx(1.0, abs=1e-5)


def test_a_known_head_has_its_volumes() -> None:
    known = small_head().tissue
    ml = np.bincount(known.reshape(-1), minlength=len(NAMES)) * 0.064
    found = brain_volumes(head()).volumes
    true = {
        "white_matter": ml[NAMES.index("white_matter")], "cortical_grey": ml[NAMES.index("cortex")], "csf": ml[NAMES.index("csf")],
        "deep_grey": ml[NAMES.index("deep_grey")] + ml[NAMES.index("thalamus")],
    }  # fmt: skip
    for name, value in true.items():
        assert found[name].ml == pytest.approx(value, rel=0.03), name
    assert found["brain"].ml + found["csf"].ml == pytest.approx(found["intracranial"].ml, rel=1e-3)
    assert 0 < found["ventricles"].ml < found["csf"].ml and all(volume.sd_ml > 0 for volume in found.values() if volume.ml)


def test_a_brain_that_is_not_found_has_no_ventricles_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_found(*given: object) -> np.ndarray:
        raise RegistrationError("not found")

    assert brain_volumes(head()).warnings == ()
    monkeypatch.setattr("PhysMRISynthLib.workflow.results.tissue_volumes.ventricle_mask", not_found)
    found = brain_volumes(head())
    assert "ventricles" not in found.volumes and "not found in the atlas" in found.warnings[0]


def test_lesions_are_counted_as_white_matter_and_by_themselves() -> None:
    labels = head().labels
    assert labels is not None
    lesion = tissue_labels()[-1].index
    marked = labels.copy()
    marked[np.unravel_index(np.flatnonzero(labels == 1)[:100], labels.shape)] = lesion
    before, after = (brain_volumes(replace(head(), labels=one)).volumes for one in (labels, marked))
    assert after["lesions"].ml == pytest.approx(6.4)
    assert after["white_matter"].ml == pytest.approx(before["white_matter"].ml, rel=1e-3)


def test_labels_lead_back_to_tissues() -> None:
    tissue = np.arange(13, dtype=np.uint8)
    labels = labels_of(tissue, np.ones(13, dtype=bool))
    kept = tissue != NAMES.index("air")
    assert (rows_of(labels)[kept] == tissue[kept]).all() and labels[~kept].tolist() == [0]
    outside = labels_of(tissue, np.zeros(13, dtype=bool))
    assert outside[: len([t for t in tissue_table() if t.region == "brain"])].sum() == 0 and outside[-1] == 0
    lines = [line.split("\t") for line in labels_table().splitlines()]
    assert lines[0][:2] == ["index", "name"] and [int(line[0]) for line in lines[1:]] == sorted(set(labels.tolist()) - {0})


def test_the_codes_are_those_of_the_dicom_standard() -> None:
    from pydicom.sr.codedict import codes

    known = {getattr(codes.SCT, keyword).value for keyword in codes.SCT.dir()}
    assert not [label.name for label in tissue_labels() if {label.code[0], label.category[0]} - known]


def test_probabilities_add_up_in_the_brain(tmp_path: Path) -> None:
    write_maps(tmp_path / "maps")
    maps = probability_maps(read_map_set(tmp_path / "maps"))
    total = sum(sitk.GetArrayFromImage(image) for image in maps.values())
    assert set(np.unique(np.round(total, 4)).tolist()) == {0.0, 1.0}
    assert list(maps) == ["white_matter", "cortex", "deep_grey", "thalamus", "csf", "lesion"]


def test_maps_without_labels_have_no_volumes() -> None:
    with pytest.raises(ImageError, match=r"no label map of the tissues .*Estimate them again"):
        brain_volumes(replace(head(), labels=None))
