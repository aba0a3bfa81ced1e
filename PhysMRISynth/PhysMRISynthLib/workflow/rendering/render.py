"""From tissue maps to the image of any protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import numpy as np

from ...imaging.head.masks import bounding_box
from ...imaging.tissue_maps import TissueMaps
from ...physics.arrays import Array, Move, namespace, on_host
from ...physics.noise import add_noise, sigma_for_snr
from ...physics.protocol import Protocol
from ...physics.scratch import Scratch, Workspace
from ..chunks import for_each_chunk
from ..compute import Compute
from .two_compartments import are_apart, compartments, fluid_signal, with_sign

_CHUNK = 1 << 18
"""Voxels per chunk: enough that threads do not wait for each other."""
_NUMPY = Compute()


def render_arrays(
    protocol: Protocol, pd: np.ndarray, t1: np.ndarray, t2: np.ndarray, out: np.ndarray | None = None, compute: Compute = _NUMPY
) -> np.ndarray:
    """The protocol's noise-free image of ``pd`` (fraction), ``t1``, ``t2`` (ms), arrays of one shape; float32, in ``out`` if given.

    PD must not be negative. Voxels without tissue (PD 0) are 0, whatever their T1 and T2.
    """
    image = np.empty(pd.shape, dtype=np.float32) if out is None else out
    if compute.device is not None:
        image[...] = _in_chunks(compute, protocol.signal, pd, t1, t2)
        return image
    density, long, short, target = (np.atleast_1d(array) for array in (pd, t1, t2, image))
    workspaces = threading.local()
    planes = max(1, _CHUNK // max(1, density[:1].size))

    def work(slab: slice) -> None:
        tissue = density[slab] > 0
        box = bounding_box(tissue)  # skips most of the air around a head
        if box is None or tissue[box].size < tissue.size:
            target[slab] = 0.0
        if box is not None:
            if not hasattr(workspaces, "own"):
                workspaces.own = Workspace(planes * density[:1].size)
            maps = workspaces.own.arrays(density[slab][box], long[slab][box], short[slab][box])
            _render_box(protocol, maps, tissue[box], target[slab][box])

    for_each_chunk(len(density), planes, work)
    return image


def _render_box(protocol: Protocol, maps: tuple[Scratch, ...], tissue: np.ndarray, out: np.ndarray) -> None:
    """The image of ``maps`` (PD, T1, T2) that may include air, whose T1 and T2 are undefined (0 or NaN)."""
    with np.errstate(all="ignore"):
        signal = protocol.signal(*maps).value
    if protocol.sequence.signed:
        out[...] = 0.0
        np.copyto(out, signal, where=tissue)
    else:
        np.fmax(signal, np.float32(0.0), out=out)  # a magnitude of NaN comes from air


def _in_chunks(compute: Compute, signal: Callable[..., Array], *volumes: np.ndarray) -> np.ndarray:
    """Apply ``signal`` to the voxels of ``volumes`` of one shape, PD first; float32, 0 where PD is 0."""
    flat = [volume.reshape(-1) for volume in volumes]
    image = np.empty(flat[0].size, dtype=np.float32)

    def work(piece: slice, move: Move) -> None:
        values = [move(volume[piece]) for volume in flat]
        with np.errstate(all="ignore"):  # air has no times
            image[piece] = on_host(namespace(values[0]).where(values[0] > 0, signal(*values), 0.0))

    compute.for_each_chunk(image.size, _CHUNK, work)
    return image.reshape(volumes[0].shape)


def _apart(protocol: Protocol, fluid: tuple[float, float, float], pd: Array, t1: Array, t2: Array, fraction: Array) -> Array:
    """The image of voxels of tissue and ``fluid``."""
    parts = compartments(pd, t1, t2, fraction, fluid)
    signal = with_sign(protocol).signal(parts.pd, parts.t1, parts.t2) + parts.fluid * fluid_signal(protocol, fluid)
    return signal if protocol.sequence.signed else abs(signal)


def _noise_free(maps: TissueMaps, protocol: Protocol, compute: Compute) -> np.ndarray:
    """The image of ``maps``; with a known fluid fraction, tissue and fluid are rendered separately."""
    if not are_apart(maps, protocol) or maps.fluid_fraction is None or maps.fluid is None:
        return render_arrays(protocol, maps.pd, maps.t1, maps.t2, compute=compute)
    return _in_chunks(compute, partial(_apart, protocol, maps.fluid), maps.pd, maps.t1, maps.t2, maps.fluid_fraction)


def signed_signal(maps: TissueMaps, protocol: Protocol, scale: float = 1.0, compute: Compute = _NUMPY) -> np.ndarray:
    """The noise-free image of ``maps`` as :func:`render` has it, but with the sign of the signal also where the protocol's image is a
    magnitude: what adds up within thick slices and in k-space."""
    return _noise_free(maps, with_sign(protocol), compute) * np.float32(scale)


def scale_of(protocol: Protocol) -> float:
    """What the signal is multiplied by in a file or a node: 1000, so that integer formats keep it; ratio images stay as they are."""
    return 1000.0 if protocol.sequence.uses_pd else 1.0


def render(
    maps: TissueMaps, protocol: Protocol, snr: float | None = None, seed: int = 0, scale: float = 1.0, compute: Compute = _NUMPY
) -> np.ndarray:
    """Image of ``maps`` under ``protocol``, float32 (z, y, x) in units of ``scale`` · the equation's signal.

    ``snr`` adds Rician noise (signed sequences: Gaussian) at that ratio to the mean signal over the head, repeatable by ``seed``.
    ``compute`` is the device that evaluates the equation.
    """
    image = _noise_free(maps, protocol, compute) * np.float32(scale)
    if snr is None:
        return image
    sigma = sigma_for_snr(np.abs(image[maps.mask]), snr)
    return add_noise(image, sigma, np.random.default_rng(seed), signed=protocol.sequence.signed)
