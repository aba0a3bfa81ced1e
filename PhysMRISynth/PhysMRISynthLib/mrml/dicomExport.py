"""Tissue maps of the scene, and contrasts rendered from them, as DICOM files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import speaking
from ..physics.protocol import Protocol
from ..workflow.results.export import Export, export_dicom
from .mapNodes import TissueMapNodes
from .preview import protocolOf
from .regions import regionsOf
from .remedies import SCRIPT


@speaking(SCRIPT)
def exportDicom(
    maps: TissueMapNodes,
    folder: str | Path,
    source: str | Path | None = None,
    protocols: Iterable[str | Protocol] = (),
    overwrite: bool = False,
    regions: Any = None,
) -> Export:
    """As :func:`~PhysMRISynthLib.workflow.results.export.export_dicom`, of the maps as they are now: an edited map counts.

    ``protocols`` as presets, ``sequence,TR=…`` (ms, degrees) or Protocols; ``regions`` is a segmentation node or a label volume on the grid
    of the maps, whose measurements become a Structured Report. Raises a PhysMRISynthError with cause and next step.
    """
    chosen = [protocolOf(maps, protocol) for protocol in protocols]
    images = None if source is None else Path(source)
    measured = [] if regions is None else regionsOf(maps, regions)
    return export_dicom(maps.tissueMaps(), Path(folder), chosen, images, overwrite, maps.title, measured)
