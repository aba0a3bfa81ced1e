"""From the ideal image of a protocol to one that a scanner might have acquired: receive field, thick slices, ringing, motion and noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk

from ...errors import ProtocolError, Remedy
from ...imaging.tissue_maps import TissueMaps
from ...physics.k_space import acquired, random_motion, slice_means
from ...physics.noise import receive_field, sigma_for_snr
from ...physics.protocol import Protocol
from ..orders import Order, limited

_PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The axis of the patient (left, posterior, superior) along which the slices of a plane lie."""
_FIELD, _MOTION = 1, 2
"""Each effect has its own random numbers, so that switching one on does not change another; noise has the seed's own."""


@dataclass(frozen=True)
class ScannerEffects(Order):
    """What a scanner adds to the ideal image of a protocol; noise is the rendering's own (``snr``).

    Attributes
    ----------
    receive_field
        Largest deviation of the receive field, 0 to 100 %.
    slice_thickness
        Thickness of adjacent slices in mm, at least the maps' voxels; None: the maps' own grid, acquired in 3D.
    slice_plane
        axial, coronal or sagittal.
    ringing
        Share of the spatial frequencies that is missing along each encoded axis, 0 to 75 %: Gibbs ringing, and lower resolution.
    motion
        Root mean square displacement of the head along each encoded axis during the scan, 0 to 5 mm; translations only.

    Raises
    ------
    OrderError
        For a value out of bounds.
    """

    receive_field: float = limited(0.0, "receive field", low=0.0, high=100.0, unit="%")
    slice_thickness: float | None = limited(None, "slice thickness", low=0.3, high=20.0, unit="mm")
    slice_plane: str = limited("axial", "plane of the slices", choices=tuple(_PLANES))
    ringing: float = limited(0.0, "ringing", low=0.0, high=75.0, unit="%")
    motion: float = limited(0.0, "motion", low=0.0, high=5.0, unit="mm")

    @property
    def any(self) -> bool:
        """Whether there is an effect at all."""
        return bool(self.receive_field or self.slice_thickness or self.ringing or self.motion)

    @property
    def title(self) -> str:
        """The effects in a few words: ``slices 3 mm, motion 0.5 mm``; empty without any."""
        slices = f"slices {self.slice_thickness:g} mm {self.slice_plane}" if self.slice_thickness else ""
        sized = {"receive field": (self.receive_field, "%"), "ringing": (self.ringing, "%"), "motion": (self.motion, "mm")}
        return ", ".join(filter(None, (slices, *(f"{name} {size:g} {unit}" for name, (size, unit) in sized.items() if size))))

    def sidecar(self) -> dict[str, Any]:
        """Fields of a JSON sidecar; none without effects."""
        if not self.any:
            return {}
        slices = {"SliceThickness": self.slice_thickness} if self.slice_thickness else {}
        return {**slices, "ScannerEffects": {name: value for name, value in self.as_json().items() if value}}


NO_EFFECTS = ScannerEffects()


@dataclass(frozen=True)
class Scan:
    """The ``voxels`` (z, y, x; float32) of a simulated scan on its own ``grid``, and the ``mask`` of the head there."""

    voxels: np.ndarray
    mask: np.ndarray
    grid: sitk.Image


def scanned(
    signal: np.ndarray, maps: TissueMaps, protocol: Protocol, effects: ScannerEffects, snr: float | None = None, seed: int = 0
) -> Scan:
    """Acquire a ``signal`` (z, y, x; signed, without noise) of ``maps`` under a protocol with the ``effects``.

    ``snr`` is the ratio of the mean signal of the head to the SD of Rician noise (signed sequences: Gaussian); all is repeatable by
    ``seed``. Raises ProtocolError for images that are ratios, and for slices that do not fit the maps.
    """
    if not protocol.sequence.uses_pd:
        ratio = f"An image of {protocol.sequence.name} is a ratio of two images: scanner effects cannot be added to it."
        raise ProtocolError(ratio, Remedy.DO(this="leave them out, or use another sequence"))
    if effects.receive_field:
        rng, amplitude = np.random.default_rng([seed, _FIELD]), float(np.log1p(effects.receive_field / 100.0))
        signal = signal * receive_field(signal.shape, maps.grid.GetSpacing()[::-1], amplitude, rng)
    ideal, encoded = Scan(signal, maps.mask, maps.grid), [1, 2, 0]
    if effects.slice_thickness:
        across = _slice_axis(maps.grid, effects.slice_plane)
        ideal, encoded = _in_slices(ideal, across, effects.slice_thickness), [axis for axis in (1, 2, 0) if axis != across]
    sigma = 0.0 if snr is None else sigma_for_snr(np.abs(ideal.voxels[ideal.mask]), snr)
    motion = _motion(ideal, encoded, effects.motion, seed) if effects.motion else None
    image = acquired(ideal.voxels, encoded, np.random.default_rng(seed), 1.0 - effects.ringing / 100.0, motion, sigma)
    return replace(ideal, voxels=np.ascontiguousarray(image.real if protocol.sequence.signed else np.abs(image), dtype=np.float32))


def _slice_axis(grid: sitk.Image, plane: str) -> int:
    """The array axis (z, y, x) that is nearest to the normal of a plane."""
    direction = np.reshape(grid.GetDirection(), (3, 3))
    return 2 - int(np.abs(direction[_PLANES[plane]]).argmax())


def _in_slices(ideal: Scan, axis: int, thickness_mm: float) -> Scan:
    spacing = list(ideal.grid.GetSpacing())
    width = thickness_mm / spacing[2 - axis]
    if width < 1.0 - 1e-3:
        thin = f"Slices of {thickness_mm:g} mm are thinner than the voxels of the maps, {spacing[2 - axis]:.3g} mm."
        raise ProtocolError(thin, Remedy.DO(this="give thicker slices"))
    width = max(width, 1.0)
    voxels, first = slice_means(ideal.voxels, axis, width)
    inside, _ = slice_means(ideal.mask.astype(np.float32), axis, width)
    grid = sitk.GetImageFromArray(np.zeros(voxels.shape, np.uint8))
    start, spacing[2 - axis] = [0.0, 0.0, 0.0], thickness_mm
    start[2 - axis] = first
    grid.SetOrigin(ideal.grid.TransformContinuousIndexToPhysicalPoint(start))
    grid.SetSpacing(spacing)
    grid.SetDirection(ideal.grid.GetDirection())
    return Scan(voxels, inside > 0.5, grid)


def _motion(ideal: Scan, encoded: list[int], deviation_mm: float, seed: int) -> np.ndarray:
    """Displacements (lines, encoded axes) in voxels."""
    spacing = np.array(ideal.grid.GetSpacing()[::-1])[encoded]
    rng = np.random.default_rng([seed, _MOTION])
    return random_motion(ideal.voxels.shape[encoded[0]], len(encoded), deviation_mm, rng) / spacing
