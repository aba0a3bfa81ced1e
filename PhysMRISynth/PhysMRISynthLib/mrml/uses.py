"""What people do with a set of maps, for scripts: ``PhysMRISynthLogic().mapUses(maps)`` gives these methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..physics.protocol import Protocol
from ..workflow.rendering.live import Noise
from ..workflow.rendering.scanner_effects import ScannerEffects
from ..workflow.results.export import Export
from .dicomDatabase import addToDatabase
from .mapNodes import TissueMapNodes
from .orders import orderOf
from .regions import measureRegions, measureVolumes
from .segmentation import tissueSegmentation
from .sweep import renderContrasts, sweepParameter
from .visits import VisitNodes, compareVisits


class MapUses:
    """One set of tissue maps, and what can be done with it. Protocols are presets, ``sequence,TR=…`` (ms, degrees) or Protocols. Errors are
    PhysMRISynthErrors with cause and next step, and leave the scene as it was."""

    def __init__(self, maps: Any) -> None:
        """``maps`` is the text node that stands for the maps. Raises ImageError for another node."""
        self._maps = TissueMapNodes.wrap(maps)

    def tissueSegmentation(self) -> Any:
        """A segmentation node of the tissues, named, coloured and coded."""
        return tissueSegmentation(self._maps)

    def measureRegions(self, regions: Any) -> Any:
        """A table node: PD, T1, T2, R1, R2 in every segment (or label) of ``regions``, with the uncertainty of each mean."""
        return measureRegions(self._maps, regions)

    def measureVolumes(self) -> Any:
        """A table node: volumes of brain, tissues and fluid in ml, with their uncertainty."""
        return measureVolumes(self._maps)

    def changesUntil(self, later: Any, protocol: str | Protocol | None = None, regions: Any = None) -> VisitNodes:
        """Compare with the maps of a later visit: later minus these. ``protocol`` is rendered of both visits."""
        return compareVisits(self._maps, TissueMapNodes.wrap(later), protocol, regions)

    def renderContrasts(self, protocols: Iterable[str | Protocol], snr: float | None = None, seed: int = 0, **effects: Any) -> list[Any]:
        """A volume node for each protocol, all or none, with noise where ``snr`` says so, and scanner ``effects`` (receiveField in %,
        sliceThickness in mm, slicePlane, ringing in %, motion in mm)."""
        noise = None if snr is None else Noise(snr, seed)
        return renderContrasts(self._maps, protocols, orderOf(ScannerEffects, **effects), noise)

    def sweepParameter(self, protocol: str | Protocol, parameter: str, values: Sequence[float]) -> Any:
        """A sequence browser that plays the protocol while its ``parameter`` takes the ``values`` (ms, degrees)."""
        return sweepParameter(self._maps, protocol, parameter, values)

    def addToDatabase(
        self, protocols: Iterable[str | Protocol] = (), regions: Any = None, source: str | Path | None = None
    ) -> Export:  # fmt: skip
        """Put maps, contrasts and measurements into Slicer's DICOM database, in the patient's study where the inputs came from there."""
        return addToDatabase(self._maps, protocols, regions, source)
