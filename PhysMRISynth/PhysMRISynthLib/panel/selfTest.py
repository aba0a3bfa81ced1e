"""The module's own test: what a user does, one step after the other, in a real Slicer. Nothing is downloaded.

Every step begins with an empty scene and the module open. A step that fails does not keep the others from running. Where the environment
variable PHYSMRISYNTH_SCREENSHOTS names a folder, pictures of the whole window go there.
"""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import SkipTest

import numpy as np
import slicer
import slicer.util

from ..errors import PhysMRISynthError
from ..mrml.headers import PROTOCOL, inputProtocol
from ..mrml.mapNodes import TissueMapNodes
from ..mrml.sampleScans import SAMPLES, nodeName
from ..mrml.smallHead import imagesOfSmallHead, mapsOfSmallHead
from ..network.manifest import present_weights
from ..physics.protocol import parse_protocol
from ..workflow.examples.small_head import small_head
from .installation import missingPackages

MODULE = "PhysMRISynth"
_PROTOCOLS = {"t1w": "oasis3-t1w", "t2w": "tse,TR=4500,TE=100"}
_SPIN_ECHO = "se,TR=600,TE=15"
_LARGEST_ERROR = 0.1
"""Median relative error of T1 in the brain of the small head."""


class SelfTest:
    """The steps, in the order of their names. Each raises AssertionError with what is wrong, or SkipTest with what is missing."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()

    @property
    def widget(self) -> Any:
        """The module's widget, which is another one after a reload."""
        return slicer.util.getModuleWidget(MODULE)

    @property
    def panel(self) -> Any:
        """The open panel."""
        return self.widget.panel

    @property
    def folder(self) -> Path:
        """A folder that is removed at the end."""
        return Path(self._folder.name)

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()

    def step01_sampleDataKeepsItsProtocols(self) -> None:
        """Sample Data, with files of this computer: what it loads has no file name any more, and its protocol is known all the same."""
        import SampleData

        contrast, scan = "T1w", SAMPLES["MS12"]["T1w"]
        name = nodeName("MS12", contrast)
        path = self.folder / "sample.nrrd"
        _saveZeros(path, scan.size)
        source = SampleData.SampleDataLogic.registerCustomSampleDataSource
        source(
            category=MODULE, sampleName="self-test", uris=[path.as_uri()], fileNames=["PhysMRISynth-self-test.nrrd"], nodeNames=[name],
            checksums=[f"SHA256:{_sha256(path)}"],
        )  # fmt: skip
        try:
            (node,) = SampleData.SampleDataLogic().downloadSamples("self-test")
        finally:
            sources = slicer.modules.sampleDataSources[MODULE]
            sources[:] = [entry for entry in sources if entry.sampleName != "self-test"]
        _expect(node.GetStorageNode() is None, "Sample Data left a storage node: the test is not what it was made for")
        spec = inputProtocol(node, "t1w").protocol.spec
        _expect(spec == _SPIN_ECHO, f"the sample's protocol is {spec}")

    def step02_contrastFollowsTheEquation(self) -> None:
        """An image that is rendered from known maps is what the signal equation says."""
        maps, head = mapsOfSmallHead()
        image = self.widget.logic.renderContrast(maps, _SPIN_ECHO)
        voxels = slicer.util.arrayFromVolume(image)
        ratio = voxels[head.mask] / parse_protocol(_SPIN_ECHO).signal(head.pd[head.mask], head.t1[head.mask], head.t2[head.mask])
        _expect(ratio.min() > 0 and ratio.max() / ratio.min() - 1 < 1e-3, "the rendered image is not what the equation says")

    def step03_aFolderWithoutScansIsRefused(self) -> None:
        """With a reason."""
        empty = self.folder / "empty"
        empty.mkdir()
        with suppress(PhysMRISynthError):
            self.widget.logic.loadSession(empty)
            raise AssertionError("an empty folder was accepted")

    def step04_estimateSlidersKeepExportAndScene(self) -> None:
        """An estimate by the panel's button, then sliders, Keep, DICOM, table and histogram, and the scene saved and loaded."""
        maps = self._estimated()
        self._errorsAreSmall(maps)
        self._picture("estimate")
        self._slidersChangeThePreview()
        self._keepMakesAVolume()
        self._dicomComesBack(maps)
        self._tableAndHistogram()
        self._sceneComesBack()

    def step05_cancel(self) -> None:
        """A running estimate is cancelled, leaves no maps, and the worker takes the next one."""
        self._start()
        _waitFor(lambda: self.panel.ui.estimateProgressBar.value > 0, "the estimate did not begin")
        self.panel.ui.applyButton.click()
        _waitFor(lambda: not self.panel.estimate.running, "the estimate was not cancelled")
        _expect(self.panel.parameterNode.maps is None, "a cancelled estimate left maps")
        _expect(bool(self.panel.ui.estimateResultLabel.text), "the panel does not say that the estimate was cancelled")

    def step06_sampledHead(self) -> None:
        """A virtual head in an empty scene."""
        missing = [name for name in ("torch", "safetensors", "einops", "monai") if find_spec(name) is None]
        if missing or present_weights("sampler") is None:
            raise SkipTest(f"sampling needs {', '.join(missing) or 'weights'}")
        self.panel.parameterNode.sampleSeed = 1
        node = self.widget.logic.sampleTissueMaps(seed=1, steps=2)
        self.panel.useMaps(node)
        _waitFor(lambda: self.panel.protocol.live.preview is not None, "the sampled head is not shown")
        volume = TissueMapNodes.wrap(node).report["volumes_ml"]["brain"]
        _expect(400 < volume < 2500, f"the sampled brain has {volume} ml")
        self._picture("sampled head")

    def step07_reload(self) -> None:
        """The developer's Reload button leaves a panel that works."""
        self.widget.onReload()
        _expect(self.panel.shown, "the reloaded panel does not know that it is open")
        nodes = imagesOfSmallHead(_PROTOCOLS)
        chosen = self.panel.parameterNode
        chosen.t1w, chosen.t2w = nodes["t1w"], nodes["t2w"]
        _expect(self.panel.ui.applyButton.enabled, "after a reload no estimate can be started")

    def step08_segmentStatistics(self) -> None:
        """Slicer's Segment Statistics measures the maps in the segments of the tissues."""
        import SegmentStatistics

        maps, _head = mapsOfSmallHead()
        segmentation = self.widget.logic.mapUses(maps).tissueSegmentation()
        statistics = SegmentStatistics.SegmentStatisticsLogic()
        chosen = statistics.getParameterNode()
        chosen.SetParameter("Segmentation", segmentation.GetID())
        chosen.SetParameter("ScalarVolume", TissueMapNodes.wrap(maps).volume("T1").GetID())
        statistics.computeStatistics()
        found = statistics.getStatistics()
        names = {found[segment, "Segment"]: segment for segment in found["SegmentIDs"]}
        t1 = found.get((names.get("White matter"), "TissueMapStatisticsPlugin.T1_mean"), 0.0)
        _expect(800 < t1 < 1100, f"Segment Statistics measures a T1 of white matter of {t1:.0f} ms")

    def _start(self) -> None:
        missing = missingPackages("literature")
        if missing:
            raise SkipTest(f"estimating needs {', '.join(missing)}")
        nodes, chosen = imagesOfSmallHead(_PROTOCOLS), self.panel.parameterNode
        chosen.prior = "literature"
        for role, node in nodes.items():
            setattr(chosen, role, node)
            setattr(chosen, f"{role}Protocol", _PROTOCOLS[role])
        _expect(self.panel.ui.applyButton.enabled, f"no estimate can be started: {self.panel.ui.applyButton.toolTip}")
        self.panel.ui.applyButton.click()
        _expect(self.panel.estimate.running, f"the estimate did not start: {self.panel.ui.estimateWarningLabel.text}")

    def _estimated(self) -> TissueMapNodes:
        self._start()
        _waitFor(lambda: not self.panel.estimate.running, "the estimate did not end")
        _expect(self.panel.maps is not None, f"the estimate failed: {self.panel.ui.estimateWarningLabel.text}")
        return self.panel.maps

    def _errorsAreSmall(self, maps: TissueMapNodes) -> None:
        found, head = maps.tissueMaps(), small_head()
        brain = head.brain_tissue()
        error = float(np.median(np.abs(found.t1[brain] / head.maps.t1[brain] - 1)))
        _expect(error < _LARGEST_ERROR, f"T1 is wrong by {100 * error:.0f} %")

    def _slidersChangeThePreview(self) -> None:
        self.panel.protocol.choosePreset("synthetic-t2w")
        _waitFor(lambda: self.panel.protocol.live.preview.node is not None, "no contrast is shown")
        _wait(0.5)
        before = slicer.util.arrayFromVolume(self.panel.protocol.live.preview.node).copy()
        row = self.panel.protocol.rows.row(self.panel.protocol.state.sequence, "TR")
        row.slider.setValue(row.slider.value // 2)
        _wait(1.0)
        after = slicer.util.arrayFromVolume(self.panel.protocol.live.preview.node)
        _expect(not np.array_equal(before, after), "a slider does not change the image")

    def _keepMakesAVolume(self) -> None:
        before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
        self.panel.ui.keepButton.click()
        _expect(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before + 1, "Keep made no volume")

    def _dicomComesBack(self, maps: TissueMapNodes) -> None:
        out = self.folder / "dicom"
        done = self.widget.logic.exportDicom(maps.node, out, protocols=[_SPIN_ECHO])
        _expect({"PD.dcm", "T1.dcm", "T2.dcm"} <= set(done.files), f"the export holds {done.files}")
        if find_spec("DICOMLib") is None:
            return
        from DICOMLib import DICOMUtils

        with DICOMUtils.TemporaryDICOMDatabase() as database:
            DICOMUtils.importDicom(str(out), database)
            series = [uid for p in database.patients() for s in database.studiesForPatient(p) for uid in database.seriesForStudy(s)]
            nodes = [slicer.mrmlScene.GetNodeByID(identifier) for identifier in DICOMUtils.loadSeriesByUID(series)]
            loaded = [slicer.util.arrayFromVolume(node) for node in nodes if node.IsA("vtkMRMLScalarVolumeNode")]
        expected = slicer.util.arrayFromVolume(self.widget.logic.renderContrast(maps.node, _SPIN_ECHO))
        alike = any(image.size == expected.size and np.corrcoef(image.ravel(), expected.ravel())[0, 1] > 0.999 for image in loaded)
        _expect(alike, f"none of the {len(loaded)} volumes that were loaded from DICOM is the exported contrast")

    def _tableAndHistogram(self) -> None:
        manager = slicer.app.layoutManager()
        for button in (self.panel.ui.tableButton, self.panel.ui.histogramT1Button) if manager is not None else ():
            before = manager.layout
            button.click()
            _expect(not self.panel.ui.mapsMessageLabel.text, self.panel.ui.mapsMessageLabel.text)
            _expect(manager.layout != before, "no view shows the table or the histogram")
        self._picture("histogram")

    def _sceneComesBack(self) -> None:
        """Saved, closed and loaded with the module open all the time."""
        chosen = self.panel.parameterNode
        chosen.snr, chosen.t2wProtocol = 12.5, "tse,TR=5000,TE=90"
        told = self.panel.ui.estimateResultLabel.text
        path = str(self.folder / "scene.mrb")
        _expect(slicer.mrmlScene.WriteToMRB(path), "the scene could not be saved")
        slicer.mrmlScene.Clear(0)
        _expect(slicer.mrmlScene.ReadFromMRB(path), "the scene could not be loaded")
        _wait(1.0)
        after = self.panel.parameterNode
        _expect((after.snr, after.t2wProtocol) == (12.5, "tse,TR=5000,TE=90"), f"the loaded scene has {after.snr}, {after.t2wProtocol!r}")
        _expect(after.t1w is not None and after.maps is not None, "the loaded scene's images or maps are not selected")
        _expect(self.panel.ui.estimateResultLabel.text == told, "the loaded scene's result is not shown")
        _expect(self.panel.ui.mapsSelector.currentNode() is after.maps, "the selector does not show the loaded maps")
        kept = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetAttribute(PROTOCOL)]
        _expect(len(kept) > 0, "the kept contrast was not loaded")

    def _picture(self, name: str) -> None:
        folder, window = os.environ.get("PHYSMRISYNTH_SCREENSHOTS"), slicer.util.mainWindow()
        if folder and window is not None:
            _wait(0.5)
            Path(folder).mkdir(parents=True, exist_ok=True)
            window.grab().save(str(Path(folder) / f"{name}.png"))


def runSteps(say: Callable[[str], None] = print) -> list[str]:
    """Run every step and ``say`` how each ended; returns the names of those that failed."""
    test = SelfTest()
    failed = []
    try:
        for name in sorted(name for name in dir(test) if name.startswith("step")):
            began = time.monotonic()
            try:
                slicer.util.selectModule(MODULE)
                slicer.mrmlScene.Clear(0)
                getattr(test, name)()
                say(f"{name}: passed in {time.monotonic() - began:.1f} s")
            except SkipTest as reason:
                say(f"{name}: SKIPPED, {reason}")
            except Exception as error:
                failed.append(name)
                say(f"{name}: FAILED, {error}\n{traceback.format_exc()}")
    finally:
        test.close()
    return failed


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)


def _wait(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.01)


def _waitFor(done: Callable[[], bool], otherwise: str, seconds: float = 100.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        _expect(time.monotonic() < end, f"{otherwise} within {seconds:.0f} s")
        _wait(0.02)


def _saveZeros(path: Path, size: tuple[int, int, int]) -> None:
    import SimpleITK as sitk

    sitk.WriteImage(sitk.Image(size, sitk.sitkUInt8), str(path), True)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
