"""What ``estimate`` says on the terminal: protocols with what is known of them, and the tissue table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..imaging.intake.acquisition import Acquisition
    from ..workflow.estimation.estimate import Estimate


def protocol_lines(acquisitions: Sequence[Acquisition]) -> list[str]:
    """A line for each input: how much is known, the protocol, and the sources of its values."""
    from ..workflow.estimation.knowledge import knowledge_of

    lines = []
    for a in acquisitions:
        sources = ", ".join(sorted(set(a.protocol.sources.values())))
        lines.append(f"{knowledge_of(a.protocol).glyph} {a.name}: {a.protocol.spec} (from {sources})")
    return lines


def expected_lines(acquisitions: Sequence[Acquisition]) -> list[str]:
    """The best verdict that an estimate of these inputs can get, and what would have to be known for a better one."""
    from ..workflow.estimation.reasons import input_reasons
    from ..workflow.estimation.verdict import Verdict

    verdict = Verdict.of(input_reasons(acquisitions))
    level = verdict.level.value.replace("_", " ")
    return [f"Expected verdict: at best '{level}'.", *(f"  {reason.sentence}" for reason in verdict.reasons)]


def tissue_lines(estimate: Estimate) -> list[str]:
    """The tissue table: medians, published ranges and the uncertainty of one voxel in columns of their own."""
    from ..workflow.results.report import estimate_report
    from ..workflow.results.report_text import table_rows

    rows = table_rows(estimate_report(estimate))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = [[row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))] for row in rows]
    return ["  ".join(row) for row in padded]
