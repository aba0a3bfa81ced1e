"""Voxels of tissue and fluid: one (PD, T1, T2) cannot explain a T1w, a T2w and a FLAIR image of them at once, two compartments can.

A voxel holds the share s of fluid, whose signals the head level knows, and a tissue of its own θ:
y_i = | (1 − s)·g_i F_i f_i(θ) + s·F_i μ_i |. Both are fitted under the priors that the classes of such voxels give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..physics.arrays import Array, like, namespace, on_host
from ..physics.dual import exp, sqrt
from .head import HeadModel
from .mixture import gaussian_prior
from .observation import Observation
from .tissue_level import brain_rows, fluid_row
from .voxelwise import fit_voxels, predict, signed_signal

_ROUNDS, _STEPS = 4, 3
_LEAST_PROBABILITY = 0.02
"""Below, a voxel is fitted as one compartment; what two would change counts by their probability, which is as little there."""
_LEAST_SD = 0.03
_FLUID_OF_OTHERS = 0.6
"""What is no tissue may hold fluid up to this share where fluid is near."""


@dataclass(frozen=True)
class FluidShares:
    """N voxels as two compartments: the ``probability`` that they are, the volume ``share`` of fluid, ``theta`` (3, N) of the whole voxel,
    and its ``predicted`` signals (inputs, N)."""

    probability: Array
    share: Array
    theta: Array
    predicted: Array


def mixed_with_fluid(head: HeadModel, expected: Array, assigned: Array) -> tuple[np.ndarray, np.ndarray]:
    """Which voxels (n indices) may hold tissue and fluid, and the probabilities (mixtures, n) of the classes that say so there.

    ``expected`` and ``assigned`` (K, N) are the probabilities of the classes before and after the inputs were seen.
    """
    mixed = assigned[_mixtures(head)[0]]
    mixed[-1] *= _near_fluid(head, expected)
    where = np.flatnonzero(on_host(mixed.sum(axis=0) > _LEAST_PROBABILITY))
    return where, on_host(mixed[:, where])


def fit_fluid_shares(head: HeadModel, observations: Sequence[Observation], fields: Sequence[Array], mixed: Array) -> FluidShares:
    """Fit N voxels that may hold tissue and fluid.

    ``fields`` of each input are (N,), ``mixed`` their probabilities as :func:`mixed_with_fluid` gives them. The tissue's part has its
    tissue's correction of the equations, whatever the voxel's share of fluid.
    """
    _, tissues, shares, widths = _mixtures(head)
    probability = mixed.sum(axis=0)
    inside = mixed / probability
    mean = like(shares, mixed) @ inside
    variance = like(shares**2 + widths**2 / 12.0, mixed) @ inside - mean**2 + _LEAST_SD**2
    whose = np.zeros((len(head.classes.names), len(tissues)))
    whose[tissues, np.arange(len(tissues))] = 1.0
    of_tissue = like(whose, mixed) @ inside
    prior_mean, prior_precision = gaussian_prior(head.classes, of_tissue)
    own = [float(g) * f * c for g, f, c in zip(head.gains, fields, head.corrected(of_tissue), strict=True)]
    fluid = [signal * f for signal, f in zip(_fluid_signals(head, observations), fields, strict=True)]
    share, theta = mean, prior_mean
    for _ in range(_ROUNDS):
        parts, offsets = _parts(own, 1.0 - share), _parts(fluid, share)
        theta, _ = fit_voxels(observations, parts, prior_mean, prior_precision, _STEPS, offsets, theta)
        share = _moved_share(observations, own, fluid, theta, share, mean, variance)
    parts, offsets = _parts(own, 1.0 - share), _parts(fluid, share)
    predicted = [predict(o, theta, g, offset)[0] for o, g, offset in zip(observations, parts, offsets, strict=True)]
    whole = joined(theta, share, head.level.theta[fluid_row()])
    return FluidShares(probability, share, whole, namespace(theta).stack(predicted))


def joined(theta: Array, share: Array, fluid: np.ndarray) -> Array:
    """θ (3, N) of voxels with the volume ``share`` (N,) of fluid, θ ``fluid`` (3,), and tissue of ``theta`` (3, N).

    Water adds up, and rates count by their compartments' water: what the three maps mean in such a voxel.
    """
    tissue, water = exp(theta), np.exp(fluid).tolist()
    own, other = (1.0 - share) * tissue[0], share * water[0]
    total = own + other
    xp = namespace(theta)
    return xp.log(xp.stack([total, *(total / (own / tissue[j] + other / water[j]) for j in (1, 2))]))


def _mixtures(head: HeadModel) -> tuple[list[int], list[int], np.ndarray, np.ndarray]:
    """The classes of tissue and fluid: their rows, their tissues, the shares of fluid and the widths of these."""
    fluid = brain_rows()[fluid_row()]
    found = []
    for row, mixture in enumerate(head.classes.mixtures, start=head.classes.pure):
        if mixture.second == fluid and mixture.first in brain_rows():
            found.append((row, mixture.first, 1.0 - mixture.share, mixture.width))
    other = len(head.classes.names) - 1
    found.append((other, other, _FLUID_OF_OTHERS / 2.0, _FLUID_OF_OTHERS))
    rows, tissues, shares, widths = zip(*found, strict=True)
    return list(rows), list(tissues), np.array(shares, dtype=np.float32), np.array(widths, dtype=np.float32)


def _near_fluid(head: HeadModel, expected: Array) -> Array:
    """How far what is no tissue (N,) is fluid with something else, as at the brain's surface, rather than a lesion: whether fluid is
    ``expected`` there, or a lesion."""
    fluid = head.classes.shares([brain_rows()[fluid_row()]])
    fluid[-1] = 0.0
    wet = like(fluid, expected) @ expected
    return wet / (wet + expected[-1])


def _fluid_signals(head: HeadModel, observations: Sequence[Observation]) -> list[float]:
    """Signed signal of fluid in each input at unit field, as large as the head level found it."""
    theta = head.level.theta[fluid_row()][:, None]
    row = brain_rows()[fluid_row()]
    signs = [np.sign(signed_signal(o, theta, np.asarray(1.0))[0]) for o in observations]
    found = head.looks.means[row]
    return [
        float(value if o.protocol.sequence.signed else sign * np.sqrt(max(value**2 - o.noise**2, 0.0)))
        for o, sign, value in zip(observations, signs, found, strict=True)
    ]


def _parts(values: Sequence[Array], share: Array) -> list[Array]:
    return [value * share for value in values]


def _moved_share(
    seen: Sequence[Observation], own: Sequence[Array], fluid: Sequence[Array], theta: Array, share: Array, mean: Array, variance: Array
) -> Array:
    """One Gauss–Newton step of the share of fluid."""
    slope, curvature = (share - mean) / variance, 1.0 / variance
    for observation, gain, offset in zip(seen, own, fluid, strict=True):
        if not observation.protocol.sequence.uses_pd:
            continue  # the ratio of two images is not the sum of its parts
        tissue = signed_signal(observation, theta, gain)
        total = (1.0 - share) * tissue + share * offset
        signed = observation.protocol.sequence.signed
        value = total if signed else sqrt(total**2 + float(observation.noise) ** 2)
        turn = (offset - tissue) * (1.0 if signed else total / value)
        weight = observation.weight
        slope += weight * (value - observation.signal) * turn
        curvature += weight * turn**2
    return (share - slope / curvature).clip(0.0, 1.0)
