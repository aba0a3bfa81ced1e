"""A set of tissue maps in the scene: a text node whose text is the report, with references to its volumes, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from .. import __version__
from ..errors import ImageError
from ..imaging.tissue_maps import PER_CENT, TissueMaps
from ..imaging.volumes import same_grid
from ..physics.tissues import PROPERTIES, tissue_table
from . import display, folder
from .headers import QUANTITY
from .volumes import arrayOf, gridOf, newVolume, newVolumeOnGrid, titleOf

if TYPE_CHECKING:
    from ..workflow.worker.jobs import Result

TISSUE_MAPS = "PhysMRISynth.TissueMaps"
"""Attribute of the text node ("1"), and the role of the reference from a volume to it."""
INPUT = "input_"
"""Beginning of the roles of the references to the inputs."""
PREVIEW = "preview"
"""Role of the reference to the preview."""
_SD = tuple(f"{name}_sd" for name in PROPERTIES)
_LABELS = ("tissue", "mask")
_NO_TISSUE = 255


class TissueMapNodes:
    """The nodes of one set of tissue maps; the scene holds everything, so that any number of these may stand for one set.

    Volumes by name: "PD" (%), "T1", "T2" (ms), "PD_sd" …, the label maps "tissue" (n: the nth tissue of the tissue table; those of the
    brain only inside the brain) and "mask" (1: head), and of each input "fit_t1w" (in its units) and "residual_t1w" (% of the input's
    median in the brain).
    """

    def __init__(self, node: Any) -> None:
        """Use :meth:`create` or :meth:`wrap`."""
        self.node = node

    @classmethod
    def create(
        cls, result: Result, referenceNode: Any, inputNodes: Mapping[str, Any], scene: Any = None, name: str | None = None
    ) -> TissueMapNodes:
        """Nodes for the result of an estimate, all or none.

        They lie on the voxels of ``referenceNode`` under its parent transform where that is (still) the grid of the maps, else on the
        maps' own grid in the world. ``referenceNode`` may be None (sampled maps). ``name`` of the text node: "Tissue maps of …".
        """
        scene = scene or slicer.mrmlScene
        present = referenceNode is not None and bool(scene.IsNodePresent(referenceNode))
        title = (referenceNode.GetName() if referenceNode is not None else "") or "head"
        node = scene.AddNewNodeByClass("vtkMRMLTextNode", scene.GenerateUniqueName(name or f"Tissue maps of {title}"))
        node.SetAttribute(TISSUE_MAPS, "1")
        node.SetAttribute("PhysMRISynth.Title", title)
        node.SetAttribute("PhysMRISynth.Version", __version__)
        made = cls(node)
        try:
            item = folder.createFolder(scene, node.GetName(), referenceNode if present else None)
            folder.putInto(scene, item, node)
            made._write(result, referenceNode if present else None, inputNodes)
        except BaseException:
            made.remove()
            raise
        return made

    @classmethod
    def wrap(cls, textNode: Any) -> TissueMapNodes:
        """The set that a text node stands for. Raises ImageError when it stands for none."""
        if textNode is None:
            raise ImageError("No tissue maps are chosen. Estimate them, or choose some.")
        if not textNode.IsA("vtkMRMLTextNode") or textNode.GetAttribute(TISSUE_MAPS) != "1":
            raise ImageError(f"{titleOf(textNode)} does not stand for tissue maps. Choose a node named 'Tissue maps of …'.")
        return cls(textNode)

    @classmethod
    def all(cls, scene: Any) -> list[TissueMapNodes]:
        """Every set that the scene holds, oldest first."""
        nodes = (scene.GetNthNodeByClass(index, "vtkMRMLTextNode") for index in range(scene.GetNumberOfNodesByClass("vtkMRMLTextNode")))
        return [cls(node) for node in nodes if node.GetAttribute(TISSUE_MAPS) == "1"]

    @property
    def title(self) -> str:
        """What the maps are of: the reference's name."""
        return self.node.GetAttribute("PhysMRISynth.Title") or self.node.GetName()

    @property
    def report(self) -> dict[str, Any]:
        """What the estimate says about itself, with the input nodes' IDs and names under "nodes". Raises ImageError when it is damaged."""
        try:
            report = json.loads(self.node.GetText() or "{}")
        except ValueError as error:
            raise ImageError(f"The text of {titleOf(self.node)} is no report any more ({error}). Estimate the maps again.") from error
        return report if isinstance(report, dict) else {}

    def names(self) -> tuple[str, ...]:
        """The quantities whose volumes are there: PD, T1, T2, their SDs, tissue, mask, residuals, fits."""
        of_inputs = [role for kind in ("residual_", "fit_") for role in self.roles() if role.startswith(kind)]
        return tuple(name for name in (*PROPERTIES, *_SD, *_LABELS, *of_inputs) if self.volume(name) is not None)

    def roles(self) -> list[str]:
        """The roles of all references: the quantities, "input_…", and what tables and plots need."""
        return [self.node.GetNthNodeReferenceRole(index) for index in range(self.node.GetNumberOfNodeReferenceRoles())]

    def volume(self, name: str) -> Any:
        """The volume node of a quantity, or None."""
        return self.node.GetNodeReference(name)

    def tissueMaps(self) -> TissueMaps:
        """The maps as they are now, copied: an edited map counts. Raises ImageError when one of them is missing or has another shape."""
        voxels: dict[str, np.ndarray] = {name: arrayOf(self._needed(name)).astype(np.float32) for name in (*PROPERTIES, *self._having(_SD))}
        mask = arrayOf(self._needed("mask")) > 0
        for name, array in voxels.items():
            if array.shape != mask.shape:
                raise ImageError(f"{titleOf(self.volume(name))} no longer has the shape of the other maps. Undo that, or estimate again.")
        for name in ("PD", *self._having(("PD_sd",))):
            voxels[name] = np.maximum(voxels[name], 0.0) / np.float32(PER_CENT)
        sd = {name: voxels[f"{name}_sd"] for name in PROPERTIES if f"{name}_sd" in voxels}
        return TissueMaps(voxels["PD"], voxels["T1"], voxels["T2"], mask, gridOf(self.volume("T1")), sd, self.report)

    def tissue(self) -> np.ndarray:
        """Row of the tissue table of every voxel, uint8 (z, y, x); 255 where there is none. Raises ImageError when the map is missing."""
        labels = arrayOf(self._needed("tissue"))
        return np.where(labels > 0, labels.astype(np.int16) - 1, _NO_TISSUE).astype(np.uint8)

    def voxelsTime(self) -> int:
        """A number that grows whenever voxels of the maps change."""
        images = (self._needed(name).GetImageData() for name in (*PROPERTIES, "mask"))
        return max(image.GetMTime() if image is not None else 0 for image in images)

    def addVolume(self, node: Any, role: str, quantity: str) -> None:
        """Make a volume one of this set: reference, attributes, folder."""
        self.node.SetNodeReferenceID(role, node.GetID())
        self.mark(node, quantity)

    def mark(self, node: Any, quantity: str) -> None:
        """Note where a volume comes from, and put it into this set's folder."""
        node.SetAttribute(QUANTITY, quantity)
        node.SetAttribute("PhysMRISynth.Version", __version__)
        node.SetNodeReferenceID(TISSUE_MAPS, self.node.GetID())
        scene = self.node.GetScene()
        folder.putInto(scene, folder.folderOf(scene, self.node), node)

    def remove(self) -> None:
        """Take the text node, its volumes, legends, preview, tables and plots out of the scene; inputs and kept images stay."""
        scene = self.node.GetScene()
        item = folder.folderOf(scene, self.node)
        for node in [node for role in self.roles() if not role.startswith(INPUT) for node in self._referenced(role)]:
            folder.takeOut(scene, node)
            for gone in (*_displaysOf(node), node.GetStorageNode() if node.IsA("vtkMRMLStorableNode") else None, node):
                if gone is not None:
                    scene.RemoveNode(gone)
        folder.takeOut(scene, self.node)
        scene.RemoveNode(self.node)
        folder.removeEmpty(scene, item)

    def _referenced(self, role: str) -> list[Any]:
        nodes = (self.node.GetNthNodeReference(role, index) for index in range(self.node.GetNumberOfNodeReferences(role)))
        return [node for node in nodes if node is not None]

    def _needed(self, name: str) -> Any:
        node = self.volume(name)
        if node is None:
            raise ImageError(f"The {name} map of {titleOf(self.node)} is not in the scene any more. Estimate the maps again.")
        return node

    def _having(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if self.volume(name) is not None)

    def _write(self, result: Result, referenceNode: Any, inputNodes: Mapping[str, Any]) -> None:
        report = {**result.report, "nodes": _provenance(referenceNode, inputNodes)}
        self.node.SetText(json.dumps(report, ensure_ascii=False, indent=1))
        for role, node in inputNodes.items():
            self.node.SetNodeReferenceID(f"{INPUT}{role}", node.GetID())
        first: Any = None
        for name, voxels in _volumes(result):
            title, label = f"{self.title} {_title(name)}", name in _LABELS
            if first is None:
                first = self._firstVolume(title, voxels, referenceNode, result.maps)
            node = first if name == PROPERTIES[0] else newVolume(title, voxels, first, label)
            self.addVolume(node, name, name)
            display.showQuantity(node, name)
        self._showOthers(result)

    def _firstVolume(self, title: str, voxels: np.ndarray, referenceNode: Any, maps: TissueMaps) -> Any:
        if referenceNode is not None and _liesOn(referenceNode, maps):
            return newVolume(title, voxels, referenceNode)
        return newVolumeOnGrid(title, voxels, maps.grid, self.node.GetScene())

    def _showOthers(self, result: Result) -> None:
        """Colours of the label maps and grey ranges of the fits."""
        scene = self.node.GetScene()
        for name, table in (("tissue", display.tissueTable(scene)), ("mask", display.maskTable(scene))):
            self.volume(name).GetDisplayNode().SetAndObserveColorNodeID(table.GetID())
        for role, fit in result.fits.items():
            display.showAsScan(self.volume(f"fit_{role}"), fit[_where(result)])


def _displaysOf(node: Any) -> list[Any]:
    if not node.IsA("vtkMRMLDisplayableNode"):
        return []
    return [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]


def _volumes(result: Result) -> Iterator[tuple[str, np.ndarray]]:
    """The voxels of every volume by name, in the units of the nodes."""
    maps = result.maps
    yield "PD", maps.pd * np.float32(PER_CENT)
    yield "T1", maps.t1
    yield "T2", maps.t2
    for name, sd in maps.sd.items():
        yield f"{name}_sd", sd * np.float32(PER_CENT) if name == "PD" else sd
    yield "tissue", _labels(result)
    yield "mask", maps.mask.astype(np.uint8)
    for role, fit in result.fits.items():
        yield f"residual_{role}", _percent(result.residuals[role], fit, _where(result))
        yield f"fit_{role}", fit


def _labels(result: Result) -> np.ndarray:
    """Label maps have nothing at 0: the rows of the tissue table start at 1. Brain tissue outside the brain is none."""
    inside = np.array([entry.region == "brain" for entry in tissue_table()] + [False] * (256 - len(tissue_table())))
    known = (result.tissue != _NO_TISSUE) & (result.brain | ~inside[result.tissue])
    return np.where(known, result.tissue.astype(np.int16) + 1, 0).astype(np.uint8)


def _where(result: Result) -> np.ndarray:
    return result.brain if result.brain.any() else result.maps.mask


def _percent(residual: np.ndarray, fit: np.ndarray, where: np.ndarray) -> np.ndarray:
    """A residual in % of the input's median magnitude ``where`` the brain is."""
    typical = float(np.median(np.abs(fit[where] + residual[where]))) if where.any() else 0.0
    return (residual * np.float32(PER_CENT / typical if typical else 0.0)).astype(np.float32)


def _title(name: str) -> str:
    """What the volume of a quantity is called behind the reference's name: "T1 (ms)", "SD of T1 (ms)", "fit of t1w"."""
    appearance = display.appearanceOf(name)
    if appearance is not None:
        return f"{appearance.title} ({appearance.unit[0]})"
    kind, _, role = name.partition("_")
    return f"{kind} of {role}" if role else name


def _liesOn(node: Any, maps: TissueMaps) -> bool:
    try:
        return arrayOf(node).shape == maps.pd.shape and same_grid(gridOf(node), maps.grid)
    except ImageError:  # its voxels are gone
        return False


def _provenance(referenceNode: Any, inputNodes: Mapping[str, Any]) -> dict[str, Any]:
    def named(node: Any) -> dict[str, str]:
        return {"id": node.GetID(), "name": node.GetName()}

    reference = named(referenceNode) if referenceNode is not None else None
    return {"reference": reference, "inputs": {role: named(node) for role, node in inputNodes.items()}}
