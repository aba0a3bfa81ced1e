"""Tissue maps of the scene as DICOM, through the logic."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import slicer

from PhysMRISynthLib.errors import ImageError, PhysMRISynthError
from PhysMRISynthLib.imaging.intake.volumes import image_like
from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
from PhysMRISynthLib.mrml.smallHead import mapsOfSmallHead
from Testing.imaging.dicom_folders import write_series
from Testing.mrml.scene import HeadlessSlicer
from Testing.standins import install


@pytest.fixture
def logic(headless: HeadlessSlicer) -> Any:
    install(slicer, headless.scene)
    return importlib.import_module("PhysMRISynth").PhysMRISynthLogic()


def test_maps_as_they_are_now_become_dicom(logic: Any, tmp_path: Path) -> None:
    node, head = mapsOfSmallHead()
    edited = slicer.util.arrayFromVolume(TissueMapNodes.wrap(node).volume("T1"))
    edited[:] *= 2.0
    done = logic.exportDicom(node, str(tmp_path / "out"), protocols=["oasis3-flair", "se,TR=600,TE=15"])
    assert {"PD.dcm", "T1.dcm", "T2.dcm", "flair_0001.dcm", "se_0001.dcm"} <= set(done.files) and done.warnings == ()
    frames = pydicom.dcmread(tmp_path / "out" / "T1.dcm").pixel_array
    np.testing.assert_allclose(frames.max(), 2.0 * np.where(head.mask, head.t1, 0.0).max())
    written = pydicom.dcmread(tmp_path / "out" / "se_0001.dcm")
    assert node.GetAttribute("PhysMRISynth.Title") in written.DerivationDescription and written.PatientName == "Anonymous"


def test_patient_and_study_are_those_of_the_source(logic: Any, tmp_path: Path) -> None:
    node, head = mapsOfSmallHead()
    source = tmp_path / "source"
    write_series(source, 1, image_like(head.mask.astype(np.uint16), head.grid), PatientName="A^B", FrameOfReferenceUID="1.2.3")
    logic.exportDicom(node, tmp_path / "out", str(source))
    written = pydicom.dcmread(tmp_path / "out" / "PD.dcm")
    assert (written.PatientName, written.PatientID, written.FrameOfReferenceUID) == ("A^B", "P1", "1.2.3")


def test_an_export_is_replaced_only_when_asked(logic: Any, tmp_path: Path) -> None:
    node, _head = mapsOfSmallHead()
    logic.exportDicom(node, tmp_path / "out")
    with pytest.raises(ImageError, match="Choose another folder or file for the results, or use overwrite=True"):
        logic.exportDicom(node, tmp_path / "out")
    assert "T1.dcm" in logic.exportDicom(node, tmp_path / "out", overwrite=True).files


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda logic, node, folder: logic.exportDicom(None, folder / "out"), "No tissue maps are chosen"),
        (lambda logic, node, folder: logic.exportDicom(node, folder / "out", folder / "none"), "none is not a folder"),
        (lambda logic, node, folder: logic.exportDicom(node, folder / "out", protocols=["nonsense"]), "nonsense"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_is_written(
    logic: Any, tmp_path: Path, call: Callable[[Any, Any, Path], Any], told: str
) -> None:
    node, _head = mapsOfSmallHead()
    with pytest.raises(PhysMRISynthError, match=told):
        call(logic, node, tmp_path)
    assert not (tmp_path / "out").exists()
