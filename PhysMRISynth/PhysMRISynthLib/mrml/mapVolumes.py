"""What the volumes of a set of tissue maps hold: the voxels, the title and the range of each, from a result of the worker."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..imaging.tissue_maps import PER_CENT
from ..physics.tissues import tissue_table
from ..workflow.voxel_sample import sampled_voxels
from . import display

if TYPE_CHECKING:
    from ..workflow.worker.jobs import Result

LABELS = ("tissue", "mask")
NO_TISSUE = 255
FLUID = "fluid_fraction"
"""The share of cerebrospinal fluid in a voxel, in % of its volume."""


def volumesOf(result: Result) -> dict[str, Callable[[], np.ndarray]]:
    """What makes the voxels of every volume, in the units of the nodes, by name."""
    maps = result.maps
    made: dict[str, Callable[[], np.ndarray]] = {
        "PD": lambda: maps.pd * np.float32(PER_CENT),
        "T1": lambda: maps.t1,
        "T2": lambda: maps.t2,
        **{f"{name}_sd": partial(_inUnits, name, sd) for name, sd in maps.sd.items()},
        "tissue": lambda: _labels(result),
        "mask": lambda: maps.mask.astype(np.uint8),
    }
    if maps.fluid_fraction is not None and maps.fluid is not None:
        made[FLUID] = partial(np.multiply, maps.fluid_fraction, np.float32(PER_CENT))
    for role, fit in result.fits.items():
        made[f"residual_{role}"] = partial(_percent, result, role)
        made[f"fit_{role}"] = partial(np.asarray, fit)
    return made


def _inUnits(name: str, sd: np.ndarray) -> np.ndarray:
    return sd * np.float32(PER_CENT) if name == "PD" else sd


def _labels(result: Result) -> np.ndarray:
    """Label maps have nothing at 0: the rows of the tissue table start at 1. Brain tissue outside the brain is none."""
    inside = np.array([entry.region == "brain" for entry in tissue_table()] + [False] * (256 - len(tissue_table())))
    known = (result.tissue != NO_TISSUE) & (result.brain | ~inside[result.tissue])
    return (result.tissue + np.uint8(1)) * known  # 255 becomes 0


def _where(result: Result) -> np.ndarray:
    """Flat indices of a sample of the brain, or of the head where there is no brain."""
    where = result.brain if result.brain.any() else result.maps.mask
    return sampled_voxels(where, lambda values: values)


def _percent(result: Result, role: str) -> np.ndarray:
    """A residual in % of the input's median magnitude in the brain."""
    residual, fit, where = result.residuals[role], result.fits[role], _where(result)
    typical = float(np.median(np.abs(fit.reshape(-1)[where] + residual.reshape(-1)[where]))) if where.size else 0.0
    return residual * np.float32(PER_CENT / typical if typical else 0.0)


def windowOf(name: str, voxels: np.ndarray, result: Result) -> tuple[float, float] | None:
    """The range that a volume is shown in; None for a label map."""
    appearance = display.appearanceOf(name)
    if appearance is not None:
        return appearance.low, appearance.high
    return None if name in LABELS else display.scanWindow(voxels.reshape(-1)[_where(result)])


def volumeTitle(name: str) -> str:
    """What the volume of a quantity is called behind the reference's name: "T1 (ms)", "SD of T1 (ms)", "fit of t1w"."""
    appearance = display.appearanceOf(name)
    if appearance is not None:
        return f"{appearance.title} ({appearance.unit[0]})"
    kind, _, role = name.partition("_")
    return f"{kind} of {role}" if role else name
