"""The fit check: silent where maps explain their input, plain where they do not."""

from __future__ import annotations

import math

import numpy as np

from PhysMRISynthLib.fitting.check import LARGEST_GOOD_RESIDUAL, check_fit

BRAIN = np.ones((20, 20, 20), dtype=bool)
IMAGE = np.random.default_rng(0).uniform(50.0, 100.0, BRAIN.shape)


def test_residual_is_a_percentage_of_the_99th_percentile() -> None:
    scale = np.percentile(IMAGE, 99)
    check = check_fit(IMAGE, IMAGE - 0.02 * scale, BRAIN)
    assert math.isclose(check.rms_percent, 2.0, rel_tol=1e-6)
    assert math.isclose(check.bias_percent, 2.0, rel_tol=1e-6)
    assert check.warning is None
    assert check_fit(IMAGE, IMAGE, BRAIN).rms_percent == 0.0


def test_a_bad_fit_is_told_in_words_with_the_number() -> None:
    check = check_fit(IMAGE, 0.8 * IMAGE, BRAIN)
    assert check.rms_percent > LARGEST_GOOD_RESIDUAL
    assert check.warning is not None
    assert f"{check.rms_percent:.1f} %" in check.warning
    assert "protocol" in check.warning


def test_only_the_brain_counts() -> None:
    brain = np.zeros_like(BRAIN)
    brain[5:15] = True
    fitted = np.where(brain, IMAGE, 0.0)
    assert check_fit(IMAGE, fitted, brain).rms_percent == 0.0


def test_the_check_does_not_depend_on_the_gain() -> None:
    one, other = check_fit(IMAGE, 0.97 * IMAGE, BRAIN), check_fit(1e4 * IMAGE, 0.97e4 * IMAGE, BRAIN)
    assert math.isclose(one.rms_percent, other.rms_percent, rel_tol=1e-9)


def test_no_brain_and_a_dark_brain_are_survived() -> None:
    none = check_fit(IMAGE, IMAGE, np.zeros_like(BRAIN))
    assert math.isnan(none.rms_percent) and none.warning is not None
    dark = check_fit(np.zeros_like(IMAGE), np.zeros_like(IMAGE), BRAIN)
    assert dark.rms_percent == 0.0
