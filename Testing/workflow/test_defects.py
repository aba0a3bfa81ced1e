"""Whatever two defects come together: the maps are about as good as without them, or the verdict or a refusal says that they are not.

Twenty pairs in the suite; as many as PHYSMRISYNTH_DEFECT_PAIRS says in the nightly job (200).
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.known_head import KnownHead, map_errors
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.estimation.verdict import Cause, Level
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.validation.anatomies import unequal_halves
from Testing.validation.defects import DEFECTS, acquisitions, clean_scans

PAIRS = int(os.environ.get("PHYSMRISYNTH_DEFECT_PAIRS", "20"))
SHARDS = 10
TOLERANCE, MARGIN = 2.0, 1.0


@cache
def head() -> KnownHead:
    return unequal_halves(small_head())


def estimated(*names: int) -> Estimate:
    scans = clean_scans(head())
    for name in names:
        scans = dict(DEFECTS[name].change(scans, head()))
    return estimate_tissue_maps(acquisitions(scans), EstimateOrder(prior="literature"))


def errors(found: Estimate) -> np.ndarray:
    brain = map_errors(found.maps, head())["brain"]
    return np.array([brain[name] for name in ("T1", "T2", "PD")])


@cache
def clean() -> Estimate:
    return estimated()


def told(found: Estimate) -> set[tuple[Cause, Level, str | None]]:
    """What the verdict says, without its words."""
    return {(reason.cause, reason.level, reason.image) for reason in found.verdict.reasons}


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_two_defects_are_harmless_or_told(shard: int) -> None:
    @settings(max_examples=-(-PAIRS // SHARDS), deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(range(shard, len(DEFECTS), SHARDS)), st.integers(0, len(DEFECTS) - 1))
    def harmless_or_told(first: int, second: int) -> None:
        try:
            found = estimated(first, second)
        except PhysMRISynthError as error:
            assert str(error).strip().endswith((".", ")"))
            return
        assert all(np.isfinite(values[found.maps.mask]).all() for values in (found.maps.pd, found.maps.t1, found.maps.t2))
        assert told(found) - told(clean()) or (errors(found) <= TOLERANCE * errors(clean()) + MARGIN).all()

    harmless_or_told()


def test_nothing_speaks_against_the_clean_head() -> None:
    assert not told(clean()) and (errors(clean()) < 2.0).all()
