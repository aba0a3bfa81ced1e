"""Two visits, measured maps and the DICOM database, through the logic as a script calls it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
import slicer

from PhysMRISynthLib.errors import ImageError, PhysMRISynthError, ProtocolError
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.volumes import arrayOf, newVolumeOnGrid
from PhysMRISynthLib.workflow.examples.small_head import small_head
from Testing.imaging.dicom_folders import write_series
from Testing.mrml.results import map_nodes, visit_nodes
from Testing.mrml.scene import HeadlessSlicer
from Testing.standins import install


@pytest.fixture
def logic(headless: HeadlessSlicer) -> Any:
    install(slicer, headless.scene)
    return importlib.import_module("PhysMRISynth").PhysMRISynthLogic()


def cells(table: Any, column: str) -> list[str]:
    names = [table.GetColumnName(c) for c in range(table.GetNumberOfColumns())]
    return [table.GetCellText(row, names.index(column)) for row in range(table.GetNumberOfRows())]


def test_a_new_lesion_is_found_and_shown_in_both_visits(logic: Any, headless: HeadlessSlicer) -> None:
    first, second = visit_nodes(headless.scene, 1), visit_nodes(headless.scene, 2, lesion=True)
    found = logic.mapUses(first.node).changesUntil(second.node, "synthetic-flair")
    z = found.scores["T1"]
    assert np.abs(arrayOf(z)).max() > 5 and z.GetDisplayNode().GetWindowLevelMin() == -5.0
    assert found.differences["T1"].GetNodeReference("PhysMRISynth.TissueMaps") is second.node
    assert float(cells(found.spots, "volume_ml")[0]) > 1 and "White matter" in cells(found.changes, "region")
    shown = [volume.GetDisplayNode() for volume in found.contrast]
    assert shown[0].GetWindowLevelMax() == shown[1].GetWindowLevelMax()
    assert arrayOf(found.contrast[0]).shape == arrayOf(z).shape and found.warnings == []


def test_visits_that_cannot_be_compared_leave_the_scene_as_it_was(logic: Any, headless: HeadlessSlicer) -> None:
    first, plain = visit_nodes(headless.scene, 1), map_nodes(headless.scene)
    count = headless.node_count()
    for later, told in ((first.node, "same maps"), (plain.node, "does not tell the errors"), (None, "No tissue maps")):
        with pytest.raises(PhysMRISynthError, match=told):
            logic.mapUses(first.node).changesUntil(later)
    with pytest.raises(ProtocolError):
        logic.mapUses(first.node).changesUntil(plain.node, "epi")
    assert headless.node_count() == count


def measured(scene: Any, scale: float = 1.0, name: str = "T1 of a scanner") -> Any:
    maps = small_head().maps
    return newVolumeOnGrid(name, np.where(maps.mask, maps.t1 * scale, 0).astype(np.float32), maps.grid, scene)


def test_measured_maps_serve_as_estimated_ones_do(logic: Any, headless: HeadlessSlicer) -> None:
    node = logic.importMeasuredMaps(t1=measured(headless.scene, 1e-3), units={"T1": "s"})
    maps, head = TissueMapNodes.wrap(node), small_head()
    inside = head.brain_tissue() & (maps.voxels("mask") > 0)
    assert np.allclose(maps.voxels("T1")[inside], head.maps.t1[inside], rtol=1e-3)
    assert maps.report["filled"] == ["PD", "T2"] and "PD and T2 were not measured" in maps.report["warnings"][0]
    uses = logic.mapUses(node)
    volumes = dict(zip(cells(table := uses.measureVolumes(), "name"), cells(table, "value"), strict=True))
    true = float((head.tissue == 0).sum() * np.prod(head.maps.grid.GetSpacing()) / 1000.0)
    assert float(volumes["white_matter"]) == pytest.approx(true, rel=0.1)
    assert "White matter" in cells(uses.measureRegions(uses.tissueSegmentation()), "region")
    assert len(uses.renderContrasts(["synthetic-t1w", "synthetic-flair"])) == 2


def test_units_that_are_wrong_or_unknown_are_refused_in_the_words_of_slicer(logic: Any, headless: HeadlessSlicer) -> None:
    seconds, percent = measured(headless.scene, 1e-3), measured(headless.scene, 0.07, "PD")
    count = headless.node_count()
    asked = "'T1 of a scanner': a median of .* does not tell the unit of T1. Give the unit of T1"
    for units, told in ((None, asked), ({"T1": "furlong"}, r"unit of T1 \(ms, s")):
        with pytest.raises(ImageError, match=told) as raised:
            logic.importMeasuredMaps(t1=seconds, units=units)
        assert "--" not in str(raised.value)
    with pytest.raises(ImageError, match="Neither T1 nor T2"):
        logic.importMeasuredMaps(pd=percent)
    assert headless.node_count() == count


class Database:
    """Slicer's DICOM database (ctkDICOMDatabase) as far as results need it: without prepareInsert it may put files under a patient who is
    gone, and what is not stored is only linked to."""

    def __init__(self, files: dict[str, Path] | None = None) -> None:
        self.isOpen, self.prepared = True, False
        self.files = files or {}
        self.inserted: list[pydicom.Dataset] = []

    def fileForInstance(self, uid: str) -> str:
        return str(self.files.get(uid, ""))

    def prepareInsert(self) -> None:
        self.prepared = True

    def insert(self, filePath: str, storeFile: bool, generateThumbnail: bool, createHierarchy: bool) -> None:
        assert self.prepared and storeFile and createHierarchy and not generateThumbnail
        self.inserted.append(pydicom.dcmread(filePath, stop_before_pixels=True))


def test_results_go_into_the_study_that_the_inputs_came_from(
    logic: Any, headless: HeadlessSlicer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = map_nodes(headless.scene)
    t1w = maps.volume("input_t1w")
    write_series(tmp_path / "in", 1, image_like(arrayOf(t1w).clip(0, 4000).astype(np.uint16), maps.tissueMaps().grid), PatientName="A^B",
                 FrameOfReferenceUID="1.2.3")  # fmt: skip
    files = {str(pydicom.dcmread(file).SOPInstanceUID): file for file in sorted((tmp_path / "in").iterdir())}
    t1w.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    database = Database(files)
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    uses = logic.mapUses(maps.node)
    uses.addToDatabase(["synthetic-flair", "synthetic-t1w"], uses.tissueSegmentation())
    kinds = {image.Modality for image in database.inserted}
    assert kinds == {"MR", "SR"} and {str(image.PatientName) for image in database.inserted} == {"A^B"}
    assert len({image.SeriesInstanceUID for image in database.inserted}) == 6 + 1 + 2


def test_without_a_database_nothing_is_written(logic: Any, headless: HeadlessSlicer, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = map_nodes(headless.scene)
    closed = Database()
    closed.isOpen = False
    for database in (None, closed):
        monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
        with pytest.raises(ImageError, match="database is not open"):
            logic.mapUses(maps.node).addToDatabase()
    monkeypatch.setattr(
        slicer, "dicomDatabase", SimpleNamespace(isOpen=True, prepareInsert=lambda: None, insert=lambda *given: None), raising=False
    )
    assert any("T1.dcm" in name for name in logic.mapUses(maps.node).addToDatabase().files)
