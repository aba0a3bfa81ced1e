"""The Slicer module PhysMRISynth: metadata, panel and self-test. The work itself is done by the package PhysMRISynthLib."""

from __future__ import annotations

from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest, ScriptedLoadableModuleWidget


class PhysMRISynth(ScriptedLoadableModule):
    """What Slicer shows about the module: title, category, help and acknowledgement."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("PhysMRISynth")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        self.parent.dependencies = []
        self.parent.contributors = ["PhysMRISynth team"]
        self.parent.helpText = _("""
Tissue maps (proton density, T1, T2) with their uncertainty from ordinary T1-weighted, T2-weighted and FLAIR brain images,
and any other MR contrast from the maps by signal equations. The maps are semi-quantitative; not for diagnostic use.
See <a href="https://github.com/PhysMRISynth/SlicerPhysMRISynth">the documentation</a>.
""")
        self.parent.acknowledgementText = _("""
Developed by the PhysMRISynth team. Every signal equation names its source where it is implemented.
""")


class PhysMRISynthWidget(ScriptedLoadableModuleWidget):
    """The panel. It says where the module's functions are: on the command line and in the Python console."""

    def setup(self) -> None:
        """Called when the user opens the module for the first time."""
        import qt  # here, so that the file also loads where there is no Qt

        ScriptedLoadableModuleWidget.setup(self)
        label = qt.QLabel(
            _(
                "Tissue maps are estimated from the command line (<code>physmrisynth estimate</code>) "
                "and from the Python console (<code>import PhysMRISynthLib</code>)."
            )
        )
        label.wordWrap = True
        self.layout.addWidget(label)
        self.layout.addStretch(1)


class PhysMRISynthTest(ScriptedLoadableModuleTest):
    """Checks that the library was packaged with the module and computes."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run every test of this class (Slicer's *Reload and Test*)."""
        self.setUp()
        self.test_spinEchoSignal()

    def test_spinEchoSignal(self) -> None:
        """White matter at 3 T (PD 0.7, T1 832 ms, T2 79 ms) in a spin echo of TR 600 ms, TE 15 ms, computed by hand."""
        from PhysMRISynthLib.physics.protocol import Protocol

        signal = Protocol.of("se", TR=600, TE=15).signal(0.7, 832.0, 79.0)
        self.assertAlmostEqual(signal, 0.2923693578, places=9)
