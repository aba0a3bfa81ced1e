"""The report as one self-contained HTML file and as PDF: a page for readers, A4 landscape in print, and a page with the rest."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...resource_files import RESOURCES
from ..estimation.estimate import Estimate
from .figure import PNG_EFFORT, cut, first_page, second_page
from .report_text import LEVEL_COLOURS, header_lines, table_rows, verdict_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATE = "report.html"


def write_pages(estimate: Estimate, report: Mapping[str, Any], folder: Path, stem: str = "report") -> None:
    """Write ``STEM.png`` (the first page), ``STEM.pdf`` (both) and ``STEM.html`` into a folder."""
    from matplotlib.backends.backend_pdf import PdfPages

    first, second = first_page(estimate, report), second_page(estimate)
    _save(first, folder / f"{stem}.png")
    with PdfPages(folder / f"{stem}.pdf") as pdf:
        for figure in (first, second):
            pdf.savefig(figure)
    parts = *cut(folder / f"{stem}.png", first), _png(second)
    (folder / f"{stem}.html").write_text(_html(report, *map(_embedded, parts)), encoding="utf-8")


def _html(report: Mapping[str, Any], maps: str, residuals: str, details: str) -> str:
    title, *lines = header_lines(report)
    head, *rows = table_rows(report) or [[]]
    return render(
        _TEMPLATE, title=title, lines=lines, verdict=verdict_line(report), colour=LEVEL_COLOURS.get(str(report.get("verdict")), "#777777"),
        reasons=report.get("reasons") or [], head=head, rows=rows, protocols=_protocols(report),
        maps=maps, residuals=residuals, details=details,
    )  # fmt: skip


def render(template: str, **values: Any) -> str:
    """A page of the package's resources with these values; texts are escaped."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((RESOURCES / template).read_text(encoding="utf-8")).render(**values)


def _protocols(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(input, parameter, value with unit, source) of every value."""
    return [
        (role, name, f"{told.get('value', 0):g} {told.get('unit', '')}".strip(), str(told.get("source", "")))
        for role, entry in (report.get("inputs") or {}).items()
        for name, told in ((entry.get("protocol") or {}).get("parameters") or {}).items()
    ]


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    _save(figure, stream)
    return stream.getvalue()


def _save(figure: Figure, file: Path | io.BytesIO) -> None:
    figure.savefig(file, format="png", pil_kwargs={"compress_level": PNG_EFFORT})


def _embedded(png: bytes) -> str:
    """A PNG file as the address of an image that is in the page itself."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
