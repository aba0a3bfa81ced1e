"""Virtual heads, for teaching."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError
from ..network.diffusion_config import Condition
from ..network.known_conditions import known_conditions
from ..network.manifest import present_weights
from .conditionRows import ConditionRows, conditionTitle, targetsOf
from .host import Host
from .remedies import inPanel
from .section import Section, showMessage

_FIRST_CONDITION = 3
"""The row of the form where the conditions begin."""


class SampleSection(Section):
    """Seed, count and targets; possible only with weights for it, of which the head is read at each update."""

    shows = frozenset(("sampleCondition", "sampleWeights"))

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        form = ui.sampleFormWidget.layout()
        self.rows = ConditionRows(form, _FIRST_CONDITION, self._targeted, ui.sampleAttemptSpinBox, ui.sampleGuidanceSpinBox)
        self._known: Mapping[str, Condition] = {}
        ui.sampleButton.connect("clicked(bool)", lambda checked: self.panel.estimate.start(self._sample, self.panel.ensureSampling))
        ui.sampleWeightsButton.connect("clicked(bool)", lambda checked: self.chooseWeights())

    def update(self) -> None:
        """Show the conditions that the weights know, and say whether a head can be sampled, and why not."""
        reason = self._readConditions() or self._refusal() or self._running()
        targets = targetsOf(self.parameters)
        self.rows.show(self._known, targets)
        self.ui.sampleGuidanceLabel.visible = self.ui.sampleGuidanceSpinBox.visible = bool(self._known)
        self.ui.sampleButton.enabled = reason is None
        told = _("Generate an artificial head. It belongs to no person. The same number always gives the same head.")
        self.ui.sampleButton.toolTip = reason or told
        showMessage(self.ui.sampleReasonLabel, reason or self._note(targets))

    @property
    def _targets(self) -> dict[str, float]:
        """Those that the weights know."""
        return {name: value for name, value in targetsOf(self.parameters).items() if name in self._known}

    def _readConditions(self) -> str | None:
        """Take up the conditions of the weights; why there are none."""
        own, self._known = self.parameters.sampleWeights if self.parameters else "", {}
        if not own and present_weights("sampler") is None:
            return _("No weights for sampling are installed. Reinstall the extension.")
        try:
            self._known = known_conditions(Path(own) if own else None)
        except PhysMRISynthError as error:
            return inPanel(error)
        return None

    def _refusal(self) -> str | None:
        """Why the model would refuse a target."""
        text = _("{title} must be from {least:.4g} to {greatest:.4g} {unit} for these weights. Choose another value.")
        for name, value in self._targets.items():
            condition = self._known[name]
            if not condition.least <= value <= condition.greatest:
                return text.format(**{**vars(condition), "title": conditionTitle(name)})
        return None

    def _running(self) -> str | None:
        return _("An estimate is running.") if self.panel.estimate.running else None

    def _note(self, targets: Mapping[str, float]) -> str:
        unknown = [conditionTitle(name) for name in targets if name not in self._known]
        return _("These weights do not know: {names}. Left open.").format(names=", ".join(unknown)) if unknown else ""

    def _targeted(self, name: str, value: float | None) -> None:
        if self.parameters:
            others = {other: target for other, target in targetsOf(self.parameters).items() if other != name}
            self.parameters.sampleCondition = json.dumps(others if value is None else {**others, name: value})

    def chooseWeights(self) -> None:
        """Ask for a sampling model of one's own, which heads are then sampled from."""
        title = _("Sampling model of your own training")
        path = qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", "Weights (*.safetensors)")
        if path and self.parameters:
            self.parameters.sampleWeights = path

    def _sample(self, finished: Callable[[Any], None]) -> None:
        chosen = self.parameters
        one = {"attempt": chosen.sampleAttempt, "attempts": 1} if chosen.sampleAttempt else {}
        self.panel.logic.sampleTissueMaps(
            seed=chosen.sampleSeed, count=chosen.sampleCount, **one, condition=self._targets, guidance=chosen.sampleGuidance,
            weights=chosen.sampleWeights, waitForCompletion=False, finished=finished,
        )  # fmt: skip
