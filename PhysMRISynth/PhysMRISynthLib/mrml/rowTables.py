"""Rows of the library's tables as table nodes beside the maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import folder
from .mapNodes import TissueMapNodes
from .statistics import tableOf


def rowTable(maps: TissueMapNodes, rows: Sequence[Mapping[str, Any]], name: str, tableNode: Any = None) -> Any:
    """A table node of ``rows``, whose first names the columns: ``tableNode`` if given, else a new one in the maps' folder."""
    node = tableNode
    if node is None:
        scene = maps.node.GetScene()
        node = scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name))
        folder.putInto(scene, folder.folderOf(scene, maps.node), node)
    node.SetAndObserveTable(tableOf({column: [_text(row[column]) for row in rows] for column in rows[0]}))
    return node


def _text(value: Any) -> str:
    """What a cell shows."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
