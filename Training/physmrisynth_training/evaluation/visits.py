"""Suite ``visits``: one new lesion between two simulated visits, and false changes; and a real patient's two visits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.analysis.compare import Comparison, compare_visits
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from PhysMRISynthLib.workflow.estimation.shared_errors import KEY, shared_errors
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from PhysMRISynthLib.workflow.results.map_set import MapSet

from ..simulator.standard_acquisition import PROTOCOLS
from .drawing import COLOURS, page, save
from .plan import Plan, progress_bar
from .results import Findings, Table
from .subjects import PATIENT_12, PROTOCOLS_DOUBTFUL, check_heads, check_patient, head_notes, patient_12, simulated_head
from .volumes import map_set

RADII_MM = (2.5, 4.0, 6.0)
_OF_EACH = 2
"""New lesions of each radius in one pair of visits."""
_APART_MM = 25.0
_LESION = {"PD": 0.80, "T1": 1350.0, "T2": 130.0}
_NEAR_MM = 6.0
_MOTION = ((0.05, -0.04, 0.08), (3.0, -2.0, 4.0))
"""Rotation (rad) and translation (mm) between the visits."""
_NOTES = (
    "Simulated: a head with tissue values of its own, scanned twice by the standard protocols with other gains, receive fields and noise "
    "(1 %), the second time moved by 5.4 mm and 5.9°: once unchanged, and once with new lesions in white matter (PD 80 %, T1 1350, T2 "
    f"130 ms), {_OF_EACH} of each radius. Found: a spot of change within {_NEAR_MM:g} mm of its edge. False spots: all others, "
    "of one comparison. z of tissue means: of PD, T1 and T2 of each tissue, all pairs without lesions. Real: patient 12 at 1.5 T, "
    f"two visits; z of each tissue. {PROTOCOLS_DOUBTFUL}",
)
Record = dict[str, Any]
Lesion = tuple[np.ndarray, float]
"""Centre (LPS, mm) and radius (mm)."""


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if one of the real visits is missing."""
    check_heads(plan)
    for visit in (1, 2):
        check_patient(plan, f"{PATIENT_12}/visit{visit}")


def measure(plan: Plan) -> Findings:
    """Lesions found and false spots by radius, z of tissues that did not change, and z of a real patient's tissues."""
    records: list[Record] = []
    with progress_bar(len(plan.estimators) * (2 * plan.seeds + 1), "visits") as bar:
        for prior in plan.estimators:
            for pair in range(plan.seeds):
                for record in _simulated(plan, prior, pair):
                    records.append({"prior": prior, **record})
                    bar.update()
            first, second = (_estimated(plan, prior, visit) for visit in (1, 2))
            found = compare_visits(first, second)
            records += [{"prior": prior, "real": True, **vars(change)} for change in found.changes]
            records.append({"prior": prior, "real": True, "spots": len(found.spots), "spots_ml": sum(s.volume_ml for s in found.spots)})
            bar.update()
    tables = [_found_table(records), _scores_table(records), _real_table(records)]
    return Findings(records, tables, [*head_notes(plan), *_NOTES], partial(_draw, records, list(plan.estimators)))


def _estimated(plan: Plan, prior: str, visit: int) -> MapSet:
    subject = patient_12(plan, visit)
    return visit_of(plan.estimate(prior, subject.acquisitions, subject.field_strength, subject.name))


def visit_of(estimate: Estimate) -> MapSet:
    """An estimate as input of :func:`compare_visits`."""
    head = map_set(estimate)
    provenance = {**head.maps.provenance, KEY: shared_errors(estimate).report()}
    return replace(head, maps=replace(head.maps, provenance=provenance))


def _simulated(plan: Plan, prior: str, pair: int) -> Iterator[Record]:
    """One pair of visits without a change, and one with new lesions."""
    head = simulated_head(plan, plan.heads[pair % len(plan.heads)], pair)
    known = head.truth.maps
    first = _visit(plan, prior, known, pair, 0, f"{head.name}, visit 1, draw {pair}")
    lesions = _lesions(head.truth, np.random.default_rng(pair))
    for new in ([], lesions):
        changed = _with_lesions(known, new)
        found = compare_visits(first, _visit(plan, prior, changed, pair, 1, f"{head.name}, visit 2, draw {pair}, {len(new)} lesions"))
        scores = {} if new else {"scores": {f"{change.region}, {change.quantity}": change.z for change in found.changes}}
        yield {"pair": pair, "head": head.name, **_judged(found, new), **scores}


def _visit(plan: Plan, prior: str, maps: TissueMaps, pair: int, number: int, case: str) -> MapSet:
    images = simulate(maps, PROTOCOLS, snr=100, field=0.2, seed=100 * pair + number)
    acquisitions = [Acquisition(n, volume_from_image(_moved(maps.image(v), number)), PROTOCOLS[n]) for n, v in images.items()]
    return visit_of(plan.estimate(prior, acquisitions, 3.0, case))


def _with_lesions(maps: TissueMaps, lesions: Sequence[Lesion]) -> TissueMaps:
    where = np.any([_ball(maps.grid, *lesion) for lesion in lesions], axis=0) if lesions else np.zeros_like(maps.mask)
    pd, t1, t2 = (np.where(where, np.float32(_LESION[n]), v) for n, v in zip(_LESION, (maps.pd, maps.t1, maps.t2), strict=True))
    return replace(maps, pd=pd, t1=t1, t2=t2)


def _judged(found: Comparison, lesions: Sequence[Lesion]) -> Record:
    """Which lesions have a spot of change, and what other spots there are."""
    back = found.registration.to_first.GetInverse()
    places = [np.array(back.TransformPoint(centre.tolist())) * [-1.0, -1.0, 1.0] for centre, _ in lesions]
    reach = [radius + _NEAR_MM for _, radius in lesions]
    near = [[np.linalg.norm(np.subtract(spot.centre_ras, at)) < far for at, far in zip(places, reach, strict=True)] for spot in found.spots]
    false = [spot for spot, at in zip(found.spots, near, strict=True) if not any(at)]
    seen = [any(at[k] for at in near) for k in range(len(lesions))]
    return {
        "lesions": [{"radius_mm": radius, "found": at} for (_, radius), at in zip(lesions, seen, strict=True)],
        "false_spots": len(false), "false_ml": sum(spot.volume_ml for spot in false),
    }  # fmt: skip


def _moved(image: sitk.Image, visit: int) -> sitk.Image:
    """Move the second visit's head by its coordinates, without interpolating voxels."""
    if not visit:
        return image
    motion = sitk.Euler3DTransform()
    motion.SetRotation(*_MOTION[0])
    motion.SetTranslation(_MOTION[1])
    matrix = np.reshape(motion.GetMatrix(), (3, 3))
    moved = sitk.Image(image)
    moved.SetDirection((matrix @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    moved.SetOrigin(motion.TransformPoint(image.GetOrigin()))
    return moved


def _lesions(head: KnownHead, rng: np.random.Generator) -> list[Lesion]:
    """Centres (LPS, mm) in the deepest tenth of white matter, far from each other, and radii (mm)."""
    grid = head.maps.grid
    white = head.tissue == [t.name for t in tissue_table()].index("white_matter")
    depth = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(image_like(white.astype(np.uint8), grid), insideIsPositive=True, squaredDistance=False)
    )
    deep = rng.permutation(np.argwhere(depth > np.quantile(depth[white], 0.9)))
    centres: list[np.ndarray] = []
    for index in deep:
        at = np.array(grid.TransformIndexToPhysicalPoint(index[::-1].tolist()))
        if all(np.linalg.norm(at - other) > _APART_MM for other in centres):
            centres.append(at)
    radii = [radius for radius in RADII_MM for _ in range(_OF_EACH)]
    return list(zip(centres, radii, strict=False))


def _ball(grid: sitk.Image, centre: np.ndarray, radius_mm: float) -> np.ndarray:
    index = np.array(grid.TransformPhysicalPointToContinuousIndex(centre.tolist()))[::-1]
    axes = np.ogrid[tuple(slice(0, n) for n in grid.GetSize()[::-1])]
    spacing = grid.GetSpacing()[::-1]
    squared = sum((((a - c) * s) ** 2 for a, c, s in zip(axes, index, spacing, strict=True)), start=np.zeros(grid.GetSize()[::-1]))
    return squared < radius_mm**2


def _found_table(records: Sequence[Record]) -> Table:
    rows = []
    for prior in dict.fromkeys(r["prior"] for r in records):
        pairs = [r for r in records if r["prior"] == prior and "pair" in r]
        none = [r for r in pairs if not r["lesions"]]
        rows.append((prior, "no lesion", "", *_false(none)))
        some = [r for r in pairs if r["lesions"]]
        for radius in RADII_MM:
            found = [lesion["found"] for r in some for lesion in r["lesions"] if lesion["radius_mm"] == radius]
            rows.append((prior, f"{radius:g}", f"{sum(found)} of {len(found)}", *_false(some)))
    columns = ("prior", "lesion's radius mm", "found", "false spots", "their ml")
    return Table("New lesions between two simulated visits", columns, tuple(rows))


def _false(pairs: Sequence[Record]) -> tuple[str, str]:
    """Mean number and volume of false spots."""
    return f"{np.mean([r['false_spots'] for r in pairs]):.1f}", f"{np.mean([r['false_ml'] for r in pairs]):.2f}"


def _scores_table(records: Sequence[Record]) -> Table:
    rows = []
    for prior in dict.fromkeys(r["prior"] for r in records):
        scores = np.abs([z for r in records if r["prior"] == prior for z in r.get("scores", {}).values()])
        within = [f"{100 * np.mean(scores <= limit):.0f}" for limit in (1.0, 2.0)]
        rows.append((prior, str(scores.size), *within, f"{scores.max():.1f}"))
    columns = ("prior", "tissue means", "|z| ≤ 1, %", "|z| ≤ 2, % (95 if exact)", "greatest |z|")
    return Table("Tissues that did not change between two simulated visits", columns, tuple(rows))


def _real_table(records: Sequence[Record]) -> Table:
    rows = tuple(
        (r["prior"], r["region"], r["quantity"], f"{r['difference']:+.1f} ± {r['sd']:.1f} {r['unit']}", f"{r['z']:+.1f}")
        for r in records
        if "z" in r
    )
    spots = tuple((r["prior"], "spots of change", "", f"{r['spots']}, {r['spots_ml']:.2f} ml", "") for r in records if "spots" in r)
    return Table("Patient 12, second visit minus first", ("prior", "tissue", "quantity", "difference", "z"), (*rows, *spots))


def _draw(records: Sequence[Mapping[str, Any]], priors: Sequence[str], path: Path) -> None:
    """z of the real patient's tissues."""
    figure, axes = page(1, 1, 7.0, 3.0)
    labels = list(dict.fromkeys(f"{r['region']}\n{r['quantity']}" for r in records if "z" in r))
    for place, prior in enumerate(priors):
        scores = [r["z"] for r in records if r["prior"] == prior and "z" in r]
        axes[0, 0].bar(np.arange(len(scores)) + 0.4 * (place - (len(priors) - 1) / 2), scores, 0.4, color=COLOURS.get(prior), label=prior)
    axes[0, 0].axhspan(-2, 2, color="#dddddd", zorder=0)
    axes[0, 0].set_xticks(range(len(labels)), labels, fontsize=5, rotation=90)
    axes[0, 0].set_ylabel("z, patient 12")
    axes[0, 0].legend(fontsize=7, frameon=False)
    save(figure, path)
