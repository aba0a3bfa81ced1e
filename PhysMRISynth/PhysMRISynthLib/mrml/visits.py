"""Two visits of one patient compared: volumes of what changed, tables, and one contrast of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..physics.protocol import Protocol
from ..physics.tissues import PROPERTIES
from ..workflow.analysis.compare import Comparison, compare_visits, renderings
from ..workflow.analysis.comparison_files import spot_rows
from . import display
from .headers import PROTOCOL
from .mapNodes import TissueMapNodes
from .preview import protocolOf
from .rowTables import rowTable
from .segmentation import mapSetOf
from .segments import labelsOf
from .volumes import newVolumeOnGrid

_RANGE = {"PD": 10.0, "T1": 200.0, "T2": 20.0, "z": 5.0}
"""Differences (%, ms, ms) and z are shown from minus to plus this."""
_COLOURS = "vtkMRMLColorTableNodeFileColdToHotRainbow.txt"


@dataclass(frozen=True)
class VisitNodes:
    """What came of a comparison: difference and z volumes by quantity on the grid halfway, the tables of ``changes`` and of ``spots`` (None
    where there is no spot), the two volumes of the ``contrast`` (earlier, later; empty without a protocol), and ``warnings``."""

    comparison: Comparison
    differences: dict[str, Any]
    scores: dict[str, Any]
    changes: Any
    spots: Any
    contrast: tuple[Any, ...]

    @property
    def warnings(self) -> list[str]:
        """What a reader of the comparison must know."""
        return self.comparison.warnings


def compareVisits(first: TissueMapNodes, second: TissueMapNodes, protocol: str | Protocol | None = None, regions: Any = None) -> VisitNodes:
    """Compare the maps of two visits: second minus first, as :func:`~PhysMRISynthLib.workflow.analysis.compare.compare_visits` does.

    ``regions`` is a segmentation of the first visit; ``protocol`` (preset, ``sequence,TR=…`` or Protocol) is rendered of both. Nodes are
    made when everything is computed, in the folder of the second maps. Raises ImageError, RegistrationError, ProtocolError.
    """
    chosen = None if protocol is None else protocolOf(second, protocol)
    labels, names = (None, {}) if regions is None else labelsOf(first, regions)
    found = compare_visits(mapSetOf(first), mapSetOf(second), labels, names)
    made = {"difference": found.difference, "z": found.z}
    volumes = {kind: {name: _volume(second, found, kind, name, arrays[name]) for name in PROPERTIES} for kind, arrays in made.items()}
    changes = rowTable(second, [vars(change) for change in found.changes], f"{second.title} changes since {first.title}")
    rows = spot_rows(found)
    spots = rowTable(second, rows, f"{second.title} spots of change") if rows else None
    contrast = tuple(_contrasts(first, second, found, chosen)) if chosen is not None else ()
    return VisitNodes(found, volumes["difference"], volumes["z"], changes, spots, contrast)


def _volume(maps: TissueMapNodes, found: Comparison, kind: str, name: str, voxels: np.ndarray) -> Any:
    high = _RANGE["z" if kind == "z" else name]
    grid, scene = found.registration.grid, maps.node.GetScene()
    node = newVolumeOnGrid(f"{maps.title} {kind} of {name}", voxels, grid, scene, window=(-high, high))
    maps.mark(node, f"{kind}_{name}")
    if scene.GetNodeByID(_COLOURS) is not None:
        node.GetDisplayNode().SetAndObserveColorNodeID(_COLOURS)
    return node


def _contrasts(first: TissueMapNodes, second: TissueMapNodes, found: Comparison, protocol: Protocol) -> Iterator[Any]:
    """The same contrast of both visits, in the window of the first."""
    images = renderings(found, protocol)
    window = display.scanWindow(images[0][found.brain])
    for maps, image in zip((first, second), images, strict=True):
        title = f"{maps.title} synthetic {protocol.spec.replace(',', ' ')} halfway"
        node = newVolumeOnGrid(title, image, found.registration.grid, maps.node.GetScene(), window=window)
        node.SetAttribute(PROTOCOL, protocol.spec)
        second.mark(node, "rendering")
        yield node
