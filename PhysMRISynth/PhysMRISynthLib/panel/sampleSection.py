"""Virtual heads, for teaching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

from ..network.manifest import present_weights
from .host import Host
from .section import Section


class SampleSection(Section):
    """Seed and count; possible only with weights for it."""

    def __init__(self, ui: Any, panel: Host) -> None:
        super().__init__(ui, panel)
        ui.sampleButton.connect("clicked(bool)", lambda checked: self.panel.estimate.start(self._sample, self.panel.ensureSampling))

    def update(self) -> None:
        """Say whether a head can be sampled, and why not."""
        reason = self._whyNot()
        self.ui.sampleButton.enabled = reason is None
        told = _("Generate an artificial head. It belongs to no person. The same number always gives the same head.")
        self.ui.sampleButton.toolTip = reason or told
        self.ui.sampleReasonLabel.text = reason or ""
        self.ui.sampleReasonLabel.visible = reason is not None

    def _whyNot(self) -> str | None:
        if present_weights("sampler") is None:
            return _("No weights for sampling are installed. Reinstall the extension.")
        return _("An estimate is running.") if self.panel.estimate.running else None

    def _sample(self, finished: Callable[[Any], None]) -> None:
        chosen = self.parameters
        one = {"attempt": chosen.sampleAttempt, "attempts": 1} if chosen.sampleAttempt else {}
        self.panel.logic.sampleTissueMaps(
            seed=chosen.sampleSeed, count=chosen.sampleCount, **one, waitForCompletion=False, finished=finished
        )
