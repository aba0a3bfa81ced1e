"""The head level: gains, fields, echo times and tissue values of simulated voxels, found together."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.fitting.head import fit_head
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.fitting.tissue_level import ECHO_TIME, brain_rows
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.fitting.balls import NAMES, Head

SUBSETS = [names for size in (1, 2, 3) for names in combinations(PROTOCOLS, size)]
LITERATURE = np.stack([tissue_table()[row].theta for row in brain_rows()])


def test_gains_fields_and_tissue_values_are_found_together() -> None:
    seen_by_three, literature_error, fitted_error = [], [], []
    for seed in range(3):
        head = Head.drawn(seed)
        observations, scales = head.seen(PROTOCOLS, seed)
        told: list[float] = []
        model = fit_head(observations, head.positions, head.atlas, 3.0, progress=told.append)
        assert told == sorted(told) and told[-1] == 1.0
        ratio = head.fitted_scales(model) / scales
        seen_by_three.append(np.median(ratio, axis=1) - 1.0)
        assert (ratio.std(axis=1) / ratio.mean(axis=1) < 0.03).all()  # the field's shape
        brain = [brain_rows().index(NAMES.index(name)) for name in ("white_matter", "cortex", "deep_grey", "thalamus")]
        literature_error.append(np.abs(LITERATURE - head.means)[brain])
        fitted_error.append(np.abs(model.level.theta - head.means)[brain])
    gain_error = np.abs(seen_by_three)
    assert gain_error.max() < 0.08 and np.median(gain_error) < 0.05, gain_error
    better = np.mean(fitted_error, axis=(0, 1)) / np.mean(literature_error, axis=(0, 1))
    assert better[1] < 0.7 and better[2] < 0.7, better  # T1 and T2
    assert np.mean(fitted_error) < 0.6 * np.mean(literature_error)


@pytest.mark.parametrize("away", [-0.16, 0.16])
def test_a_head_far_from_the_table_is_followed(away: float) -> None:
    """Age or another method's table moves T1 of all solid tissues by 15 %: less than a third of that is left as an error."""
    head, truth = Head.drawn(40), LITERATURE.copy()
    truth[:4, 1] += away
    moved = (truth - head.means)[[brain_rows().index(row) for row in head.tissue]]
    head = replace(head, means=truth, theta=head.theta + moved.T.astype(np.float32))
    model = fit_head(head.seen(PROTOCOLS, 40)[0], head.positions, head.atlas, 3.0)
    left = (truth - model.level.theta)[:4, 1] / away
    assert (np.abs(left) < 0.3).all(), left


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_every_subset_of_inputs_gives_a_head_model(names: tuple[str, ...]) -> None:
    head = Head.drawn(10)
    observations, scales = head.seen({name: PROTOCOLS[name] for name in names}, 10)
    model = fit_head(observations, head.positions, head.atlas, 3.0)
    np.testing.assert_allclose(np.median(head.fitted_scales(model) / scales, axis=1), 1.0, atol=0.15)
    assert np.abs(model.level.theta - LITERATURE).max() < 0.5
    assert (np.linalg.eigvalsh(model.level.covariance) > 0).all()
    assert (np.linalg.eigvalsh(model.classes.extra) > -1e-12).all()
    assert model.adapted(observations)[0].protocol.spec == observations[0].protocol.spec  # no echo time was in doubt


@pytest.mark.parametrize("echo_time", [80.0, pytest.param(110.0, marks=pytest.mark.nightly)])
def test_an_echo_time_in_doubt_is_found(echo_time: float) -> None:
    """Over several heads: one whose every T2 lies on the same side of the literature looks like another echo time."""
    truth = {**PROTOCOLS, "t2w": PROTOCOLS["t2w"].changed("truth", TE=echo_time)}
    errors = []
    for seed in (20, 21, 22):
        head = Head.drawn(seed)
        observations, _ = head.seen(truth, seed)
        told = [o if o.name != "t2w" else o.with_echo_time(95.0) for o in observations]
        model = fit_head(told, head.positions, head.atlas, 3.0, {"t2w": 95.0})
        found = float(np.exp(model.level.nuisances["t2w", ECHO_TIME]))
        errors.append(abs(found - echo_time))
        adapted = {o.name: o.protocol for o in model.adapted(told)}
        assert adapted["t2w"].values["TE"] == pytest.approx(found)
        assert adapted["t1w"].spec == PROTOCOLS["t1w"].spec
    assert np.median(errors) < 0.5 * abs(95.0 - echo_time), errors


def test_a_voxel_outside_an_inputs_slab_does_not_disturb_its_gain() -> None:
    head = Head.drawn(30)
    observations, scales = head.seen(PROTOCOLS, 30)
    inside = head.positions[:, 0] > -30
    flair = observations[2]
    slab = Observation("flair", flair.protocol, np.where(inside, flair.signal, 0.0).astype(np.float32), flair.noise, inside)
    model = fit_head([*observations[:2], slab], head.positions, head.atlas, 3.0)
    ratio = np.median((head.fitted_scales(model) / scales)[:, inside], axis=1)
    np.testing.assert_allclose(ratio, 1.0, atol=0.08)
