"""Coils without prescan normalisation: their strong fields are divided out, or named with a remedy that works; weak ones are the fit's."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.alignment import align
from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement
from PhysMRISynthLib.imaging.head.known_head import KnownHead, map_errors
from PhysMRISynthLib.workflow.estimation.aligned_head import AlignedInputs
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.estimation.receive_field import strong_fields
from PhysMRISynthLib.workflow.estimation.verdict import Level
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.validation.defects import ROLES, acquisitions, clean_scans, coil_field

TOLERANCE, MARGIN = 1.5, 0.5
"""Times the error of the same head without the field, and per cent."""


@cache
def head() -> KnownHead:
    return small_head()


@cache
def estimated(strength: float, roles: tuple[str, ...], fielded: tuple[str, ...] = ROLES) -> Estimate:
    scans = coil_field(strength, *fielded)(clean_scans(head()), head())
    return estimate_tissue_maps(acquisitions({role: scans[role] for role in roles}), EstimateOrder(register=False, prior="literature"))


def told(found: Estimate) -> list[str]:
    return [warning.partition(":")[0] for warning in found.warnings if "receive field" in warning]


@pytest.mark.parametrize(("strength", "roles"), (pytest.param(1.5, ("t1w",), marks=pytest.mark.nightly), (4.0, ROLES)))
def test_a_strong_field_costs_hardly_anything_and_is_told(strength: float, roles: tuple[str, ...]) -> None:
    clean, found = estimated(0.0, roles), estimated(strength, roles)
    assert not told(clean) and set(told(found)) == set(roles), found.warnings
    least, errors = (map_errors(one.maps, head())["brain"] for one in (clean, found))
    assert all(errors[name] <= TOLERANCE * least[name] + MARGIN for name in errors), (least, errors)
    assert strength > 2.0 or found.verdict == clean.verdict


def test_a_field_that_the_fit_follows_from_afar_costs_hardly_anything() -> None:
    """Twofold, in one input: too weak beside its contrast to be told from the atlas, too strong for a search that begins at none."""
    clean, found = estimated(0.0, ROLES), estimated(2.0, ROLES, ("t2w",))
    least, errors = (map_errors(one.maps, head())["brain"] for one in (clean, found))
    assert all(errors[name] <= TOLERANCE * least[name] + MARGIN for name in errors), (least, errors)
    assert found.verdict == clean.verdict


def test_a_very_strong_field_is_a_caution_that_names_a_remedy_that_works() -> None:
    reason = estimated(4.0, ROLES).verdict.reasons[0]
    assert reason.level is Level.CAUTION and reason.image == "t1w" and "with prescan normalisation too, give that one" in reason.text
    assert estimated(0.0, ROLES).verdict.level is Level.GOOD


@pytest.mark.parametrize(
    ("nod", "shift", "strength", "expected"),
    ((0.0, 0.0, 4.0, set(ROLES)), (20.0, 15.0, 0.0, set())),
    ids=("a field", "a misplaced atlas"),
)
def test_an_atlas_that_does_not_quite_fit_is_not_taken_for_a_field(nod: float, shift: float, strength: float, expected: set[str]) -> None:
    """Signals deviate from the expected ones, but no smooth field explains it."""
    inputs = acquisitions(coil_field(strength)(clean_scans(head()), head()))
    grid = head().maps.grid
    alignments = {a.name: align(a.volume.image, grid) for a in inputs}
    centre = grid.TransformContinuousIndexToPhysicalPoint([24.5, 29.5, 24.5])
    placement = AtlasPlacement(sitk.Euler3DTransform(centre, np.deg2rad(nod), 0.0, 0.0, (0.0, shift, 0.0)), False, 1.0)
    aligned = AlignedInputs(inputs, inputs[0], 3.0, grid, alignments, head().maps.mask)
    assert set(strong_fields(aligned, placement)) == expected
