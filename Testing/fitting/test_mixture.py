"""The literature prior: which voxel is which tissue, and the Gaussian that stands for a voxel's mixture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.fitting.mixture import class_signals, gaussian_prior, literature_classes, mean_uncertainty, responsibilities
from PhysMRISynthLib.fitting.observation import Observation
from PhysMRISynthLib.fitting.voxelwise import signed_signal
from PhysMRISynthLib.physics.noise import add_noise
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.fitting.voxels import full, observe

CLASSES = literature_classes(3.0)
NAMES = [t.name for t in tissue_table()]
BRAIN = [k for k, t in enumerate(tissue_table()) if t.region == "brain"]


def _voxels(count: int, seed: int = 0) -> tuple[np.ndarray, list[Observation], list[np.ndarray], np.ndarray]:
    """Brain tissues (N,), inputs, fields and the weights of an atlas that knows only that this is brain."""
    rng = np.random.default_rng(seed)
    tissue = rng.choice(BRAIN, size=count)
    theta = CLASSES.means[tissue].T + 0.02 * rng.standard_normal((3, count))
    atlas = np.zeros((CLASSES.pure, count), dtype=np.float32)
    atlas[BRAIN] = 1.0 / len(BRAIN)
    observations = observe(theta.astype(np.float32), PROTOCOLS, relative_noise=0.01)
    return tissue, observations, [np.ones(count, dtype=np.float32)] * len(observations), CLASSES.weights(atlas)


def test_weights_and_responsibilities_are_probabilities() -> None:
    tissue, observations, fields, weights = _voxels(3000)
    signals = class_signals(CLASSES, observations, np.ones(3))
    assigned = responsibilities(signals, observations, fields, weights)
    for probabilities in (weights, assigned):
        assert probabilities.shape == (len(CLASSES.names), 3000)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, atol=1e-5)
    found = assigned[: CLASSES.pure].argmax(axis=0)
    for name in ("white_matter", "cortex", "csf"):
        here = tissue == NAMES.index(name)
        assert (found[here] == NAMES.index(name)).mean() > 0.75, name


def test_the_receive_field_is_divided_out() -> None:
    _, observations, fields, weights = _voxels(500)
    signals = class_signals(CLASSES, observations, np.ones(3))
    brighter = [Observation(o.name, o.protocol, o.signal * np.float32(1.3), o.noise, o.covered) for o in observations]
    same = responsibilities(signals, brighter, [f * np.float32(1.3) for f in fields], weights)
    np.testing.assert_allclose(same, responsibilities(signals, observations, fields, weights), atol=1e-3)


def test_an_input_that_does_not_cover_a_voxel_is_ignored_there() -> None:
    _, observations, fields, weights = _voxels(600)
    covered = np.arange(600) < 300
    *others, flair = observations
    partial = [*others, Observation("flair", flair.protocol, np.where(covered, flair.signal, 1e6), flair.noise, covered)]
    signals = class_signals(CLASSES, observations, np.ones(3))
    found = responsibilities(signals, partial, fields, weights)
    np.testing.assert_allclose(found[:, :300], responsibilities(signals, observations, fields, weights)[:, :300], atol=1e-5)
    two = responsibilities(class_signals(CLASSES, observations[:2], np.ones(2)), observations[:2], fields[:2], weights)
    np.testing.assert_allclose(found[:, 300:], two[:, 300:], atol=1e-4)


def test_where_nothing_is_covered_the_atlas_decides() -> None:
    _, observations, fields, weights = _voxels(20)
    blind = [Observation(o.name, o.protocol, o.signal, o.noise, np.zeros(20, dtype=bool)) for o in observations]
    np.testing.assert_allclose(responsibilities(class_signals(CLASSES, blind, np.ones(3)), blind, fields, weights), weights, atol=1e-6)


@pytest.mark.parametrize(
    "mixture", [{"white_matter": 1.0}, {"white_matter": 0.6, "cortex": 0.4}, {"cortex": 0.3, "csf": 0.5, "other": 0.2}], ids="+".join
)
def test_the_gaussian_has_the_moments_of_the_mixture(mixture: dict[str, float]) -> None:
    rng = np.random.default_rng(0)
    probabilities = np.zeros((len(CLASSES.names), 1), dtype=np.float32)
    samples = []
    for name, share in mixture.items():
        k = CLASSES.names.index(name)
        probabilities[k] = share
        samples.append(rng.multivariate_normal(CLASSES.means[k], CLASSES.covariances[k], size=round(share * 400_000)))
    drawn = np.concatenate(samples)
    mean, precision = gaussian_prior(CLASSES, probabilities)
    assert mean.dtype == precision.dtype == np.float32
    covariance = np.linalg.inv(full(precision)[0].astype(float))
    sd = drawn.std(axis=0)
    np.testing.assert_allclose(mean[:, 0], drawn.mean(axis=0), atol=0.01 * sd.max())
    np.testing.assert_allclose(covariance / np.outer(sd, sd), np.cov(drawn.T) / np.outer(sd, sd), atol=0.02)


def test_mixtures_follow_their_tissues() -> None:
    means = CLASSES.means[: CLASSES.pure].copy()
    white, cortex = NAMES.index("white_matter"), NAMES.index("cortex")
    means[white] += [0.0, 0.2, 0.1]
    moved = CLASSES.with_means(means, np.zeros((CLASSES.pure, 3, 3)))
    row = CLASSES.names.index("white_matter/cortex 50%")
    pd, t1, t2 = np.exp(means[[white, cortex]]).T
    halves = [pd.mean(), pd.sum() / (pd / t1).sum(), pd.sum() / (pd / t2).sum()]  # water adds up; rates are averaged by water
    np.testing.assert_allclose(np.exp(moved.means[row]), halves)
    np.testing.assert_array_equal(CLASSES.means[white], tissue_table()[white].theta)  # the original is as it was
    untouched = CLASSES.names.index("csf/bone 50%")
    np.testing.assert_allclose(moved.means[untouched], CLASSES.means[untouched])


@pytest.mark.parametrize("name", ["white_matter/cortex 50%", "cortex/csf 50%", "cortex/bone 50%", "white_matter/csf 83%"])
def test_a_mixture_is_as_uncertain_as_its_parts_make_it(name: str) -> None:
    """Against draws of the tissues' values: fluid's doubtful T2 says little about a voxel that is half cortex, dura's water nothing."""
    rng = np.random.default_rng(0)
    row = CLASSES.names.index(name)
    mixture = CLASSES.mixtures[row - CLASSES.pure]
    extra = np.stack([0.3 * c for c in CLASSES.covariances[: CLASSES.pure]])
    moved = CLASSES.with_means(CLASSES.means[: CLASSES.pure], extra)
    for told, parts, width in ((moved.extra[row], extra, 0.0), (CLASSES.covariances[row], CLASSES.covariances, mixture.width)):
        shares = mixture.share + width * rng.uniform(-0.5, 0.5, 4000)
        ends = {k: rng.multivariate_normal(CLASSES.means[k], parts[k], shares.size) for k in (mixture.first, mixture.second)}
        means = CLASSES.means[: CLASSES.pure].copy()
        drawn = []
        for n, share in enumerate(shares):
            for k, values in ends.items():
                means[k] = values[n]
            drawn.append(mixture.theta(means, share))
        np.testing.assert_allclose(np.sqrt(np.diag(told)), np.std(drawn, axis=0), rtol=0.2, atol=0.003)


def test_brain_is_counted_by_its_share_of_a_voxel() -> None:
    shares = dict(zip(CLASSES.names, CLASSES.shares(BRAIN), strict=True))
    assert shares["cortex"] == shares["other"] == shares["cortex/csf 50%"] == 1.0 and shares["bone"] == 0.0
    assert shares["cortex/bone 17%"] == pytest.approx(1 / 6) and shares["csf/bone 83%"] == pytest.approx(5 / 6)


def test_classes_of_mixtures_leave_no_share_out() -> None:
    for pair in {(m.first, m.second) for m in CLASSES.mixtures}:
        classes = sorted((m for m in CLASSES.mixtures if (m.first, m.second) == pair), key=lambda m: m.share)
        edges = [(m.share - m.width / 2.0, m.share + m.width / 2.0) for m in classes]
        assert edges[0][0] == pytest.approx(0.0) and edges[-1][1] == pytest.approx(1.0)
        assert all(one[1] == pytest.approx(two[0]) for one, two in pairwise(edges))


@pytest.mark.parametrize("name", [name for name in CLASSES.names if "%" in name])
def test_signals_of_mixtures_are_those_of_two_tissues_in_a_voxel(name: str) -> None:
    """Against voxels drawn of the class's shares: also where fluid is negative in an inversion recovery, of which the magnitude is seen."""
    protocols = {**PROTOCOLS, "t1w": protocol_from_spec("ir,TR=2000,TE=20,TI=800,L=150"), "real": protocol_from_spec("psir")}
    rng = np.random.default_rng(0)
    row = CLASSES.names.index(name)
    mixture = CLASSES.mixtures[row - CLASSES.pure]
    shares = mixture.share + mixture.width * rng.uniform(-0.5, 0.5, 100_000)
    observations = observe(CLASSES.means[mixture.first][:, None].astype(np.float32), protocols, relative_noise=0.01)
    found = class_signals(CLASSES, observations, np.ones(len(observations)))
    clean, noisy = [], []
    for o in observations:
        parts = signed_signal(o, CLASSES.means[[mixture.first, mixture.second]].T, np.ones(1))
        voxels = shares * parts[0] + (1.0 - shares) * parts[1]
        clean.append(voxels if o.protocol.sequence.signed else np.abs(voxels))
        noisy.append(add_noise(voxels, o.noise, rng, signed=o.protocol.sequence.signed))
    sd = np.sqrt(np.diag(found.covariances[row]))
    assert (np.abs(found.means[row] - np.mean(noisy, axis=1)) < 0.1 * sd).all()
    extra = found.covariances[row] - mixture.of(found.covariances)  # beyond the tissues' own spread, noise and equations' errors
    np.testing.assert_allclose(extra / np.outer(sd, sd), np.cov(clean) / np.outer(sd, sd), atol=0.1)


def test_ratio_images_of_mixtures_are_not_averages_of_ratios() -> None:
    """UNI = S1·S2/(S1² + S2²) of the voxel's own S1 and S2: bone, which gives no signal, does not change that of the cortex beside it."""
    uni = protocol_from_spec("mp2rage")
    inputs = {"uni": uni, "t2w": PROTOCOLS["t2w"]}
    observations = observe(CLASSES.means[:1].T.astype(np.float32), inputs, relative_noise=0.01)
    found = class_signals(CLASSES, observations, np.ones(2))
    cortex, mixed = (found.means[CLASSES.names.index(name), 0] for name in ("cortex", "cortex/bone 50%"))
    assert mixed == pytest.approx(cortex, abs=0.03)
    assert all(np.linalg.eigvalsh(covariance).min() > 0 for covariance in found.covariances)


def test_what_is_not_brain_is_hardly_expected_deep_inside_it() -> None:
    atlas = np.zeros((CLASSES.pure, 2), dtype=np.float32)
    white, bone, blood = (NAMES.index(name) for name in ("white_matter", "bone", "blood"))
    atlas[white] = [1.0, 0.5]
    atlas[bone, 1] = 0.5
    weights = CLASSES.weights(atlas, settled=True)
    assert weights[bone, 0] < 1e-5 < 1e-3 < weights[blood, 0] and weights[bone, 1] > 0.3
    assert CLASSES.weights(atlas)[bone, 0] > 1e-3


def test_the_uncertainty_of_the_means_is_shared_out_by_probability() -> None:
    probabilities = np.zeros((len(CLASSES.names), 2), dtype=np.float32)
    probabilities[0, 0] = 1.0
    probabilities[[0, 1], 1] = 0.5
    found = full(mean_uncertainty(CLASSES, probabilities))
    np.testing.assert_allclose(found[0], CLASSES.extra[0], atol=1e-7)
    np.testing.assert_allclose(found[1], (CLASSES.extra[0] + CLASSES.extra[1]) / 2.0, atol=1e-7)
