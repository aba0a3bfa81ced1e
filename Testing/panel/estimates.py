"""Small heads, their images as nodes, and a client that answers as the test says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import slicer

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.presets import load_presets
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.tissue_medians import FROM_LITERATURE, tissue_medians
from PhysMRISynthLib.workflow.estimation.verdict import Cause, Level, Reason, Verdict
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.render import render_arrays
from PhysMRISynthLib.workflow.results.report import protocol_report, published_ranges, published_values
from PhysMRISynthLib.workflow.worker.jobs import Cancelled, Finished, Progress, Result
from Testing.mrml.scene import scalar_volume

PRESETS = {"t1w": "oasis3-t1w", "t2w": "oasis3-t2w", "flair": "oasis3-flair"}
NAMES = {"t1w": "sub-01_T1w", "t2w": "sub-01_T2w", "flair": "sub-01_FLAIR"}


@cache
def head() -> KnownHead:
    """A head of 4 mm voxels; its arrays are shared: do not change them."""
    return small_head()


def ijkToRas(known: KnownHead | None = None) -> np.ndarray:
    """The geometry of a head (the small one), 4 × 4 (mm)."""
    grid = (known or head()).maps.grid
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(grid.GetDirection()).reshape(3, 3) * grid.GetSpacing()
    matrix[:3, 3] = grid.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def addImages(*roles: str, known: KnownHead | None = None) -> dict[str, Any]:
    """Noise-free images of a head (the small one) as volume nodes whose names tell their roles."""
    maps = (known or head()).maps
    images = {role: render_arrays(load_presets()[PRESETS[role]].protocol, maps.pd, maps.t1, maps.t2) for role in roles}
    return {role: scalar_volume(1000.0 * image, ijkToRas(known), NAMES[role]) for role, image in images.items()}


def result(
    roles: tuple[str, ...] = ("t1w", "flair"), warnings: tuple[str, ...] = (), known: KnownHead | None = None, fieldStrength: float = 3.0
) -> Result:
    """What a perfect worker would find: the true maps, and fits that leave nothing over."""
    known = known or head()
    maps = _insideOnly(known.maps)
    brain = np.isin(known.tissue, [row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"])
    fits = {role: 1000.0 * render_arrays(load_presets()[PRESETS[role]].protocol, maps.pd, maps.t1, maps.t2) for role in roles}
    return Result(
        maps=maps,
        fits=fits,
        residuals={role: np.zeros_like(fit) for role, fit in fits.items()},
        tissue=known.tissue,
        brain=brain,
        report={**_report(roles, warnings, fieldStrength), "tissue_medians": tissue_medians(maps, known.tissue, brain)},
    )


def _insideOnly(maps: TissueMaps) -> TissueMaps:
    """As an estimate leaves them: nothing outside the head, and SDs."""
    pd, t1, t2 = (np.where(maps.mask, values, np.float32(0.0)) for values in (maps.pd, maps.t1, maps.t2))
    return replace(maps, pd=pd, t1=t1, t2=t2, sd={"PD": 0.02 * pd, "T1": 0.05 * t1, "T2": 0.05 * t2})


def _report(roles: tuple[str, ...], warnings: tuple[str, ...], fieldStrength: float) -> dict[str, Any]:
    protocols = {role: protocol_report(load_presets()[PRESETS[role]].protocol) for role in roles}
    inputs = {role: {"file": None, "residual_rms_percent": 1.0 + i, "protocol": protocols[role]} for i, role in enumerate(roles)}
    verdict = Verdict.of(Reason(Cause.FIT, Level.CAUTION, text) for text in warnings)
    return {
        "verdict": verdict.level.value,
        "reasons": [reason.report() for reason in verdict.reasons],
        "software": {"PhysMRISynth": "test"},
        "prior": "literature",
        "network": None,
        "field_strength_tesla": fieldStrength,
        "reference": roles[0],
        "inputs": inputs,
        "applicability": {"score": 0.42, "limit": 1.0, "parts": {}},
        "from_literature": FROM_LITERATURE,
        "published_ranges": published_ranges(fieldStrength),
        "published_by_method": published_values(fieldStrength),
        "warnings": list(warnings),
        "seconds": {"align": 8.0, "fit voxels": 30.0},
        "peak_memory_gb": 2.1,
        "units": {"PD": "%", "T1": "ms", "T2": "ms"},
    }


class FakeClient:
    """The link to a worker that does nothing by itself: what ``told`` holds comes out of the next poll."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        self.told: list[Any] = []
        self.busy = False
        self.cancels = False
        self.closed = False

    def start(self, job: Any) -> None:
        self.jobs.append(job)
        self.busy = True

    def poll(self) -> list[Any]:
        told, self.told = self.told, []
        self.busy = self.busy and not any(not isinstance(event, Progress) for event in told)
        return told

    def cancel(self) -> None:
        self.cancels = True
        self.told.append(Cancelled())

    def close(self) -> None:
        self.closed = True


def finish(driven: Any, client: FakeClient, **options: Any) -> None:
    """Let the running estimate end with the true maps, asking as often as it takes without the timer's pauses."""
    client.told.append(Finished(result(**options)))
    while driven.panel.estimate.running:
        driven.panel.estimate.poll()
        driven.settle()
    driven.settle()


def estimated(driven: Any, client: FakeClient, *roles: str) -> dict[str, Any]:
    """Load images, select them as the panel does by itself, estimate; returns the images' nodes by role."""
    nodes = addImages(*(roles or ("t1w", "flair")))
    driven.enter()
    driven.click("applyButton")
    finish(driven, client, roles=tuple(nodes))
    return nodes


def voxels(node: Any) -> np.ndarray:
    """The voxels (z, y, x) of a volume node."""
    return slicer.util.arrayFromVolume(node)
