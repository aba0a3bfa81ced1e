"""A lesion that no atlas expects shows in the maps, and so does how little is known about it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.examples.example import example_head
from PhysMRISynthLib.workflow.rendering.simulate import simulate

LESION = {"PD": 0.8, "T1": 1450.0, "T2": 150.0}
"""Fraction, ms, ms: a T2-bright, T1-dark plaque at 3 T."""
RADIUS_MM = 7.0


Found = tuple[np.ndarray, np.ndarray, Estimate]
"""Where the lesion is, where healthy white matter is, and the estimate."""


@pytest.fixture(params=["literature", pytest.param("network", marks=pytest.mark.nightly)])
def found(request: pytest.FixtureRequest) -> Found:
    return _with_lesion(request.param)


@cache
def _with_lesion(prior: str) -> Found:
    """An estimate from three images of that head at 2 mm."""
    head = example_head(seed=5)
    step = (slice(None, None, 2),) * 3
    maps, tissue = head.maps, head.tissue[step]
    white = tissue == [t.name for t in tissue_table()].index("white_matter")
    lesion = _ball_in(white, RADIUS_MM / 2.0)
    pd, t1, t2 = (
        np.where(lesion, np.float32(LESION[name]), values[step]) for name, values in zip(LESION, (maps.pd, maps.t1, maps.t2), strict=True)
    )
    known = TissueMaps(pd, t1, t2, maps.mask[step], maps.grid[::2, ::2, ::2])
    images = simulate(known, PROTOCOLS, snr=100, field=0.2, seed=6)
    inputs = [Acquisition(n, volume_from_image(known.image(v)), PROTOCOLS[n]) for n, v in images.items()]
    return lesion, white & ~lesion, estimate_tissue_maps(inputs, EstimateOrder(register=False, prior=prior))


def _ball_in(tissue: np.ndarray, radius: float) -> np.ndarray:
    """A ball of ``radius`` voxels where it holds most of a tissue."""
    axes = np.ogrid[tuple(slice(0, n) for n in tissue.shape)]
    candidates = np.argwhere(tissue)[::97]

    def ball(centre: np.ndarray) -> np.ndarray:
        return sum((a - c) ** 2 for a, c in zip(axes, centre, strict=True)) <= radius**2

    return ball(max(candidates, key=lambda centre: int((ball(centre) & tissue).sum())))


def test_a_lesion_has_its_own_values(found: Found) -> None:
    lesion, white, estimate = found
    for name, voxels in {"PD": estimate.maps.pd, "T1": estimate.maps.t1, "T2": estimate.maps.t2}.items():
        inside, around = float(np.median(voxels[lesion])), float(np.median(voxels[white]))
        print(f"{name}: {inside:.4g} in the lesion, truth {LESION[name]:g}; {around:.4g} in white matter")
        assert abs(inside / LESION[name] - 1.0) < 0.15
        assert abs(inside - LESION[name]) < 0.5 * abs(around - LESION[name])


def test_a_lesion_is_less_certain_than_healthy_tissue(found: Found) -> None:
    lesion, white, estimate = found
    for name, voxels in {"T1": estimate.maps.t1, "T2": estimate.maps.t2}.items():
        relative = estimate.maps.sd[name] / np.maximum(voxels, 1.0)
        assert np.median(relative[lesion]) > np.median(relative[white])


def test_a_lesion_does_not_move_the_tissues_around_it(found: Found) -> None:
    healthy = found[2].medians["white_matter"]
    assert 0.9 < healthy["T1"] / float(np.exp(tissue_table()[0].theta[1])) < 1.1
