"""Laws of the head level: its objective never falls, and what does not matter does not change the result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.fitting.head import HeadModel, fit_head
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.fitting.balls import Head

WRONG = {**PROTOCOLS, "t2w": PROTOCOLS["t2w"].changed("wrong", TE=75)}
INPUTS = {"three": PROTOCOLS, "two": {name: PROTOCOLS[name] for name in ("t1w", "t2w")}, "wrong": WRONG}


def _told(observations: list[Observation], inputs: str) -> list[Observation]:
    return [replace(o, protocol=INPUTS[inputs][o.name]) for o in observations if o.name in INPUTS[inputs]]


def _seen(head: Head, inputs: str) -> list[Observation]:
    return _told(head.seen(PROTOCOLS, 40)[0], inputs)


def _values(model: HeadModel) -> np.ndarray:
    return np.exp(model.level.theta[:4])  # fluid's T2 is not measured


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.drawn(40)


@pytest.fixture(scope="module")
def model(head: Head) -> HeadModel:
    return fit_head(_seen(head, "three"), head.positions, head.atlas, 3.0)


@pytest.mark.parametrize("inputs", INPUTS)
def test_the_objective_never_falls_and_ends_where_it_gains_nothing(head: Head, inputs: str) -> None:
    values = np.array(fit_head(_seen(head, inputs), head.positions, head.atlas, 3.0).values)
    assert len(values) > 1
    assert (np.diff(values) > 0).all()
    assert values[-1] - values[-2] < 1.0


def test_the_order_of_inputs_does_not_matter(head: Head, model: HeadModel) -> None:
    turned = fit_head(_seen(head, "three")[::-1], head.positions, head.atlas, 3.0)
    np.testing.assert_allclose(_values(turned), _values(model), rtol=1e-3)
    np.testing.assert_allclose(turned.gains[::-1], model.gains, rtol=1e-3)


def test_the_order_of_voxels_does_not_matter(head: Head, model: HeadModel) -> None:
    order = np.random.default_rng(0).permutation(len(head.positions))
    mixed = fit_head([o.at(order) for o in _seen(head, "three")], head.positions[order], head.atlas[:, order], 3.0)
    np.testing.assert_allclose(_values(mixed), _values(model), rtol=1e-3)


def test_a_thousandfold_gain_is_a_gain(head: Head, model: HeadModel) -> None:
    louder = [replace(o, signal=o.signal * np.float32(1000.0), noise=o.noise * 1000.0) for o in _seen(head, "three")]
    found = fit_head(louder, head.positions, head.atlas, 3.0)
    np.testing.assert_allclose(_values(found), _values(model), rtol=1e-3)
    np.testing.assert_allclose(found.gains, 1000.0 * model.gains, rtol=1e-3)


def test_flipped_axes_do_not_matter(head: Head, model: HeadModel) -> None:
    flipped = fit_head(_seen(head, "three"), head.positions * np.float32([-1.0, 1.0, -1.0]), head.atlas, 3.0)
    np.testing.assert_allclose(_values(flipped), _values(model), rtol=1e-3)


@pytest.mark.parametrize("inputs", INPUTS)
def test_a_little_noise_changes_little(head: Head, inputs: str) -> None:
    """A solution that flips would move tissue values by several per cent."""
    clean = _seen(head, inputs)
    before = _values(fit_head(clean, head.positions, head.atlas, 3.0))
    for seed in range(2):
        rng = np.random.default_rng(seed)
        sd = [1e-3 * np.percentile(o.signal, 99) for o in clean]
        noisy = [
            replace(o, signal=(o.signal + s * rng.standard_normal(o.signal.size)).astype(np.float32))
            for o, s in zip(clean, sd, strict=True)
        ]
        after = _values(fit_head(noisy, head.positions, head.atlas, 3.0))
        np.testing.assert_allclose(after, before, rtol=0.01)
        assert np.median(np.abs(after / before - 1.0)) < 0.003


def test_what_is_not_brain_says_nothing_about_the_gains(head: Head, model: HeadModel) -> None:
    """Vessels and membranes of unknown signal lie in every brain: one voxel in twenty changed wholly moves no tissue by more than 2 %."""
    rng = np.random.default_rng(3)
    struck = rng.random(len(head.positions)) < 0.05
    factors = np.float32([0.5, 0.3, 0.4])
    seen = [replace(o, signal=np.where(struck, o.signal * f, o.signal)) for o, f in zip(_seen(head, "three"), factors, strict=True)]
    found = fit_head(seen, head.positions, head.atlas, 3.0)
    np.testing.assert_allclose(_values(found), _values(model), rtol=0.02)


def test_an_input_more_never_widens_what_it_shows(head: Head, model: HeadModel) -> None:
    fewer = fit_head(_seen(head, "two"), head.positions, head.atlas, 3.0)
    solid = 4 * 3
    more, less = (np.sqrt(np.diag(m.level.covariance))[:solid] for m in (model, fewer))
    assert (more <= 1.02 * less).all(), more / less


def test_a_t2_star_weighted_image_does_not_impose_its_equation(head: Head, model: HeadModel) -> None:
    """T2*/T2 differs among tissues (here by 4 to 9 % of the signal), and the equation has one ratio: tissues keep their values."""
    protocol = Protocol.of("spgr", TR=600, TE=20, FA=20)
    rates = {"white_matter": 6.0, "cortex": 5.0, "deep_grey": 12.0, "thalamus": 5.0, "csf": 0.5}
    excess = np.array([rates.get(tissue.name, 0.0) for tissue in tissue_table()])[head.tissue] / 1000.0
    ratio = 1.0 / (1.0 + excess * np.exp(head.theta[2]))
    seen = head.seen({**PROTOCOLS, "t2starw": replace(protocol, imperfections={"t2_star_ratio": ratio})}, 40)[0]
    given = [replace(o, protocol={**PROTOCOLS, "t2starw": protocol}[o.name]) for o in seen]
    found = fit_head(given, head.positions, head.atlas, 3.0)
    np.testing.assert_allclose(_values(found), _values(model), rtol=0.02)
    assert found.equation_error < 2.0
