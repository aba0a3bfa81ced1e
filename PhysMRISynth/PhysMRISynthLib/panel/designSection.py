"""Contrast design: null tissues, find the protocol that tells two of them apart, and see the signal against a parameter."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError, ProtocolError
from ..mrml.curvePlot import updateCurve, voxelAt
from ..mrml.mapNodes import TissueMapNodes
from ..mrml.segments import isSegment, segmentPoint, segmentsOf
from ..physics.contrast import TissuePoint
from ..physics.design import Contrast, Limits, maximised
from ..physics.nulling import inversion_times, nulled
from ..physics.presets import all_presets
from ..physics.protocol import Protocol
from .choices import SEPARATOR, Choices
from .host import Host
from .parameterRows import sliderEnd
from .protocolText import number, together
from .section import Section, showMessage, toldIn

_NONE = ""
_CURVE_MS = 50
"""The plot follows the cursor this often at most: 20 times a second."""
_NO_LIMIT = 100.0
_FOR = {1: "synthetic-flair", 2: "synthetic-dir"}
"""The contrast to begin with where the present one has too few inversions."""
_FIRST = {"nullFirst": "white_matter", "nullSecond": "csf", "maximiseFirst": "lesion", "maximiseSecond": "white_matter"}


class DesignSection(Section):
    """Works on the present contrast: sequence and readout are kept where they can do what is asked."""

    shows = frozenset(("maps", "sequence"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        self.tissues = {name: Choices(getattr(ui, f"{name}ComboBox"), lambda value: None) for name in _FIRST}
        self.curve = Choices(ui.curveComboBox, lambda value: self.contrastChanged())
        ui.nullButton.connect("clicked(bool)", lambda checked: self.null())
        ui.maximiseButton.connect("clicked(bool)", lambda checked: self.maximise())
        ui.curveButton.connect("toggled(bool)", self._showCurve)
        ui.designCollapsibleButton.connect("contentsCollapsed(bool)", lambda collapsed: self.update())
        self.timer = qt.QTimer()
        self.timer.setSingleShot(True)
        self.timer.setInterval(_CURVE_MS)
        self.timer.connect("timeout()", self._draw)
        self._observed: tuple[Any, int] | None = None
        self._filled = False

    def update(self) -> None:
        """Offer the tissues and segments, and the parameters of the sequence; only while it can be seen."""
        if self.parameters is None or self.ui.designCollapsibleButton.collapsed:
            return
        points = self.panel.protocol.points or {}
        segments = segmentsOf(slicer.mrmlScene)
        tissues = [(point.title, name) for name, point in points.items()]
        entries = [*tissues, *([("", SEPARATOR), *segments] if segments else [])]
        for name, choices in self.tissues.items():
            choices.fill([(_("none"), _NONE), *entries] if name == "nullSecond" else entries)
            if not self._filled and points:
                choices.show(_FIRST[name])
        self._filled = self._filled or bool(points)
        sequence = self.panel.protocol.state.equation
        self.curve.fill([(p.name, p.name) for p in sequence.parameters if p.default is not None])
        if self.curve.value is None:
            self.curve.show((inversion_times(sequence) or ("TR",))[-1])
        for button in (self.ui.nullButton, self.ui.maximiseButton, self.ui.curveButton):
            button.enabled = self.panel.maps is not None

    def _point(self, choice: str | None) -> TissuePoint:
        """The tissue or segment that is chosen."""
        points, maps = self.panel.protocol.points or {}, self.panel.maps
        if choice and maps is not None and isSegment(choice):
            return segmentPoint(choice, maps)
        if choice is None or choice not in points:
            raise ProtocolError(_("Choose a tissue first."))
        return points[choice]

    def null(self) -> None:
        """Solve the inversion times for one or two tissues."""
        with toldIn(self.ui.designMessageLabel):
            chosen = [self.tissues[name].value for name in ("nullFirst", "nullSecond")]
            tissues = [self._point(choice) for choice in chosen if choice not in (_NONE, None)]
            start = self._start()
            if len(inversion_times(start.sequence)) < len(tissues):
                start = all_presets()[_FOR[len(tissues)]].protocol
            self.panel.protocol.useProtocol(nulled(start, tissues))

    def maximise(self) -> None:
        """Find the values of the present sequence at which two tissues differ most."""
        with toldIn(self.ui.designMessageLabel), slicer.util.WaitCursor():
            one, other = (self._point(self.tissues[name].value) for name in ("maximiseFirst", "maximiseSecond"))
            start = self._start()
            before = Contrast.of(start, one, other)
            found = maximised(start, one, other, self._limits())
            self.panel.protocol.useProtocol(found.protocol)
            told = _("Contrast of {one} and {other}: {new} % (before: {old} %), the contrast-to-noise ratio at 1 % noise.")
            named = {"one": one.title.lower(), "other": other.title.lower()}
            text = told.format(**named, new=number(found.contrast), old=number(before.contrast))
            showMessage(self.ui.designMessageLabel, together(text))

    def _start(self) -> Protocol:
        return self.panel.protocol.state.protocol()

    def _limits(self) -> Limits:
        points, dark = self.panel.protocol.points or {}, self.ui.darkSpinBox.value
        limited = ((points["csf"], dark),) if dark < _NO_LIMIT and "csf" in points else ()
        ranges = {"TR": (None, self.ui.maxTrSpinBox.value)}
        return Limits(ranges, limited, self.ui.leastSignalSpinBox.value, self.ui.perTimeCheckBox.checked)

    def _showCurve(self, pressed: bool) -> None:
        self._stopFollowing()
        if pressed and self.panel.maps is not None:
            self._follow()
            with toldIn(self.ui.designMessageLabel):
                slicer.modules.plots.logic().ShowChartInLayout(self._updated(self.panel.maps))

    def _follow(self) -> None:
        """Redraw when the cursor moves."""
        crosshair = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
        if crosshair is not None:
            event = slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent
            self._observed = crosshair, crosshair.AddObserver(event, lambda caller, name: self._later())

    def _stopFollowing(self) -> None:
        self.timer.stop()
        observed, self._observed = self._observed, None
        if observed is not None:
            observed[0].RemoveObserver(observed[1])

    def _later(self) -> None:
        if not self.timer.active:
            self.timer.start()

    def contrastChanged(self) -> None:
        """The contrast is another: the mark of the present value moves."""
        if self.ui.curveButton.checked:
            self._later()

    def _draw(self) -> None:
        if self.ui.curveButton.checked and self.panel.maps is not None:
            with toldIn(self.ui.designMessageLabel):
                self._updated(self.panel.maps)

    def _updated(self, maps: TissueMapNodes) -> Any:
        """The chart with the present contrast and the voxel under the crosshair."""
        protocol, name = self._start(), self.curve.value or ""
        if name not in protocol.values:
            name = next(iter(protocol.values))
        end = max(sliderEnd(protocol.sequence, protocol.sequence.parameter(name)), protocol.values[name])
        return updateCurve(maps, protocol, name, end, self.panel.protocol.points or {}, self._voxel(maps))

    def _voxel(self, maps: TissueMapNodes) -> Any:
        if self._observed is None:
            return None
        place = [0.0, 0.0, 0.0]
        known = self._observed[0].GetCursorPositionRAS(place)
        try:
            return voxelAt(maps, (place[0], place[1], place[2])) if known else None
        except PhysMRISynthError:
            return None

    def mapsChanged(self) -> None:
        """Other maps: the curve is no longer theirs."""
        self.ui.curveButton.checked = False
        showMessage(self.ui.designMessageLabel, "")
        self.update()

    def sceneClosing(self) -> None:
        """The crosshair goes with the scene."""
        self._stopFollowing()
        self.ui.curveButton.checked = False

    def cleanup(self) -> None:
        """Stop following the cursor."""
        self._stopFollowing()
