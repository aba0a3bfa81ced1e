"""The literature prior: tissue classes in θ = (log PD, log T1, log T2), their mixtures at boundaries, and which voxel is which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..physics.tissues import Tissue, tissue_table
from .observation import Observation
from .voxelwise import invert_symmetric, predict

WITHIN_CORRELATION = 0.5
"""Inside a tissue PD, T1 and T2 rise and fall together with its water content."""
PARTIAL_VOLUMES = (("white_matter", "cortex"), ("cortex", "csf"), ("white_matter", "csf"), ("white_matter", "deep_grey"), ("csf", "bone"))
_PARTIAL_VOLUME_WEIGHT = 0.25
_OUTLIER_WEIGHT = 0.01
_ATLAS_TRUST = 0.98
_NEGLIGIBLE = 0.05
_LOCAL_TISSUES = ("deep_grey", "thalamus")
"""Nuclei have their place: unlike other tissues they are not expected where the atlas does not know them."""
_OUTLIER = Tissue(
    "other", "Anything else (lesions)", "brain", (), np.log([0.82, 1350.0, 130.0]), np.zeros(3), np.array([0.15, 0.35, 0.5]), ()
)


@dataclass(frozen=True)
class TissueClasses:
    """K Gaussian classes in θ: ``means`` (K, 3), within-head ``covariances`` (K, 3, 3), ``extra`` (K, 3, 3) the uncertainty of the means.

    The first ``pure`` ones are the tissue table's rows; then come partial volumes of ``pairs``, and last a broad class for lesions.
    """

    names: tuple[str, ...]
    means: np.ndarray
    covariances: np.ndarray
    extra: np.ndarray
    pairs: tuple[tuple[int, int], ...]

    @property
    def pure(self) -> int:
        """How many classes are single tissues."""
        return len(self.names) - len(self.pairs) - 1

    def with_means(self, pure_means: np.ndarray, extra: np.ndarray) -> TissueClasses:
        """The classes moved to other tissue means (pure, 3), whose uncertainty is ``extra`` (pure, 3, 3); mixtures follow."""
        means, covariances, uncertain = self.means.copy(), self.covariances.copy(), self.extra.copy()
        means[: self.pure], uncertain[: self.pure] = pure_means, extra
        for row, (a, b) in enumerate(self.pairs, start=self.pure):
            means[row], covariances[row] = _between(means, covariances, a, b)
            uncertain[row] = (uncertain[a] + uncertain[b]) / 2.0
        return replace(self, means=means, covariances=covariances, extra=uncertain)

    def with_spread(self, scales: np.ndarray) -> TissueClasses:
        """The classes with the within-head covariance of each single tissue multiplied by ``scales`` (pure,); mixtures follow."""
        covariances = self.covariances.copy()
        covariances[: self.pure] *= scales[:, None, None]
        return replace(self, covariances=covariances).with_means(self.means[: self.pure], self.extra[: self.pure])

    def weights(self, atlas: np.ndarray) -> np.ndarray:
        """Prior probability of each class (K, N) from tissue fractions (pure, N), with those of lesions (pure + 1, N) where known."""
        atlas, lesion = atlas[: self.pure], atlas[self.pure :].sum(axis=0)
        brain = [k for k, tissue in enumerate(tissue_table()) if tissue.region == "brain"]
        anywhere = np.array([name not in _LOCAL_TISSUES for name in self.names[: self.pure]])[:, None]
        trusted = _ATLAS_TRUST * atlas + (1.0 - _ATLAS_TRUST) * np.where(anywhere, 1.0 / len(atlas), 1e-4)
        mixed = [_PARTIAL_VOLUME_WEIGHT * 2.0 * np.sqrt(trusted[a] * trusted[b]) for a, b in self.pairs]
        other = _OUTLIER_WEIGHT * trusted[brain].sum(axis=0) + _ATLAS_TRUST * lesion
        weights = np.concatenate([trusted, np.reshape(mixed, (-1, atlas.shape[1])), other[None]]).astype(np.float32)
        return weights / weights.sum(axis=0)


def _between(means: np.ndarray, covariances: np.ndarray, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a voxel anywhere between two tissues."""
    apart = means[a] - means[b]
    return (means[a] + means[b]) / 2.0, (covariances[a] + covariances[b]) / 2.0 + np.outer(apart, apart) / 12.0


def literature_classes(field_strength: float) -> TissueClasses:
    """The classes of the tissue table at a field strength in tesla, before they are adapted to a head."""
    table = tissue_table(field_strength)
    names = [tissue.name for tissue in table]
    pairs = tuple((names.index(a), names.index(b)) for a, b in PARTIAL_VOLUMES)
    rows = [*table, *(table[a] for a, _ in pairs), _OUTLIER]
    correlation = np.full((3, 3), WITHIN_CORRELATION) + (1 - WITHIN_CORRELATION) * np.eye(3)
    covariances = np.stack([np.outer(t.within_head, t.within_head) * correlation for t in rows])
    means = np.stack([t.theta for t in rows])
    titles = (*names, *(f"{a}/{b}" for a, b in PARTIAL_VOLUMES), _OUTLIER.name)
    classes = TissueClasses(titles, means, covariances, np.zeros_like(covariances), pairs)
    between = np.stack([np.diag(t.between_heads**2) for t in table])
    return classes.with_means(means[: len(table)], between)


@dataclass(frozen=True)
class ClassSignals:
    """What each class looks like at unit field: ``means`` (K, n) and ``covariances`` (K, n, n) of the signals of n inputs.

    ``spreads`` (K, n, n) is the part of the covariances that comes from the tissue itself.
    """

    means: np.ndarray
    covariances: np.ndarray
    spreads: np.ndarray


def class_signals(classes: TissueClasses, observations: Sequence[Observation], gains: np.ndarray, slack: float = 0.0) -> ClassSignals:
    """Signals of the classes under the inputs' equations, ``gains`` (n,).

    Their spread is the tissue's, the noise's and the equation's, and a relative ``slack`` while gains and fields are still in doubt.
    """
    slopes = np.zeros((len(classes.names), len(observations), 3))
    means = np.zeros((len(classes.names), len(observations)))
    for i, (observation, gain) in enumerate(zip(observations, gains, strict=True)):
        signal, derivatives = predict(observation, classes.means.T, np.asarray(gain))
        means[:, i] = signal
        for j, derivative in enumerate(derivatives):
            if derivative is not None:
                slopes[:, i, j] = derivative
    noise = np.array([o.noise**2 for o in observations])
    errors = np.array([o.model_error for o in observations])
    spreads = slopes @ classes.covariances @ slopes.transpose(0, 2, 1)
    covariances = spreads + _diagonals(noise + ((2.0 * errors + slack) * means) ** 2)
    for row, (a, b) in enumerate(classes.pairs, start=classes.pure):
        apart = means[a] - means[b]
        means[row] = (means[a] + means[b]) / 2.0
        covariances[row] = (covariances[a] + covariances[b]) / 2.0 + np.outer(apart, apart) / 12.0
    return ClassSignals(means, covariances, spreads)


def _diagonals(values: np.ndarray) -> np.ndarray:
    return values[..., None] * np.eye(values.shape[-1])


def responsibilities(
    signals: ClassSignals, observations: Sequence[Observation], fields: Sequence[np.ndarray], weights: np.ndarray
) -> np.ndarray:
    """Probability of each class (K, N) given the inputs divided by their ``fields`` (N,), and the prior ``weights`` (K, N).

    Voxels that an input does not cover are judged by the others alone.
    """
    flat = np.stack([o.signal / f for o, f in zip(observations, fields, strict=True)])
    covered = np.stack([o.covered for o in observations])
    pattern = (covered * (1 << np.arange(len(observations)))[:, None]).sum(axis=0)
    logs = np.log(weights)
    for bits in np.unique(pattern):
        seen = [i for i in range(len(observations)) if bits >> i & 1]
        if seen:
            where = np.flatnonzero(pattern == bits)
            logs[:, where] += _log_densities(signals, flat[seen][:, where], seen)
    logs -= logs.max(axis=0)
    probabilities = np.exp(logs)
    # relative to the likeliest: a broad class's long shot must not widen a voxel that the inputs have spoken about
    probabilities[(probabilities < _NEGLIGIBLE) & (pattern > 0)] = 0.0
    return probabilities / probabilities.sum(axis=0)


def _log_densities(signals: ClassSignals, values: np.ndarray, seen: list[int]) -> np.ndarray:
    """Gaussian log-density of each class (K, N) at ``values`` (n seen inputs, N)."""
    logs = np.empty((len(signals.means), values.shape[1]), dtype=np.float32)
    for k, (mean, covariance) in enumerate(zip(signals.means[:, seen], signals.covariances[:, seen][:, :, seen], strict=True)):
        root = np.linalg.cholesky(covariance)
        white = np.linalg.inv(root).astype(np.float32) @ (values - mean[:, None].astype(np.float32))
        logs[k] = -0.5 * np.einsum("nv,nv->v", white, white) - np.log(np.diag(root)).sum()
    return logs


_UPPER = ([0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2])


def gaussian_prior(classes: TissueClasses, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The Gaussian of the same mean and covariance as each voxel's mixture: mean (3, N) and precision (6, N), float32."""
    centre = classes.means[: classes.pure].mean(axis=0)  # moments about a point nearby keep float32 exact
    apart = classes.means - centre
    second = classes.covariances + apart[:, :, None] * apart[:, None, :]
    offset = apart.T.astype(np.float32) @ probabilities
    moments = second[:, _UPPER[0], _UPPER[1]].T.astype(np.float32) @ probabilities
    covariance = moments - offset[_UPPER[0]] * offset[_UPPER[1]]
    return offset + centre[:, None].astype(np.float32), invert_symmetric(covariance)


def mean_uncertainty(classes: TissueClasses, probabilities: np.ndarray) -> np.ndarray:
    """Covariance (6, N) that the uncertainty of the tissue means and gains adds to each voxel's."""
    return classes.extra[:, _UPPER[0], _UPPER[1]].T.astype(np.float32) @ probabilities
