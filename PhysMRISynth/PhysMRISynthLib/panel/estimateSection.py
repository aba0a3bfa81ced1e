"""Running the estimate: Apply, Cancel, progress, and the verdict on what came of it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ..workflow.estimation.knowledge import Knowledge
from ..workflow.worker.jobs import Cancelled, Failed, Finished, Progress
from .host import Host
from .remedies import inPanel
from .runText import ROLE_TITLES, deviceText, stageText
from .section import Section, showMessage, toldIn
from .styles import DOUBTFUL, PLAIN, PRIMARY, edge
from .verdictText import detailsCount, detailsHtml, levelOf, summary, verdictHtml

_log = logging.getLogger(__name__)
_POLL_MS = 100
_REGISTER = {"when needed": None, "always": True, "never": False}
_ORDERED = ("reference", "fieldStrength", "prior", "device", "spacing", "allowContrastAgent", "weights")
"""Parameters that an order has by the same names."""


class EstimateSection(Section):
    """Watches the worker through a timer: nothing here waits."""

    shows = frozenset((*ROLE_TITLES, *(f"{role}Protocol" for role in ROLE_TITLES), "fieldStrength", "prior", "device"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        ui.applyButton.connect("clicked(bool)", self.applyOrCancel)
        ui.detailsButton.connect("toggled(bool)", self._showDetails)
        self._style: str | None = None
        self.timer = qt.QTimer()
        self.timer.setInterval(_POLL_MS)
        self.timer.connect("timeout()", self.poll)
        self.running = False
        self._cancelling = False
        self._stage = ""

    def update(self) -> None:
        """Show whether an estimate can start, what it would be worth, and the verdict on the selected maps."""
        for widget in (self.ui.estimateProgressBar, self.ui.estimateStageLabel):
            widget.visible = self.running
        reason = self._whyNot()
        self.ui.applyButton.enabled = self.running or reason is None
        self._showButton("" if self.running or reason else self.panel.inputs.doubt(), reason)
        if self.parameters:
            self.ui.deviceLabel.text = deviceText(self.parameters.prior, self.parameters.device)

    def _showButton(self, doubt: str, reason: str | None) -> None:
        """The button says what a click will give; the line below it says why."""
        assumed = bool(doubt) and self.panel.inputs.knowledge is Knowledge.UNKNOWN
        text = _("Estimate with assumed protocols") if assumed else _("Estimate tissue maps")
        self.ui.applyButton.text = _("Cancel") if self.running else text
        style = PLAIN if self.running else DOUBTFUL if assumed else PRIMARY
        if style != self._style:  # a style sheet is costly to set
            self._style = style
            self.ui.applyButton.setStyleSheet(style)
        self.ui.applyButton.toolTip = self._tip(reason)
        showMessage(self.ui.estimateReasonLabel, "" if self.running else reason or doubt)

    def _whyNot(self) -> str | None:
        return _("There is no scene to work on.") if self.parameters is None else self.panel.inputs.problem()

    def _tip(self, reason: str | None) -> str:
        if self.running:
            return _("Cancel and discard the result.")
        return reason or _("Estimate PD, T1 and T2 with their uncertainty from the selected images. Slicer stays usable meanwhile.")

    def showResult(self) -> None:
        """Show the verdict on the selected maps; its reasons are folded."""
        report = self.panel.report
        level = levelOf(report)
        self.ui.verdictFrame.visible = level is not None
        self.ui.detailsButton.checked = False
        if level is not None:
            self.ui.verdictFrame.setStyleSheet(edge(level))
            self.ui.verdictLabel.text, self.ui.detailsLabel.text = verdictHtml(report), detailsHtml(report)
            self.ui.detailsButton.text = _("Details ({count})").format(count=detailsCount(report))

    def _showDetails(self, pressed: bool) -> None:
        self.ui.detailsLabel.visible = pressed

    def applyOrCancel(self) -> None:
        """The button's two meanings."""
        if self.running:
            self.panel.logic.cancel()
            self._cancelling = True
            self.ui.estimateStageLabel.text = _("Cancelling …")
        else:
            self.start(self._estimate, self.panel.ensureInstalled)

    def _estimate(self, finished: Callable[[Any], None]) -> None:
        chosen = self.parameters
        self.panel.log("\n".join((_("Estimating tissue maps."), *self.panel.inputs.protocols())))
        self.panel.logic.estimateTissueMaps(
            **self.panel.inputs.estimateArguments(),
            **{name: getattr(chosen, name) for name in _ORDERED},
            register=_REGISTER[chosen.register],
            waitForCompletion=False,
            finished=finished,
        )

    def start(self, begin: Callable[[Callable[[Any], None]], None], installed: Callable[[], bool]) -> None:
        """Start a run with ``begin(finished)``, which starts the worker and returns, where what it needs is ``installed``."""
        showMessage(self.ui.estimateResultLabel, "")
        self.ui.showLogButton.visible = False
        with toldIn(self.ui.estimateWarningLabel):
            if not installed():
                return
            begin(self.panel.useMaps)
            self.running, self._cancelling, self._stage = True, False, ""
            self.ui.estimateProgressBar.value = 0
            self.ui.estimateStageLabel.text = _("Starting …")
            self.timer.start()
        self.panel.update()

    def poll(self) -> None:
        """Take what the worker has told since the last time."""
        with toldIn(self.ui.estimateWarningLabel):
            for event in self._news():
                self._take(event)

    def _news(self) -> list[Any]:
        try:
            return self.panel.logic.poll()
        except Exception:
            self.panel.logic.close()  # what state it is in is not known any more
            self._stop()
            raise

    def _stop(self) -> None:
        self.timer.stop()
        self.running = False
        self.panel.update()

    def _take(self, event: Any) -> None:
        if isinstance(event, Progress):
            self._progress(event)
            return
        self._stop()
        if isinstance(event, Finished):
            self.panel.log("\n".join((_("Finished."), summary(self.panel.report), *self.panel.report.get("warnings", ()))))
            self.panel.inputs.fold()
            self.ui.estimateCollapsibleButton.collapsed = True
        elif isinstance(event, Cancelled):
            showMessage(self.ui.estimateResultLabel, _("Cancelled. Nothing was changed."))
            self.panel.log(_("Cancelled."))
        elif isinstance(event, Failed):
            showMessage(self.ui.estimateWarningLabel, inPanel(event))
            self.ui.showLogButton.visible = True
            self.panel.log(inPanel(event))

    def _progress(self, event: Progress) -> None:
        self.ui.estimateProgressBar.value = round(1000 * event.overall)
        if not self._cancelling:  # what was on its way already must not hide that
            self.ui.estimateStageLabel.text = stageText(event.stage, event.remaining_seconds)
        if event.stage != self._stage:
            self._stage = event.stage
            self.panel.log(event.stage)

    def sceneClosing(self) -> None:
        """Its results go with the scene; a run in progress has lost its scene, which the logic notices and ends."""
        self.ui.verdictFrame.visible = False
        showMessage(self.ui.estimateResultLabel, "")
        showMessage(self.ui.estimateWarningLabel, "")
        self.ui.showLogButton.visible = False

    def cleanup(self) -> None:
        """Stop watching."""
        self.timer.stop()
