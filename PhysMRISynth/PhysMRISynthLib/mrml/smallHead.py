"""The small head of the atlas as nodes: what the module's own test works on, where nothing may be downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from ..imaging.tissue_maps import TissueMaps
from ..physics.presets import protocol_from_spec
from ..workflow.examples.small_head import small_head
from ..workflow.rendering.simulate import simulate
from ..workflow.worker.jobs import Result
from .mapNodes import TissueMapNodes
from .volumes import newVolumeOnGrid


def mapsOfSmallHead() -> tuple[Any, TissueMaps]:
    """The head's true maps as nodes, told by their text node, and as arrays."""
    head = small_head()
    report = {"prior": "literature", "reference": "", "inputs": {}, "warnings": [], "field_strength_tesla": 3.0}
    result = Result(head.maps, {}, {}, head.tissue, head.brain_tissue(), report)
    return TissueMapNodes.create(result, None, {}).node, head.maps


def imagesOfSmallHead(protocols: Mapping[str, str]) -> dict[str, Any]:
    """Images of the head under ``protocols`` by role (presets or ``sequence,TR=…``, ms), with noise, gains and receive fields, as nodes."""
    maps = small_head().maps
    images = simulate(maps, {role: protocol_from_spec(spec) for role, spec in protocols.items()}, snr=100.0, field=0.1, seed=1)
    return {role: newVolumeOnGrid(f"small head {role}", voxels, maps.grid, slicer.mrmlScene) for role, voxels in images.items()}
