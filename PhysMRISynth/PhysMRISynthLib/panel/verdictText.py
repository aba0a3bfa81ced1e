"""The verdict on an estimate in rich text: one sentence, and the reasons by cause below it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any

from slicer.i18n import tr as _

from ..fitting.check import LARGEST_GOOD_RESIDUAL
from ..workflow.estimation.knowledge import Knowledge, knowledge_in, worst
from ..workflow.estimation.verdict import Cause, Level
from .protocolText import NO_BREAK_SPACE, together
from .runText import ROLE_TITLES, durationText
from .styles import BADGE, LEVEL_COLOURS, LEVEL_ICONS

_ROLE = re.compile(r"\b(t1w|t2w|flair)\b")


def levelOf(report: Mapping[str, Any]) -> Level | None:
    """The verdict of a report; None where it has none, such as that of a virtual head."""
    try:
        return Level(str(report.get("verdict")))
    except ValueError:
        return None


def levelTitle(level: Level) -> str:
    """The verdict in two or three words."""
    return {Level.GOOD: _("Good"), Level.CAUTION: _("Use with caution"), Level.DO_NOT_USE: _("Do not use")}[level]


def verdictHtml(report: Mapping[str, Any]) -> str:
    """One line: the verdict, its first reason, and T1 of white matter, without an uncertainty where the protocols were assumed."""
    level = levelOf(report)
    if level is None:
        return ""
    head = BADGE.format(colour=LEVEL_COLOURS[level], icon=LEVEL_ICONS[level], title=f"{levelTitle(level)}.")
    reasons = _counted(report)
    first = _reason(reasons[0]) if reasons else _("No problem was found with these maps.")
    return " ".join((head, escape(first), _whiteMatter(report))).strip()


def detailsHtml(report: Mapping[str, Any]) -> str:
    """Every reason below the heading of its cause, and how the estimate was made."""
    titles = {Cause.IMAGES: _("Images"), Cause.PROTOCOL: _("Protocols"), Cause.ANATOMY: _("Anatomy"), Cause.FIT: _("Fit")}
    parts = []
    for cause, title in titles.items():
        texts = [_reason(reason) for reason in report.get("reasons") or () if reason.get("cause") == cause.value]
        if texts:
            parts.append(f"<b>{title}</b><br>" + "<br>".join(f"• {escape(text)}" for text in texts))
    parts.append(f"<i>{escape(_run(report))}</i>")
    return "<br>".join(parts)


def detailsCount(report: Mapping[str, Any]) -> int:
    """How many reasons are behind the verdict."""
    return len(report.get("reasons") or ())


def summary(report: Mapping[str, Any]) -> str:
    """The verdict without markup, for the log."""
    return re.sub(r"<[^>]+>", "", verdictHtml(report)).replace("&nbsp;", "").replace(NO_BREAK_SPACE, " ")


def _counted(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [reason for reason in report.get("reasons") or () if reason.get("level") != Level.GOOD.value]


def _reason(reason: Mapping[str, Any]) -> str:
    image = ROLE_TITLES.get(reason.get("image") or "", reason.get("image"))
    text = _ROLE.sub(lambda found: ROLE_TITLES[found[1]], str(reason.get("text", "")))
    return together(f"{image}: {text}" if image else text)


def _whiteMatter(report: Mapping[str, Any]) -> str:
    white = (report.get("tissue_medians") or {}).get("white_matter")
    if not white:
        return ""
    if worst(knowledge_in(report).values()) is Knowledge.UNKNOWN:
        text = _("White matter T1 {value:.0f} ms (protocol assumed).").format(value=white["T1"])
    else:
        text = _("White matter T1 {value:.0f} ms (median).").format(value=white["T1"])
    return together(text)


def _run(report: Mapping[str, Any]) -> str:
    """How the estimate was made: time, fits, anatomy model."""
    parts = [_("Estimated in {time}").format(time=durationText(sum((report.get("seconds") or {}).values())))]
    fits = {role: told["residual_rms_percent"] for role, told in (report.get("inputs") or {}).items() if "residual_rms_percent" in told}
    if fits:
        listed = ", ".join(f"{ROLE_TITLES.get(role, role)} {value:.1f} %" for role, value in fits.items())
        parts.append(_("residuals {listed} of bright tissue (good: below {limit:g} %)").format(listed=listed, limit=LARGEST_GOOD_RESIDUAL))
    network = report.get("network")
    parts.append(_("atlas + neural network ({device})").format(device=network["device"]) if network else _("atlas only"))
    return together("; ".join(parts))
