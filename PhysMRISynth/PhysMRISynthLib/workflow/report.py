"""What an estimate says about itself: inputs, protocols with the source of each value, gains, residuals, tissue medians, timings."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk

from .. import __version__
from ..imaging.acquisition import Acquisition
from ..imaging.tissue_maps import PER_CENT
from ..physics.protocol import Protocol
from ..physics.tissues import PROPERTIES, acceptance_ranges, tissue_table
from .estimate import Estimate

UNITS = {"PD": "% of water", "T1": "ms", "T2": "ms"}
_LEAST_VOXELS = 50


def estimate_report(estimate: Estimate, acquisitions: Sequence[Acquisition], field_strength: float) -> dict[str, Any]:
    """Everything about an estimate as JSON values (times in ms unless the key says seconds)."""
    return {
        "software": {
            "PhysMRISynth": __version__,
            "numpy": np.__version__,
            "SimpleITK": sitk.Version_VersionString(),
            "python": platform.python_version(),
        },
        "prior": "literature",
        "field_strength_tesla": field_strength,
        "reference": estimate.reference,
        "equation_error_times_expected": round(estimate.head.equation_error, 2),
        "skull_stripped": estimate.placement.skull_stripped,
        "inputs": {a.name: _input(estimate, a, i) for i, a in enumerate(acquisitions)},
        "tissue_medians": tissue_medians(estimate),
        "published_ranges": acceptance_ranges(field_strength),
        "warnings": [*estimate.warnings, *implausible_medians(estimate, field_strength)],
        "seconds": dict(estimate.seconds),
        "peak_memory_gb": peak_memory_gb(),
        "units": UNITS,
        "notice": "Research only. T1, T2 and PD from weighted images are semi-quantitative: use them with their SD maps.",
    }


def _input(estimate: Estimate, acquisition: Acquisition, position: int) -> dict[str, Any]:
    alignment, check = estimate.alignments[acquisition.name], estimate.checks[acquisition.name]
    level = estimate.head.level
    told: dict[str, Any] = {
        "file": str(acquisition.volume.path) if acquisition.volume.path else None,
        "protocol": protocol_report(acquisition.protocol),
        "gain": float(np.exp(level.log_gains[position])),
        "receive_field_log_sd": float(np.std(_brain_field(estimate, position))),
        "residual_rms_percent": round(check.rms_percent, 3),
        "residual_bias_percent": round(check.bias_percent, 3),
        "alignment": {
            "method": alignment.method,
            "shift_mm": round(alignment.shift_mm, 3),
            "rotation_degrees": round(alignment.rotation_degrees, 3),
        },
    }
    if acquisition.name in level.log_echo_times:
        told["fitted_echo_time"] = round(float(np.exp(level.log_echo_times[acquisition.name])), 1)
    return told


def _brain_field(estimate: Estimate, position: int) -> np.ndarray:
    spacing = estimate.maps.grid.GetSpacing()[::-1]
    somewhere = np.argwhere(estimate.brain)[::199] * spacing
    if not len(somewhere):
        return np.zeros(1)
    return estimate.head.basis.evaluate(somewhere) @ estimate.head.coefficients[position]


def protocol_report(protocol: Protocol) -> dict[str, Any]:
    """A protocol with the source of each value."""
    parameters = {
        name: {"value": value, "unit": protocol.sequence.parameter(name).unit, "source": protocol.sources.get(name, "unknown")}
        for name, value in protocol.values.items()
    }
    return {"spec": protocol.spec, "sequence": protocol.sequence.title, "parameters": parameters, "notes": list(protocol.notes)}


def tissue_medians(estimate: Estimate) -> dict[str, dict[str, float]]:
    """Median PD (%), T1 and T2 (ms), their median SDs and the volume (ml) of each brain tissue, over voxels that are surely of it."""
    found = {}
    voxel_ml = float(np.prod(estimate.maps.grid.GetSpacing())) / 1000.0
    for row, tissue in enumerate(tissue_table()):
        where = (estimate.tissue == row) & estimate.brain
        if tissue.region == "brain" and where.sum() >= _LEAST_VOXELS:
            medians = {name: _median(estimate, name, where) for name in PROPERTIES}
            sds = {f"{name}_sd": round(float(np.median(estimate.maps.sd[name][where])) * _scale(name), 2) for name in PROPERTIES}
            found[tissue.name] = {**medians, **sds, "volume_ml": round(float(where.sum()) * voxel_ml, 1)}
    return found


def implausible_medians(estimate: Estimate, field_strength: float) -> list[str]:
    """A warning for every tissue median that lies outside the published ranges of group means."""
    medians, told = tissue_medians(estimate), []
    for tissue, ranges in acceptance_ranges(field_strength).items():
        for name, (low, high) in ranges.items():
            value = medians.get(tissue, {}).get(name)
            if value is not None and not low <= value <= high:
                place = f"{tissue.replace('_', ' ')} {name} of {value:g} {UNITS[name]}"
                told.append(f"{place} lies outside the published {low:g} to {high:g}: check protocols, field strength and orientation.")
    return told


def _median(estimate: Estimate, name: str, where: np.ndarray) -> float:
    voxels = {"PD": estimate.maps.pd, "T1": estimate.maps.t1, "T2": estimate.maps.t2}[name]
    return round(float(np.median(voxels[where])) * _scale(name), 1)


def _scale(name: str) -> float:
    return PER_CENT if name == "PD" else 1.0


def peak_memory_gb() -> float | None:
    """Peak resident memory of this process in GB, where the system tells it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e9 if sys.platform == "darwin" else 1e6), 2)
