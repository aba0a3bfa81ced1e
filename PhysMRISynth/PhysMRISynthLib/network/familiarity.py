"""Out-of-distribution score: how far a head, as the network sees it, is from its training heads.

A few features describe a head: the latent's mean over the brain, and the amounts of the tissues with their certainty. Their Mahalanobis
distance to simulated training heads is given in units of a limit from other simulated heads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import WeightsError
from ..physics.tissues import tissue_table
from .head_view import Inference

POPULATIONS = ("latent_one", "latent_several", "tissues_one", "tissues_several")
"""Feature sets with a distance: the latent of one input and of several together, and the tissues from one input and from several."""
_BRAIN = (*(row for row, tissue in enumerate(tissue_table()) if tissue.region == "brain"), len(tissue_table()))
_SHARES = tuple([tissue.name for tissue in tissue_table()].index(name) for name in ("white_matter", "cortex", "csf"))
_QUANTILE_Z = 2.576
"""Of the normal distribution at 99.5 %."""
_LEAST_VARIANCE = 1e-8


@dataclass(frozen=True)
class Population:
    """Heads of one kind: ``mean`` (K,) and ``covariance`` (K, K) of their features, and the ``limit`` of their distance."""

    mean: np.ndarray
    covariance: np.ndarray
    limit: float = 1.0

    @cached_property
    def _precision(self) -> np.ndarray:
        return np.linalg.inv(self.covariance.astype(np.float64))

    def distance(self, numbers: np.ndarray) -> float:
        """Mahalanobis distance of a head's features ``numbers`` (K,), 1 at the limit."""
        away = np.asarray(numbers, dtype=np.float64) - self.mean
        return float(np.sqrt(max(away @ self._precision @ away, 0.0)) / self.limit)


Familiarity = Mapping[str, Population]
"""Populations by the names of POPULATIONS."""


@dataclass(frozen=True)
class Distances:
    """Distances of a head from the training heads, 1 at the limit: of the latent of each of the ``inputs`` (in their order) and, if there
    are several, of all ``together``; and of the ``tissues``: their amounts, shape and certainty."""

    inputs: tuple[float, ...]
    together: float | None
    tissues: float


def distances_of(familiarity: Familiarity, numbers: Mapping[str, np.ndarray]) -> Distances:
    """The distances of a head with the features ``numbers`` from populations of training heads."""
    inputs = tuple(familiarity["latent_one"].distance(row) for row in numbers["latent_one"])
    several = {name: familiarity[name].distance(numbers[name]) for name in POPULATIONS[1:] if name in numbers}
    return Distances(inputs, several.get("latent_several"), several["tissues_one" if len(inputs) == 1 else "tissues_several"])


def head_numbers(seen: Inference) -> dict[str, np.ndarray]:
    """The features of a head by the names of its populations: ``latent_one`` (inputs, K); and of all inputs together ``tissues_one`` (K,),
    or, if there are several, ``latent_several`` (K,) and ``tissues_several`` (K,)."""
    sampled = _at_latent_positions(seen)
    brain = sampled[list(_BRAIN)].sum(axis=0)
    share = brain / max(float(brain.sum()), 1e-6)
    means = np.einsum("iczyx,zyx->ic", seen.latents, share, optimize=True).astype(np.float64)
    inputs = max(1, len(means) - 1)
    numbers = {"latent_one": means[:inputs], f"tissues_{'one' if inputs == 1 else 'several'}": _tissue_numbers(sampled, share, seen.factor)}
    return numbers | ({"latent_several": means[-1]} if inputs > 1 else {})


def _at_latent_positions(seen: Inference) -> np.ndarray:
    """Probabilities at the centre of every latent position (classes, *latent): one voxel in ``factor``³ is enough, and faster."""
    sizes = zip(seen.probabilities.shape[1:], seen.latents.shape[2:], strict=True)
    middles = [np.minimum(seen.factor // 2 + seen.factor * np.arange(count), n - 1) for n, count in sizes]
    return seen.probabilities[np.ix_(range(len(seen.probabilities)), *middles)]


def _tissue_numbers(probabilities: np.ndarray, share: np.ndarray, factor: int) -> np.ndarray:
    """Mean entropy in the brain, log volume (ml) of brain, log shares of white matter, cortex and fluid, and the log of the brain's radius
    of gyration over the cube root of its volume (K,); ``share`` is each position's part of the brain."""
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-7))).sum(axis=0)
    volumes = probabilities.sum(axis=(1, 2, 3), dtype=np.float64) * factor**3 / 1000.0
    brain = volumes[list(_BRAIN)].sum() + 1.0
    axes = np.ogrid[tuple(slice(0, n) for n in share.shape)]
    spread = sum(float((share * (axis - (share * axis).sum()) ** 2).sum()) for axis in axes) * factor**2
    radius = 0.5 * np.log(spread + 1.0) - np.log(1000.0 * brain) / 3.0
    return np.array([(share * entropy).sum(), np.log(brain), *np.log((volumes[list(_SHARES)] + 1.0) / brain), radius])


def population_of(numbers: np.ndarray, heads: Sequence[str], held_out: Sequence[np.ndarray] | np.ndarray) -> Population:
    """Population of training heads (``numbers`` (N, K) of ``heads`` (N,)), with its limit from ``held_out`` (M, K) and from
    leave-one-out distances of the training heads: the 99.5th percentile of a log-normal distribution of the distances.

    Raises WeightsError when there are too few heads.
    """
    everyone = _moments(numbers)
    names = np.asarray(heads)
    distances = [everyone.distance(row) for row in held_out]
    for name in dict.fromkeys(heads):
        others = _moments(numbers[names != name])
        distances += [others.distance(row) for row in numbers[names == name]]
    logs = np.log(distances)
    return Population(everyone.mean, everyone.covariance, float(np.exp(logs.mean() + _QUANTILE_Z * logs.std())))


def _moments(numbers: np.ndarray) -> Population:
    """Mean and covariance, with correlations shrunk towards 0 by their estimated variance (Schäfer & Strimmer, Stat Appl Genet
    Mol Biol 4:32, 2005)."""
    count = len(numbers)
    if count < 3:
        raise WeightsError(f"{count} simulated heads are too few for an out-of-distribution score. Simulate more.")
    mean = numbers.mean(axis=0)
    sd = np.sqrt(np.maximum(numbers.var(axis=0, ddof=1), _LEAST_VARIANCE))
    scaled = (numbers - mean) / sd
    products = np.einsum("ni,nj->nij", scaled, scaled)
    correlations = products.sum(axis=0) / (count - 1)
    scatter = count / (count - 1) ** 3 * ((products - products.mean(axis=0)) ** 2).sum(axis=0)
    apart = ~np.eye(len(mean), dtype=bool)
    shrinkage = min(1.0, scatter[apart].sum() / max((correlations[apart] ** 2).sum(), 1e-12))
    shrunk = np.where(apart, (1.0 - shrinkage) * correlations, 1.0)
    return Population(mean, shrunk * np.outer(sd, sd))


def familiarity_arrays(familiarity: Familiarity) -> dict[str, np.ndarray]:
    """The populations as float32 arrays by name, for a file; the inverse of :func:`familiarity_from`."""
    return {
        f"{name}.{part}": np.asarray(getattr(population, part), dtype=np.float32)
        for name, population in familiarity.items()
        for part in ("mean", "covariance", "limit")
    }


def familiarity_from(arrays: Mapping[str, np.ndarray]) -> Familiarity | None:
    """Populations from a file's arrays, or None if it has none. Raises WeightsError when they are incomplete or impossible."""
    if not arrays:
        return None
    try:
        found = {
            name: Population(arrays[f"{name}.mean"], arrays[f"{name}.covariance"], float(arrays[f"{name}.limit"])) for name in POPULATIONS
        }
        for name, population in found.items():
            np.linalg.cholesky(population.covariance.astype(np.float64))
            if population.covariance.shape != (population.mean.size,) * 2 or not population.limit > 0:
                raise ValueError(f"{name} contradicts itself")
    except (LookupError, ValueError, TypeError, np.linalg.LinAlgError) as error:
        raise WeightsError(f"The weights' statistics of the training heads are damaged ({error}). Reinstall the extension.") from None
    return found
