"""The literature prior: tissue classes in θ = (log PD, log T1, log T2), their mixtures at boundaries, and which voxel is which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import erf
from typing import NamedTuple

import numpy as np

from ..physics.arrays import Array, like, namespace, on_host
from ..physics.tissues import Tissue, tissue_table
from .observation import Observation, coverage_patterns
from .voxelwise import invert_symmetric, predict, signed_signal

WITHIN_CORRELATION = 0.5
"""Inside a tissue PD, T1 and T2 rise and fall together with its water content."""
PARTIAL_VOLUMES = (
    ("white_matter", "cortex", 1), ("white_matter", "deep_grey", 1),
    ("cortex", "csf", 3), ("white_matter", "csf", 3), ("csf", "bone", 3), ("cortex", "bone", 3),
)  # fmt: skip
"""Tissues that share voxels, and into how many classes of different shares: where signals are far apart, or of opposite sign, one class of
all shares would look like anything. Bone stands for dura too, which is as dark."""
_PARTIAL_VOLUME_WEIGHT = 0.25
_OUTLIER_WEIGHT = 0.01
_ATLAS_TRUST = 0.98
_NEGLIGIBLE = 0.05
_LOCAL_TISSUES = ("deep_grey", "thalamus")
"""Nuclei have their place: unlike other tissues they are not expected where the atlas does not know them."""
_ANYWHERE = ("blood",)
"""Of what is not brain, vessels alone run deep inside it."""
_HARDLY, _ROUNDING = 1e-4, 0.01
"""Fractions come in 255 steps: their sum misses 1 by so much."""
_OUTLIER = Tissue(
    "other", "Anything else (lesions)", "brain", (), np.log([0.82, 1350.0, 130.0]), np.zeros(3), np.array([0.15, 0.35, 0.5]), ()
)


class Mixture(NamedTuple):
    """Voxels of two tissues, rows ``first`` and ``second`` of the table: of the first one ``share`` of the volume, give or take half a
    ``width``."""

    first: int
    second: int
    share: float
    width: float

    def theta(self, means: np.ndarray, share: float) -> np.ndarray:
        """θ (3,) of a voxel with this ``share`` of the first tissue, between tissues of ``means`` (tissues, 3).

        Water adds up; a signal begins to recover and to fall at the mean rate of its parts, each counted by its water.
        """
        pd, t1, t2 = np.exp(means[[self.first, self.second]]).T
        water = np.array([share, 1.0 - share]) * pd
        return np.log([water.sum(), water.sum() / (water / t1).sum(), water.sum() / (water / t2).sum()])

    def of(self, values: np.ndarray) -> np.ndarray:
        """The mean of the two tissues' ``values`` (tissues, …), by their shares."""
        return self.share * values[self.first] + (1.0 - self.share) * values[self.second]

    def reached(self, means: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        """Covariance (3, 3) of the voxel's θ from those of its tissues (tissues, 3, 3): each has a say by its part of the water and of
        the rates, which is little for the T2 of fluid, and for all of bone."""
        pd, t1, t2 = np.exp(means[[self.first, self.second]]).T
        water = np.array([self.share, 1.0 - self.share]) * pd
        parts = np.stack([part / part.sum() for part in (water, water / t1, water / t2)])  # of water, of 1/T1, of 1/T2
        found = np.zeros((3, 3))
        for row, (p, q1, q2) in zip((self.first, self.second), parts.T, strict=True):
            slope = np.array([[p, 0.0, 0.0], [p - q1, q1, 0.0], [p - q2, 0.0, q2]])
            found += slope @ covariances[row] @ slope.T
        return found

    def between(self, means: np.ndarray, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (3,) and covariance (3, 3) of θ in such voxels."""
        half = self.width / 2.0
        apart = self.theta(means, self.share + half) - self.theta(means, self.share - half)
        return self.theta(means, self.share), self.reached(means, covariances) + np.outer(apart, apart) / 12.0


@dataclass(frozen=True)
class TissueClasses:
    """K Gaussian classes in θ: ``means`` (K, 3), within-head ``covariances`` (K, 3, 3), ``extra`` (K, 3, 3) the uncertainty of the means.

    The first ``pure`` ones are the tissue table's rows; then come the ``mixtures`` of two, and last a broad class for lesions.
    """

    names: tuple[str, ...]
    means: np.ndarray
    covariances: np.ndarray
    extra: np.ndarray
    mixtures: tuple[Mixture, ...]

    @property
    def pure(self) -> int:
        """How many classes are single tissues."""
        return len(self.names) - len(self.mixtures) - 1

    def with_means(self, pure_means: np.ndarray, extra: np.ndarray, other: np.ndarray | None = None) -> TissueClasses:
        """The classes moved to other tissue means (pure, 3), whose uncertainty is ``extra`` (pure, 3, 3); mixtures follow. That of the
        class for lesions becomes ``other`` (3, 3), if given."""
        means, covariances, uncertain = self.means.copy(), self.covariances.copy(), self.extra.copy()
        means[: self.pure], uncertain[: self.pure] = pure_means, extra
        for row, mixture in enumerate(self.mixtures, start=self.pure):
            means[row], covariances[row] = mixture.between(means, covariances)
            uncertain[row] = mixture.reached(means, uncertain)
        if other is not None:
            uncertain[-1] = other
        return replace(self, means=means, covariances=covariances, extra=uncertain)

    def at_theta(self, rows: Sequence[int], theta: np.ndarray) -> TissueClasses:
        """The classes with the tissues of these ``rows`` at other values ``theta`` (rows, 3); mixtures follow."""
        means = self.means[: self.pure].copy()
        means[list(rows)] = theta
        return self.with_means(means, self.extra[: self.pure])

    def shares(self, rows: Sequence[int]) -> np.ndarray:
        """How much of a voxel of each class (K,) is of the tissues of these ``rows``; lesions are the brain's."""
        pure = np.isin(np.arange(self.pure), rows).astype(float)
        return np.array([*pure, *(mixture.of(pure) for mixture in self.mixtures), 1.0])

    def with_spread(self, scales: np.ndarray) -> TissueClasses:
        """The classes with the within-head covariance of each single tissue multiplied by ``scales`` (pure,); mixtures follow."""
        covariances = self.covariances.copy()
        covariances[: self.pure] *= scales[:, None, None]
        return replace(self, covariances=covariances).with_means(self.means[: self.pure], self.extra[: self.pure])

    def weights(self, atlas: Array, settled: bool = False) -> Array:
        """Prior probability of each class (K, N) from tissue fractions (pure, N), with those of lesions (pure + 1, N) where known.

        ``settled``: the head's level is fitted, so that fluid deep in the brain need no longer be taken for what is not brain. Before, that
        doubt keeps voxels of several tissues out of a tissue's mean.
        """
        atlas, lesion = atlas[: self.pure], atlas[self.pure :].sum(axis=0)
        brain = [k for k, tissue in enumerate(tissue_table()) if tissue.region == "brain"]
        trusted = _ATLAS_TRUST * atlas + (1.0 - _ATLAS_TRUST) * self._anywhere(atlas[brain].sum(axis=0) + lesion, settled) / len(atlas)
        mixed = [_PARTIAL_VOLUME_WEIGHT * m.width * _both(trusted[m.first], trusted[m.second]) for m in self.mixtures]
        other = _OUTLIER_WEIGHT * trusted[brain].sum(axis=0) + _ATLAS_TRUST * lesion
        weights = namespace(trusted).stack([*trusted, *mixed, other])
        return weights / weights.sum(axis=0)

    def _anywhere(self, inside: Array, settled: bool) -> Array:
        """How far each tissue (pure, N) may be where the atlas does not expect it, ``inside`` (N,) being its probability of brain."""
        xp = namespace(inside)
        outside = (1.0 - _ROUNDING - inside).clip(min=_HARDLY) if settled else xp.ones_like(inside)
        shares = []
        for tissue in tissue_table():
            of_the_head = tissue.region != "brain" and tissue.name not in _ANYWHERE
            shares.append(outside if of_the_head else xp.full_like(outside, _HARDLY if tissue.name in _LOCAL_TISSUES else 1.0))
        return xp.stack(shares)


def _both(one: Array, other: Array) -> Array:
    """4pq/(p+q) of the probabilities p and q of two tissues: 1 at p = q = ½, 0 where either is 0."""
    return 4.0 * one * other / (one + other)


def literature_classes(field_strength: float) -> TissueClasses:
    """The classes of the tissue table at a field strength in tesla, before they are adapted to a head."""
    table = tissue_table(field_strength)
    names = [tissue.name for tissue in table]
    mixtures = tuple(
        Mixture(names.index(a), names.index(b), (k + 0.5) / count, 1.0 / count) for a, b, count in PARTIAL_VOLUMES for k in range(count)
    )
    rows = [*table, *(table[mixture.first] for mixture in mixtures), _OUTLIER]
    correlation = np.full((3, 3), WITHIN_CORRELATION) + (1 - WITHIN_CORRELATION) * np.eye(3)
    covariances = np.stack([np.outer(t.within_head, t.within_head) * correlation for t in rows])
    means = np.stack([t.theta for t in rows])
    titles = (*names, *(f"{names[m.first]}/{names[m.second]} {m.share:.0%}" for m in mixtures), _OUTLIER.name)
    classes = TissueClasses(titles, means, covariances, np.zeros_like(covariances), mixtures)
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
    """Signals of the classes under the inputs' equations, ``gains`` (n,) or, where they differ among classes, (n, K).

    Their spread is the tissue's, the noise's and the equation's, and a relative ``slack`` while gains and fields are still in doubt.
    """
    signals = tissue_signals(classes.means, classes.covariances, observations, gains, slack)
    signed = np.stack([signed_signal(o, classes.means.T, np.asarray(g)) for o, g in zip(observations, gains, strict=True)], axis=1)
    put_mixtures(classes, signals.means, signals.covariances, signed, observations)
    return signals


def tissue_signals(
    theta: np.ndarray, covariances: np.ndarray, observations: Sequence[Observation], gains: np.ndarray, slack: float = 0.0
) -> ClassSignals:
    """:func:`class_signals` of single tissues: ``theta`` (K, 3) and its ``covariances`` (K, 3, 3)."""
    slopes, means = np.zeros((len(theta), len(observations), 3)), np.zeros((len(theta), len(observations)))
    for i, (observation, gain) in enumerate(zip(observations, gains, strict=True)):
        means[:, i], derivatives = predict(observation, theta.T, np.asarray(gain))
        for j, derivative in enumerate(derivatives):
            if derivative is not None:
                slopes[:, i, j] = derivative
    noise = np.array([o.noise**2 for o in observations])
    errors = np.array([o.model_error for o in observations])
    spreads = slopes @ covariances @ slopes.transpose(0, 2, 1)
    return ClassSignals(means, spreads + _diagonals(noise + ((2.0 * errors + slack) * means) ** 2), spreads)


def put_mixtures(
    classes: TissueClasses, means: np.ndarray, covariances: np.ndarray, signed: np.ndarray, observations: Sequence[Observation]
) -> list[np.ndarray]:
    """Write the signals of the mixtures into ``means`` (K, n) and ``covariances`` (K, n, n), from those of the single tissues, which are
    there, and their ``signed`` signals. Returns each mixture's derivative (n,) by its signed mean; 0 in ratio images."""
    adds = np.array([o.protocol.sequence.uses_pd for o in observations])  # the ratio of two images does not: it stays one tissue's
    both, neither = np.outer(adds, adds), np.outer(~adds, ~adds)
    slopes = []
    for row, mixture in enumerate(classes.mixtures, start=classes.pure):
        mean, covariance, slope = mixed_signals(mixture, signed, observations)
        means[row] = np.where(adds, mean, means[row])
        summed = np.where(both, mixture.of(covariances) + covariance, 0.0)
        covariances[row] = summed + np.where(neither, covariances[row], 0.0)
        slopes.append(adds * slope)
    return slopes


def mixed_signals(mixture: Mixture, signed: np.ndarray, observations: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (n,) of the signals of voxels of two tissues, their covariance (n, n) over the shares, and the mean's derivative (n,) by the
    signed mean, from the tissues' ``signed`` signals (tissues, n).

    Parts add up with their signs; in magnitude images the sum loses its own (mean of a normal variable's magnitude, and its slope:
    Leone et al., Technometrics 3:543, 1961), and the noise lifts what is left.
    """
    middle = mixture.of(signed)
    apart = mixture.width * (signed[mixture.first] - signed[mixture.second])
    sd = np.maximum(np.abs(apart) / np.sqrt(12.0), 1e-9 * (1.0 + np.abs(middle)))
    slope = np.array([erf(x) for x in middle / (np.sqrt(2.0) * sd)])
    folded = sd * np.sqrt(2.0 / np.pi) * np.exp(-0.5 * (middle / sd) ** 2) + middle * slope
    magnitude = np.array([not o.protocol.sequence.signed for o in observations])
    noise = np.array([o.noise for o in observations])
    apart = np.where(magnitude, slope, 1.0) * apart
    lost = np.where(magnitude, np.maximum(middle**2 + sd**2 - folded**2 - apart**2 / 12.0, 0.0), 0.0)
    covariance = np.outer(apart, apart) / 12.0 + np.diag(lost)
    lifted = np.hypot(folded, noise)
    return np.where(magnitude, lifted, middle), covariance, np.where(magnitude, slope * folded / np.maximum(lifted, 1e-30), 1.0)


def _diagonals(values: np.ndarray) -> np.ndarray:
    return values[..., None] * np.eye(values.shape[-1])


def responsibilities(signals: ClassSignals, observations: Sequence[Observation], fields: Sequence[Array], weights: Array) -> Array:
    """Probability of each class (K, N) given the inputs divided by their ``fields`` (N,), and the prior ``weights`` (K, N).

    Voxels that an input does not cover are judged by the others alone.
    """
    xp = namespace(weights)
    flat = xp.stack([o.signal / f for o, f in zip(observations, fields, strict=True)])
    covered = xp.stack([o.covered for o in observations])
    logs = xp.log(weights)
    for seen, where in coverage_patterns(on_host(covered)):
        logs[:, where] += _log_densities(signals, flat[seen][:, where], seen)
    logs -= xp.amax(logs, 0)
    # relative to the likeliest: a broad class's long shot must not widen a voxel that the inputs have spoken about
    probabilities = xp.exp(logs)
    probabilities *= (probabilities >= _NEGLIGIBLE) | ~covered.any(axis=0)
    probabilities /= probabilities.sum(axis=0)
    return probabilities


def _log_densities(signals: ClassSignals, values: Array, seen: np.ndarray) -> Array:
    """Gaussian log-density of each class (K, N) at ``values`` (n seen inputs, N)."""
    inverse = np.linalg.inv(signals.covariances[:, seen[:, None], seen])
    logs = squared_distances(signals.means[:, seen], inverse, values)
    logs *= -0.5
    logs += like(0.5 * np.linalg.slogdet(inverse)[1][:, None], values)
    return logs


def squared_distances(means: np.ndarray, inverse: np.ndarray, values: Array) -> Array:
    """Of ``values`` (n, N) from classes with ``means`` (K, n) and ``inverse`` covariances (K, n, n), in SDs: (K, N)."""
    roots = np.linalg.cholesky(inverse).transpose(0, 2, 1)
    white = like(roots.reshape(-1, means.shape[1]), values) @ values
    white -= like(np.einsum("kij,kj->ki", roots, means).reshape(-1, 1), values)
    white *= white
    return white.reshape(*means.shape, -1).sum(axis=1)


_UPPER = ([0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2])


def gaussian_prior(classes: TissueClasses, probabilities: Array) -> tuple[Array, Array]:
    """The Gaussian of the same mean and covariance as each voxel's mixture: mean (3, N) and precision (6, N), float32."""
    centre = classes.means[: classes.pure].mean(axis=0)  # moments about a point nearby keep float32 exact
    apart = classes.means - centre
    second = classes.covariances + apart[:, :, None] * apart[:, None, :]
    offset = like(apart.T, probabilities) @ probabilities
    moments = like(second[:, _UPPER[0], _UPPER[1]].T, probabilities) @ probabilities
    covariance = moments - offset[_UPPER[0]] * offset[_UPPER[1]]
    return offset + like(centre[:, None], probabilities), invert_symmetric(covariance)


def mean_uncertainty(classes: TissueClasses, probabilities: Array) -> Array:
    """Covariance (6, N) that the uncertainty of the tissue means and gains adds to each voxel's."""
    return like(classes.extra[:, _UPPER[0], _UPPER[1]].T, probabilities) @ probabilities
