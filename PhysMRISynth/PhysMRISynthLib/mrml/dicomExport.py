"""Tissue maps of the scene, and contrasts rendered from them, as DICOM files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import speaking
from ..workflow.results.export import Export, export_dicom
from ..workflow.results.export_order import USUAL, ExportOrder
from .mapNodes import TissueMapNodes
from .preview import protocolOf
from .regions import regionsOf
from .remedies import SCRIPT


@speaking(SCRIPT)
def exportDicom(
    maps: TissueMapNodes, folder: str | Path, order: ExportOrder = USUAL, overwrite: bool = False, regions: Any = None
) -> Export:
    """As :func:`~PhysMRISynthLib.workflow.results.export.export_dicom`, of the maps as they are now: an edited map counts.

    ``regions`` is a segmentation node or a label volume on the grid of the maps, whose measurements become a Structured Report. Raises a
    PhysMRISynthError with cause and next step.
    """
    chosen = tuple(protocolOf(maps, protocol) for protocol in order.protocols)
    measured = [] if regions is None else regionsOf(maps, regions)
    return export_dicom(maps.tissueMaps(), Path(folder), replace(order, protocols=chosen, title=maps.title), overwrite, measured)
