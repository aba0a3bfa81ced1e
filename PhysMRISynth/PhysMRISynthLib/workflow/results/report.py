"""What an estimate says about itself: inputs, protocols with the source of each value, gains, residuals, tissue medians, timings."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import SimpleITK as sitk

from ... import __version__
from ...fitting.tissue_level import ECHO_TIME
from ...imaging.intake.acquisition import Acquisition
from ...imaging.tissue_maps import PER_CENT
from ...physics.nuisances import nuisances_of
from ...physics.protocol import Protocol
from ...physics.tissues import PROPERTIES, acceptance_ranges, published_by_method, tissue_table
from ..estimation.estimate import Estimate
from ..estimation.knowledge import knowledge_of, worst
from ..estimation.shared_errors import KEY, shared_errors
from ..estimation.tissue_medians import FROM_LITERATURE, UNITS, outer_medians


def estimate_report(estimate: Estimate) -> dict[str, Any]:
    """Everything about an estimate as JSON values (times in ms unless the key says seconds)."""
    acquisitions, field_strength = estimate.acquisitions, estimate.field_strength
    return {
        "software": software_report(),
        "order": estimate.order.as_json(),
        "prior": "literature" if estimate.network is None else "network",
        "network": None if estimate.network is None else {"sha256": estimate.network.sha256, "device": estimate.network.device},
        "protocols": worst(knowledge_of(a.protocol) for a in acquisitions).value,
        "field_strength_tesla": field_strength,
        "reference": estimate.reference,
        "equation_error_times_expected": round(estimate.head.equation_error, 2),
        "agreement_with_atlas": round(estimate.agreement, 3),
        "likeness_to_atlas": round(estimate.placement.likeness, 3),
        "applicability": _applicability(estimate),
        "skull_stripped": estimate.placement.skull_stripped,
        "inputs": {a.name: _input(estimate, a, i) for i, a in enumerate(acquisitions)},
        "tissue_medians": estimate.medians,
        "outer_medians": outer_medians(estimate.maps, estimate.tissue),
        "fluid": _fluid(estimate),
        "from_literature": FROM_LITERATURE,
        KEY: shared_errors(estimate).report(),
        "published_ranges": published_ranges(field_strength),
        "published_by_method": published_values(field_strength),
        "verdict": estimate.verdict.level.value,
        "reasons": [reason.report() for reason in estimate.verdict.reasons],
        "warnings": list(estimate.warnings),
        "seconds": dict(estimate.seconds),
        "peak_memory_gb": peak_memory_gb(),
        "units": UNITS,
        "notice": "Research only. T1, T2 and PD from weighted images are semi-quantitative: use them with their SD maps.",
    }


def published_ranges(field_strength: float) -> dict[str, dict[str, tuple[float, float]]]:
    """Ranges of published group means (PD %, T1 and T2 ms) by brain tissue: those that estimates are checked against, else what the tissue
    table gives, its value and two SDs from head to head."""
    found = {}
    for tissue in tissue_table(field_strength):
        if tissue.region == "brain":
            low, high = (np.exp(tissue.theta + sign * 2.0 * tissue.between_heads) for sign in (-1.0, 1.0))
            scales = np.array([PER_CENT, 1.0, 1.0])
            limits = zip(np.rint(scales * low).tolist(), np.rint(scales * high).tolist(), strict=True)
            found[tissue.name] = dict(zip(PROPERTIES, limits, strict=True))
    return {**found, **acceptance_ranges(field_strength)}


def published_values(field_strength: float) -> list[dict[str, Any]]:
    """What single methods of measuring found, with their sources, as JSON values."""
    return [{**asdict(value), "text": value.text} for value in published_by_method(field_strength)]


def software_report() -> dict[str, str]:
    """Versions of what computes."""
    return {
        "PhysMRISynth": __version__,
        "numpy": np.__version__,
        "SimpleITK": sitk.Version_VersionString(),
        "python": platform.python_version(),
    }


def _fluid(estimate: Estimate) -> dict[str, float]:
    """The head's cerebrospinal fluid: what the shares in ``fluid_fraction.nii.gz`` are shares of."""
    pd, t1, t2 = estimate.head.fluid
    return {"PD_percent": round(100.0 * pd, 2), "T1_ms": round(t1, 1), "T2_ms": round(t2, 1)}


def _applicability(estimate: Estimate) -> dict[str, Any]:
    """The score and its parts: 1 is the limit of each."""
    found = estimate.applicability
    parts = {kind: {name: round(value, 3) for name, value in part.items()} for kind, part in found.parts.items()}
    return {"score": round(found.score, 3), "limit": 1.0, "parts": parts}


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
    posterior = level.posterior(acquisition.name)
    if ECHO_TIME in posterior:
        told["fitted_echo_time"] = round(float(np.exp(posterior.pop(ECHO_TIME)[0])), 1)
    told["nuisances"] = {
        nuisance.name: {
            "title": nuisance.title,
            "known": {"mean": nuisance.mean, "sd": nuisance.sd, "source": nuisance.source},
            "fitted": dict(zip(("mean", "sd"), (round(value, 4) for value in posterior[nuisance.name]), strict=True)),
        }
        for nuisance in nuisances_of(acquisition.protocol)
    }
    return told


def _brain_field(estimate: Estimate, position: int) -> np.ndarray:
    somewhere = np.flatnonzero(estimate.brain)[::199]
    if not somewhere.size:
        return np.zeros(1)
    positions = np.stack(np.unravel_index(somewhere, estimate.brain.shape), axis=1) * estimate.maps.grid.GetSpacing()[::-1]
    return estimate.head.basis.evaluate(positions) @ estimate.head.coefficients[position]


def protocol_report(protocol: Protocol) -> dict[str, Any]:
    """A protocol with the source of each value."""
    parameters = {
        name: {"value": value, "unit": protocol.sequence.parameter(name).unit, "source": protocol.sources.get(name, "unknown")}
        for name, value in protocol.values.items()
    }
    return {"spec": protocol.spec, "sequence": protocol.sequence.title, "parameters": parameters, "notes": list(protocol.notes)}


def peak_memory_gb() -> float | None:
    """Peak resident memory of this process in GB, where the system tells it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e9 if sys.platform == "darwin" else 1e6), 2)
