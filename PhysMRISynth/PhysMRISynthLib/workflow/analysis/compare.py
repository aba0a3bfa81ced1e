"""Two visits of one patient: what changed, and whether by more than the maps' uncertainty."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError
from ...imaging.head.halfway import Halfway, halfway
from ...imaging.head.tissue_labels import rows_of, tissue_labels
from ...imaging.intake.volumes import image_like
from ...imaging.tissue_maps import PER_CENT, TissueMaps
from ...physics.protocol import Protocol
from ...physics.tissues import PROPERTIES
from ..estimation.knowledge import specs_in
from ..estimation.shared_errors import SharedErrors, shared_errors_of
from ..rendering.render import render, scale_of
from ..results.map_set import MapSet
from ..results.regions import BRAIN_TISSUES, CORRELATION_MM3
from ..results.tissue_fractions import brain_of

REGISTRATION_MM = 0.5
"""How far tissue may lie from its place after the registration: edges differ by so much of their slope."""
SPOT_Z, _SPOT_ML = 3.5, 0.05
"""A spot of change: neighbouring voxels beyond this z in T1 or in T2, of at least this volume."""
_RIM_MM = 3.0
"""Spots are not looked for so near to the brain's surface, where its mask decides."""
_CORE_VOXELS = 200
"""A tissue is compared away from its borders, where so many voxels are left."""
_MOST_T1 = 3000.0
_NUMBERED = re.compile(r"(\D*)(\d+)")
"""A session's label that ends in its number: 02, d0757."""
_LEAST_OVERLAP = 0.9


@dataclass(frozen=True)
class Change:
    """Of one ``quantity`` in a tissue or region: means of both visits, their ``difference`` (second minus first), its uncertainty ``sd``
    and ``z`` = difference/sd."""

    region: str
    quantity: str
    unit: str
    volume_ml: float
    first: float
    second: float
    difference: float
    sd: float
    z: float


@dataclass(frozen=True)
class Spot:
    """A place of change: its centre (right, anterior, superior; mm, in the space halfway between the visits), volume, mean differences of
    PD (%), T1 and T2 (ms), and greatest |z|."""

    centre_ras: tuple[float, float, float]
    volume_ml: float
    differences: Mapping[str, float]
    z: float


@dataclass(frozen=True)
class Comparison:
    """Both visits on the grid halfway between them; ``difference`` and ``z`` (z, y, x) by quantity, in % and ms, 0 outside ``brain``;
    ``changes`` by tissue and region, ``spots`` greatest first, and what a reader must know."""

    first: MapSet
    second: MapSet
    registration: Halfway
    brain: np.ndarray
    difference: Mapping[str, np.ndarray]
    z: Mapping[str, np.ndarray]
    changes: list[Change]
    spots: list[Spot]
    warnings: list[str]


def compare_visits(first: MapSet, second: MapSet, regions: np.ndarray | None = None, names: Mapping[int, str] | None = None) -> Comparison:
    """Compare the maps of two visits on the grid halfway between them; ``regions`` (z, y, x) with ``names`` lie on the first one's grid.

    z = difference/√(variance). The variance holds each visit's own error of a voxel, what is left of the errors that each visit's voxels
    share when those of both visits are taken out, and REGISTRATION_MM times the slope. Raises ImageError when the maps have no SDs or
    tissue labels or are the same, RegistrationError when the visits cannot be registered.
    """
    shared = _shared(first, second)
    found = halfway(_picture(first), _picture(second))
    at = [_moved(head, found.grid, to) for head, to in ((first, found.to_first), (second, found.to_second))]
    brains = [brain_of(_labels(head)) for head in at]
    brain = brains[0] & brains[1]
    if not brain.any():
        raise ImageError("The brains of the two visits do not overlap. Check that both are of the same patient.")
    spacing = found.grid.GetSpacing()[::-1]
    tissue = _tissue(at[0], at[1])
    values = [_values(head.maps) for head in at]
    differences, scores, edges = {}, {}, {}
    for name in PROPERTIES:
        difference = np.where(brain, values[1][name] - values[0][name], np.float32(0.0))
        middle = (values[0][name] + values[1][name]) / 2.0
        own = sum(_own_variance(head, name, tissue, shared[k]) for k, head in enumerate(at))
        common = middle**2 * _by_tissue(shared[2].deviation(name) ** 2, tissue)
        edges[name] = (REGISTRATION_MM * _slope(middle, spacing)) ** 2
        deviation = np.sqrt(np.maximum(own + common + edges[name], 1e-12))
        differences[name], scores[name] = difference, np.where(brain, difference / deviation, 0.0).astype(np.float32)
    titled = _regions_of(at, tissue, brain, regions, names or {}, first, found)
    changes = [change for title, where in titled.items() for change in _changes(title, where, at, values, edges, tissue, shared)]
    overlap = float(2 * brain.sum() / max(1, brains[0].sum() + brains[1].sum()))
    spots = _spots(scores, differences, _eroded(brain, found.grid, _RIM_MM), found.grid)
    return Comparison(at[0], at[1], found, brain, differences, scores, changes, spots, _warnings(first, second, overlap))


def _shared(first: MapSet, second: MapSet) -> tuple[SharedErrors, SharedErrors, SharedErrors]:
    """Each visit's shared errors, and those of the difference."""
    _check_order(first.visit, second.visit)
    for head, title in ((first, "first"), (second, "second")):
        if head.labels is None or any(name not in head.maps.sd for name in PROPERTIES):
            raise ImageError(f"The maps of the {title} visit lack SDs or tissues.nii.gz. Estimate them again with this version.")
    same = first.maps.t1.shape == second.maps.t1.shape and np.array_equal(first.maps.t1, second.maps.t1)
    if same and np.array_equal(first.maps.t2, second.maps.t2):
        raise ImageError("Both visits are the same maps. Give the folders of two visits.")
    one, other = (shared_errors_of(head.maps.provenance) for head in (first, second))
    if one is None or other is None:
        raise ImageError("The report of a visit does not tell the errors that its voxels share. Estimate the maps again with this version.")
    return one, other, one.of_difference(other)


def _check_order(first: str, second: str) -> None:
    """Refuse visits whose BIDS names are of two participants, or whose numbered sessions are exchanged. Raises ImageError."""
    entities = [dict(part.split("-", 1) for part in visit.split("_") if "-" in part) for visit in (first, second)]
    subjects, sessions = ([entity.get(key, "") for entity in entities] for key in ("sub", "ses"))
    if all(subjects) and subjects[0] != subjects[1]:
        raise ImageError(f"The visits are of two participants, sub-{subjects[0]} and sub-{subjects[1]}. Give two visits of one.")
    numbers = [_NUMBERED.fullmatch(session) for session in sessions]
    if numbers[0] and numbers[1] and numbers[0][1] == numbers[1][1] and int(numbers[0][2]) > int(numbers[1][2]):
        raise ImageError(f"ses-{sessions[0]} is given as the earlier visit and ses-{sessions[1]} as the later one. Exchange the two.")


def _labels(head: MapSet) -> np.ndarray:
    assert head.labels is not None
    return head.labels


def _picture(head: MapSet) -> sitk.Image:
    """What is registered: T1 in the brain, where nothing moves against the rest."""
    brain = brain_of(_labels(head))
    return head.maps.image(np.where(brain, np.minimum(head.maps.t1, np.float32(_MOST_T1)), np.float32(0.0)))


def _moved(head: MapSet, grid: sitk.Image, to_visit: sitk.Transform) -> MapSet:
    """A visit's maps on another grid: values linearly, labels by nearest neighbour."""

    def moved(voxels: np.ndarray, how: int = sitk.sitkLinear) -> np.ndarray:
        return sitk.GetArrayFromImage(sitk.Resample(image_like(voxels, head.maps.grid), grid, to_visit, how, 0.0))

    maps = head.maps
    pd, t1, t2 = (moved(array) for array in (maps.pd, maps.t1, maps.t2))
    mask = moved(maps.mask.astype(np.uint8), sitk.sitkNearestNeighbor) > 0
    sd = {name: moved(array) for name, array in maps.sd.items()}
    return MapSet(TissueMaps(pd, t1, t2, mask, grid, sd, maps.provenance), moved(_labels(head), sitk.sitkNearestNeighbor))


def _values(maps: TissueMaps) -> dict[str, np.ndarray]:
    return {"PD": maps.pd * np.float32(PER_CENT), "T1": maps.t1, "T2": maps.t2}


def _deviations(head: MapSet, name: str) -> np.ndarray:
    return head.maps.sd[name] * np.float32(PER_CENT if name == "PD" else 1.0)


def _tissue(one: MapSet, other: MapSet) -> np.ndarray:
    """Brain tissue (z, y, x) by its place among the tissues, -1 elsewhere; that of the first visit where both are brain tissue."""
    rows = [rows_of(_labels(head)).astype(np.int16) for head in (one, other)]
    inside = [row < len(BRAIN_TISSUES) for row in rows]
    return np.where(inside[0], rows[0], np.where(inside[1], rows[1], -1))


def _by_tissue(values: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """A value for each tissue at its voxels; the mean of all where there is none (lesions at both visits)."""
    return np.append(values, values.mean())[tissue].astype(np.float32)  # -1 is the last one


def _own_variance(head: MapSet, name: str, tissue: np.ndarray, shared: SharedErrors) -> np.ndarray:
    """Variance of a visit's voxels without the errors that they share."""
    value, sd = _values(head.maps)[name], _deviations(head, name)
    return np.maximum(sd**2 - value**2 * _by_tissue(shared.deviation(name) ** 2, tissue), 0.0)


def _slope(values: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    return np.sqrt(sum(np.square(g) for g in np.gradient(values, *spacing)))


def _regions_of(
    at: list[MapSet], tissue: np.ndarray, brain: np.ndarray, regions: np.ndarray | None, names: Mapping[int, str], first: MapSet,
    found: Halfway,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Where each tissue is at both visits, and each region, by title."""
    same = brain & (_labels(at[0]) == _labels(at[1]))
    titles = {label.index - 1: label.title for label in tissue_labels()}
    where = {titles[row]: _core(same & (tissue == row), found.grid) for row in range(len(BRAIN_TISSUES))}
    if regions is not None:
        image = sitk.Cast(image_like(regions.astype(np.float32), first.maps.grid), sitk.sitkFloat32)
        moved = sitk.GetArrayFromImage(sitk.Resample(image, found.grid, found.to_first, sitk.sitkNearestNeighbor, 0.0))
        where |= {names.get(int(k), f"label {int(k)}"): brain & (moved == k) for k in np.unique(regions) if k > 0}
    return {title: mask for title, mask in where.items() if mask.any()}


def _core(mask: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """A tissue without its outermost voxels, which it shares with others; all of it where little else is left."""
    inner = _eroded(mask, grid, min(grid.GetSpacing()))
    return inner if np.count_nonzero(inner) >= _CORE_VOXELS else mask


def _eroded(mask: np.ndarray, grid: sitk.Image, depth_mm: float) -> np.ndarray:
    radius = [max(1, round(depth_mm / s)) for s in grid.GetSpacing()]
    return sitk.GetArrayFromImage(sitk.BinaryErode(sitk.GetImageFromArray(mask.astype(np.uint8)), radius, sitk.sitkCross)) > 0


def _changes(
    title: str, where: np.ndarray, at: list[MapSet], values: list[dict[str, np.ndarray]], edges: Mapping[str, np.ndarray],
    tissue: np.ndarray, shared: tuple[SharedErrors, SharedErrors, SharedErrors],
) -> list[Change]:  # fmt: skip
    volume = float(where.sum() * np.prod(at[0].maps.grid.GetSpacing()))
    independent = max(1.0, volume / CORRELATION_MM3)
    counts = np.bincount(np.maximum(tissue[where], 0), minlength=len(BRAIN_TISSUES)) / where.sum()
    found = []
    for name in PROPERTIES:
        first, second = (float(v[name][where].mean(dtype=np.float64)) for v in values)
        own = float(edges[name][where].mean()) + sum(
            float(_own_variance(head, name, tissue, shared[k])[where].mean()) for k, head in enumerate(at)
        )
        middle = (first + second) / 2.0
        sd = float(np.sqrt(own / independent + middle**2 * shared[2].variance(counts, name)))
        unit = "% of water" if name == "PD" else "ms"
        found.append(Change(title, name, unit, volume / 1000.0, first, second, second - first, sd, (second - first) / max(sd, 1e-9)))
    return found


def _spots(scores: Mapping[str, np.ndarray], differences: Mapping[str, np.ndarray], inside: np.ndarray, grid: sitk.Image) -> list[Spot]:
    """Connected voxels ``inside`` that changed, the largest first."""
    greatest = np.where(inside, np.maximum(np.abs(scores["T1"]), np.abs(scores["T2"])), 0.0)
    least = max(2, round(1000.0 * _SPOT_ML / float(np.prod(grid.GetSpacing()))))
    pieces = sitk.ConnectedComponent(image_like((greatest > SPOT_Z).astype(np.uint8), grid))
    labels = sitk.GetArrayFromImage(sitk.RelabelComponent(pieces, minimumObjectSize=least, sortByObjectSize=True))
    found = []
    for number in range(1, int(labels.max()) + 1):
        voxels = np.nonzero(labels == number)
        x, y, z = grid.TransformContinuousIndexToPhysicalPoint([float(np.mean(axis)) for axis in voxels[::-1]])
        means = {name: float(difference[voxels].mean()) for name, difference in differences.items()}
        volume = len(voxels[0]) * float(np.prod(grid.GetSpacing())) / 1000.0
        found.append(Spot((-x, -y, z), volume, means, float(greatest[voxels].max())))
    return found


def _warnings(first: MapSet, second: MapSet, overlap: float) -> list[str]:
    told = [f"{title} visit: {doubt}" for title, head in (("First", first), ("Second", second)) for doubt in head.doubts]
    reports = [head.maps.provenance for head in (first, second)]
    if specs_in(reports[0]) != specs_in(reports[1]):
        told.append("The visits were acquired with different protocols: small changes may be the protocols', not the patient's.")
    if first.field_strength != second.field_strength:
        strengths = f"{first.field_strength:g} and {second.field_strength:g} T"
        told.append(f"The field strengths differ ({strengths}): T1 and T2 depend on it. Do not compare them.")
    if reports[0].get("prior") != reports[1].get("prior"):
        told.append("The visits were estimated with different priors. Estimate both with the same one.")
    if overlap < _LEAST_OVERLAP:
        told.append(f"The two brains overlap by only {100 * overlap:.0f} %. Check that both visits are of the same patient.")
    return told


def renderings(comparison: Comparison, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """The same synthetic contrast (z, y, x) of both visits on the grid halfway."""
    scale = scale_of(protocol)
    return render(comparison.first.maps, protocol, scale=scale), render(comparison.second.maps, protocol, scale=scale)
