"""The series of a source, and the one that the maps come from: that on their grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from ..tissue_maps import TissueMaps
from .source import geometries

if TYPE_CHECKING:
    from pydicom import Dataset

_PROBES = 4096
_APART_MM = 0.01
"""Slices closer together than this count as one."""
_OFF_GRID = 0.1
"""Share of a voxel by which the corners of two equal grids may differ: files round positions."""


@dataclass(frozen=True)
class SourceSeries:
    """Headers of the ``images`` of one series, of one size and in one frame of reference."""

    images: tuple[Dataset, ...]

    @property
    def referenced(self) -> tuple[Dataset, ...]:
        """The images that a result may reference as its source: all, or the first of multi-frame ones."""
        return self.images[:1] if "PerFrameFunctionalGroupsSequence" in self.images[0] else self.images

    @property
    def frame_of_reference(self) -> str:
        """Its UID, empty if not stated."""
        return str(self.images[0].get("FrameOfReferenceUID", ""))

    def lies_on(self, grid: sitk.Image) -> bool:
        """Whether the series has the voxels of ``grid``, whatever the order of its axes."""
        first, rows = self.images[0], [geometry for image in self.images for geometry in geometries(image)]
        _position, orientation, spacing, _thickness = rows[0]
        if any(np.abs(other[1] - orientation).max() > 1e-3 or np.abs(other[2] - spacing).max() > 1e-3 for other in rows):
            return False
        normal = np.cross(orientation[:3], orientation[3:])
        places = {round(float(row[0] @ normal) / _APART_MM): row[0] for row in rows}
        if sorted((first.Rows, first.Columns, len(places))) != sorted(grid.GetSize()):
            return False
        across, down = orientation[:3] * spacing[1] * (first.Columns - 1), orientation[3:] * spacing[0] * (first.Rows - 1)
        ends = places[min(places)], places[max(places)]
        own = np.array([end + a * across + b * down for end, a, b in product(ends, (0, 1), (0, 1))])
        last = [size - 1 for size in grid.GetSize()]
        its = np.array([grid.TransformIndexToPhysicalPoint(corner) for corner in product(*((0, index) for index in last))])
        return bool(np.linalg.norm(own[:, None] - its, axis=2).min(axis=1).max() <= _OFF_GRID * min(grid.GetSpacing()))

    def share_of(self, maps: TissueMaps) -> float:
        """The share of the head's voxels between the first and last corner of the series' images."""
        box, axes = self._extent()
        index = np.argwhere(maps.mask)[:, ::-1]
        index = index[:: max(1, len(index) // _PROBES)]
        grid = maps.grid
        to_mm = np.reshape(grid.GetDirection(), (3, 3)) * np.array(grid.GetSpacing())
        places = (index @ to_mm.T + np.array(grid.GetOrigin())) @ axes
        return float(np.all((places >= box[0]) & (places <= box[1]), axis=1).mean())

    def _extent(self) -> tuple[np.ndarray, np.ndarray]:
        """Smallest and largest coordinate along the images' own axes (the columns of the second array), with a margin of half a voxel."""
        corners: list[np.ndarray] = []
        axes = np.eye(3)
        for image in self.images:
            for position, orientation, spacing, thickness in geometries(image):
                x, y = orientation[:3], orientation[3:]
                axes = np.stack([x, y, np.cross(x, y)], axis=1) if not corners else axes
                across = np.array([0.0, image.Columns * spacing[1]])
                down = np.array([0.0, image.Rows * spacing[0]])
                start = position - 0.5 * (x * spacing[1] + y * spacing[0])
                for depth in (-0.5 * thickness, 0.5 * thickness):
                    corners += [start + x * a + y * d + np.cross(x, y) * depth for a in across for d in down]
        along = np.array(corners) @ axes
        return np.stack([along.min(axis=0), along.max(axis=0)]), axes


def possible_sources(headers: Sequence[Dataset], grid: sitk.Image) -> tuple[SourceSeries, ...]:
    """Possible source series of maps on ``grid``: those on the grid, else all."""
    found: dict[tuple[str, ...], list[Dataset]] = defaultdict(list)
    for header in headers:
        key = (header.SeriesInstanceUID, header.Rows, header.Columns, header.get("FrameOfReferenceUID", ""))
        found[tuple(map(str, key))].append(header)
    series = [SourceSeries(tuple(images)) for images in found.values()]
    return tuple([one for one in series if one.lies_on(grid)] or series)
