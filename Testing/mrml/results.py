"""A result of the worker for tests: a small head of known maps, whose inputs differ from their fits by a little noise."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.volumes import newVolumeOnGrid
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import acceptance_ranges, tissue_table
from PhysMRISynthLib.workflow.estimation.tissue_medians import FROM_LITERATURE, tissue_medians
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.results.report import protocol_report, published_values
from PhysMRISynthLib.workflow.worker.jobs import Result

PROTOCOLS = {"t1w": Protocol.of("mprage"), "flair": Protocol.of("flair", L=150)}
_SPREAD = {"PD": 0.03, "T1": 0.05, "T2": 0.06}


@cache
def small_result() -> Result:
    """Do not write into its arrays: they are shared between tests."""
    head = small_head()
    rng = np.random.default_rng(0)
    values = {"PD": head.maps.pd, "T1": head.maps.t1, "T2": head.maps.t2}
    values = {name: (v * np.exp(_SPREAD[name] * rng.standard_normal(v.shape))).astype(np.float32) for name, v in values.items()}
    sd = {name: (v * np.float32(_SPREAD[name])) for name, v in values.items()}
    grid = head.maps.grid
    maps = TissueMaps(values["PD"], values["T1"], values["T2"], head.maps.mask, grid, sd)
    brain = np.isin(head.tissue, [row for row, entry in enumerate(tissue_table()) if entry.region == "brain"]) & maps.mask
    tissue = np.where(maps.mask, head.tissue, 255).astype(np.uint8)
    fits = {name: render(maps, protocol, scale=900.0) for name, protocol in PROTOCOLS.items()}
    residuals = {name: np.where(maps.mask, rng.normal(0, 4, fit.shape), 0).astype(np.float32) for name, fit in fits.items()}
    report = {
        "software": {"PhysMRISynth": "0"},
        "network": {"sha256": "ab" * 32},
        "field_strength_tesla": 3.0,
        "reference": "t1w",
        "inputs": {name: {"protocol": protocol_report(protocol)} for name, protocol in PROTOCOLS.items()},
        "tissue_medians": tissue_medians(maps, tissue, brain),
        "from_literature": FROM_LITERATURE,
        "published_ranges": acceptance_ranges(3.0),
        "published_by_method": published_values(3.0),
        "warnings": ["t1w: größer als erwartet"],
    }
    return Result(maps, fits, residuals, tissue, brain, report)


def with_fluid(result: Result) -> Result:
    """As if a third of every voxel of cortex were fluid."""
    fluid = (1.0, 4300.0, 2000.0)
    share = np.where(result.tissue == 1, np.float32(0.3), np.float32(0.0))
    report = {**result.report, "fluid": {"PD_percent": 100.0, "T1_ms": fluid[1], "T2_ms": fluid[2]}}
    return replace(result, maps=replace(result.maps, fluid_fraction=share, fluid=fluid), report=report)


def input_nodes(scene: Any) -> dict[str, Any]:
    """The images that the result was estimated from."""
    result = small_result()
    return {n: newVolumeOnGrid(f"visit 1 {n}", fit + result.residuals[n], result.maps.grid, scene) for n, fit in result.fits.items()}


def map_nodes(scene: Any) -> TissueMapNodes:
    """The result's nodes, estimated from :func:`input_nodes`."""
    nodes = input_nodes(scene)
    return TissueMapNodes.create(small_result(), nodes["t1w"], nodes, scene)


def visit_nodes(scene: Any, number: int, lesion: bool = False) -> TissueMapNodes:
    """The small head at a visit, moved at the second one, with the errors that its voxels share in its report."""
    from Testing.workflow.test_compare import visit

    known, head = small_head(), visit(number, moved=number > 1, lesion=lesion)
    brain = np.isin(known.tissue, [row for row, entry in enumerate(tissue_table()) if entry.region == "brain"])
    result = Result(head.maps, {}, {}, known.tissue, brain, dict(head.maps.provenance))
    return TissueMapNodes.create(result, None, {}, scene, f"Tissue maps of visit {number}")
