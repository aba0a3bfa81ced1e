"""Voxels of two tissues in the fit of one tissue a voxel."""

from __future__ import annotations

import numpy as np
import pytest
from fitting.voxels import observe
from PhysMRISynthLib.fitting.compartments import as_one_compartment
from PhysMRISynthLib.fitting.mixture import class_signals, gaussian_prior, literature_classes, responsibilities
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.fitting.voxelwise import fit_voxels, signed_signal
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.physics.tissues import tissue_table

CLASSES = literature_classes(3.0)
NAMES = [t.name for t in tissue_table()]
GIVEN = {"t1w": protocol_from_spec("ir,TR=2000,TE=20,TI=800"), "flair": protocol_from_spec("flair,TR=5000,TE=95,TI=1800")}
LEFT_OUT = protocol_from_spec("tse,TR=6000,TE=120")
FLUID, CORTEX = NAMES.index("csf"), NAMES.index("cortex")


def _mixed(shares: np.ndarray) -> list[Observation]:
    """Voxels with these shares of fluid, the rest cortex."""
    inputs = observe(np.repeat(CLASSES.means[CORTEX][:, None], shares.size, axis=1).astype(np.float32), GIVEN, relative_noise=0.01)
    return [Observation(o.name, o.protocol, np.abs(_sum(o, shares)).astype(np.float32), o.noise, o.covered) for o in inputs]


def _sum(observation: Observation, shares: np.ndarray) -> np.ndarray:
    fluid, cortex = signed_signal(observation, CLASSES.means[[FLUID, CORTEX]].T, np.ones(1))
    return shares * fluid + (1.0 - shares) * cortex


def _fitted(observations: list[Observation], together: bool) -> np.ndarray:
    count = observations[0].signal.size
    atlas = np.zeros((CLASSES.pure, count), dtype=np.float32)
    atlas[[FLUID, CORTEX]] = 0.5
    signals, fields = class_signals(CLASSES, observations, np.ones(2)), [np.ones(count, dtype=np.float32)] * 2
    assigned = responsibilities(signals, observations, fields, CLASSES.weights(atlas))
    made = as_one_compartment(observations, fields, signals, assigned)[0] if together else observations
    return fit_voxels(made, fields, *gaussian_prior(CLASSES, assigned))[0]


def test_a_contrast_that_was_not_given_shows_the_fluid_in_mixed_voxels() -> None:
    """A dark T1w with some FLAIR left is fluid and tissue, not one tissue with a T1 that cancels."""
    shares = np.linspace(0.3, 0.9, 25)
    blank = Observation("t2w", LEFT_OUT, np.zeros(shares.size, np.float32), 1e-4, np.ones(shares.size, bool))
    truth = _sum(blank, shares)
    errors = {}
    for together in (True, False):
        pd, t1, t2 = np.exp(_fitted(_mixed(shares), together))
        errors[together] = float(np.sqrt(np.mean((LEFT_OUT.signal(pd, t1, t2) - truth) ** 2)) / truth.mean())
    assert errors[True] < 0.05 and errors[False] > 0.3, errors


def test_single_tissues_are_left_as_they_are() -> None:
    observations = _mixed(np.array([0.0]))
    signals = class_signals(CLASSES, observations, np.ones(2))
    assigned = np.zeros((len(CLASSES.names), 1), dtype=np.float32)
    assigned[CORTEX] = 1.0
    made, beyond = as_one_compartment(observations, [np.ones(1, dtype=np.float32)] * 2, signals, assigned)
    assert not beyond.any() and not any(o.structure.any() for o in made if o.structure is not None)
    for one, other in zip(made, observations, strict=True):
        np.testing.assert_array_equal(one.signal, other.signal)


@pytest.mark.parametrize("field", (0.5, 2.0))
def test_the_receive_field_scales_what_is_taken_off(field: float) -> None:
    observations = _mixed(np.array([0.5]))
    signals = class_signals(CLASSES, observations, np.ones(2))
    assigned = np.zeros((len(CLASSES.names), 1), dtype=np.float32)
    assigned[CLASSES.names.index("cortex/csf 50%")] = 1.0
    one, other = (as_one_compartment(observations, [np.full(1, f, np.float32)] * 2, signals, assigned)[1] for f in (1.0, field))
    np.testing.assert_allclose(other, field * one, rtol=1e-5)
    assert np.abs(one).max() > 0.01
