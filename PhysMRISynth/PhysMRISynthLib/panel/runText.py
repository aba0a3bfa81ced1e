"""A run in words: progress, result and device."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Mapping
from typing import Any

from slicer.i18n import tr as _

from ..network.manifest import present_weights

ROLE_TITLES = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}


def usesNetwork(prior: str) -> bool:
    """Whether a run with this prior will use the network."""
    return prior != "literature" and present_weights() is not None and importlib.util.find_spec("torch") is not None


def deviceText(prior: str, device: str) -> str:
    """Where a run with these settings will be computed."""
    cores = os.cpu_count() or 1
    processor = _("Processor with {cores} cores").format(cores=cores) if cores > 1 else _("Processor")
    if not usesNetwork(prior):
        return _("{processor}, without the neural network").format(processor=processor)
    names = {
        "auto": _("Graphics card where one works, otherwise the processor"),
        "cpu": processor,
        "cuda": _("NVIDIA graphics card (CUDA)"),
        "mps": _("Apple graphics (Metal)"),
    }
    return names[device]


def durationText(seconds: float) -> str:
    """``38 s`` or ``2 min 10 s``."""
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def stageText(stage: str, remaining: float | None) -> str:
    """The present stage and, where it can be told, the time that is left."""
    words = stage.replace("_", " ")
    named = _stages().get(words, words[:1].upper() + words[1:])
    if remaining is None or not math.isfinite(remaining):
        return f"{named} …"
    return _("{stage} … about {time} left").format(stage=named, time=durationText(remaining))


def _stages() -> dict[str, str]:
    """What a reader calls a stage, where its own name is a developer's."""
    return {
        "align": _("Aligning the images"),
        "find the head": _("Finding the head"),
        "place the atlas": _("Placing the atlas"),
        "expect tissues": _("Recognising tissues"),
        "fit tissues, gains and fields": _("Fitting tissue values"),
        "fit voxels": _("Fitting each voxel"),
        "check the fit": _("Checking the fit"),
        "make the volumes": _("Loading the results"),
    }


def memoryText(report: Mapping[str, Any]) -> str:
    """The computer's main memory, where the system tells it, and the peak of the run that the report is of."""
    parts = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(_("{total:.0f} GB in this computer").format(total=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9))
    if report.get("peak_memory_gb"):
        parts.append(_("the estimate used up to {peak:.1f} GB").format(peak=report["peak_memory_gb"]))
    return ", ".join(parts) or _("unknown on this system")
