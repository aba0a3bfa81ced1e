"""Running the estimate: Apply, Cancel, progress, result and warnings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from ..workflow.worker.jobs import Cancelled, Failed, Finished, Progress
from .look import PLAIN, PRIMARY
from .runText import ROLE_TITLES, deviceText, resultText, stageText
from .section import Section, showMessage, toldIn

_log = logging.getLogger(__name__)
_POLL_MS = 100
_REGISTER = {"when needed": None, "always": True, "never": False}


class EstimateSection(Section):
    """Watches the worker through a timer: nothing here waits."""

    shows = frozenset((*ROLE_TITLES, *(f"{role}Protocol" for role in ROLE_TITLES), "prior", "device"))

    def __init__(self, ui: Any, panel: Any) -> None:
        super().__init__(ui, panel)
        ui.applyButton.connect("clicked(bool)", self.applyOrCancel)
        self.timer = qt.QTimer()
        self.timer.setInterval(_POLL_MS)
        self.timer.connect("timeout()", self.poll)
        self.running = False
        self._cancelling = False
        self._stage = ""

    def update(self) -> None:
        """Show whether an estimate can start, where it would run, and the result that belongs to the selected maps."""
        self.ui.applyButton.text = _("Cancel") if self.running else _("Estimate tissue maps")
        self.ui.applyButton.setStyleSheet(PLAIN if self.running else PRIMARY)
        for widget in (self.ui.estimateProgressBar, self.ui.estimateStageLabel):
            widget.visible = self.running
        reason = self._whyNot()
        self.ui.applyButton.enabled = self.running or reason is None
        self.ui.applyButton.toolTip = self._tip(reason)
        if self.parameters:
            self.ui.deviceLabel.text = deviceText(self.parameters.prior, self.parameters.device)

    def _whyNot(self) -> str | None:
        return _("There is no scene to work on.") if self.parameters is None else self.panel.inputs.problem()

    def _tip(self, reason: str | None) -> str:
        if self.running:
            return _("Stop the estimate. Nothing of it is kept.")
        return reason or _("Estimate PD, T1 and T2 with their uncertainty from the selected images. Slicer stays usable meanwhile.")

    def showResult(self) -> None:
        """Show the quality of the selected maps and what their report warns of."""
        report = self.panel.report
        showMessage(self.ui.estimateResultLabel, resultText(report) if report else "")
        showMessage(self.ui.estimateWarningLabel, "\n\n".join(f"⚠ {text}" for text in report.get("warnings", ())))

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
            waitForCompletion=False,
            reference=chosen.reference or None,
            register=_REGISTER[chosen.register],
            fieldStrength=chosen.fieldStrength or None,
            prior=chosen.prior,
            device=chosen.device,
            spacing=chosen.spacing or None,
            allowContrastAgent=chosen.allowContrastAgent,
            finished=finished,
        )

    def start(self, begin: Callable[[Callable[[Any], None]], None], installed: Callable[[], bool]) -> None:
        """Start a run with ``begin(finished)``, which starts the worker and returns, where what it needs is ``installed``."""
        showMessage(self.ui.estimateResultLabel, "")
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
            self.panel.log("\n".join((_("Finished."), resultText(self.panel.report), *self.panel.report.get("warnings", ()))))
        elif isinstance(event, Cancelled):
            showMessage(self.ui.estimateResultLabel, _("Cancelled; nothing was changed."))
            self.panel.log(_("Cancelled."))
        elif isinstance(event, Failed):
            showMessage(self.ui.estimateWarningLabel, event.message)
            self.panel.log(event.message)

    def _progress(self, event: Progress) -> None:
        self.ui.estimateProgressBar.value = round(1000 * event.overall)
        if not self._cancelling:  # what was on its way already must not hide that
            self.ui.estimateStageLabel.text = stageText(event.stage, event.remaining_seconds)
        if event.stage != self._stage:
            self._stage = event.stage
            self.panel.log(event.stage)

    def sceneClosing(self) -> None:
        """Its results go with the scene; a run in progress has lost its scene, which the logic notices and ends."""
        showMessage(self.ui.estimateResultLabel, "")
        showMessage(self.ui.estimateWarningLabel, "")

    def cleanup(self) -> None:
        """Stop watching."""
        self.timer.stop()
