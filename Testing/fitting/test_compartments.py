"""Voxels of tissue and fluid are told apart, where one compartment cannot explain all images."""

from __future__ import annotations

import numpy as np
import pytest

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.fitting.compartments import fit_fluid_shares, joined, mixed_with_fluid
from PhysMRISynthLib.fitting.head import HeadModel, fit_head
from PhysMRISynthLib.fitting.mixture import responsibilities
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.physics.noise import add_noise
from Testing.fitting.balls import NAMES, Head

CORTEX, FLUID = NAMES.index("cortex"), NAMES.index("csf")


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.drawn(50)


@pytest.fixture(scope="module")
def model(head: Head) -> HeadModel:
    return fit_head(head.seen(PROTOCOLS, 50)[0], head.positions, head.atlas, 3.0)


def _mixed(model: HeadModel, share: np.ndarray) -> list[Observation]:
    """What the inputs show of cortex and the head's own fluid, in the middle of the brain."""
    rng = np.random.default_rng(1)
    found = []
    for gain, (name, protocol) in zip(model.gains, PROTOCOLS.items(), strict=True):
        cortex, fluid = (protocol.signal_and_derivatives(model.level.theta[row][:, None])[0][0] for row in (1, 4))
        clean = np.abs((1.0 - share) * cortex + share * fluid) * gain
        noise = 0.01 * float(abs(cortex) * gain)
        found.append(Observation(name, protocol, add_noise(clean.astype(np.float32), noise, rng), noise, np.ones(share.size, bool)))
    return found


def _fitted(model: HeadModel, seen: list[Observation]):
    count = seen[0].signal.size
    adapted = model.adapted(seen)
    fields = [np.ones(count, np.float32)] * len(seen)
    atlas = np.full((len(NAMES), count), 0.01, np.float32)
    atlas[[CORTEX, FLUID]] = 0.45
    expected = model.classes.weights(atlas, settled=True)
    where, mixed = mixed_with_fluid(model, expected, responsibilities(model.looks, adapted, fields, expected))
    return where, fit_fluid_shares(model, [o.at(where) for o in adapted], [f[where] for f in fields], mixed)


def test_the_share_of_fluid_is_found(model: HeadModel) -> None:
    share = np.linspace(0.15, 0.85, 200).astype(np.float32)
    where, found = _fitted(model, _mixed(model, share))
    likely = found.probability > 0.5
    assert likely.mean() > 0.7
    error = np.abs(found.share - share[where])[likely]
    assert np.median(error) < 0.04, np.median(error)


def test_two_compartments_explain_what_one_does_not(model: HeadModel) -> None:
    share = np.full(100, 0.5, np.float32)
    seen = _mixed(model, share)
    where, found = _fitted(model, seen)
    flair = seen[2].signal[where]
    assert np.abs(found.predicted[2] / flair - 1.0).mean() < 0.08


def test_maps_of_a_voxel_follow_from_its_compartments() -> None:
    cortex, fluid = np.log([0.82, 1500.0, 100.0]), np.log([1.0, 4200.0, 2000.0])
    for share in (0.0, 1.0):
        np.testing.assert_allclose(joined(cortex[:, None], np.array([share]), fluid)[:, 0], (cortex, fluid)[int(share)], rtol=1e-6)
    pd, t1, t2 = np.exp(joined(cortex[:, None], np.array([0.5]), fluid)[:, 0])
    water = np.array([0.41, 0.5])
    assert pd == pytest.approx(water.sum())
    assert 1 / t1 == pytest.approx((water / [1500.0, 4200.0]).sum() / water.sum())
    assert 1 / t2 == pytest.approx((water / [100.0, 2000.0]).sum() / water.sum())
