"""By how much the fit's own standard deviations are too small or too large, as measured on simulated heads of known maps."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np

from ...physics.tissues import PROPERTIES
from ...resource_files import RESOURCES

FILE = RESOURCES / "calibration.json"


@cache
def _described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def measurements() -> dict[str, Any]:
    """By number of inputs, the heads, draws and prior that its factors were made from (JSON values)."""
    return dict(_described()["made_from"])


@cache
def sd_factors(inputs: int) -> np.ndarray:
    """What the fit's SDs of PD, T1 and T2 are multiplied by, (3,), with this number of inputs (3 stands for more).

    About 70 % of the voxels then lie within one SD, over heads; in a single head errors are shared by many voxels, so that its share
    scatters widely. Made by ``shipping/calibrate.py``.
    """
    by_count = _described()["factors"]
    factors = by_count[str(min(inputs, max(map(int, by_count))))]
    return np.array([factors[name] for name in PROPERTIES])
