"""The comparison of two visits as a folder of maps and tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...imaging.intake.volumes import image_like, write_image
from ...physics.protocol import Protocol
from ..results.outputs import REPORT, whole_folder, write_json
from ..results.report import software_report
from ..results.tables import table_text
from .compare import Comparison, renderings

_NOTICE = "Differences of estimated maps with their uncertainty. Research only, not for diagnosis."
_PLACE = ("right_mm", "anterior_mm", "superior_mm")


def write_comparison(
    found: Comparison, visits: tuple[str, str], out: Path, protocols: Sequence[Protocol] = (), overwrite: bool = False
) -> None:
    """Write difference and z maps on the grid halfway, ``changes.tsv``, ``spots.tsv``, ``report.json`` and each protocol's image of both
    visits into the folder ``out``, all or nothing. Raises ImageError."""
    with whole_folder(out, overwrite) as folder:
        grid = found.registration.grid
        for name in found.difference:
            write_image(image_like(found.difference[name], grid), folder / f"difference_{name}.nii.gz")
            write_image(image_like(found.z[name], grid), folder / f"z_{name}.nii.gz")
        for number, protocol in enumerate(protocols, start=1):
            stem = protocol.sequence.name if len(protocols) == 1 else f"{protocol.sequence.name}-{number}"
            for title, image in zip(("first", "second"), renderings(found, protocol), strict=True):
                write_image(image_like(image, grid), folder / f"{stem}_{title}.nii.gz")
        (folder / "changes.tsv").write_text(table_text([vars(change) for change in found.changes]), encoding="utf-8")
        (folder / "spots.tsv").write_text(_spots_text(found), encoding="utf-8")
        names = sorted([REPORT, *(file.name for file in folder.iterdir())])
        write_json({**_report(found, visits), "protocols": [protocol.spec for protocol in protocols], "files": names}, folder / REPORT)


def spot_rows(found: Comparison) -> list[dict[str, Any]]:
    """A row for each spot of change: its place (mm), volume, mean differences and greatest |z|."""
    places = (dict(zip(_PLACE, spot.centre_ras, strict=True)) for spot in found.spots)
    return [{**at, "volume_ml": s.volume_ml, **s.differences, "z": s.z} for at, s in zip(places, found.spots, strict=True)]


def _spots_text(found: Comparison) -> str:
    """The table of the spots; its header alone where there is none."""
    rows = spot_rows(found)
    nothing = dict.fromkeys((*_PLACE, "volume_ml", *found.difference, "z"))
    return table_text(rows) if rows else f"{table_text([nothing]).splitlines()[0]}\n"


def _report(found: Comparison, visits: tuple[str, str]) -> dict[str, Any]:
    motion = found.registration
    return {
        "kind": "comparison of two visits",
        "software": software_report(),
        "visits": {"first": visits[0], "second": visits[1], "difference": "second minus first"},
        "registration": {
            "shift_mm": round(motion.shift_mm, 2), "rotation_degrees": round(motion.rotation_degrees, 2),
            "disagreement_mm": round(motion.disagreement_mm, 2), "grid": "halfway between the visits",
        },
        "warnings": found.warnings,
        "notice": _NOTICE,
    }  # fmt: skip
