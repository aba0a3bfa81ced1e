"""PD, T1 and T2 of regions: mean with its uncertainty, median, quartiles, beside published ranges and the other side of the body."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import ImageError
from ...imaging.tissue_maps import PER_CENT
from ...physics.tissues import PROPERTIES, acceptance_ranges, tissue_table
from ..estimation.shared_errors import SharedErrors, shared_errors_of
from ..estimation.tissue_medians import FROM_LITERATURE, UNITS
from .map_set import MapSet

CORRELATION_MM3 = 200.0
"""Volume over which a voxel's own errors are alike (what the tissue classes do not know of a place): a region has so many times fewer
independent errors than voxels. Measured on simulated heads of known maps, see docs/regions.md."""
_OF_ONE_TISSUE = 0.7
"""Share of a region's voxels from which on it counts as a region of that tissue."""
_FROM_LITERATURE = 0.5
_SIDES = re.compile(r"(?i)(?<![a-z0-9])(left|right|lh|rh|l|r)(?![a-z0-9])")
_OTHER = {"left": "right", "right": "left", "lh": "rh", "rh": "lh", "l": "r", "r": "l"}
_RATES = {"R1": "T1", "R2": "T2"}
_RATE_UNIT, _MS_PER_S = "1/s", 1000.0
BRAIN_TISSUES = [tissue.name for tissue in tissue_table() if tissue.region == "brain"]


@dataclass(frozen=True)
class Measurement:
    """One quantity of a region in ``unit``. ``mean_sd`` is the uncertainty of the mean, ``voxel_sd`` the median uncertainty of one voxel
    (both None where the maps have no SD); ``published`` the range of group means of the region's tissue; ``other_side`` is the mean of
    the region of that name on the other side of the body, ``difference`` from it, and its uncertainty without the errors that both share.
    ``from_literature``: most of the region shows nothing of this quantity, the value is the prior's."""

    quantity: str
    unit: str
    mean: float
    median: float
    quartiles: tuple[float, float]
    mean_sd: float | None = None
    voxel_sd: float | None = None
    published: tuple[float, float] | None = None
    other_side: float | None = None
    difference: float | None = None
    difference_sd: float | None = None
    from_literature: bool = False


@dataclass(frozen=True)
class Region:
    """A region's ``label`` and ``name``, its voxels in the head, how many lie ``outside`` of it, ``volume_ml``, the ``tissue`` that most of
    it is (None: of several) and its measurements by quantity."""

    label: int
    name: str
    voxels: int
    outside: int
    volume_ml: float
    tissue: str | None
    measurements: Mapping[str, Measurement]


@dataclass(frozen=True)
class _Sample:
    """Values of one quantity at a region's voxels, their SDs (None: unknown), and how much of the mean comes from each brain tissue."""

    values: np.ndarray
    sd: np.ndarray | None
    weights: np.ndarray
    local: float
    """Variance of the mean, relative to it, without the errors that the head shares."""

    @property
    def mean(self) -> float:
        return float(self.values.mean(dtype=np.float64))


def measure_regions(
    head: MapSet, regions: np.ndarray, names: Mapping[int, str] | None = None, only: Sequence[str] | None = None
) -> list[Region]:
    """Measure every region of a label map ``regions`` (z, y, x; whole numbers, 0: no region) on the grid of the maps.

    ``names`` of the labels ("Left-Putamen" and "Right-Putamen" are two sides of one); ``only`` measures some, by name. The uncertainty of
    a mean holds the errors of gains and tissue values, which all voxels of the head share, and each voxel's own, which are alike within
    CORRELATION_MM3. Raises ImageError when there is no region, none lies in the head, or a name is unknown.
    """
    if regions.shape != head.maps.mask.shape:
        raise ImageError("The regions are not on the grid of the maps. Resample the label map onto the T1 map.")
    names = names or {}
    chosen = _chosen(np.unique(regions[regions > 0]).astype(int).tolist(), names, only)
    flat, mask = regions.reshape(-1), head.maps.mask.reshape(-1)
    order = np.flatnonzero(flat > 0)
    order = order[np.argsort(flat[order], kind="stable")]
    starts = np.searchsorted(flat[order], [*chosen, *(label + 1 for label in chosen)])
    places = {label: order[starts[k] : starts[k + len(chosen)]] for k, label in enumerate(chosen)}
    inside = {label: where[mask[where]] for label, where in places.items()}
    if not any(where.size for where in inside.values()):
        raise ImageError("None of the regions lies in the head. Check that the label map belongs to these maps.")
    samples = {label: _samples(head, where) for label, where in inside.items() if where.size}
    shared = shared_errors_of(head.maps.provenance)
    found = []
    for label, where in inside.items():
        other = _other_side(names.get(label, ""), {names.get(k, ""): k for k in samples})
        tissue = _tissue_of(samples[label]) if label in samples else None
        measured = {
            name: _measurement(name, sample, shared, head.field_strength, tissue, samples[other][name] if other is not None else None)
            for name, sample in samples.get(label, {}).items()
        }
        outside = places[label].size - where.size
        voxel_ml = float(np.prod(head.maps.grid.GetSpacing())) / 1000.0
        found.append(Region(label, _name(label, names), where.size, outside, where.size * voxel_ml, tissue, measured))
    return found


def warnings_of(regions: Sequence[Region]) -> list[str]:
    """What a reader of the measurements must know: regions outside the head, and regions too small for a mean."""
    told = [f"Region '{r.name}' lies outside the head: nothing was measured there." for r in regions if not r.voxels]
    told += [
        f"{100 * r.outside / (r.voxels + r.outside):.0f} % of region '{r.name}' lie outside the head and were left out."
        for r in regions
        if r.voxels and r.outside
    ]
    return told + [f"Region '{r.name}' has only {r.voxels} voxels." for r in regions if 0 < r.voxels < 10]


def _name(label: int, names: Mapping[int, str]) -> str:
    return names.get(label, f"label {label}")


def _chosen(labels: list[int], names: Mapping[int, str], only: Sequence[str] | None) -> list[int]:
    if not labels:
        raise ImageError("The label map holds no region: every voxel is 0. Choose another one.")
    if only is None:
        return labels
    by_name = {_name(label, names).lower(): label for label in labels}
    unknown = [name for name in only if name.lower() not in by_name]
    if unknown:
        known = ", ".join(_name(label, names) for label in labels)
        raise ImageError(f"There is no region '{unknown[0]}' in the label map. Its regions are {known}.")
    return sorted(by_name[name.lower()] for name in only)


def _samples(head: MapSet, where: np.ndarray) -> dict[str, _Sample]:
    maps = head.maps
    linear = {"PD": maps.pd, "T1": maps.t1, "T2": maps.t2}
    values = {name: array.reshape(-1)[where].astype(np.float64) * (PER_CENT if name == "PD" else 1.0) for name, array in linear.items()}
    sds = {name: maps.sd[name].reshape(-1)[where] * (PER_CENT if name == "PD" else 1.0) for name in PROPERTIES if name in maps.sd}
    for rate, time in _RATES.items():
        values[rate] = _MS_PER_S / np.maximum(values[time], 1e-3)
        if time in sds:
            sds[rate] = values[rate] * sds[time] / np.maximum(values[time], 1e-3)
    tissue = nearest_tissue(head, where, np.stack([values[name] for name in PROPERTIES]))
    shared = shared_errors_of(maps.provenance)
    found = {}
    for name in (*PROPERTIES, *_RATES):
        sd = sds.get(name)
        weights = np.bincount(tissue, values[name], len(BRAIN_TISSUES)) / max(values[name].sum(), 1e-12)
        found[name] = _Sample(values[name], sd, weights, _own_variance(head, name, values[name], sd, tissue, shared))
    for name, array in head.extra.items():
        extra = array.reshape(-1)[where].astype(np.float64)
        found[name] = _Sample(extra, None, np.bincount(tissue, minlength=len(BRAIN_TISSUES)) / where.size, 0.0)
    return found


def nearest_tissue(head: MapSet, where: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For flat indices ``where``, which brain tissue (counted as in the tissue table's brain rows) the label map says, else the one whose
    values are nearest to the voxel's ``values`` (3, N; %, ms, ms)."""
    theta = np.log(np.maximum(values, 1e-3)) - np.log([[PER_CENT], [1.0], [1.0]])
    centres = np.stack([tissue.theta for tissue in tissue_table(head.field_strength) if tissue.region == "brain"])
    nearest = np.argmin(((theta[:, None, :] - centres.T[:, :, None]) ** 2).sum(axis=0), axis=0)
    if head.labels is None:
        return nearest
    row = head.labels.reshape(-1)[where].astype(int) - 1
    return np.where((row >= 0) & (row < len(BRAIN_TISSUES)), row, nearest)


def _own_variance(
    head: MapSet, name: str, values: np.ndarray, sd: np.ndarray | None, tissue: np.ndarray, shared: SharedErrors | None
) -> float:
    """Relative variance of the mean from the voxels' own errors; without a word on what is shared, all of the SD counts as shared."""
    if sd is None:
        return 0.0
    relative = sd / np.maximum(values, 1e-12)
    if shared is None:
        return float(np.mean(relative)) ** 2
    common = np.zeros(len(BRAIN_TISSUES))
    common[[BRAIN_TISSUES.index(t) for t in shared.tissues]] = shared.deviation(_RATES.get(name, name))
    own = np.maximum(relative**2 - common[tissue] ** 2, 0.0)
    volume = values.size * float(np.prod(head.maps.grid.GetSpacing()))
    return float(own.mean()) / max(1.0, volume / CORRELATION_MM3)


def _measurement(
    name: str, sample: _Sample, shared: SharedErrors | None, field_strength: float, tissue: str | None, other: _Sample | None
) -> Measurement:
    q1, middle, q3 = np.percentile(sample.values, [25, 50, 75])
    published = _published(name, acceptance_ranges(field_strength).get(tissue or "", {}))
    literature = sum(sample.weights[BRAIN_TISSUES.index(t)] for t, names in FROM_LITERATURE.items() if _RATES.get(name, name) in names)
    found = Measurement(
        name, _unit(name), sample.mean, float(middle), (float(q1), float(q3)), published=published,
        from_literature=bool(literature > _FROM_LITERATURE),
    )  # fmt: skip
    if sample.sd is not None:
        relative = np.sqrt(sample.local + _shared_variance(name, sample.weights, shared))
        found = replace(found, voxel_sd=float(np.median(sample.sd)), mean_sd=sample.mean * float(relative))
    if other is not None:
        found = replace(found, other_side=other.mean, difference=sample.mean - other.mean)
        if sample.sd is not None and other.sd is not None:
            common = sample.mean * sample.weights - other.mean * other.weights
            own = sample.mean**2 * sample.local + other.mean**2 * other.local
            found = replace(found, difference_sd=float(np.sqrt(own + _shared_variance(name, common, shared))))
    return found


def _shared_variance(name: str, weights: np.ndarray, shared: SharedErrors | None) -> float:
    """From the errors that all voxels share; ``weights`` (brain tissues,) of a sum of voxels."""
    if shared is None:
        return 0.0
    ordered = np.array([weights[BRAIN_TISSUES.index(tissue)] for tissue in shared.tissues])
    return shared.variance(ordered, _RATES.get(name, name))


def _tissue_of(samples: Mapping[str, _Sample]) -> str | None:
    shares = samples["PD"].weights
    return BRAIN_TISSUES[int(shares.argmax())] if shares.max() >= _OF_ONE_TISSUE else None


def _published(name: str, ranges: Mapping[str, tuple[float, float]]) -> tuple[float, float] | None:
    if name in _RATES:
        times = ranges.get(_RATES[name])
        return None if times is None else (_MS_PER_S / times[1], _MS_PER_S / times[0])
    return ranges.get(name)


def _unit(name: str) -> str:
    if name in _RATES:
        return _RATE_UNIT
    if name.startswith("residual"):
        return "image"
    return UNITS.get(name, "1")


def _other_side(name: str, labels: Mapping[str, int]) -> int | None:
    """The label of the region of the same name on the other side, None where there is none."""

    def swapped(match: re.Match[str]) -> str:
        other = _OTHER[match[0].lower()]
        return other.upper() if match[0].isupper() else other.capitalize() if match[0][0].isupper() else other

    other = _SIDES.sub(swapped, name)
    return labels.get(other) if other != name else None
