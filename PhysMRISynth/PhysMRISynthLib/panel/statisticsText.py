"""The tissue values as a small table that fits the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from slicer.i18n import tr as _

from ..physics.tissues import PROPERTIES, tissue_table
from ..workflow.estimation.knowledge import Knowledge, knowledge_in, worst
from .protocolText import number
from .styles import MARKED

_UNITS = {"PD": "%", "T1": "ms", "T2": "ms"}


def statisticsHtml(report: Mapping[str, Any]) -> str:
    """Median PD, T1 and T2 of each tissue with the published range below it, as rich text; values outside their range are marked.

    ``report`` is that of an estimate: what its maps were then. Empty where it lists no tissue.
    """
    medians = report.get("tissue_medians") or {}
    if not medians:
        return ""
    head = "".join(f'<th align="right">{name} ({unit})</th>' for name, unit in _UNITS.items())
    unmeasured, published = report.get("from_literature") or {}, report.get("published_ranges", {})
    byMethod = report.get("published_by_method") or ()
    rows = "".join(
        _row(tissue, told, published.get(tissue, {}), unmeasured.get(tissue, ())) + _methodRows(tissue, byMethod)
        for tissue, told in medians.items()
    )
    notes = [_("Median over the tissue. Small print: range of published means at {field:g} T.").format(field=_field(report))]
    notes.append(_("The uncertainty of a single voxel (SD) is in Table."))
    if worst(knowledge_in(report).values()) is Knowledge.UNKNOWN:
        notes.insert(0, _("<b>Protocol assumed: values may be wrong by half or more.</b>"))
    return f'<table width="100%" cellpadding="2"><tr><th align="left">{_("Tissue")}</th>{head}</tr>{rows}</table><i>{" ".join(notes)}</i>'


def _field(report: Mapping[str, Any]) -> float:
    return float(report.get("field_strength_tesla") or 3.0)


def _row(tissue: str, told: Mapping[str, float], published: Mapping[str, Sequence[float]], unmeasured: Sequence[str]) -> str:
    titles = {entry.name: entry.title for entry in tissue_table()} | {"csf": _("Fluid in the brain mask")}
    volume = _("{volume} ml").format(volume=number(told["volume_ml"]))
    cells = "".join(_cell(told[name], published.get(name), name in unmeasured) for name in PROPERTIES)
    return f"<tr><td>{escape(titles.get(tissue, tissue))}<br><small>{volume}</small></td>{cells}</tr>"


def _methodRows(tissue: str, byMethod: Sequence[Mapping[str, Any]]) -> str:
    """A row for each method of measuring that has published values of a tissue."""
    return "".join(
        f"<tr><td><small>{escape(value['method'])}</small></td>"
        + "".join(f'<td align="right"><small>{escape(value["text"]) if value["quantity"] == p else ""}</small></td>' for p in PROPERTIES)
        + "</tr>"
        for value in byMethod
        if value["tissue"] == tissue
    )


def _cell(value: float, published: Sequence[float] | None, unmeasured: bool) -> str:
    if unmeasured:
        return f'<td align="right"><small>{_("not<br>measured")}</small></td>'
    shown = number(value)
    if published and not published[0] <= value <= published[1]:
        shown = MARKED.format(shown)
    limits = f"{published[0]:g}–{published[1]:g}" if published else _("no range")
    return f'<td align="right">{shown}<br><small>{limits}</small></td>'
