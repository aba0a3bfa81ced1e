"""What no tissue explains is marked, and its SDs hold the truth; a head of another anatomy is not taken for an adult's."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from PhysMRISynthLib.imaging.head.known_head import map_errors
from PhysMRISynthLib.imaging.intake.volumes import read_volume
from PhysMRISynthLib.physics.tissues import PROPERTIES
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisitions
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.estimation.verdict import Level
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.results.outputs import save_estimate
from Testing.validation.anatomies import ANATOMIES, Anatomy
from Testing.validation.defects import ROLES, acquisitions, clean_scans, known_head

WITHIN_TWO_SD = 0.9


@cache
def estimated(anatomy: str, roles: tuple[str, ...] = ROLES) -> tuple[Anatomy, Estimate]:
    known = ANATOMIES[anatomy](known_head(4.0) if anatomy == "newborn" else small_head())  # whose skin reaches the image's faces
    scans = clean_scans(known.head)
    return known, estimate_tissue_maps(acquisitions({role: scans[role] for role in roles}), EstimateOrder(prior="literature"))


def held(known: Anatomy, found: Estimate, where: np.ndarray) -> dict[str, float]:
    """Share of the voxels whose truth lies within two SDs."""
    truth = known.head.maps
    pairs = zip((truth.pd, truth.t1, truth.t2), (found.maps.pd, found.maps.t1, found.maps.t2), PROPERTIES, strict=True)
    return {p: float((np.abs(t - f)[where] <= 2.0 * found.maps.sd[p][where]).mean()) for t, f, p in pairs}


@pytest.mark.parametrize(("anatomy", "roles"), (("tumour", ROLES), ("tumour", ROLES[:2]), ("cavity", ROLES)))
def test_a_region_that_is_no_tissue_is_marked_and_its_sds_hold_the_truth(anatomy: str, roles: tuple[str, ...]) -> None:
    known, found = estimated(anatomy, roles)
    assert found.unfamiliar is not None and (found.unfamiliar & known.strange).sum() > 0.7 * known.strange.sum()
    assert all(share >= WITHIN_TWO_SD for share in held(known, found, known.strange & found.unfamiliar).values())
    assert found.verdict.level is Level.CAUTION and "look like no tissue" in found.verdict.reasons[0].text
    assert (found.tissue[found.unfamiliar] == 255).all() and (map_errors(found.maps, known.head)["brain"]["T1"]) < 3.0


def test_the_region_is_written_beside_the_maps(tmp_path: Path) -> None:
    _, found = estimated("tumour")
    save_estimate(found, tmp_path)
    assert found.unfamiliar is not None
    assert (read_volume(tmp_path / "unfamiliar.nii.gz").voxels > 0).sum() == found.unfamiliar.sum()


def test_wide_ventricles_are_fluid() -> None:
    known, found = estimated("hydrocephalus")
    assert all(share >= WITHIN_TWO_SD for share in held(known, found, known.strange).values())
    assert found.verdict.level is Level.GOOD and found.unfamiliar is None


def test_a_newborns_maps_are_not_to_be_used_and_their_sds_hold_the_truth() -> None:
    known, found = estimated("newborn")
    assert found.verdict.level is Level.DO_NOT_USE and "an adult" in found.verdict.reasons[0].text  # its size or its likeness to one
    assert all(share >= WITHIN_TWO_SD for share in held(known, found, known.strange & found.maps.mask).values())


@pytest.mark.nightly
def test_two_visits_of_a_patient_without_a_tumour_agree(data: Callable[[str], Path]) -> None:
    """Regions that no tissue explains well, but that are tissue all the same, are not left out: fields without them differ by the visit."""
    folder = data("real/raw_patient12")
    protocols = {"t1w": "se,TR=600,TE=15", "t2w": "tse,TR=4500,TE=100", "flair": "flair,TR=11000,TE=140,TI=2800"}
    order = EstimateOrder(protocols=protocols, field_strength=1.5, prior="literature")
    first, second = (
        estimate_tissue_maps(read_acquisitions({role: folder / visit / f"{role}.nii.gz" for role in protocols}, order), order).medians
        for visit in ("visit1", "visit2")
    )
    assert all(abs(second["white_matter"][name] / first["white_matter"][name] - 1.0) < 0.02 for name in PROPERTIES)


@pytest.mark.nightly
def test_a_fit_without_regions_is_no_other_solution(data: Callable[[str], Path]) -> None:
    """With the network's prior, what two contrasts of this patient leave after the regions fits T1 of 2700 ms in cortex, too."""
    protocols = {"t2w": "tse,TR=6000,TE=120", "flair": "flair,TR=5000,TE=392,TI=1800"}
    order = EstimateOrder(protocols=protocols, field_strength=3.0, prior="network")
    files = {role: data("real/mni_patient07") / f"{role}.nii.gz" for role in protocols}
    medians = estimate_tissue_maps(read_acquisitions(files, order), order).medians
    assert 750 < medians["white_matter"]["T1"] < 1100 and 1150 < medians["cortex"]["T1"] < 1800
