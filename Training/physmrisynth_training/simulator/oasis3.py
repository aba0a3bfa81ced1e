"""A test acquisition modelled on OASIS-3: protocols in their real proportions, with scanner imperfections.

Every contrast's row of the parameter table is sampled in proportion to its number of scans. T2w and FLAIR with long nominal echo times are
trains of variable flip angles, simulated by extended phase graphs. The following is unknown to the fit and sampled for each scan:

- magnetisation transfer: a tissue's signal is lower by the factor 1 − m·b, where b is its bound pool relative to white matter's and m the
  scan's: 0.33 ± 0.1 for a SPACE FLAIR, 0.1 ± 0.05 for a SPACE T2w, 0 ± 0.05 for a TSE, 0 to 0.1 for a 2D multi-slice FLAIR, not below 0;
- the inversion turns Mz into −e·Mz, e = 0.97 ± 0.02 within 0.93 and 0.99;
- T2*/T2 = 0.65 ± 0.08 in an MPRAGE;
- one smooth transmit field for the head, up to ±10 % at 3 T and ±5 % at 1.5 T, on the angles of MPRAGE and variable trains;
- gain, receive field and noise of the standard test acquisition.

Not simulated: slices thicker than the head's grid, motion, flow of fluid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from PhysMRISynthLib.headers.header_protocol import protocol_from_sidecar
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.headers.usual_inversion import counted_scans
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition, acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.physics.noise import receive_field
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table

from .standard_acquisition import NOISE, as_scanned

_FEWEST_SCANS = 2
"""Rows of a single scan are errors of the table: a T2w of TE 3.16 ms, a TR of 259 ms."""
_LATE = 250.0
"""ms: a longer echo time is the nominal one of a variable train."""
BOUND_POOL = {"white_matter": 1.0, "cortex": 0.55, "deep_grey": 0.65, "thalamus": 0.75}
"""Relative to white matter; 0 in all other tissues. Separate from the fit's table, so that changes there do not change the truth."""
_TRANSFER = {"space_flair": (0.33, 0.1), "space": (0.1, 0.05), "tse": (0.0, 0.05)}
_TRANSFER_2D_FLAIR = 0.1
_EFFICIENCY, _EFFICIENCY_RANGE = (0.97, 0.02), (0.93, 0.99)
_T2_STAR_RATIO, _T2_STAR_RANGE = (0.65, 0.08), (0.4, 0.9)
_TRANSMIT = {"1.5 T": 0.05, "3 T": 0.1}
_SHORTEST_TRANSMIT_MM = 200.0
_SEVERAL = 255
"""Label in a head's ``tissue`` of a voxel with several."""
_TRANSMIT_NODES = (0.85, 0.92, 1.0, 1.08, 1.15)
"""Nodes at which a variable train is simulated; between them its signal is a polynomial of the transmit field."""


@dataclass(frozen=True)
class Row:
    """Parameters in ms (``ti`` None: not stated) and their number of ``scans``."""

    role: str
    tr: float
    te: float
    ti: float | None
    scans: int


@cache
def oasis3_rows() -> tuple[Row, ...]:
    """The whole table."""
    return tuple(Row(scan["role"], scan["TR"], scan["TE"], scan["TI"], scan["count"]) for scan in counted_scans())


def draw_row(role: str, rng: np.random.Generator) -> Row:
    """A random row of ``role`` (t1w, t2w or flair), weighted by its number of scans."""
    rows = [row for row in oasis3_rows() if row.role == role and row.scans >= _FEWEST_SCANS]
    scans = np.array([row.scans for row in rows], dtype=float)
    return rows[int(rng.choice(len(rows), p=scans / scans.sum()))]


def protocol_as_run(row: Row, rng: np.random.Generator) -> Protocol:
    """The row's protocol with values that its header does not state: train lengths, and possibly the inversion time."""
    values = {"TR": row.tr, "TE": row.te}
    if row.role == "t1w":  # sagittal slices; usual angle and echo spacing for these TR on Siemens scanners
        angle, spacing = (8.0, 7.6) if row.tr == 2400.0 else (9.0, 7.1)
        return Protocol.of("mprage", "OASIS-3", **values, TI=_inversion_time(row), FA=angle, ESP=spacing, N=176)
    if row.role == "flair":
        values["TI"] = _inversion_time(row)
    if row.te > _LATE:
        name = "space" if row.role == "t2w" else "space_flair"
        return Protocol.of(name, "OASIS-3", **values, **({"ETL": 314, "ESP": 3.53} if row.te > 500.0 else {}))
    return Protocol.of("tse" if row.role == "t2w" else "flair", "OASIS-3", **values, L=round(float(rng.uniform(100.0, 200.0))))


def _inversion_time(row: Row) -> float:
    """The row's, else that of the most scans with its TR and the nearest echo time."""
    stated = [other for other in oasis3_rows() if other.role == row.role and other.tr == row.tr and other.ti is not None]
    found = row.ti or min(stated, key=lambda other: (abs(other.te - row.te), -other.scans)).ti
    assert found is not None
    return found


def header_of(row: Row, field_strength: float = 3.0) -> dict[str, Any]:
    """The scan's header fields (seconds)."""
    fields = {"RepetitionTime": row.tr, "EchoTime": row.te} | ({} if row.ti is None else {"InversionTime": row.ti})
    return {name: value / 1000.0 for name, value in fields.items()} | {"MagneticFieldStrength": field_strength}


@dataclass(frozen=True)
class Imperfections:
    """Deviations of a scanner from the prescription, as fractions; ``transmit`` (z, y, x) is relative to the prescribed angles."""

    magnetisation_transfer: float
    inversion_efficiency: float
    t2_star_ratio: float
    transmit: np.ndarray


def draw_imperfections(protocol: Protocol, transmit: np.ndarray, rng: np.random.Generator) -> Imperfections:
    """Random imperfections of one scan in a head's ``transmit`` field."""
    name = protocol.sequence.name
    transfer = rng.uniform(0.0, _TRANSFER_2D_FLAIR) if name == "flair" else max(0.0, rng.normal(*_TRANSFER.get(name, (0.0, 0.0))))
    efficiency = np.clip(rng.normal(*_EFFICIENCY), *_EFFICIENCY_RANGE)
    ratio = np.clip(rng.normal(*_T2_STAR_RATIO), *_T2_STAR_RANGE)
    return Imperfections(float(transfer), float(efficiency), float(ratio), transmit)


def imperfect_signal(head: KnownHead, protocol: Protocol, found: Imperfections) -> np.ndarray:
    """The noise-free magnitude image (z, y, x) of a head at unit gain."""
    relative = _relative_signal(head, protocol, found)
    return (np.abs(head.maps.pd * relative) * (1.0 - found.magnetisation_transfer * bound_pool(head))).astype(np.float32)


def _relative_signal(head: KnownHead, protocol: Protocol, found: Imperfections) -> np.ndarray:
    """Signed signal per unit of PD, before magnetisation transfer."""
    r1, r2 = 1.0 / head.maps.t1, 1.0 / head.maps.t2
    beside = {"inversion_efficiency": found.inversion_efficiency} if "TI" in protocol.values else {}
    if protocol.sequence.name == "mprage":
        beside["t2_star_ratio"] = found.t2_star_ratio
    if "ETL" not in protocol.values:
        return protocol.sequence.signal(r1, r2, protocol.values, found.transmit, beside)
    nodes = np.array(_TRANSMIT_NODES)
    total = np.zeros_like(r1)
    for node in nodes:  # Lagrange's polynomial: the angles of a train enter by a simulation, not by a formula
        others = nodes[nodes != node]
        weight = np.prod([(found.transmit - other) / (node - other) for other in others], axis=0)
        total += weight * protocol.sequence.signal(r1, r2, protocol.values, imperfections={**beside, "transmit": float(node)})
    return total


def bound_pool(head: KnownHead) -> np.ndarray:
    """b of every voxel (z, y, x): that of its tissue; for several tissues interpolated by T1."""
    rows = {tissue.name: number for number, tissue in enumerate(tissue_table())}
    by_row = np.zeros(256, dtype=np.float32)
    for name, share in BOUND_POOL.items():
        by_row[rows[name]] = share
    pool = by_row[head.tissue]
    mixed = head.tissue == _SEVERAL
    ordered = sorted((*BOUND_POOL, "csf"), key=lambda name: tissue_table()[rows[name]].theta[1])
    t1 = [tissue_table()[rows[name]].theta[1] for name in ordered]
    pool[mixed] = np.interp(np.log(head.maps.t1[mixed]), t1, [BOUND_POOL.get(name, 0.0) for name in ordered])
    return pool


@dataclass(frozen=True)
class Oasis3Scan:
    """One contrast: the ``row`` of the table, the protocol ``as_run``, the imperfections, and the input as stated."""

    row: Row
    as_run: Protocol
    imperfections: Imperfections
    input: Acquisition


def oasis3_scans(
    head: KnownHead, rng: np.random.Generator, noise: float = NOISE, from_headers: bool = False, field_strength: float = 3.0
) -> Mapping[str, Oasis3Scan]:
    """T1w, T2w and FLAIR of a head by name; ``noise`` relative to an image's 99th percentile.

    The inputs state the protocols as run, or, ``from_headers``, those derived from the table's TR, TE and TI: then train
    lengths are assumed, echo times of variable trains are nominal and some inversion times are missing.
    """
    spacing = head.maps.grid.GetSpacing()[::-1]
    greatest = _TRANSMIT["3 T" if field_strength >= 2.2 else "1.5 T"]
    transmit = receive_field(head.maps.pd.shape, spacing, greatest, rng, _SHORTEST_TRANSMIT_MM)
    scans = {}
    for role in ROLES:
        row = draw_row(role, rng)
        as_run = protocol_as_run(row, rng)
        found = draw_imperfections(as_run, transmit, rng)
        image = as_scanned(imperfect_signal(head, as_run, found), head.maps, rng, noise)
        volume = volume_from_image(image)
        if from_headers:
            fields = header_of(row, field_strength)
            given = acquisition(role, volume, protocol_from_sidecar(fields, role, "header"), fields)
        else:
            given = Acquisition(role, volume, as_run)
        scans[role] = Oasis3Scan(row, as_run, found, given)
    return scans
