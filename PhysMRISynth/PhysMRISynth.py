"""The Slicer module PhysMRISynth: metadata, panel, logic and self-test. The package PhysMRISynthLib does the work."""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from PhysMRISynthLib.physics.protocol import Protocol
    from PhysMRISynthLib.workflow.results.export import Export
    from PhysMRISynthLib.workflow.worker.client import Client


class PhysMRISynth(ScriptedLoadableModule):
    """What Slicer shows about the module: title, category, help and acknowledgement."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("PhysMRISynth")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = ["PhysMRISynth team"]
        self.parent.helpText = _("""
<p>Select T1-weighted, T2-weighted and FLAIR images of a head (any of them) and click <b>Estimate tissue maps</b>: proton density, T1 and
T2 with their uncertainty and a verdict on them. Then click a contrast or move the sliders under <b>Synthetic contrast</b>; under
<b>Virtual heads</b> you can generate an artificial head for teaching.</p>
<p><b>Research only, not for diagnostic use.</b> The maps are semi-quantitative and every rendered image is synthetic.</p>
<p>Tutorial and reference: <a href="https://github.com/PhysMRISynth/SlicerPhysMRISynth">documentation</a>.</p>
""")
        self.parent.acknowledgementText = _("""
<p>Developed by the PhysMRISynth team. The method follows and extends Lüpke et al., <i>Physics-Informed Latent Diffusion for Multimodal
Brain MRI Synthesis</i>. The tissue atlas is derived from SynthSeg's training label maps (Billot et al. 2023, Apache-2.0). Sample data:
Lesjak et al., <i>Neuroinformatics</i> 2016 and 2018 (CC-BY).</p>
""")
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", registerStatistics)


def registerSampleData() -> None:
    """Offer the sample scans in Slicer's Sample Data module; nothing is downloaded before somebody clicks there."""
    if hasattr(slicer.modules, "sampledata"):
        from PhysMRISynthLib.panel.sampleData import registerSampleData as register

        register()


def registerStatistics() -> None:
    """Offer the measurements of tissue maps in Slicer's module Segment Statistics."""
    if hasattr(slicer.modules, "segmentstatistics"):
        from PhysMRISynthLib.mrml.segmentStatistics import registerStatistics as register

        register()


class PhysMRISynthWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel: loads the .ui file and hands its widgets to PhysMRISynthLib.panel."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: PhysMRISynthLogic | None = None
        self.panel: Any = None

    def setup(self) -> None:
        """Called when the user opens the module for the first time."""
        from PhysMRISynthLib.panel.panel import Panel
        from PhysMRISynthLib.panel.usesPart import insertUses

        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/PhysMRISynth.ui"))
        self.layout.addWidget(widget)
        insertUses(widget, slicer.util.loadUI(self.resourcePath("UI/PhysMRISynthUses.ui")), slicer.mrmlScene)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = PhysMRISynthLogic()
        self.panel = Panel(self.ui, self.logic)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneEndImport)
        self.initializeParameterNode()
        self.panel.shown = self.parent.isEntered  # after a reload nobody calls enter()
        registerSampleData()  # a module that is added to a running Slicer has missed its start
        registerStatistics()

    def initializeParameterNode(self) -> None:
        """Show the scene's parameter node, which is made when there is none."""
        shown, present = self.panel.parameterNode, self.logic.getParameterNode()
        if shown is None or shown.parameterNode is not present.parameterNode:
            self.panel.setParameterNode(present)

    def enter(self) -> None:
        """Called each time the user opens this module."""
        self.initializeParameterNode()
        self.panel.enter()

    def exit(self) -> None:
        """Called each time the user opens another module."""
        self.panel.exit()

    def cleanup(self) -> None:
        """Called before the module is reloaded and when Slicer quits: no worker outlives it."""
        self.removeObservers()
        if self.panel is not None:
            self.panel.cleanup()
        if self.logic is not None:
            self.logic.close()

    def onSceneStartClose(self, caller: Any, event: str) -> None:
        """The nodes are about to go."""
        self.panel.onSceneStartClose()

    def onSceneEndClose(self, caller: Any, event: str) -> None:
        """The scene is empty."""
        if self.parent.isEntered:
            self.panel.onSceneEndClose()

    def onSceneEndImport(self, caller: Any, event: str) -> None:
        """Another scene was added: what the parameter node refers to had no ID yet when it was read, so it is read anew."""
        self.panel.setParameterNode(self.logic.getParameterNode())

    def onReload(self) -> None:
        """A developer's button: take edits of the library, too."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "PhysMRISynthLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class PhysMRISynthLogic(ScriptedLoadableModuleLogic):
    """Everything that the panel does, on nodes and without any window. Errors are PhysMRISynthErrors with cause and next step.

    :param client: the link to a worker, made when first needed if None; it ends with the logic
    """

    def __init__(self, client: Client | None = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self.sessionNotes: tuple[str, ...] = ()
        """What loadSession chose among several runs."""
        self._client: Client | None = None
        self._run: Any = None
        if client is not None:
            self._take(client)

    def getParameterNode(self) -> Any:
        """The scene's PhysMRISynthParameterNode."""
        from PhysMRISynthLib.mrml.parameterNode import PhysMRISynthParameterNode

        return PhysMRISynthParameterNode(super().getParameterNode())

    def estimateTissueMaps(
        self,
        t1w: Any = None,
        t2w: Any = None,
        flair: Any = None,
        waitForCompletion: bool = True,
        progress: Callable[[str, float], None] | None = None,
        finished: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> Any:
        """Estimate PD, T1 and T2 from volume nodes and return the text node that stands for the maps.

        :param waitForCompletion: if False then None is returned at once and :meth:`poll` tells the rest
        :param progress: is told the stage and the fraction done, with ``waitForCompletion``
        :param finished: is called with the text node
        :param options: the fields of an EstimateOrder as Slicer spells them: ``protocols``, by role (t1w, t2w, flair) a preset or
            ``sequence,TR=…,TE=…`` (ms, degrees), else the images' headers tell; ``reference``, the role whose grid the maps get (t1w, else
            t2w, else flair); ``register`` (True always, False never, None where grids differ); ``fieldStrength`` (T; None: the headers',
            else 3); ``prior`` ("auto", "network", "literature"); ``device`` ("auto", "cpu", "cuda", "mps"); ``spacing``, isotropic voxels
            (0.5 to 5 mm; None: the reference's grid); ``allowContrastAgent``, take a T1w image after a contrast agent, with a warning;
            ``weights``, a file of 'train vae' in place of the installed network
        :return: the text node, or None when cancelled
        """
        from PhysMRISynthLib.mrml.estimation import Inputs, WorkerRun, estimateJob
        from PhysMRISynthLib.mrml.orders import orderOf
        from PhysMRISynthLib.workflow.estimation.order import EstimateOrder

        self._checkFree()
        given = {"t1w": t1w, "t2w": t2w, "flair": flair}
        inputs = Inputs({role: node for role, node in given.items() if node is not None}, orderOf(EstimateOrder, **options))
        job, notes = estimateJob(inputs)
        self._run = WorkerRun(self.client, job, inputs.nodes, notes, finished)
        return self._run.wait(progress) if waitForCompletion else None

    def sampleTissueMaps(
        self, seed: int = 0, waitForCompletion: bool = True, finished: Callable[[Any], None] | None = None, **options: Any
    ) -> Any:
        """Sample the tissue maps of synthetic heads, waiting and ending as :meth:`estimateTissueMaps`.

        :param seed: decides the head; of several the next has the next seed
        :param options: the fields of a SampleOrder as Slicer spells them: ``count``; ``steps`` (1 to 1000); ``condition``, targets by the
            names ``brain_volume`` (ml), ``ventricle_share`` (% of it), ``lesion_load`` (ml), ``intracranial_volume`` (ml), ``atrophy``
            (fluid, % of the space inside the skull), ``age`` (years), ``sex`` (0 female, 1 male), of which weights know a subset within the
            range of their training heads (:meth:`sampleConditions`) and others are refused; ``guidance``, above 1 (1 to 5; default 1)
            targets are followed more strictly, in twice the time; ``fieldStrength`` (T); ``attempts`` until the midline check passes;
            ``attempt``, the number of the first one: that of a report, with ``attempts=1``, gives the same head again; ``weights``, a file
            of 'train ldm' in place of the installed sampling model
        """
        from PhysMRISynthLib.mrml.estimation import WorkerRun
        from PhysMRISynthLib.mrml.orders import orderOf
        from PhysMRISynthLib.workflow.sampling.order import SampleOrder

        self._checkFree()
        self._run = WorkerRun(self.client, orderOf(SampleOrder, seed=seed, **options), finished=finished)
        return self._run.wait() if waitForCompletion else None

    def sampleConditions(self, weights: str | Path = "") -> dict[str, Any]:
        """The conditions that :meth:`sampleTissueMaps` takes, by name: ``title``, ``unit``, and ``least`` and ``greatest`` of the training
        heads, or where the weights do not hold them, of what is possible. Reads the head of the file alone, without torch.

        :param weights: a file of 'train ldm'; "": the installed sampling model
        """
        from pathlib import Path

        from PhysMRISynthLib.network.known_conditions import known_conditions

        return known_conditions(Path(weights) if weights else None)

    def renderContrast(self, maps: Any, protocol: str | Protocol, outputVolume: Any = None, snr: float | None = None, seed: int = 0) -> Any:
        """The image of ``protocol`` (a preset, ``sequence,TR=…`` or a Protocol) as a volume node, ``outputVolume`` if given.

        What a preset nulls is nulled in this head.

        :param maps: the text node that stands for the maps
        :param snr: mean signal of the head over the noise's SD; None: no noise
        """
        from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
        from PhysMRISynthLib.mrml.preview import protocolOf, renderContrast
        from PhysMRISynthLib.workflow.rendering.live import Noise
        from PhysMRISynthLib.workflow.rendering.order import RenderOrder

        nodes = TissueMapNodes.wrap(maps)
        order = RenderOrder(protocol, snr=snr, seed=seed)
        noise = None if order.snr is None else Noise(order.snr, order.seed)
        return renderContrast(nodes, protocolOf(nodes, protocol), outputVolume, noise)

    def exportDicom(
        self, maps: Any, folder: str | Path, source: str | Path | None = None, protocols: Iterable[Any] = (), overwrite: bool = False,
        regions: Any = None,
    ) -> Export:  # fmt: skip
        """Write PD, T1, T2 and their SDs as Parametric Maps into ``folder``, and return the names of its ``files`` and ``warnings``.

        :param maps: the text node that stands for the maps
        :param source: folder of DICOM images whose patient, study and frame of reference these are; None: an anonymous patient
        :param protocols: also these contrasts (presets, ``sequence,TR=…`` or Protocols), each as a series of MR images
        :param overwrite: replace an earlier export in ``folder``
        :param regions: a segmentation or label volume whose measurements become a Structured Report
        """
        from pathlib import Path

        from PhysMRISynthLib.mrml.dicomExport import exportDicom
        from PhysMRISynthLib.mrml.mapNodes import TissueMapNodes
        from PhysMRISynthLib.workflow.results.export_order import ExportOrder

        order = ExportOrder(tuple(protocols), None if source is None else Path(source))
        return exportDicom(TissueMapNodes.wrap(maps), folder, order, overwrite, regions)

    def mapUses(self, maps: Any) -> Any:
        """What can be done with maps, as methods: measureRegions, measureVolumes, changesUntil, renderContrasts, sweepParameter …

        :param maps: the text node that stands for the maps
        """
        from PhysMRISynthLib.mrml.uses import MapUses

        return MapUses(maps)

    def importMeasuredMaps(self, pd: Any = None, t1: Any = None, t2: Any = None, units: Any = None, fieldStrength: float = 3.0) -> Any:
        """Make tissue maps of volume nodes that were measured otherwise (T1 or T2 at least), and return their text node.

        :param units: by "PD", "T1", "T2": %, fraction, relative; ms, s, 1/s, 1/ms; else what the nodes or their values tell
        """
        from PhysMRISynthLib.mrml.measured import importMeasured

        return importMeasured({"PD": pd, "T1": t1, "T2": t2}, units, fieldStrength).node

    def loadSession(self, folder: str | Path) -> dict[str, Any]:
        """Load the T1w, T2w and FLAIR volumes of one visit (BIDS, OASIS-3, a folder with telling names, or DICOM); nodes by role.

        What was chosen among several runs or series, and which DICOM series were left out and why, is in ``sessionNotes``. Nothing is
        loaded when one of the files cannot be.
        """
        from PhysMRISynthLib.imaging.intake.sessions import find_session
        from PhysMRISynthLib.mrml.estimation import loadVolumes

        session = find_session(folder)
        self.sessionNotes = session.notes
        return loadVolumes(session.files)

    @property
    def client(self) -> Client:
        """The link to the worker, whose process starts with its first job."""
        if self._client is None:
            from PhysMRISynthLib.mrml.estimation import newClient

            self._take(newClient())
        return self._client

    def _take(self, client: Client) -> None:
        self._client = client
        weakref.finalize(self, client.close)  # scripts forget to: no worker outlives its logic

    @property
    def busy(self) -> bool:
        """Whether an estimate or a sampling runs."""
        return self._run is not None and self._run.busy

    def poll(self) -> list[Any]:
        """The worker's news since the last call, in order; never waits. Maps are in the scene when Finished is told."""
        return self._run.poll() if self.busy else []

    def cancel(self) -> None:
        """Stop what runs; :meth:`poll` tells when it has stopped."""
        if self.busy:
            self._run.cancel()

    def close(self) -> None:
        """End the worker's process, and what it was doing."""
        if self._client is not None:
            self._client.close()
        self._client = self._run = None

    def _checkFree(self) -> None:
        from PhysMRISynthLib.errors import EstimationError

        if self.busy:
            raise EstimationError(_("An estimate is running. Wait for its end, or cancel it."))


class PhysMRISynthTest(ScriptedLoadableModuleTest):
    """What a user does, in a real Slicer, in minutes and without a download; PhysMRISynthLib.panel.selfTest has the steps."""

    def runTest(self, **options: Any) -> None:
        """Run every step, print how each ended, and raise AssertionError with the names of those that failed."""
        from PhysMRISynthLib.panel.selfTest import runSteps

        failed = runSteps()
        self.assertEqual(failed, [], "these steps failed; see above")
        self.delayDisplay(_("All tests passed."))

    def test_PhysMRISynth(self) -> None:
        """The same for ctest."""
        self.runTest()
