"""Cohorts in one contrast: every visit's maps rendered in one protocol, or only the contrasts that a visit lacks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ImageError, Remedy
from ...headers.roles import ROLES
from ...imaging.intake.volumes import write_image
from ...imaging.map_files import find_map_files
from ...imaging.tissue_maps import read_tissue_maps
from ...physics.presets import load_presets, protocol_from_spec
from ...physics.protocol import Protocol
from ..compute import Compute
from ..estimation.knowledge import specs_in
from ..orders import Order
from ..rendering.order import RenderOrder
from ..rendering.rendered import rendered
from ..results.outputs import SYNTHETIC, rendering_fields, write_json
from .data_set import ALL, Batch, plan, run_visits
from .thumbnails import write_index, write_thumbnail
from .visit import FAILED, Row, Task, Visit

_END = "_T1map.nii.gz"
_SUFFIXES = {"t1w": "T1w", "t2w": "T2w", "flair": "FLAIR", "pd": "PDw"}
"""BIDS' suffix of a contrast, by its role."""
_SEQUENCES = {"mprage": "t1w", "mprage_simple": "t1w", "spgr": "t1w", "flair": "flair"}
_LONG_TE, _SHORT_TR = 60.0, 1200.0
"""ms; a spin echo of longer TE is T2-weighted, else of shorter TR T1-weighted, else PD-weighted."""
_NO_MAPS = "The maps of this visit are not in {}. Estimate the data set first."
_COMPLETE = "has all contrasts"


@dataclass(frozen=True)
class Contrasts(Order):
    """The contrasts to render, by BIDS' suffix (T1w, FLAIR, DIR …); their protocols are names or specs, the same for every head."""

    orders: Mapping[str, RenderOrder] = field(default_factory=dict)

    @property
    def specs(self) -> dict[str, str]:
        """Protocols by suffix."""
        return {suffix: str(order.protocol) for suffix, order in self.orders.items()}


def suffix_of(spec: str) -> str:
    """BIDS' suffix of the contrast of a protocol: T1w, T2w, FLAIR, PDw, else the sequence's name in capitals."""
    name = spec.partition(",")[0].strip().lower()
    protocol, preset = protocol_from_spec(spec), load_presets().get(name)
    role = preset.role if preset is not None else _SEQUENCES.get(protocol.sequence.name) or _spin_echo(protocol)
    return _SUFFIXES.get(role or "", protocol.sequence.name.upper().replace("_", ""))


def _spin_echo(protocol: Protocol) -> str | None:
    if protocol.sequence.name not in ("se", "tse"):
        return None
    if protocol.values["TE"] >= _LONG_TE:
        return "t2w"
    return "t1w" if protocol.values["TR"] <= _SHORT_TR else "pd"


def render_cohort(
    derivatives: Path,
    out: Path,
    orders: Sequence[RenderOrder],
    batch: Batch = ALL,
) -> list[Row]:
    """Render the maps of every visit of a derivative of ``estimate --bids`` in the same protocols, into the data set ``out``.

    As :func:`~PhysMRISynthLib.workflow.cohort.data_set.estimate_cohort`: visits that are complete are kept, a failure is a row and stops
    nothing; ``index.html`` shows every visit.
    Raises ImageError when there are no maps, ProtocolError for a protocol that cannot be, EstimationError for a device that cannot be had.
    """
    derivatives, out = Path(derivatives).absolute(), Path(out).absolute()
    suffixes = [suffix_of(str(order.protocol)) for order in orders]
    if len(set(suffixes)) < len(suffixes):
        raise ImageError(f"Two of the protocols are {Counter(suffixes).most_common(1)[0][0]} contrasts. Render them into two data sets.")
    for order in orders:
        Compute.on(order.device)  # refused before the first visit
    contrasts = Contrasts(dict(zip(suffixes, orders, strict=True)))
    visits, rows = visits_with_maps(derivatives, batch.participants)
    tasks = [Task(visit, contrasts, derivatives, out, batch.overwrite, make_contrasts) for visit in visits]
    return _run(derivatives, out, tasks, rows, batch)


def complete_cohort(
    root: Path,
    derivatives: Path,
    out: Path,
    specs: Mapping[str, str | None] | None = None,
    batch: Batch = ALL,
) -> list[Row]:
    """Render only the contrasts (T1w, T2w, FLAIR) that a visit of the data set ``root`` lacks, from its maps in ``derivatives``.

    ``specs`` by role (t1w, t2w, flair); else the protocol that most of the cohort's images of that role have, else a preset. Everything
    else as :func:`render_cohort`. Raises ImageError, ProtocolError.
    """
    root, derivatives, out = (Path(path).absolute() for path in (root, derivatives, out))
    if out in (root, derivatives):
        raise ImageError(f"{out} holds acquired images or maps: synthetic images are never put among them.", Remedy.CHOOSE_OUTPUT)
    raw, rows = plan(root, batch.participants)
    with_maps = {visit.name: visit for visit in visits_with_maps(derivatives, None)[0]}
    chosen = {role: (specs or {}).get(role) or common_protocol(list(with_maps.values()), role) for role in ROLES}
    tasks = []
    for visit in raw:
        lacking = {_SUFFIXES[role]: RenderOrder(chosen[role]) for role in ROLES if role not in visit.files}
        if visit.name not in with_maps:
            rows.append(Row(visit.participant, visit.session, FAILED, _NO_MAPS.format(derivatives)))
        elif not lacking:
            rows.append(Row(visit.participant, visit.session, _COMPLETE, inputs=",".join(visit.files)))
        else:
            tasks.append(Task(with_maps[visit.name], Contrasts(lacking), derivatives, out, batch.overwrite, make_contrasts))
    return _run(derivatives, out, tasks, rows, batch)


def _run(derivatives: Path, out: Path, tasks: list[Task], rows: list[Row], batch: Batch) -> list[Row]:
    rows = run_visits(derivatives, out, tasks, rows, batch, made="Synthetic images")
    write_index(out, rows, "Synthetic contrasts, not for diagnosis")
    return rows


def visits_with_maps(derivatives: Path, participants: Sequence[str] | None) -> tuple[list[Visit], list[Row]]:
    """The visits of a derivative that have maps, and rows of ``participants`` who have none. Raises ImageError when nobody has."""
    if not derivatives.is_dir():
        raise ImageError(f"{derivatives} is not a folder. Give the folder of derivatives that the estimate of the data set wrote.")
    found = []
    for path in sorted({path for levels in ("*/", "*/*/") for path in derivatives.glob(f"sub-{levels}anat/*{_END}")}):
        name = path.name.removesuffix(_END)
        if "_desc-" not in name:
            labels = {part.partition("-")[0]: part for part in name.split("_")}
            files = {quantity: path.with_name(f"{name}_{quantity}map.nii.gz") for quantity in ("PD", "T1", "T2")}
            found.append(Visit(labels.get("sub", name), labels.get("ses"), files))
    if not found:
        raise ImageError(f"There are no maps in {derivatives}. Expected are sub-*/[ses-*/]anat/…{_END} as an estimate writes them.")
    if participants is None:
        return found, []
    wanted = {f"sub-{name.removeprefix('sub-')}" for name in participants}
    unknown = wanted - {visit.participant for visit in found}
    rows = [Row(name, None, FAILED, "There are no maps of this participant. Check the participant's label.") for name in sorted(unknown)]
    return [visit for visit in found if visit.participant in wanted], rows


def common_protocol(visits: Sequence[Visit], role: str) -> str:
    """The protocol that most of the visits' images of a role were acquired with, as their reports tell; a preset where none tells."""
    specs: Counter[str] = Counter()
    for visit in visits:
        report = visit.files["T1"].with_name(f"{visit.name}_report.json")
        try:
            stated = specs_in(json.loads(report.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
        specs.update([stated[role]] if role in stated else [])
    return specs.most_common(1)[0][0] if specs else f"synthetic-{role}"


def make_contrasts(visit: Visit, order: Contrasts, root: Path, folder: Path) -> dict[str, Any]:
    """Render a visit's contrasts into a folder as BIDS has it; the report as JSON values. Raises a PhysMRISynthError."""
    source = visit.files["T1"].parent
    if find_map_files(source).bids != visit.name:
        raise ImageError(f"{source} holds maps of another name than {visit.name}. Restore the derivatives' names.")
    maps = read_tissue_maps(source)
    images = {}
    for suffix, one in order.orders.items():
        contrast = rendered(maps, replace(one, protocol=protocol_from_spec(str(one.protocol))))
        name = f"{visit.name}_desc-synthetic_{suffix}"
        write_image(contrast.image, folder / f"{name}.nii.gz")
        sources = {"Sources": [path.relative_to(root).as_posix() for path in visit.files.values()]}
        write_json({**rendering_fields(contrast), **sources}, folder / f"{name}.json")
        images[suffix] = contrast.image
    write_thumbnail(images, maps.image(maps.mask.astype(np.uint8)), folder / f"{visit.name}_report.png")
    medians = maps.provenance.get("tissue_medians", {})
    return {"contrasts": order.specs, "warnings": [], "tissue_medians": medians, "notice": SYNTHETIC}
