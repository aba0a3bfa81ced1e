"""Tissue maps in Slicer's module Segment Statistics: PD, T1, T2, R1 and R2 of every segment, with the uncertainty of each mean.

Imported once that module is there (:func:`registerStatistics`). What works on maps is imported when a table is asked for, so that Slicer
does not start later.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from SegmentStatistics import SegmentStatisticsLogic
from SegmentStatisticsPlugins import SegmentStatisticsPluginBase
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError

if TYPE_CHECKING:
    from ..workflow.results.map_set import MapSet
    from ..workflow.results.regions import Measurement
    from .mapNodes import TissueMapNodes

_MODULE = "PhysMRISynth"
_PERCENT, _MS, _RATE = ("%", "UCUM", "Percent"), ("ms", "UCUM", "millisecond"), ("/s", "UCUM", "per second")
QUANTITIES = {
    "PD": (("113058", "DCM", "Proton Density"), _PERCENT), "T1": (("113063", "DCM", "T1"), _MS), "T2": (("113065", "DCM", "T2"), _MS),
    "R1": (("126393", "DCM", "R1"), _RATE), "R2": (("126394", "DCM", "R2"), _RATE),
}  # fmt: skip
"""Codes of each quantity and of its UCUM unit: value, scheme, meaning."""
_DERIVATIONS = {"mean": ("373098007", "SCT", "Mean"), "median": ("373099004", "SCT", "Median")}
_FLUID = "fluid_fraction"
_FLUID_MEAN = f"{_FLUID}_mean"


class TissueMapStatisticsPlugin(SegmentStatisticsPluginBase):
    """The maps are those that the chosen scalar volume belongs to, else those that are chosen in the module PhysMRISynth."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "Tissue Maps"
        self.title = _("Tissue Maps")
        self.keys = [*(f"{quantity}_{kind}" for quantity in QUANTITIES for kind in _kinds()), _FLUID_MEAN]
        self.defaultKeys = [*(f"{quantity}_{kind}" for quantity in ("PD", "T1", "T2") for kind in ("mean", "mean_sd")), _FLUID_MEAN]
        self._read: tuple[Any, MapSet] | None = None

    def computeStatistics(self, segmentID: str) -> dict[str, float]:
        """Measurements of a segment by key; none where there are no maps, or the segment lies outside the head."""
        requested, maps = self.getRequestedKeys(), self._maps()
        if not requested or maps is None:
            return {}
        try:
            found = self._measurements(maps, segmentID)
        except PhysMRISynthError as error:  # the other plugins' columns are wanted all the same
            logging.warning("PhysMRISynth: %s", error)
            return {}
        values = {_FLUID_MEAN: 100.0 * found[_FLUID].mean} if _FLUID in found else {}
        for quantity in QUANTITIES:
            m = found[quantity]
            told = {"mean": m.mean, "mean_sd": m.mean_sd, "median": m.median, "voxel_sd": m.voxel_sd}
            values |= {f"{quantity}_{kind}": float(value) for kind, value in told.items() if value is not None}
        return {key: value for key, value in values.items() if key in requested}

    def getMeasurementInfo(self, key: str) -> dict[str, Any] | None:
        """Name, description, unit and DICOM codes of a measurement; None for an unknown key."""
        if key == _FLUID_MEAN:
            title = _("Fluid fraction, mean")
            told = _("Mean volume fraction of cerebrospinal fluid in the segment.")
            return self.createMeasurementInfo("Fluid fraction mean", title, told, "%", None, self._coded(_PERCENT))
        quantity, _separator, kind = key.partition("_")
        if quantity not in QUANTITIES or kind not in _kinds():
            return None
        code, unit = QUANTITIES[quantity]
        name, title, told = (text.format(quantity=quantity) for text in _kinds()[kind])
        derivation = self._coded(_DERIVATIONS[kind]) if kind in _DERIVATIONS else None
        return self.createMeasurementInfo(
            name, title, told, unit[0].replace("/s", "1/s"), self._coded(code), self._coded(unit), None, derivation
        )

    def _coded(self, code: tuple[str, str, str]) -> str:
        return self.createCodedEntry(*code, True)

    def _maps(self) -> TissueMapNodes | None:
        from .mapNodes import TISSUE_MAPS, TissueMapNodes

        volume = slicer.mrmlScene.GetNodeByID(self.getParameterNode().GetParameter("ScalarVolume") or "")
        chosen = slicer.mrmlScene.GetSingletonNode(_MODULE, "vtkMRMLScriptedModuleNode")
        for node in (volume and volume.GetNodeReference(TISSUE_MAPS), chosen and chosen.GetNodeReference("maps")):
            if node is not None and node.GetAttribute(TISSUE_MAPS) == "1":
                return TissueMapNodes.wrap(node)
        return None

    def _measurements(self, maps: TissueMapNodes, segmentID: str) -> dict[str, Measurement]:
        """By quantity. Raises PhysMRISynthError."""
        from ..workflow.results.regions import measure_regions
        from .segmentation import mapSetOf
        from .segments import segmentMask

        now = (maps.node.GetID(), maps.voxelsTime())
        if self._read is None or self._read[0] != now:  # the maps are the same for all segments of a table
            self._read = now, mapSetOf(maps)
        segmentation = slicer.mrmlScene.GetNodeByID(self.getParameterNode().GetParameter("Segmentation"))
        mask = segmentMask(maps, segmentation, segmentID)
        return dict(measure_regions(self._read[1], mask.astype(np.int64))[0].measurements)


def _kinds() -> dict[str, tuple[str, str, str]]:
    """Name (not translated), title and description of what is known of a quantity."""
    return {
        "mean": ("{quantity} mean", _("{quantity}, mean"), _("Mean {quantity} in the segment.")),
        "mean_sd": (
            "{quantity} uncertainty of the mean", _("{quantity}, uncertainty of the mean"),
            _("One SD of the mean {quantity}: errors of gains and tissue values, which all voxels share, and those of single voxels."),
        ),
        "median": ("{quantity} median", _("{quantity}, median"), _("Median {quantity} in the segment.")),
        "voxel_sd": (
            "{quantity} uncertainty of a voxel", _("{quantity}, uncertainty of a voxel"), _("Median SD of {quantity} of a single voxel."),
        ),
    }  # fmt: skip


def registerStatistics() -> None:
    """Offer the plugin in Segment Statistics; after a reload the new class takes the place of the old one."""
    plugins = SegmentStatisticsLogic.registeredPlugins
    plugins[:] = [known for known in plugins if known.__name__ != TissueMapStatisticsPlugin.__name__]
    SegmentStatisticsLogic.registerPlugin(TissueMapStatisticsPlugin())
