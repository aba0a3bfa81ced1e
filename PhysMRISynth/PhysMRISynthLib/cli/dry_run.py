"""``physmrisynth estimate --dry-run``: what an estimate would be made from and worth at best; nothing is estimated or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import EstimationError, PhysMRISynthError
from ..headers.roles import ROLES
from ..workflow.estimation.order import EstimateOrder
from .estimate_text import expected_lines, protocol_lines
from .remedies import WORDS


def show_visit(files: Mapping[str, Path | None], order: EstimateOrder, more: Sequence[tuple[str, Path, str]] = ()) -> int:
    """Print protocols with their sources, and the best verdict to expect; returns the exit code."""
    from ..workflow.estimation.inputs import field_strength_of, read_acquisitions
    from ..workflow.estimation.more_inputs import read_more

    acquisitions = [*read_acquisitions(files, order), *read_more(more, order)]
    strength, source = field_strength_of(acquisitions, order.field_strength)
    print(f"field strength: {strength:g} T ({source})", *protocol_lines(acquisitions), *expected_lines(acquisitions), sep="\n", flush=True)
    return 0


def show_data_set(root: Path, participants: Sequence[str] | None, order: EstimateOrder) -> int:
    """The same for every visit of the data set ``root``, or of some ``participants``.

    Raises EstimationError after the last one when some could not be estimated."""
    from ..workflow.cohort.data_set import plan

    visits, left_out = plan(root, participants)
    failed = len(left_out)
    for row in left_out:
        print("_".join(filter(None, (row.participant, row.session))), f"  {row.reason}", sep="\n")
    for visit in visits:
        print(visit.name)
        try:
            show_visit({role: visit.files.get(role) for role in ROLES}, order)
        except PhysMRISynthError as error:
            failed += 1
            print(f"  {error.told(WORDS)}")
    if failed:
        raise EstimationError(f"{failed} of {len(visits) + len(left_out)} visits cannot be estimated; what is wrong stands above.")
    return 0
