"""Interactive rendering: one set of tissue maps under changing protocols, whole or only in the visible slices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...errors import ImageError
from ...imaging.tissue_maps import TissueMaps
from ...physics.noise import sigma_for_snr
from ...physics.protocol import Protocol
from ...physics.scratch import Workspace
from ..chunks import chunks, for_each_chunk
from ..voxel_sample import SAMPLE, sampled_voxels
from .two_compartments import are_apart, compartments, fluid_signal

_CHUNK = 1 << 16
"""Voxels per chunk: a thread's buffers stay in its core's cache, and threads seldom wait for each other."""
_FEW = 1 << 18
"""Voxels (three slices) that take less time than starting threads."""
SLAB = 1 << 20
"""Voxels per step of a whole image: about ten milliseconds."""


@dataclass(frozen=True)
class Region:
    """The visible part of a volume (z, y, x): whole ``planes`` (array axis, index), and flat indices of ``voxels`` (oblique views)."""

    planes: tuple[tuple[int, int], ...] = ()
    voxels: np.ndarray | None = None

    def indices(self, shape: tuple[int, ...]) -> np.ndarray:
        """Flat indices (N,) of the region's voxels in a volume of ``shape``; a voxel of several planes comes several times.

        Raises ImageError when the region reaches beyond the volume.
        """
        parts = [np.zeros(0, dtype=np.intp)]
        for axis, position in self.planes:
            if not (0 <= axis < len(shape) and 0 <= position < shape[axis]):
                raise ImageError(f"There is no plane {position} along axis {axis} of a volume of shape {shape}. Show the volume again.")
            along = [np.arange(n) for n in shape]
            along[axis] = np.array([position])
            parts.append(np.ravel_multi_index(np.ix_(*along), shape).ravel())
        if self.voxels is not None and self.voxels.size:
            if self.voxels.min() < 0 or self.voxels.max() >= np.prod(shape):
                raise ImageError(f"The region has voxels outside of a volume of shape {shape}. Show the volume again.")
            parts.append(self.voxels)
        return np.concatenate(parts)


@dataclass(frozen=True)
class Noise:
    """Noise at the ratio ``snr`` to the mean signal over the head, repeatable by ``seed``, as in :func:`.render.render`."""

    snr: float
    seed: int = 0


class LiveRenderer:
    """Renders ``maps``, which must not change, repeatedly.

    Signed sequences get Gaussian noise, others Rician: the same random numbers as in :func:`.render.render` with that seed, so that noise
    stays fixed while a protocol changes, and an image is reproducible. Voxels whose PD, T1 or T2 is not a positive number are
    dark. If the maps have a fluid fraction, tissue and fluid are rendered separately, as there. Besides the maps it holds 20 bytes per
    tissue voxel (24 with fluid) once a whole image was rendered, and with noise 8 bytes per voxel.

    The mean signal of a ``sample`` of the head's voxels sets the noise level. A whole image is rendered ``slab`` voxels at a time.
    """

    def __init__(self, maps: TissueMaps, sample: int = SAMPLE, slab: int = SLAB) -> None:
        self._maps, self._slab = maps, slab
        self._shape = maps.pd.shape
        self._slabs: dict[tuple[int, bool], _Tissue] = {}
        self._sample = sampled_voxels(maps.mask, lambda values: values != 0, sample)
        self._samples: dict[bool, _Part] = {}
        self._shown: tuple[Region, bool, _Part] | None = None
        self._drawn: tuple[int, np.ndarray] | None = None

    def render(self, protocol: Protocol, out: np.ndarray, noise: Noise | None = None, scale: float = 1.0) -> None:
        """Fill ``out``, float32 (z, y, x), with the image in units of ``scale`` · the equation's signal.

        Raises ImageError when ``out`` is not a float32 array of the maps' shape, ProtocolError when the noise is invalid.
        """
        for _ in self.steps(protocol, out, noise, scale):
            pass

    def steps(self, protocol: Protocol, out: np.ndarray, noise: Noise | None = None, scale: float = 1.0) -> Iterator[None]:
        """As :meth:`render`, in steps of about ten milliseconds: the caller may do other work between them."""
        image = self._flat(out)
        sigma = self.sigma(protocol, noise, scale) if noise is not None else 0.0
        if noise is not None and not self.drawn(noise):
            yield from self._draw(noise.seed)
        for piece in chunks(image.size, self._slab):
            slab = image[piece]
            slab.fill(0.0)
            self._tissue_of(piece, protocol).render(protocol, scale, slab)
            if noise is not None:
                _add_noise(slab, self._unit_noise(noise.seed)[:, piece], sigma, protocol.sequence.signed)
            yield

    def drawn(self, noise: Noise | None) -> bool:
        """Whether a region can be rendered immediately: without ``noise``, or with that of its seed ready."""
        return noise is None or (self._drawn is not None and self._drawn[0] == noise.seed)

    def sigma(self, protocol: Protocol, noise: Noise, scale: float = 1.0) -> float:
        """The SD of the noise in the units of the image. Raises ProtocolError when the noise is invalid."""
        apart = are_apart(self._maps, protocol)
        if apart not in self._samples:
            self._samples[apart] = _Part.of(self._maps, self._sample, apart)
        return sigma_for_snr(self._samples[apart].rendered(protocol, scale), noise.snr)

    def render_region(self, protocol: Protocol, out: np.ndarray, region: Region, noise: Noise | None = None, scale: float = 1.0) -> None:
        """As :meth:`render`, but only for the voxels of ``region``, with the same values.

        Raises ImageError also when the region extends beyond the volume.
        """
        image, part = self._flat(out), self._part(region, protocol)
        values = part.rendered(protocol, scale)
        if noise is not None:
            sigma = self.sigma(protocol, noise, scale)
            unit = np.take(self._unit_noise(noise.seed), part.index, axis=1)
            _add_noise(values, unit, sigma, protocol.sequence.signed)
        image[part.index] = values

    def _flat(self, out: np.ndarray) -> np.ndarray:
        if out.shape != self._shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ImageError(
                f"The image to fill has {out.dtype} voxels of shape {out.shape}; the tissue maps need float32 of shape {self._shape}. "
                "Choose another output volume, or a new one."
            )
        return out.reshape(-1)

    def _part(self, region: Region, protocol: Protocol) -> _Part:
        """The region's voxels, prepared once until the views move."""
        apart = are_apart(self._maps, protocol)
        if self._shown is None or self._shown[1] != apart or not _same(self._shown[0], region):
            self._shown = region, apart, _Part.of(self._maps, region.indices(self._shape), apart)
        return self._shown[2]

    def _tissue_of(self, piece: slice, protocol: Protocol) -> _Tissue:
        """The tissue of a slab, prepared once."""
        key = piece.start, are_apart(self._maps, protocol)
        if key not in self._slabs:
            self._slabs[key] = _Tissue.of(self._maps, piece, key[1])
        return self._slabs[key]

    def _unit_noise(self, seed: int) -> np.ndarray:
        """Noise of SD 1 in the real and the imaginary channel, float32 (2, voxels)."""
        if self._drawn is None or self._drawn[0] != seed:
            for _ in self._draw(seed):
                pass
        assert self._drawn is not None
        return self._drawn[1]

    def _draw(self, seed: int) -> Iterator[None]:
        """Generate the noise of a seed in steps; the numbers are those of one call."""
        self._drawn = None  # frees its memory for the next
        rng, unit = np.random.default_rng(seed), np.empty((2, self._maps.pd.size), np.float32)
        values = unit.reshape(-1)
        for piece in chunks(values.size, self._slab):
            rng.standard_normal(out=values[piece], dtype=np.float32)
            yield
        self._drawn = seed, unit


@dataclass(frozen=True)
class _Tissue:
    """The tissue voxels of a set of voxels: ``position`` in the set (flat), PD and the rates 1/T1, 1/T2 (1/ms), packed, float32 (N,).

    If fluid is rendered separately, these are of the tissue alone, ``fluid`` is the water of the fluid and ``of_fluid`` its PD, T1 and T2.
    """

    position: np.ndarray
    pd: np.ndarray
    r1: np.ndarray
    r2: np.ndarray
    fluid: np.ndarray | None = None
    of_fluid: tuple[float, float, float] | None = None

    @classmethod
    def of(cls, maps: TissueMaps, index: np.ndarray | slice, apart: bool) -> _Tissue:
        """From the voxels ``index`` (flat) of ``maps``, with tissue and fluid ``apart`` or as one."""
        pd, t1, t2 = (array.reshape(-1)[index] for array in (maps.pd, maps.t1, maps.t2))
        position = np.flatnonzero((pd > 0) & (t1 > 0) & (t2 > 0))  # NaN is not
        pd, t1, t2, one = pd[position], t1[position], t2[position], np.float32(1.0)
        if not apart or maps.fluid_fraction is None or maps.fluid is None:
            return cls(position, pd, one / t1, one / t2)
        parts = compartments(pd, t1, t2, maps.fluid_fraction.reshape(-1)[index][position], maps.fluid)
        return cls(position, parts.pd, one / parts.t1, one / parts.t2, parts.fluid, maps.fluid)

    def render(self, protocol: Protocol, scale: float, image: np.ndarray) -> None:
        """Write the signal into ``image`` (flat), which has all voxels of the set."""
        workspaces = threading.local()
        level = fluid_signal(protocol, self.of_fluid) if self.of_fluid is not None else 0.0

        def work(piece: slice) -> None:
            if not hasattr(workspaces, "own"):
                workspaces.own = Workspace(min(_CHUNK, self.pd.size))
            pd, r1, r2, *fluid = workspaces.own.arrays(*(a[piece] for a in (self.pd, self.r1, self.r2, self.fluid) if a is not None))
            with np.errstate(all="ignore"):
                signal = protocol.sequence.signal(r1, r2, protocol.values)
                signal = pd * signal if protocol.sequence.uses_pd else signal
                signal = signal + fluid[0] * level if fluid else signal
            values = (signal if protocol.sequence.signed else abs(signal)).value
            image[self.position[piece]] = values if scale == 1.0 else np.multiply(values, np.float32(scale), out=values)

        if self.pd.size <= _FEW:
            for piece in chunks(self.pd.size, _CHUNK):
                work(piece)
        else:
            for_each_chunk(self.pd.size, _CHUNK, work)


@dataclass(frozen=True)
class _Part:
    """Some voxels of a volume: their flat ``index`` (N,), and the tissue among them."""

    index: np.ndarray
    tissue: _Tissue

    @classmethod
    def of(cls, maps: TissueMaps, index: np.ndarray, apart: bool) -> _Part:
        return cls(index, _Tissue.of(maps, index, apart))

    def rendered(self, protocol: Protocol, scale: float) -> np.ndarray:
        """The image of these voxels, float32 (N,)."""
        image = np.zeros(self.index.size, dtype=np.float32)
        self.tissue.render(protocol, scale, image)
        return image


def _same(one: Region, other: Region) -> bool:
    if one.planes != other.planes or (one.voxels is None) != (other.voxels is None):
        return False
    return one.voxels is None or other.voxels is None or np.array_equal(one.voxels, other.voxels)


def _add_noise(image: np.ndarray, unit: np.ndarray, sigma: float, signed: bool) -> None:
    """Add noise to ``image`` (N,) in place, as :func:`~PhysMRISynthLib.physics.noise.add_noise` does, from the numbers ``unit`` (2, N)."""
    level = np.float32(sigma)

    def work(piece: slice) -> None:
        values, noise = image[piece], level * unit[0, piece]
        values += noise
        if not signed:
            np.square(values, out=values)
            np.multiply(unit[1, piece], level, out=noise)
            values += np.square(noise, out=noise)
            np.sqrt(values, out=values)

    for_each_chunk(image.size, _CHUNK, work)
