"""One page over all visits of a data set: verdict and T1 of each, with a link to its report."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ..results.html_report import render
from ..results.report_text import LEVEL_COLOURS, LEVEL_TITLES

INDEX = "index.html"
_TEMPLATE = "cohort.html"
_WORST_FIRST = ("do_not_use", "caution", "good", "")


def index_html(table: str, out: Path) -> str:
    """The page for a cohort's ``table`` (tab-separated, as :mod:`.cohort` writes it) in the folder ``out``; doubtful visits first."""
    rows = [_row(entry, out) for entry in csv.DictReader(io.StringIO(table), delimiter="\t")]
    rows.sort(key=lambda row: (row["failed"] is False, _WORST_FIRST.index(row["level"])))
    return render(_TEMPLATE, rows=rows, counts=_counts(rows))


def _row(entry: dict[str, str], out: Path) -> dict[str, Any]:
    known = {key: "" if value in (None, "n/a") else value for key, value in entry.items()}
    level = known.get("verdict", "") if known.get("verdict", "") in LEVEL_TITLES else ""
    return {
        **known, "level": level, "title": LEVEL_TITLES.get(level, ""), "colour": LEVEL_COLOURS.get(level, "#777777"),
        "link": _report(known, out), "failed": known.get("status") == "failed",
    }  # fmt: skip


def _report(known: dict[str, str], out: Path) -> str:
    """The address of a visit's report beside the index; empty where there is none."""
    parts = [known.get("participant_id") or known.get("participant", ""), known.get("session_id") or known.get("session", "")]
    folder = out.joinpath(*[part for part in parts if part])
    inside = folder.resolve().is_relative_to(out.resolve()) and folder.resolve() != out.resolve() and folder.is_dir()
    found = sorted(folder.rglob("*_report.html")) if inside else []
    return found[0].relative_to(out).as_posix() if found else ""


def _counts(rows: list[dict[str, Any]]) -> str:
    failed = sum(row["failed"] for row in rows)
    told = [f"{sum(row['level'] == level for row in rows)} {title.lower()}" for level, title in LEVEL_TITLES.items()]
    return ", ".join([f"{len(rows)} visits", *told, f"{failed} failed"])
