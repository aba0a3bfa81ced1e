"""The tissue statistics as a small table that fits the panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from slicer.i18n import tr as _

from ..physics.tissues import PROPERTIES, tissue_table
from .look import MARKED

_UNITS = {"PD": "%", "T1": "ms", "T2": "ms"}


def statisticsHtml(report: Mapping[str, Any]) -> str:
    """Median ± median SD of each tissue with the published range below it, as rich text; values outside their range are marked.

    ``report`` is that of an estimate: what its maps were then. Empty where it tells of no tissue.
    """
    medians = report.get("tissue_medians") or {}
    if not medians:
        return ""
    head = "".join(f'<th align="right">{name} ({unit})</th>' for name, unit in _UNITS.items())
    literature, published = report.get("from_literature") or {}, report.get("published_ranges", {})
    rows = "".join(_row(tissue, told, published.get(tissue, {}), literature.get(tissue, ())) for tissue, told in medians.items())
    notes = [_("median ± uncertainty of one voxel (SD); below: published range")]
    if any(tissue in literature for tissue in medians):
        notes.append(_("† from the literature: images do not tell it"))
    return f'<table width="100%" cellpadding="3"><tr><th align="left">{_("Tissue")}</th>{head}</tr>{rows}</table><i>{"; ".join(notes)}</i>'


def _row(tissue: str, told: Mapping[str, float], published: Mapping[str, Sequence[float]], fromLiterature: Sequence[str]) -> str:
    titles = {entry.name: entry.title for entry in tissue_table()}
    volume = _("{volume:.0f} ml").format(volume=told["volume_ml"])
    cells = "".join(_cell(told[name], told[f"{name}_sd"], published.get(name), name in fromLiterature) for name in PROPERTIES)
    return f"<tr><td>{escape(titles.get(tissue, tissue))}<br><small>{volume}</small></td>{cells}</tr>"


def _cell(value: float, sd: float, published: Sequence[float] | None, fromLiterature: bool) -> str:
    shown = f"{value:.0f} ± {sd:.0f}{' †' if fromLiterature else ''}"
    if published and not published[0] <= value <= published[1]:
        shown = MARKED.format(shown)
    limits = f"{published[0]:g}–{published[1]:g}" if published else "&nbsp;"
    return f'<td align="right">{shown}<br><small>{limits}</small></td>'
