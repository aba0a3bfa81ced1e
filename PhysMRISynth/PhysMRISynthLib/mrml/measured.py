"""Volumes of measured PD, T1 or T2 as tissue maps of the scene."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ImageError, speaking
from ..workflow.analysis.measured_maps import import_maps, measured_of
from ..workflow.worker.jobs import Result
from .mapNodes import TissueMapNodes
from .mapVolumes import NO_TISSUE
from .remedies import SCRIPT
from .volumes import titleOf, volumeFromNode


@speaking(SCRIPT)
def importMeasured(
    nodes: Mapping[str, Any], units: Mapping[str, str] | None = None, fieldStrength: float = 3.0, register: bool | None = None
) -> TissueMapNodes:
    """Tissue maps of the volumes of "PD", "T1" and "T2" (one of T1 and T2 at least), as
    :func:`~PhysMRISynthLib.workflow.analysis.measured_maps.import_maps` makes them.

    ``units`` by quantity ("ms", "s", "1/s", "1/ms"; "%", "fraction", "relative"); else the voxel units that the node states, else what its
    values tell. Warnings are in the report of the maps. Raises a PhysMRISynthError that names the node.
    """
    given = {name: node for name, node in nodes.items() if node is not None}
    measured = {name: measured_of(name, volumeFromNode(n), (units or {}).get(name) or _stated(n), titleOf(n)) for name, n in given.items()}
    found = import_maps(measured, fieldStrength, register)
    maps = found.maps
    tissue = np.full(maps.mask.shape, NO_TISSUE, np.uint8) if found.tissue is None else found.tissue
    brain = np.zeros_like(maps.mask) if found.brain is None else found.brain
    report = {**maps.provenance, "warnings": list(found.warnings), "inputs": {}}
    reference = next(given[name] for name in ("T1", "T2", "PD") if name in given)
    return TissueMapNodes.create(
        Result(maps, {}, {}, tissue, brain, report), reference, {}, name=f"Tissue maps measured in {_named(reference)}"
    )


def _named(node: Any) -> str:
    if not node.GetName():
        raise ImageError(f"{titleOf(node)} has no name. Name it, so that the maps can be told from others.")
    return str(node.GetName())


def _stated(node: Any) -> str | None:
    """The unit that a node states, where the import knows it."""
    units = node.GetVoxelValueUnits()
    code = units.GetCodeValue() if units is not None else None
    return code if code in ("ms", "s", "%") else None
