"""What a scanner does to an ideal image: thick slices, a finite part of k-space, motion between its lines, and noise in its samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ProtocolError


def slice_means(signal: np.ndarray, axis: int, width: float) -> tuple[np.ndarray, float]:
    """Means of ``signal`` over adjacent slices (box profile, no gap) of ``width`` voxels along ``axis``, float32, and the position of the
    first slice's centre in voxels of ``signal``.

    The slices are centred in the image; what is left at both ends belongs to none. Signals add up with their signs, as in a voxel.
    Raises ProtocolError when a slice is thinner than a voxel or thicker than the image.
    """
    extent = signal.shape[axis]
    if not 1.0 <= width <= extent:
        raise ProtocolError(f"A slice must be 1 to {extent} voxels of the maps thick, not {width:.3g}. Choose another slice thickness.")
    count = int(extent / width + 1e-6)
    edges = (extent - count * width) / 2.0 + width * np.arange(count + 1)
    sums = np.zeros((extent + 1, *np.delete(signal.shape, axis)))
    np.cumsum(np.moveaxis(signal, axis, 0), axis=0, out=sums[1:])
    below = np.minimum(edges.astype(int), extent - 1)
    part = (edges - below).reshape(-1, *[1] * (signal.ndim - 1))
    at_edges = sums[below] + part * (sums[below + 1] - sums[below])
    means = (np.diff(at_edges, axis=0) / width).astype(np.float32)
    return np.moveaxis(means, 0, axis), float(edges[0] + edges[1] - 1.0) / 2.0


def random_motion(lines: int, axes: int, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """A random walk of the head while ``lines`` of k-space are acquired one after the other: displacements (lines, axes) whose root mean
    square is ``deviation`` along each axis, and 0 at the central line, which decides where the head appears."""
    walk = np.cumsum(rng.standard_normal((lines, axes)), axis=0)
    walk -= walk[lines // 2]
    return walk * (deviation / np.maximum(np.sqrt(np.mean(walk**2, axis=0)), 1e-12))


def acquired(
    signal: np.ndarray,
    encoded: Sequence[int],
    rng: np.random.Generator,
    share: float = 1.0,
    motion: np.ndarray | None = None,
    sigma: float = 0.0,
) -> np.ndarray:
    """The complex image (complex64) of a real ``signal`` that was sampled in k-space along the axes ``encoded``.

    Samples beyond ``share`` of the highest spatial frequency of each axis are missing (0), which shows as Gibbs ringing: an overshoot of
    9 % beside an edge. ``motion`` (lines, encoded axes; voxels) displaces the head at each line along the first of these axes, the phase
    encoding: by the Fourier shift theorem a linear phase along that line. Samples have complex noise of SD ``sigma`` in each part of the
    image's voxels (Gudbjartsson & Patz, Magn Reson Med 34:910, 1995).
    """
    samples = np.fft.fftn(signal.astype(np.complex64), axes=encoded, norm="ortho")
    frequencies = [np.fft.fftfreq(signal.shape[axis]) for axis in encoded]
    if motion is not None:
        _displace(samples, encoded, frequencies, np.fft.ifftshift(motion, axes=0))  # acquired from the lowest line to the highest
    kept = [np.abs(frequency) <= 0.5 * share for frequency in frequencies]
    if sigma > 0.0:
        level = np.float32(sigma / np.sqrt(np.prod([line.mean() for line in kept])))
        for part in (samples.real, samples.imag):
            part += level * rng.standard_normal(signal.shape, dtype=np.float32)
    for axis, line in zip(encoded, kept, strict=True):
        samples *= _along(axis, line.astype(np.float32), signal.ndim)
    return np.fft.ifftn(samples, axes=encoded, norm="ortho", out=samples)


def _displace(samples: np.ndarray, encoded: Sequence[int], frequencies: Sequence[np.ndarray], motion: np.ndarray) -> None:
    """Multiply the ``samples`` in place by the phases of the displacements (lines, encoded axes)."""
    lines = encoded[0]
    for number, (axis, frequency) in enumerate(zip(encoded, frequencies, strict=True)):
        moved = motion[:, number]
        if axis == lines:
            samples *= _along(axis, _phase(moved * frequency), samples.ndim)
        else:
            phases = _phase(np.multiply.outer(moved, frequency))
            shape = [samples.shape[a] if a in (lines, axis) else 1 for a in range(samples.ndim)]
            samples *= (phases if lines < axis else phases.T).reshape(shape)


def _phase(turns: np.ndarray) -> np.ndarray:
    return np.exp(-2j * np.pi * turns).astype(np.complex64)


def _along(axis: int, line: np.ndarray, axes: int) -> np.ndarray:
    """A line of values as an array of ``axes`` axes that varies along one."""
    return line.reshape([-1 if a == axis else 1 for a in range(axes)])
