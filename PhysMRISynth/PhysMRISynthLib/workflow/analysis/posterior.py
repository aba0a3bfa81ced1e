"""Plausible sets of maps that all explain a patient's images: samples of the approximate posterior that an estimate's report and SDs state.

A voxel errs in two ways. The errors of its tissue's values are shared by the whole head; their joint covariance over all tissues is in the
report (``shared_errors``): samples of it change the rendered inputs by common gains, which images do not tell. What the SD maps hold
beyond that is the voxel's own. It is alike over CORRELATION_MM3, and correlated between PD, T1 and T2 so that the voxel's signals change no
more than noise and the equations' errors allow: the Laplace approximation of the voxel level at the tissue's values, under a prior as wide
as the voxel's SD implies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import ImageError, ProtocolError, Remedy
from ...fitting.mixture import literature_classes
from ...fitting.observation import MODEL_ERROR
from ...fitting.tissue_level import EQUATION_ERROR, brain_rows
from ...fitting.voxelwise import HIGHEST, LOWEST
from ...imaging.smooth import smooth_noise
from ...imaging.tissue_maps import PER_CENT, TissueMaps
from ...physics.presets import protocol_from_spec
from ...physics.protocol import Protocol
from ...physics.tissues import PROPERTIES
from ..estimation.knowledge import specs_in
from ..estimation.shared_errors import KEY, SharedErrors, shared_errors_of
from ..rendering.two_compartments import compartments, with_fluid
from ..results.map_set import MapSet
from ..results.regions import BRAIN_TISSUES, CORRELATION_MM3, nearest_tissue

SAMPLE = "posterior_sample"
"""Of the entry in a sample's report."""
_INTEGRAL = 1.47
"""Integral of the correlation of smooth noise along an axis, in units of its scale (cubic B-splines through white knots)."""
_SCALES = 2.0 ** np.arange(-3, 9)
"""Of the variance of a voxel's prior over its tissue's: voxels of several tissues are known less before they are seen."""
_FLUID = BRAIN_TISSUES.index("csf")


def posterior_samples(head: MapSet, count: int, seed: int = 0) -> Iterator[TissueMaps]:
    """``count`` sets of maps from the approximate posterior of an estimate, float32 on its grid, without SDs; ``seed`` repeats them.

    The mask, the fluid's share of each voxel, and the medians by which presets null tissues are those of the estimate, so that a preset
    gives one protocol for all samples. Raises ImageError for maps without SDs or shared errors.
    """
    posterior = _Posterior.of(head)
    return (posterior.sample(number, seed) for number in range(1, count + 1))


@dataclass(frozen=True)
class _Posterior:
    """``brain`` tissue (BRAIN_TISSUES' number) of each voxel of the head (N,) at flat ``index``; ``theta`` (3, N) of its tissue and the
    ``fluid`` (share of water); log-SDs of its ``own`` error (3, N), and the number in ``roots`` (n, 3, 3), Cholesky factors of correlations
    of PD, T1 and T2, that suits it (N,)."""

    head: MapSet
    index: np.ndarray
    brain: np.ndarray
    theta: np.ndarray
    fluid: np.ndarray | None
    own: np.ndarray
    root: np.ndarray
    roots: np.ndarray
    shared: SharedErrors

    @classmethod
    def of(cls, head: MapSet) -> _Posterior:
        maps, shared = head.maps, shared_errors_of(head.maps.provenance)
        if shared is None or set(PROPERTIES) - set(maps.sd):
            raise ImageError("These maps do not state their uncertainty.", Remedy.DO(this="estimate them from images with this version"))
        index = np.flatnonzero(maps.mask & (maps.pd > 0) & (maps.t1 > 0) & (maps.t2 > 0))
        pd, t1, t2 = (array.reshape(-1)[index] for array in (maps.pd, maps.t1, maps.t2))
        brain = nearest_tissue(head, index, np.stack([PER_CENT * pd, t1, t2]))
        relative = np.stack([maps.sd[name].reshape(-1)[index] / v for name, v in zip(PROPERTIES, (pd, t1, t2), strict=True)])
        common = np.stack([_by_tissue(shared, shared.deviation(name))[brain] for name in PROPERTIES])
        own = np.sqrt(np.maximum(relative**2 - common**2, 0.0)).astype(np.float32)
        fluid = None
        if maps.fluid_fraction is not None and maps.fluid is not None:
            parts = compartments(pd, t1, t2, maps.fluid_fraction.reshape(-1)[index], maps.fluid)
            pd, t1, t2, fluid = parts.pd, parts.t1, parts.t2, parts.fluid
        theta = np.log(np.maximum(np.stack([pd, t1, t2]), 1e-6))
        sizes, roots = _correlations(head)
        return cls(head, index, brain, theta, fluid, own, _suited(brain, own, sizes), roots.reshape(-1, 3, 3), shared)

    def sample(self, number: int, seed: int) -> TissueMaps:
        """The sample of a number, which does not depend on how many there are."""
        rng, maps = np.random.default_rng([seed, number]), self.head.maps
        shift = self._shared(rng)
        spacing = np.array(maps.grid.GetSpacing()[::-1])
        scale = float((CORRELATION_MM3 / np.prod(spacing)) ** (1.0 / 3.0)) / _INTEGRAL
        noise = smooth_noise(maps.mask.shape, max(scale, 0.5), rng, len(PROPERTIES)).reshape(len(PROPERTIES), -1)[:, self.index]
        own = np.einsum("nij,jn->in", self.roots[self.root], noise) * self.own
        values = np.exp(self.theta + shift[self.brain].T + own)
        fluid = None if maps.fluid is None else tuple((np.array(maps.fluid) * np.exp(shift[_FLUID])).tolist())
        if self.fluid is not None and fluid is not None:
            values = with_fluid(values, self.fluid * np.exp(shift[_FLUID, 0] + own[0]), fluid)
        report = {name: entry for name, entry in maps.provenance.items() if name not in (KEY, "files")}
        report[SAMPLE] = {"number": number, "seed": seed}
        if fluid is not None:
            report["fluid"] = {"PD_percent": PER_CENT * fluid[0], "T1_ms": fluid[1], "T2_ms": fluid[2]}
        pd, t1, t2 = (self._volume(v) for v in np.clip(values, np.exp(LOWEST), np.exp(HIGHEST)))
        return replace(maps, pd=pd, t1=t1, t2=t2, sd={}, provenance=report, fluid=fluid)

    def _shared(self, rng: np.random.Generator) -> np.ndarray:
        """Log errors (BRAIN_TISSUES, 3) of the tissues' values."""
        drawn = rng.multivariate_normal(np.zeros(len(self.shared.covariance)), self.shared.covariance, method="eigh")
        rows = np.zeros((len(BRAIN_TISSUES), len(PROPERTIES)))
        rows[[BRAIN_TISSUES.index(name) for name in self.shared.tissues]] = drawn.reshape(-1, len(PROPERTIES))
        return rows

    def _volume(self, values: np.ndarray) -> np.ndarray:
        volume = np.zeros(self.head.maps.mask.size, np.float32)
        volume[self.index] = values
        return volume.reshape(self.head.maps.mask.shape)


def _by_tissue(shared: SharedErrors, values: np.ndarray) -> np.ndarray:
    """Values by the shared errors' tissues as values by BRAIN_TISSUES; 0 for a tissue that they do not have."""
    found = np.zeros(len(BRAIN_TISSUES))
    found[[BRAIN_TISSUES.index(name) for name in shared.tissues]] = values
    return found


def _correlations(head: MapSet) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (tissues, scales; mean log-SD) of a voxel's own errors of log PD, T1 and T2, and Cholesky factors (tissues, scales, 3, 3) of
    their correlation: the posterior of a voxel whose prior is the tissue's, its variance times each of _SCALES."""
    report = head.maps.provenance
    classes, protocols = literature_classes(head.field_strength), list(_protocols_in(report))
    error = np.hypot(MODEL_ERROR, EQUATION_ERROR * float(report.get("equation_error_times_expected") or 1.0))
    sizes, roots = [], []
    for row in brain_rows():
        seen = np.zeros((3, 3))
        for protocol in protocols:
            signal, slopes = protocol.signal_and_derivatives(classes.means[row][:, None])
            slope = np.array([0.0 if s is None else float(np.ravel(s)[0]) for s in slopes]) / max(abs(float(signal[0])), 1e-6)
            seen += np.outer(slope, slope) / error**2
        covariances = np.linalg.inv(np.linalg.inv(classes.covariances[row]) / _SCALES[:, None, None] + seen)
        sd = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        sizes.append(np.log(sd).mean(axis=1))
        roots.append(np.linalg.cholesky(covariances / (sd[:, :, None] * sd[:, None, :])))
    return np.stack(sizes), np.stack(roots)


def _suited(brain: np.ndarray, own: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The number (N,) among all tissues' scales of the one at which a voxel's own errors would be as large as they are."""
    size, number = np.log(np.maximum(own, 1e-4)).mean(axis=0), np.empty(brain.size, int)
    for tissue, row in enumerate(sizes):
        here = brain == tissue
        number[here] = tissue * row.size + np.searchsorted((row[1:] + row[:-1]) / 2.0, size[here])
    return number


def _protocols_in(report: Mapping[str, Any]) -> Iterator[Protocol]:
    """Of the images that maps were estimated from, as far as the report states them."""
    for spec in specs_in(report).values():
        try:
            yield protocol_from_spec(spec)
        except (LookupError, ProtocolError):
            continue
