"""Coils without prescan normalisation: their strong fields are divided out, or named with a remedy that works; weak ones are the fit's."""

from __future__ import annotations

from functools import cache

import pytest

from PhysMRISynthLib.imaging.head.known_head import KnownHead, map_errors
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.estimation.verdict import Level
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.validation.defects import ROLES, acquisitions, clean_scans, coil_field

TOLERANCE, MARGIN = 1.5, 0.5
"""Times the error of the same head without the field, and per cent."""


@cache
def head() -> KnownHead:
    return small_head()


@cache
def estimated(strength: float, roles: tuple[str, ...]) -> Estimate:
    scans = coil_field(strength)(clean_scans(head()), head())
    return estimate_tissue_maps(acquisitions({role: scans[role] for role in roles}), EstimateOrder(prior="literature"))


def told(found: Estimate) -> list[str]:
    return [warning.partition(":")[0] for warning in found.warnings if "receive field" in warning]


@pytest.mark.parametrize(("strength", "roles"), ((1.5, ("t1w",)), (4.0, ROLES)))
def test_a_strong_field_costs_hardly_anything_and_is_told(strength: float, roles: tuple[str, ...]) -> None:
    clean, found = estimated(0.0, roles), estimated(strength, roles)
    assert not told(clean) and set(told(found)) == set(roles), found.warnings
    least, errors = (map_errors(one.maps, head())["brain"] for one in (clean, found))
    assert all(errors[name] <= TOLERANCE * least[name] + MARGIN for name in errors), (least, errors)
    assert strength > 2.0 or found.verdict == clean.verdict


def test_a_very_strong_field_is_a_caution_that_names_the_remedy() -> None:
    reason = estimated(4.0, ROLES).verdict.reasons[0]
    assert reason.level is Level.CAUTION and reason.image == "t1w" and "correct it with N4" in reason.text
