"""A run in words: progress, result and device."""

from __future__ import annotations

import importlib.util
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

ROLE_TITLES = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR"}
_MANIFEST = Path(__file__).parent.parent / "resources" / "weights.json"


def manifest() -> dict[str, Any]:
    """The entries of the weights that are installed: ``vae`` with file, sha256 and bytes; empty when there are none.

    Whether the files are what they should be is checked when they are loaded, in the worker; the panel loads neither them nor torch.
    """
    try:
        entries = json.loads(_MANIFEST.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: entry for name, entry in entries.items() if (_MANIFEST.parent / entry.get("file", "-")).is_file()}


def weightsFile(kind: str = "vae") -> Path | None:
    """The file of these weights, or None where there is none."""
    entry = manifest().get(kind)
    return _MANIFEST.parent / entry["file"] if entry else None


def usesNetwork(prior: str) -> bool:
    """Whether a run with this prior will use the network."""
    return prior != "literature" and weightsFile() is not None and importlib.util.find_spec("torch") is not None


def deviceText(prior: str, device: str) -> str:
    """Where a run with these settings will be computed."""
    cores = os.cpu_count() or 1
    cpu = _("CPU, {cores} cores").format(cores=cores) if cores > 1 else _("CPU")
    if not usesNetwork(prior):
        return _("{cpu} (literature prior)").format(cpu=cpu)
    names = {
        "auto": _("graphics card if one works, else {cpu}").format(cpu=cpu),
        "cpu": cpu,
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
    named = words[:1].upper() + words[1:]
    if remaining is None or not math.isfinite(remaining):
        return f"{named} …"
    return _("{stage} … about {time} left").format(stage=named, time=durationText(remaining))


def resultText(report: Mapping[str, Any]) -> str:
    """Time and quality of an estimate in one line, from its report, and how uncertain it is in the tissue that readers know best."""
    parts = [_("Done in {time}").format(time=durationText(sum(report.get("seconds", {}).values())))]
    residuals = {name: told["residual_rms_percent"] for name, told in report.get("inputs", {}).items()}
    if residuals:
        worst = max(residuals, key=lambda name: residuals[name])
        parts.append(_("worst residual {value:.1f} % ({name})").format(value=residuals[worst], name=ROLE_TITLES.get(worst, worst)))
    white = report.get("tissue_medians", {}).get("white_matter")
    if white:
        parts.append(_("white matter T1 {value:.0f} ± {sd:.0f} ms").format(value=white["T1"], sd=white["T1_sd"]))
    if "applicability" in report:
        score = report["applicability"]["score"]
        suits = _("suits the method ({score:.2f}, limit 1)") if score <= 1.0 else _("does not suit the method ({score:.2f}, limit 1)")
        parts.append(suits.format(score=score))
    network = report.get("network")
    parts.append(_("network on {device}").format(device=network["device"]) if network else _("literature prior"))
    return " · ".join(parts)


def memoryText(report: Mapping[str, Any]) -> str:
    """The computer's main memory, where the system tells it, and the peak of the run that the report is of."""
    parts = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(_("{total:.0f} GB in this computer").format(total=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9))
    if report.get("peak_memory_gb"):
        parts.append(_("the estimate used up to {peak:.1f} GB").format(peak=report["peak_memory_gb"]))
    return ", ".join(parts) or _("not told by this system")
