"""The protocol whose rendering is nearest to a given image: a contrast taken by example."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

from ...errors import ImageError, ProtocolError
from ...imaging.head.alignment import align
from ...imaging.head.tissue_labels import rows_of
from ...physics.protocol import Protocol
from ...physics.sequences import SEQUENCES, sequence_named
from ..results.map_set import MapSet
from ..results.tissue_fractions import brain_of
from ..voxel_sample import thinned

_VOXELS = 6_000
_STARTS = 300
_ROUNDS = 60
_FIRST_STEP, _LAST_STEP = 0.3, 0.005
_FREE = 0.2
"""A parameter that may change by this share without the rendering getting worse by _WORSE of its residual is not determined."""
_WORSE = 0.03
_POOR_PERCENT = 12.0
_SEED = 20261130


@dataclass(frozen=True)
class Match:
    """The ``protocol`` found, by how much its rendering differs from the image (root mean square over the brain, in % of the image's), the
    parameters that the image does ``not_determine``, and ``warnings``."""

    protocol: Protocol
    residual_percent: float
    not_determined: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Target:
    """The image at some voxels of the brain (N,), their PD, T1, T2, and smooth functions of the place (N, terms) for the receive field."""

    signal: np.ndarray
    pd: np.ndarray
    t1: np.ndarray
    t2: np.ndarray
    terms: np.ndarray

    def residual(self, protocol: Protocol) -> float:
        """Relative misfit under the gain and receive field that fit best (linear least squares)."""
        rendered = protocol.signal(self.pd, self.t1, self.t2)
        columns = self.terms * rendered[:, None]
        normal = columns.T @ columns
        normal[np.diag_indices_from(normal)] += 1e-6 * np.trace(normal) / len(normal) + 1e-30
        left = self.signal - columns @ np.linalg.solve(normal, columns.T @ self.signal)
        return float(np.sqrt((left @ left) / (self.signal @ self.signal)))


def match_protocol(image: sitk.Image, head: MapSet, sequence: str, register: bool | None = None) -> Match:
    """Search a sequence's parameters for the rendering of ``head`` that is nearest to an ``image`` of the same head.

    Gain and receive field are the image's own and count for nothing. ``register`` as in
    :func:`~PhysMRISynthLib.imaging.head.alignment.align`.
    The search is repeatable. Raises ProtocolError for an unknown sequence or one without parameters, ImageError when the maps have no
    tissue labels, RegistrationError when image and maps do not overlap.
    """
    chosen = sequence_named(sequence)
    names = [parameter.name for parameter in chosen.parameters if parameter.default is not None]
    if not names:
        raise ProtocolError(f"{chosen.name} has no parameters to search. Use one of {', '.join(SEQUENCES)}.")
    target = _target(image, head, register)
    rng = np.random.default_rng(_SEED)
    starts = [p for p in (_drawn(chosen.name, names, rng) for _ in range(_STARTS)) if p is not None]
    best = min([Protocol.of(chosen.name, "matched"), *starts], key=target.residual)
    least, step = target.residual(best), _FIRST_STEP
    for _ in range(_ROUNDS):
        tried = [p for name in names for factor in (1.0 + step, 1.0 / (1.0 + step)) if (p := _changed(best, name, factor)) is not None]
        better = min(tried, key=target.residual)
        if (found := target.residual(better)) < least * (1.0 - 1e-5):
            best, least = better, found
        elif step > _LAST_STEP:
            step /= 2.0
        else:
            break
    free = tuple(name for name in names if _is_free(target, best, name, least))
    percent = 100.0 * least
    told = [f"The image does not determine {', '.join(free)}: other values look the same."] if free else []
    if percent > _POOR_PERCENT:
        told.append(f"No {chosen.name} image of these maps is like the target. Check the sequence, and that both are of the same head.")
    rounded = {name: float(f"{value:.4g}") for name, value in best.values.items()}
    return Match(replace(best, values=rounded), percent, free, tuple(told))


def _target(image: sitk.Image, head: MapSet, register: bool | None) -> _Target:
    if head.labels is None:
        raise ImageError("The maps have no label map of the tissues (tissues.nii.gz). Estimate them again with this version.")
    aligned = align(image, head.maps.grid if register is False else head.maps.image(head.maps.t1), register)
    brain = brain_of(head.labels) & aligned.covered & (rows_of(head.labels) != 255)
    voxels = sitk.GetArrayFromImage(aligned.image)
    index = thinned(np.flatnonzero(brain & (voxels != 0)), _VOXELS)
    if index.size < 500:
        raise ImageError("The image shows too little of the brain of these maps. Check that both are of the same head.")
    place = np.stack(np.unravel_index(index, brain.shape), axis=1).astype(float)
    x, y, z = ((place - place.mean(axis=0)) / place.std(axis=0)).T
    terms = np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, y * z, x * z], axis=1)
    maps = head.maps
    pd, t1, t2 = (values.reshape(-1)[index].astype(float) for values in (maps.pd, maps.t1, maps.t2))
    return _Target(voxels.reshape(-1)[index].astype(float), pd, np.maximum(t1, 1.0), np.maximum(t2, 1.0), terms)


def _drawn(sequence: str, names: list[str], rng: np.random.Generator) -> Protocol | None:
    """A random protocol: every value a factor of e either way from its default, None where the values contradict each other."""
    defaults = Protocol.of(sequence).values
    values = {name: defaults[name] * float(np.exp(rng.uniform(-1.0, 1.0))) for name in names}
    try:
        return Protocol.of(sequence, "matched", **values)
    except ProtocolError:
        return None


def _changed(protocol: Protocol, name: str, factor: float) -> Protocol | None:
    try:
        return replace(protocol, values={**protocol.values, name: protocol.values[name] * factor})
    except ProtocolError:
        return None


def _is_free(target: _Target, best: Protocol, name: str, least: float) -> bool:
    others = [p for factor in (1.0 - _FREE, 1.0 + _FREE) if (p := _changed(best, name, factor)) is not None]
    return bool(others) and min(target.residual(other) for other in others) < least + max(_WORSE * least, 1e-4)
