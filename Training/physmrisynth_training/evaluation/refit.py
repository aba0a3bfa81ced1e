"""Baselines of an estimate: images of the prior alone, without a voxel fit, and a fit without the tissue prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from PhysMRISynthLib.fitting.mixture import literature_classes
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.fitting.voxelwise import fit_voxels
from PhysMRISynthLib.imaging.head.atlas import atlas_on_grid
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.noise_level import noise_level
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.chunks import for_each_chunk
from PhysMRISynthLib.workflow.estimation.estimate import Estimate

_CHUNK = 1 << 16
BROAD_MEDIAN = np.log(np.array([0.75, 1000.0, 100.0], dtype=np.float32))
"""PD fraction, T1 and T2 in ms: T1 and T2 are the medians of the paper's log-normal prior (Bojórquez et al., Magn Reson Imaging
35:69, 2017)."""
BROAD_LOG_SD = 1.0
"""A factor of e either way, the same everywhere: it bounds undetermined values without knowledge of tissues."""


def fields_at(estimate: Estimate, voxels: np.ndarray) -> list[np.ndarray]:
    """The fitted receive field of each input at ``voxels`` (indices into the flattened grid), N values each."""
    spacing = estimate.maps.grid.GetSpacing()[::-1]
    positions = np.stack(np.unravel_index(voxels, estimate.maps.mask.shape), axis=1) * np.array(spacing)
    return estimate.head.fields(estimate.head.basis.evaluate(positions.astype(np.float32)))


def fitted_protocol(acquisition: Acquisition, estimate: Estimate) -> Protocol:
    """The input's protocol, with the fitted echo time if its own was uncertain."""
    nothing = np.empty(0, dtype=np.float32)
    observation = Observation(acquisition.name, acquisition.protocol, nothing, 0.0, nothing.astype(bool))
    return estimate.head.level.adapt([observation])[0].protocol


def expected_maps(estimate: Estimate) -> np.ndarray:
    """PD (fraction), T1 and T2 (ms) of the prior alone, float32 (3, z, y, x), 0 outside the head: log PD, log T1 and log T2 are the sums of
    the tissues' literature values weighted by their prior probabilities.

    The probabilities are the network's if it was the prior, else those of the aligned atlas.
    """
    voxels = np.flatnonzero(estimate.maps.mask)
    fractions = _expected_fractions(estimate, voxels)
    means = _class_means(estimate.head.field_strength, len(fractions))
    maps = np.zeros((3, estimate.maps.mask.size), dtype=np.float32)

    def work(piece: slice) -> None:
        weights = fractions[:, piece].astype(np.float32)
        maps[:, voxels[piece]] = np.exp(means.T @ (weights / np.maximum(weights.sum(axis=0), 1.0)))

    for_each_chunk(voxels.size, _CHUNK, work)
    return maps.reshape(3, *estimate.maps.mask.shape)


def expected_images(estimate: Estimate, acquisitions: Sequence[Acquisition]) -> dict[str, np.ndarray]:
    """Each input rendered from :func:`expected_maps`, (z, y, x) at unit gain, under its protocol and the fitted receive field."""
    voxels = np.flatnonzero(estimate.maps.mask)
    maps = expected_maps(estimate).reshape(3, -1)
    protocols = [fitted_protocol(a, estimate) for a in acquisitions]
    images = {a.name: np.zeros(estimate.maps.mask.size, dtype=np.float32) for a in acquisitions}

    def work(piece: slice) -> None:
        where = voxels[piece]
        pd, t1, t2 = maps[:, where]
        for image, protocol, field in zip(images.values(), protocols, fields_at(estimate, where), strict=True):
            image[where] = protocol.signal(pd, t1, t2) * field

    for_each_chunk(voxels.size, _CHUNK, work)
    return {name: image.reshape(estimate.maps.mask.shape) for name, image in images.items()}


def _expected_fractions(estimate: Estimate, voxels: np.ndarray) -> np.ndarray:
    """Expected tissue fractions (tissues, or tissues + 1 with lesions; N), uint8."""
    if estimate.network is not None:
        return estimate.network.fractions
    return atlas_on_grid(estimate.placement, estimate.maps.grid, voxels)


def _class_means(field_strength: float, count: int) -> np.ndarray:
    """Literature θ (count, 3) of the tissues and, if included, of lesions."""
    classes = literature_classes(field_strength)
    return np.concatenate([classes.means[: classes.pure], classes.means[-1:]])[:count].astype(np.float32)


def fit_without_prior(estimate: Estimate, acquisitions: Sequence[Acquisition], brain: np.ndarray) -> np.ndarray:
    """PD (fraction), T1 and T2 (ms) in the mask ``brain``, float32 (3, N), from a fit without tissue knowledge.

    Every voxel is fitted under the same broad log-normal prior (a factor of e about PD 0.75, T1 1 s, T2 0.1 s). Gains, receive fields
    and echo times are those of ``estimate``: without them proton density cannot be separated from brightness.
    """
    voxels = np.flatnonzero(brain)
    observations = estimate.head.adapted([_observation(a, estimate, voxels) for a in acquisitions])
    values = np.empty((3, voxels.size), dtype=np.float32)
    precision = np.zeros((6, 1), dtype=np.float32)
    precision[[0, 3, 5]] = 1.0 / BROAD_LOG_SD**2

    def work(piece: slice) -> None:
        count = voxels[piece].size
        gains = [np.float32(g) * f for g, f in zip(estimate.head.gains, fields_at(estimate, voxels[piece]), strict=True)]
        median = np.repeat(BROAD_MEDIAN[:, None], count, axis=1)
        theta, _ = fit_voxels([o.at(piece) for o in observations], gains, median, np.repeat(precision, count, axis=1), iterations=20)
        values[:, piece] = np.exp(theta)

    for_each_chunk(voxels.size, _CHUNK, work)
    return values


def _observation(acquisition: Acquisition, estimate: Estimate, voxels: np.ndarray) -> Observation:
    image, covered = estimate.inputs[acquisition.name], estimate.alignments[acquisition.name].covered
    noise = noise_level(image, estimate.maps.mask & covered)
    return Observation(acquisition.name, acquisition.protocol, image.reshape(-1)[voxels], noise, covered.reshape(-1)[voxels])
