"""Voxels of tissue and fluid decide on which side of FLAIR's null fluid is; voxels of fluid alone cannot."""

from __future__ import annotations

import numpy as np
import pytest

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.fitting.boundary import Boundary
from PhysMRISynthLib.fitting.head import fit_head
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.fitting.tissue_level import fluid_row
from PhysMRISynthLib.fitting.voxelwise import signed_signal
from PhysMRISynthLib.physics.noise import add_noise
from Testing.fitting.balls import NAMES, Head
from Testing.fitting.voxels import observe

FLUID, CORTEX = NAMES.index("csf"), NAMES.index("cortex")
GAIN, COUNT = 300.0, 4_000


def _mixed(inputs: list[Observation], theta: np.ndarray, rng: np.random.Generator) -> list[Observation]:
    """Voxels of cortex and fluid in all shares, by inputs of the same noise; ``theta`` (2, 3) of the two."""
    share = rng.uniform(size=COUNT)
    found = []
    for o in inputs:
        cortex, fluid = signed_signal(o, theta.T, np.asarray(GAIN))
        signal = add_noise(np.abs(share * cortex + (1.0 - share) * fluid).astype(np.float32), o.noise, rng)
        found.append(Observation(o.name, o.protocol, signal, o.noise, np.ones(COUNT, dtype=bool)))
    return found


@pytest.mark.parametrize("shift", (-0.07, 0.08))
def test_the_side_of_the_null_is_that_of_the_boundary(shift: float) -> None:
    head, rng = Head.drawn(40), np.random.default_rng(7)
    fluid = head.means[fluid_row()] * [1.0, 0.0, 1.0] + [0.0, np.log(4380.0) + shift, 0.0]  # FLAIR's null lies at 4380 ms
    theta = head.theta.copy()
    theta[1, head.tissue == FLUID] = fluid[1]
    seen = observe(theta, PROTOCOLS, GAIN, relative_noise=0.01)
    places = head.positions[rng.integers(len(head.positions), size=COUNT)]
    half = np.zeros((len(NAMES), COUNT), dtype=np.float32)
    half[[CORTEX, FLUID]] = 0.5
    boundary = Boundary(_mixed(seen, np.stack([head.means[1], fluid]), rng), places, half)
    found = fit_head(seen, head.positions, head.atlas, 3.0, boundary=boundary)
    assert (found.fluid[1] > 4380.0) == (shift > 0.0)
