"""What scripts do with the logic besides estimating: rendering, and loading sessions into the scene."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import slicer

from PhysMRISynthLib.errors import ImageError, PhysMRISynthError
from PhysMRISynthLib.imaging.intake.volumes import same_grid
from PhysMRISynthLib.mrml.headers import HEADER, acquisitionFromNode, inputProtocol
from PhysMRISynthLib.mrml.smallHead import mapsOfSmallHead
from PhysMRISynthLib.mrml.volumes import volumeFromNode
from PhysMRISynthLib.physics.presets import protocol_from_spec
from Testing.imaging.dicom_folders import FLAIR, T1W, T2W, picture, write_series
from Testing.imaging.phantoms import rotation
from Testing.mrml.sessions import visit, volumes


def test_rendering_is_the_signal_equation(logic: Any) -> None:
    node, head = mapsOfSmallHead()
    image = logic.renderContrast(node, "stir,TR=4000,TE=40,TI=260")
    expected = protocol_from_spec("stir,TR=4000,TE=40,TI=260").signal(head.pd[head.mask], head.t1[head.mask], head.t2[head.mask])
    assert np.allclose(slicer.util.arrayFromVolume(image)[head.mask], 1000.0 * expected, rtol=1e-4)
    again = logic.renderContrast(node, protocol_from_spec("synthetic-flair"), outputVolume=image)
    assert again is image and image.GetAttribute("PhysMRISynth.Protocol") == protocol_from_spec("synthetic-flair").spec
    assert not np.allclose(slicer.util.arrayFromVolume(image)[head.mask], 1000.0 * expected, rtol=0.1)


def test_noise_is_asked_for_and_repeatable(logic: Any) -> None:
    node, head = mapsOfSmallHead()
    clean, *noisy = (
        slicer.util.arrayFromVolume(logic.renderContrast(node, "se,TR=600,TE=15", snr=snr, seed=seed)).astype(float)
        for snr, seed in ((None, 0), (20.0, 1), (20.0, 1), (20.0, 2))
    )
    assert np.array_equal(noisy[0], noisy[1]) and not np.array_equal(noisy[0], noisy[2])
    ratio = clean[head.mask].mean() / (noisy[0] - clean)[head.mask].std()
    assert ratio == pytest.approx(20.0, rel=0.15)


@pytest.mark.parametrize("spec", ["nonsense", "se,TR=x", "se,TE=-1"])
def test_a_protocol_that_cannot_be_is_refused(logic: Any, spec: str) -> None:
    node, _head = mapsOfSmallHead()
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(PhysMRISynthError):
        logic.renderContrast(node, spec)
    with pytest.raises(PhysMRISynthError, match="does not stand for tissue maps"):
        logic.renderContrast(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "notes"), "se")
    assert slicer.mrmlScene.GetNumberOfNodes() == before + 1


def test_a_session_becomes_nodes_by_role(logic: Any, tmp_path: Path) -> None:
    folder = visit(tmp_path, t1w={}, flair={})
    (folder / "anat" / "sub-1_ses-1_run-2_T1w.nii.gz").write_bytes((folder / "anat" / "sub-1_ses-1_T1w.nii.gz").read_bytes())
    found = logic.loadSession(str(tmp_path))
    assert set(found) == {"t1w", "flair"} and slicer.util.arrayFromVolume(found["flair"]).shape == (24, 26, 28)
    assert found["flair"].GetName() == "sub-1_ses-1_FLAIR"
    (note,) = logic.sessionNotes
    assert "2 t1w images" in note and "is taken" in note


def test_a_session_is_loaded_whole_or_not_at_all(logic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = visit(tmp_path, t1w={}, t2w={})
    read = slicer.util.loadVolume

    def damaged(path: str) -> Any:
        if "T2w" in path:
            raise RuntimeError("Failed to load node from file")
        return read(path)

    monkeypatch.setattr(slicer.util, "loadVolume", damaged)
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(ImageError, match=r"T2w\.nii\.gz cannot be read"):
        logic.loadSession(folder)
    assert volumes() == [] and slicer.mrmlScene.GetNumberOfNodes() == before, "no display or storage node is left"


def test_a_folder_of_dicom_series_becomes_nodes_that_know_their_protocol(logic: Any, tmp_path: Path) -> None:
    write_series(tmp_path, 1, picture(turned=rotation(20, -10, 35)), **T1W, MagneticFieldStrength=1.5, PatientName="Somebody")
    write_series(tmp_path, 2, picture(), **FLAIR)
    write_series(tmp_path, 3, picture(), **{**T2W, "SeriesDescription": "localizer"})
    found = logic.loadSession(tmp_path)
    assert {role: node.GetName() for role, node in found.items()} == {"t1w": "t1_se_tra", "flair": "t2_flair_tra"}
    assert "left out" in logic.sessionNotes[0]
    image = volumeFromNode(found["t1w"])
    assert same_grid(image.image, picture(turned=rotation(20, -10, 35)), 1e-4)
    assert np.array_equal(image.voxels, sitk.GetArrayFromImage(picture()))
    told = inputProtocol(found["flair"], "flair").protocol
    assert (told.values["TI"], told.sources["TI"]) == (2500.0, "DICOM")
    assert acquisitionFromNode(found["t1w"], "t1w").field_strength == 1.5
    assert "Somebody" not in found["t1w"].GetAttribute(HEADER)


def test_a_dicom_series_that_cannot_be_read_leaves_no_node(logic: Any, tmp_path: Path) -> None:
    write_series(tmp_path, 1, picture(), **T1W)
    write_series(tmp_path, 2, picture() * 0, **FLAIR)
    before = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(ImageError, match=r"t2_flair_tra.* is empty"):
        logic.loadSession(tmp_path)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_a_folder_of_several_visits_asks_for_one(logic: Any, tmp_path: Path) -> None:
    visit(tmp_path, t1w={})
    (tmp_path / "sub-2").mkdir()
    (tmp_path / "sub-1" / "ses-1").replace(tmp_path / "sub-2" / "ses-1")
    (tmp_path / "sub-1").rmdir()
    visit(tmp_path, t1w={})
    with pytest.raises(ImageError, match="2 visits: sub-1_ses-1, sub-2_ses-1"):
        logic.loadSession(tmp_path)
    assert volumes() == []


def test_an_option_that_does_not_exist_is_named_with_the_one_that_was_meant(logic: Any) -> None:
    with pytest.raises(PhysMRISynthError, match=r"There is no option 'field_strength'\. Use fieldStrength"):
        logic.sampleTissueMaps(field_strength=1.5)
