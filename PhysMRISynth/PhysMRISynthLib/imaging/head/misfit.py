"""Motion between two images on one grid: an identical grid does not exclude that the patient moved.

Mutual information of rank-transformed intensities at a few thousand points inside the head, fast enough for every input. The points lie
between the voxels of both images, so that neither is favoured where grids coincide.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import SimpleITK as sitk

_WORKING_SPACING_MM = 2.0
_POINTS, _BINS, _SEED = 6_000, 24, 20260102
_BRIGHT = 0.15
"""Relative to the 99th percentile: darker voxels are air and hold no information on the head's position."""
_LEAST_POINTS, _LEAST_SHARE = 2_000, 0.5
"""Required number of bright voxels, and share of the points that must stay inside the image after a motion."""
_RADIUS_MM = 60.0
"""Radius that converts a rotation to a displacement: about the brain's surface."""
_STEPS_MM = (3.0, 2.0, 1.0, 0.5)
_MIRRORED_STEPS_MM = (8.0, 4.0, 4.0, 2.0, 1.0, 0.5)
_MIRRORED_STARTS_DEGREES = (-24.0, -12.0, 0.0, 12.0, 24.0)
"""Mirroring a head that is rolled or turned in the grid doubles its rotation."""
_MIRRORED_GAIN, _MIRRORED_RATIO = 0.05, 1.3
"""Minimum gain (nats) and ratio of the mutual information with the reference of the mirrored image over the image itself. Mirroring reduces
it to 0.4 to 0.7 for people's heads, so a head that was mirrored gives a ratio of 1.4 or more; a symmetric head about 1, in coarse voxels
up to 1.2."""


@dataclass(frozen=True)
class Misfit:
    """The motion that aligns an image with the reference: ``shift_mm``, ``rotation_degrees`` and both as the displacement of the brain's
    surface (``distance_mm``); ``mirrored``: it fits better with left and right swapped."""

    shift_mm: float
    rotation_degrees: float
    mirrored: bool

    @property
    def distance_mm(self) -> float:
        """Root of the squared shift plus the squared displacement of the brain's surface by the rotation (mean over directions)."""
        turned = np.sqrt(2.0 / 3.0) * _RADIUS_MM * np.deg2rad(self.rotation_degrees)
        return float(np.hypot(self.shift_mm, turned))


def measure_misfit(image: sitk.Image, reference: sitk.Image, shown: np.ndarray) -> Misfit | None:
    """The rigid motion between two images on one grid, from where both have data (``shown``, z, y, x).

    None if too little of the head is in both. The result is accurate to a few tenths of a millimetre up to about 5 mm and 5°; beyond, it
    shows only that the two do not match.
    """
    pair = _Pair.of(image, reference, shown)
    if pair is None:
        return None
    told, motion = pair.fitted(_STEPS_MM, np.zeros(6), mirrored=False)
    told_mirrored, _ = pair.fitted(_MIRRORED_STEPS_MM, pair.mirrored_start(), mirrored=True)
    shift, turn = float(np.linalg.norm(motion[:3])), float(np.linalg.norm(motion[3:]) / _RADIUS_MM)
    return Misfit(shift, float(np.rad2deg(turn)), told_mirrored > max(told + _MIRRORED_GAIN, _MIRRORED_RATIO * told))


@dataclass(frozen=True)
class _Pair:
    """``points`` (N, 3) in the reference (mm, along the grid's axes) with its ranks there (0 to bins - 1), and the image's ranks as a
    volume of a ``spacing`` (NaN: no data); ``across`` is the axis from left to right."""

    points: np.ndarray
    ranks: np.ndarray
    volume: np.ndarray
    spacing: np.ndarray
    across: int

    @classmethod
    def of(cls, image: sitk.Image, reference: sitk.Image, shown: np.ndarray) -> _Pair | None:
        factors = [max(1, round(_WORKING_SPACING_MM / s)) for s in reference.GetSpacing()[::-1]]
        spacing = np.array(reference.GetSpacing()[::-1]) * factors
        fixed, moving = (_smoothed(_shrunk(sitk.GetArrayViewFromImage(i) * shown, factors)) for i in (reference, image))
        both = _shrunk(shown, factors) > 0.999
        head = np.argwhere(both & (fixed > _BRIGHT * np.percentile(fixed[both][::7], 99))) if both.any() else np.zeros((0, 3))
        if len(head) < _LEAST_POINTS:
            return None
        rng = np.random.default_rng(_SEED)
        voxels = rng.choice(head, min(_POINTS, len(head)), replace=False) + rng.uniform(-0.5, 0.5, (min(_POINTS, len(head)), 3))
        ranks = np.rint(_ranked(_interpolated(fixed, voxels)[0])).astype(np.int64)
        across = int(np.abs(np.reshape(reference.GetDirection(), (3, 3))[0]).argmax())
        volume = np.where(both, _ranked(moving, moving[both]), np.float32(np.nan))  # missing data is not darkness
        return cls(voxels * spacing, ranks, volume, spacing, 2 - across)

    def mirrored_start(self) -> np.ndarray:
        """The motion (as of :meth:`fitted`) about the axes that a mirror from left to right turns a head by, with the greatest mutual
        information."""
        arcs = _RADIUS_MM * np.deg2rad(_MIRRORED_STARTS_DEGREES)
        first, second = (np.eye(6)[3 + axis] for axis in range(3) if axis != self.across)
        return max((a * first + b * second for a, b in product(arcs, arcs)), key=lambda motion: self.information(motion, mirrored=True))

    def fitted(self, steps: tuple[float, ...], start: np.ndarray, mirrored: bool) -> tuple[float, np.ndarray]:
        """The greatest mutual information (nats) near the start, and the motion there: 3 shifts (mm), 3 turns (mm at the radius)."""
        motion, told = start, self.information(start, mirrored)
        for step in steps:
            sides = np.array([[self.information(motion + sign * step * axis, mirrored) for sign in (-1, 1)] for axis in np.eye(6)])
            bend = 2.0 * told - sides.sum(axis=1)
            slope = sides[:, 1] - sides[:, 0]
            peak = np.where(bend > 0.0, 0.5 * step * slope / np.maximum(bend, 1e-9), 2.0 * step * np.sign(slope))
            for share in (1.0, 0.5):
                there = motion + share * np.clip(peak, -2.0 * step, 2.0 * step)
                value = self.information(there, mirrored)
                if value > told:
                    motion, told = there, value
                    break
        return told, motion

    def information(self, motion: np.ndarray, mirrored: bool) -> float:
        """Mutual information (nats) of the reference's and the moved image's ranks."""
        centre = self.points.mean(axis=0)
        moved = (self.points - centre) @ _rotation(motion[3:] / _RADIUS_MM).T
        if mirrored:
            moved[:, self.across] *= -1.0
        found, inside = _interpolated(self.volume, (moved + centre + motion[:3]) / self.spacing)
        inside &= np.isfinite(found)
        if np.count_nonzero(inside) < _LEAST_SHARE * inside.size:
            return 0.0
        low = np.minimum(found[inside].astype(np.int64), _BINS - 2)
        upper = found[inside] - low
        cell = self.ranks[inside] * _BINS + low
        counted = np.bincount(cell, 1.0 - upper, _BINS**2) + np.bincount(cell + 1, upper, _BINS**2)
        joint = counted.reshape(_BINS, _BINS) / max(1, int(inside.sum()))
        apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
        seen = joint > 0.0
        return float((joint[seen] * np.log(joint[seen] / apart[seen])).sum())


def _rotation(vector: np.ndarray) -> np.ndarray:
    """The rotation matrix about a ``vector`` by its length in radians (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    z, y, x = vector / angle
    cross = np.array([[0.0, -x, y], [x, 0.0, -z], [-y, z, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def _shrunk(voxels: np.ndarray, factors: list[int]) -> np.ndarray:
    """Means over blocks of so many voxels along each axis (z, y, x), float32; what is left at the ends is cut off."""
    return sitk.GetArrayFromImage(sitk.BinShrink(sitk.GetImageFromArray(voxels.astype(np.float32)), factors[::-1]))


def _smoothed(volume: np.ndarray) -> np.ndarray:
    """Each voxel as ½ of itself and ¼ of either neighbour along each axis, ends as they are; without BLAS, whose threads would wait."""
    for axis in range(3):
        lines = np.moveaxis(volume, axis, 0)
        lines[1:-1] = 0.5 * lines[1:-1] + 0.25 * (lines[:-2] + lines[2:])
    return volume


def _ranked(values: np.ndarray, population: np.ndarray | None = None) -> np.ndarray:
    """Values by their quantile in a population (None: themselves), 0 to bins - 1."""
    population = values if population is None else population
    levels = np.quantile(population.reshape(-1)[:: max(1, population.size // 50_000)], np.linspace(0.0, 1.0, _BINS))
    return np.interp(values, levels, np.arange(_BINS)).astype(np.float32)


def _interpolated(volume: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ``volume`` at ``places`` (N, 3) between its voxels, linearly, and which of them lie inside."""
    last = np.array(volume.shape) - 1
    inside = np.asarray(((places >= 0.0) & (places <= last)).all(axis=1))
    base = np.clip(np.floor(places), 0, last - 1).astype(np.int64)
    parts = np.clip(places - base, 0.0, 1.0).T
    steps = (volume.shape[1] * volume.shape[2], volume.shape[2], 1)
    flat, here = volume.reshape(-1), base @ np.array(steps)

    def between(axis: int, start: np.ndarray) -> np.ndarray:
        if axis == 3:
            return flat[start]
        low = between(axis + 1, start)
        return low + parts[axis] * (between(axis + 1, start + steps[axis]) - low)

    return between(0, here), inside
