"""Stand-ins for Slicer's modules SegmentStatistics and SegmentStatisticsPlugins: what calls a plugin, as strictly as Slicer does.

Slicer passes over what is no plugin and warns of a name that is taken; here both are errors. Columns have the type of their first value,
as in Slicer, and take no other.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any, ClassVar

import slicer
import vtk


class SegmentStatisticsPluginBase:
    """A plugin has a name, keys and default keys; which of them are requested is in the parameter node."""

    @staticmethod
    def createCodedEntry(codeValue: str, codingScheme: str, codeMeaning: str, returnAsString: bool = False) -> Any:
        entry = slicer.vtkCodedEntry()
        entry.SetValueSchemeMeaning(codeValue, codingScheme, codeMeaning)
        return entry.GetAsString() if returnAsString else entry

    @staticmethod
    def createMeasurementInfo(
        name: str, title: str, description: str, units: str, quantityDicomCode: str | None = None, unitsDicomCode: str | None = None,
        measurementMethodDicomCode: str | None = None, derivationDicomCode: str | None = None, componentNames: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        info: dict[str, Any] = {"name": name, "title": title, "description": description, "units": units}
        codes = {
            "QuantityCode": quantityDicomCode, "UnitsCode": unitsDicomCode, "MeasurementMethodCode": measurementMethodDicomCode,
            "DerivationCode": derivationDicomCode,
        }  # fmt: skip
        for key, text in codes.items():
            if text:
                entry = slicer.vtkCodedEntry()
                assert entry.SetFromString(text), f"{text} is no coded entry"
                info[f"DICOM.{key}"] = text
        return info

    def __init__(self) -> None:
        self.name = self.title = ""
        self.keys: list[str] = []
        self.defaultKeys: list[str] = []
        self.parameterNode: Any = None

    def toLongKey(self, key: str) -> str:
        return f"{type(self).__name__}.{key}"

    def toShortKey(self, key: str) -> str:
        return key.removeprefix(self.toLongKey("")) if key.startswith(self.toLongKey("")) else ""

    def setDefaultParameters(self, parameterNode: Any, overwriteExisting: bool = False) -> None:
        wanted = {
            f"{type(self).__name__}.enabled": "True",
            **{f"{self.toLongKey(k)}.enabled": str(k in self.defaultKeys) for k in self.keys},
        }
        for name, value in wanted.items():
            if overwriteExisting or not parameterNode.GetParameter(name):
                parameterNode.SetParameter(name, value)

    def setParameterNode(self, parameterNode: Any) -> None:
        """The options are shown at once, before anything is chosen: every key has its information then."""
        self.parameterNode = parameterNode
        self.setDefaultParameters(parameterNode)
        for key in self.keys:
            info = self.getMeasurementInfo(key)
            assert info and all(isinstance(info[part], str) and info[part] for part in ("name", "title", "description", "units")), key

    def getParameterNode(self) -> Any:
        return self.parameterNode

    def getRequestedKeys(self) -> list[str]:
        node = self.parameterNode
        return [] if node is None else [k for k in self.keys if node.GetParameter(f"{self.toLongKey(k)}.enabled") == "True"]

    def computeStatistics(self, segmentID: str) -> dict[str, Any]:
        raise NotImplementedError

    def getMeasurementInfo(self, key: str) -> dict[str, Any] | None:
        raise NotImplementedError


class SegmentStatisticsLogic:
    """A table of all plugins' measurements of all segments."""

    registeredPlugins: ClassVar[list[type[SegmentStatisticsPluginBase]]] = []  # noqa: N815

    @staticmethod
    def registerPlugin(plugin: SegmentStatisticsPluginBase) -> None:
        assert isinstance(plugin, SegmentStatisticsPluginBase), "an instance of a plugin is registered"
        assert not [key for key in plugin.keys if "." in key], "a dot in a key mixes up plugins"
        assert type(plugin).__name__ not in [known.__name__ for known in SegmentStatisticsLogic.registeredPlugins], "registered twice"
        SegmentStatisticsLogic.registeredPlugins.append(type(plugin))

    def __init__(self) -> None:
        self.plugins = [kind() for kind in self.registeredPlugins]
        self.parameterNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "SegmentStatistics")
        for plugin in self.plugins:
            plugin.setParameterNode(self.parameterNode)
        self.statistics: dict[Any, Any] = {}

    def getParameterNode(self) -> Any:
        return self.parameterNode

    def getStatistics(self) -> dict[Any, Any]:
        return self.statistics

    def computeStatistics(self) -> None:
        """Slicer measures a hardened copy of a segmentation under a transform; slicer-core cannot copy one: this is the node itself."""
        node = slicer.mrmlScene.GetNodeByID(self.parameterNode.GetParameter("Segmentation"))
        segments = [node.GetSegmentation().GetNthSegmentID(n) for n in range(node.GetSegmentation().GetNumberOfSegments())]
        self.statistics = {"SegmentIDs": segments, "MeasurementInfo": {}}
        for segment in segments:
            self._measure(node, segment)

    def _measure(self, node: Any, segment: str) -> None:
        self.statistics[segment, "Segment"] = node.GetSegmentation().GetSegment(segment).GetName()
        for plugin in self.plugins:
            if self.parameterNode.GetParameter(f"{type(plugin).__name__}.enabled") != "True":
                continue
            for key, value in plugin.computeStatistics(segment).items():
                assert key in plugin.keys and type(value) in (int, float, str, list), (key, type(value))
                self.statistics[segment, plugin.toLongKey(key)] = value
                self.statistics["MeasurementInfo"][plugin.toLongKey(key)] = plugin.getMeasurementInfo(key)

    def exportToTable(self, table: Any) -> None:
        """Columns that have a value, called by their names, with units and descriptions."""
        table.RemoveAllColumns()
        keys = ["Segment", *(plugin.toLongKey(key) for plugin in self.plugins for key in plugin.keys)]
        segments = self.statistics["SegmentIDs"]
        for key in keys:
            values = [self.statistics.get((segment, key)) for segment in segments]
            known = [value for value in values if value is not None]
            if not known:
                continue
            kinds = {int: vtk.vtkLongArray, float: vtk.vtkDoubleArray}
            column = table.AddColumn(kinds[type(known[0])]() if type(known[0]) in kinds else vtk.vtkStringArray())
            info = self.statistics["MeasurementInfo"].get(key, {})
            column.SetName(info.get("name", key))
            table.SetColumnTitle(column.GetName(), info.get("title", key))
            table.SetColumnUnitLabel(column.GetName(), info.get("units", ""))
            table.SetColumnDescription(column.GetName(), info.get("description", ""))
            for row, value in enumerate(values):
                if table.GetNumberOfRows() <= row:
                    table.AddEmptyRow()
                column.SetValue(row, float("nan") if value is None else value)


def install(slicer: Any) -> None:
    """Slicer's modules of these names are this one; no plugin is registered."""
    SegmentStatisticsLogic.registeredPlugins = []
    sys.modules["SegmentStatistics"] = sys.modules["SegmentStatisticsPlugins"] = sys.modules[__name__]
    slicer.modules.segmentstatistics = SimpleNamespace(name="SegmentStatistics")
