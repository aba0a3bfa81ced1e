"""A set of tissue maps in the scene: a text node whose text is the report, with references to its volumes, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from .. import __version__
from ..errors import ImageError
from ..imaging.intake.volumes import same_grid
from ..imaging.tissue_maps import PER_CENT, TissueMaps
from ..physics.tissues import PROPERTIES, tissue_table
from ..workflow.voxel_sample import sampled_voxels
from . import display, folder
from .headers import QUANTITY
from .mapVolumes import FLUID, LABELS, NO_TISSUE, volumesOf, volumeTitle, windowOf
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


class TissueMapNodes:
    """The nodes of one set of tissue maps; the scene holds everything, so that any number of these may stand for one set.

    Volumes by name: "PD" (%), "T1", "T2" (ms), "PD_sd" …, the label maps "tissue" (n: the nth tissue of the tissue table; those of the
    brain only inside the brain) and "mask" (1: head), where it is known the share of fluid "fluid_fraction" (%), and of each input
    "fit_t1w" (in its units) and "residual_t1w" (% of the input's median in the brain).
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
        made, steps = cls.making(result, referenceNode, inputNodes, scene, name)
        for _ in steps:
            pass
        return made

    @classmethod
    def making(
        cls, result: Result, referenceNode: Any, inputNodes: Mapping[str, Any], scene: Any, name: str | None = None
    ) -> tuple[TissueMapNodes, Iterator[float]]:
        """As :meth:`create`, one volume a step: the fractions that are done, so that whoever asks may do something else in between.

        Nobody is offered the maps before the last step. When a step fails, or the steps are closed, nothing is left in the scene.
        """
        made = cls(slicer.vtkMRMLTextNode())
        return made, made._steps(result, referenceNode, inputNodes, scene, name)

    def _steps(self, result: Result, referenceNode: Any, inputNodes: Mapping[str, Any], scene: Any, name: str | None) -> Iterator[float]:
        present = referenceNode is not None and bool(scene.IsNodePresent(referenceNode))
        title = (referenceNode.GetName() if referenceNode is not None else "") or "head"
        self.node.SetName(scene.GenerateUniqueName(name or f"Tissue maps of {title}"))
        self.node.SetAttribute("PhysMRISynth.Title", title)
        self.node.SetAttribute("PhysMRISynth.Version", __version__)
        self.node.SetAttribute("PhysMRISynth.Protocols", result.report.get("protocols"))
        scene.AddNode(self.node)
        try:
            item = folder.createFolder(scene, self.node.GetName(), referenceNode if present else None)
            folder.putInto(scene, item, self.node)
            for fraction in self._write(result, referenceNode if present else None, inputNodes):
                yield fraction
                self._checkPresent(scene)
            self.node.SetAttribute(TISSUE_MAPS, "1")
        except BaseException:
            self._removeFrom(scene)
            raise

    def _checkPresent(self, scene: Any) -> None:
        if not scene.IsNodePresent(self.node):
            raise ImageError("The tissue maps were removed while they were being made. Estimate them again.")

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
        """The quantities whose volumes are there: PD, T1, T2, their SDs, tissue, mask, share of fluid, residuals, fits."""
        of_inputs = [role for kind in ("residual_", "fit_") for role in self.roles() if role.startswith(kind)]
        return tuple(name for name in (*PROPERTIES, *_SD, *LABELS, FLUID, *of_inputs) if self.volume(name) is not None)

    def roles(self) -> list[str]:
        """The roles of all references: the quantities, "input_…", and what tables and plots need."""
        return [self.node.GetNthNodeReferenceRole(index) for index in range(self.node.GetNumberOfNodeReferenceRoles())]

    def volume(self, name: str) -> Any:
        """The volume node of a quantity, or None."""
        return self.node.GetNodeReference(name)

    def tissueMaps(self) -> TissueMaps:
        """The maps as they are now, copied: an edited map counts. Raises ImageError when one of them is missing or has another shape."""
        views = {name: self.voxels(name) for name in (*PROPERTIES, *self._having(_SD))}
        arrays = {name: _fraction(view) if name.startswith("PD") else view.astype(np.float32) for name, view in views.items()}
        sd = {name: arrays[f"{name}_sd"] for name in PROPERTIES if f"{name}_sd" in arrays}
        mask = self.voxels("mask") > 0
        return TissueMaps(arrays["PD"], arrays["T1"], arrays["T2"], mask, gridOf(self.volume("T1")), sd, self.report, *self._fluid())

    def shownMaps(self) -> TissueMaps:
        """As :meth:`tissueMaps` for rendering: T1 and T2 are views of the nodes' voxels where these are float32, and there are no SDs."""
        pd, t1, t2, mask = (self.voxels(name) for name in (*PROPERTIES, "mask"))
        t1, t2 = (view.astype(np.float32, copy=False) for view in (t1, t2))
        fraction, fluid = self._fluid()
        return TissueMaps(_fraction(pd), t1, t2, mask > 0, gridOf(self.volume("T1")), fluid_fraction=fraction, fluid=fluid)

    def _fluid(self) -> tuple[np.ndarray | None, tuple[float, float, float] | None]:
        """The share of fluid in every voxel and the fluid's PD (fraction), T1 and T2; None for both where either is not known."""
        stated = self.report.get("fluid")
        if self.volume(FLUID) is None or not isinstance(stated, dict):
            return None, None
        try:
            values = float(stated["PD_percent"]) / PER_CENT, float(stated["T1_ms"]), float(stated["T2_ms"])
        except (LookupError, TypeError, ValueError):
            return None, None
        return np.minimum(_fraction(self.voxels(FLUID)), np.float32(1.0)), values

    def voxels(self, name: str) -> np.ndarray:
        """A view (z, y, x) of the voxels of a quantity, in the node's units; ImageError when it is missing or of another shape."""
        array, shape = arrayOf(self._needed(name)), arrayOf(self._needed("mask")).shape
        if array.shape != shape:
            raise ImageError(f"{titleOf(self.volume(name))} no longer has the shape of the other maps. Undo that, or estimate again.")
        return array

    def tissue(self) -> np.ndarray:
        """Row of the tissue table of every voxel, uint8 (z, y, x); 255 where there is none. Raises ImageError when the map is missing."""
        labels = arrayOf(self._needed("tissue"))
        if labels.dtype == np.uint8:
            return labels - np.uint8(1)  # 0 becomes 255
        return np.where(labels > 0, labels.astype(np.int16) - 1, NO_TISSUE).astype(np.uint8)

    def brain(self) -> np.ndarray:
        """Flat indices of a sample of the voxels of the brain (of the head where no brain is marked)."""
        if self.volume("tissue") is not None:
            labels = [row + 1 for row, entry in enumerate(tissue_table()) if entry.region == "brain"]
            found = sampled_voxels(arrayOf(self.volume("tissue")), lambda values: np.isin(values, labels))
            if found.size:
                return found
        return sampled_voxels(self.voxels("mask"), lambda values: values > 0)

    def voxelsTime(self) -> int:
        """A number that grows whenever voxels of the maps change."""
        images = (self._needed(name).GetImageData() for name in (*PROPERTIES, "mask", *self._having((FLUID,))))
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
        if scene is not None:  # else it was removed already
            self._removeFrom(scene)

    def _removeFrom(self, scene: Any) -> None:
        """As :meth:`remove`, also where the text node has gone already, alone or with everything else of the scene."""
        roles = [role for role in self.roles() if not role.startswith(INPUT)]
        found = [*(node for role in roles for node in self._referenced(scene, role)), self.node]
        present = [node for node in found if scene.IsNodePresent(node)]
        item = folder.folderOf(scene, present[0]) if present else None
        for node in present:
            folder.takeOut(scene, node)
            for gone in (*_displaysOf(node), node.GetStorageNode() if node.IsA("vtkMRMLStorableNode") else None, node):
                if gone is not None:
                    scene.RemoveNode(gone)
        if item is not None:
            folder.removeEmpty(scene, item)

    def _referenced(self, scene: Any, role: str) -> list[Any]:
        count = self.node.GetNumberOfNodeReferences(role)
        nodes = (scene.GetNodeByID(self.node.GetNthNodeReferenceID(role, index)) for index in range(count))
        return [node for node in nodes if node is not None]

    def _needed(self, name: str) -> Any:
        node = self.volume(name)
        if node is None:
            raise ImageError(f"The {name} map of {titleOf(self.node)} is not in the scene any more. Estimate the maps again.")
        return node

    def _having(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in names if self.volume(name) is not None)

    def _write(self, result: Result, referenceNode: Any, inputNodes: Mapping[str, Any]) -> Iterator[float]:
        """Make the volumes, one a step; the fractions that are done."""
        report = {**result.report, "nodes": _provenance(referenceNode, inputNodes)}
        self.node.SetText(json.dumps(report, ensure_ascii=False, indent=1))
        for role, node in inputNodes.items():
            self.node.SetNodeReferenceID(f"{INPUT}{role}", node.GetID())
        makers = volumesOf(result)
        for count, (name, made) in enumerate(makers.items(), start=1):
            self._add(name, made(), result, referenceNode)
            yield count / len(makers)

    def _add(self, name: str, voxels: np.ndarray, result: Result, referenceNode: Any) -> None:
        """The volume of a quantity with its colours; the first one has the reference's grid, the others have the first one's."""
        title, first = f"{self.title} {volumeTitle(name)}", self.volume(PROPERTIES[0])
        if first is None and referenceNode is not None and _liesOn(referenceNode, result.maps):
            first = referenceNode
        options: dict[str, Any] = {"label": name in LABELS, "window": windowOf(name, voxels, result)}
        if first is not None:
            node = newVolume(title, voxels, first, **options)
        else:
            node = newVolumeOnGrid(title, voxels, result.maps.grid, self.node.GetScene(), **options)
        self.addVolume(node, name, name)
        display.showQuantity(node, name)


def _displaysOf(node: Any) -> list[Any]:
    if not node.IsA("vtkMRMLDisplayableNode"):
        return []
    return [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]


def _fraction(percent: np.ndarray) -> np.ndarray:
    """PD from per cent, without what filters leave below 0."""
    fraction = np.maximum(percent, np.float32(0.0), dtype=np.float32)
    fraction /= np.float32(PER_CENT)
    return fraction


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
