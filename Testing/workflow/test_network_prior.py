"""The network's word reaches the right voxels, and who has no network gets on without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.errors import WeightsError
from PhysMRISynthLib.imaging.head.alignment import Alignment, align
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.network import inference, manifest
from PhysMRISynthLib.network.familiarity import Population
from PhysMRISynthLib.network.vae import CLASSES
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimation.aligned_head import AlignedHead
from PhysMRISynthLib.workflow.estimation.head_voxels import HeadVoxels
from PhysMRISynthLib.workflow.estimation.network_prior import joined_with_atlas, network_prior, usable_weights
from Testing.imaging.phantoms import grid, points

OBLIQUE = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])


TISSUES = len(CLASSES) - 1


def anywhere(mask: np.ndarray) -> np.ndarray:
    """An atlas that expects every tissue everywhere."""
    return np.full((TISSUES, mask.sum()), 255 // TISSUES, dtype=np.uint8)


def head_of(acquisition: Acquisition, alignment: Alignment, mask: np.ndarray, atlas: np.ndarray) -> AlignedHead:
    """A head of one input on the grid of its alignment, as the ``atlas`` has it."""
    voxels = HeadVoxels(np.flatnonzero(mask), mask.shape, alignment.image.GetSpacing()[::-1], atlas, atlas)
    return AlignedHead([acquisition], acquisition, 3.0, alignment.image, {"t1w": alignment}, mask, None, {}, voxels)  # type: ignore[arg-type]


class _AnyWeights:
    sha256 = "0" * 64
    familiarity = None


def _blob(reference: sitk.Image) -> sitk.Image:
    """A smooth bright ball a little off the centre, in physical space."""
    away = points(reference) - np.reshape((12.0, -8.0, 5.0), (3, 1, 1, 1))
    return image_like(np.exp(-(away**2).sum(axis=0) / (2 * 18.0**2)).astype(np.float32), reference)


def _echo(given: object, images: Sequence[np.ndarray], *rest: object) -> inference.Inference:
    """Instead of a network: the first image is the probability of the first class, the rest goes to the last."""
    probabilities = np.zeros((len(CLASSES), *images[0].shape), dtype=np.float32)
    probabilities[0], probabilities[-1] = images[0], 1.0 - images[0]
    latents = np.zeros((1, 2, *(-(-n // 4) for n in images[0].shape)), dtype=np.float32)
    return inference.Inference(probabilities, latents, 4)


@pytest.mark.parametrize("direction", (np.eye(3), np.diag([-1.0, -1.0, 1.0]), OBLIQUE, OBLIQUE @ np.diag([1.0, -1.0, -1.0])))
def test_probabilities_arrive_where_the_head_is(direction: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "infer", _echo)
    image = _blob(grid((60, 64, 30), (2.0, 1.5, 4.0), direction))
    acquisition = Acquisition("t1w", volume_from_image(image), Protocol.of("mprage"))
    voxels = sitk.GetArrayFromImage(image)
    mask = voxels > 0.05
    found = network_prior(_AnyWeights(), head_of(acquisition, align(image, image), mask, anywhere(mask)), "cpu")  # type: ignore[arg-type]
    assert found.fractions.shape == (len(CLASSES), mask.sum()) and found.fractions.dtype == np.uint8
    np.testing.assert_allclose(found.fractions[0] / 255.0, voxels[mask], atol=0.05)
    np.testing.assert_allclose(found.fractions.sum(axis=0, dtype=int), 255, atol=6)
    assert found.device == "cpu" and found.distances is None


def test_another_grid_is_looked_at_through_its_alignment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "infer", _echo)
    reference = _blob(grid((60, 64, 30), (2.0, 1.5, 4.0), np.eye(3)))
    turned = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.0, 0.0, 0.2, (3.0, 0.0, 0.0))
    image = sitk.Resample(reference, reference, turned.GetInverse(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    alignment = align(image, reference, register=False)
    acquisition = Acquisition("t1w", volume_from_image(image), Protocol.of("mprage"))
    moved = type(alignment)(alignment.image, alignment.covered, turned, "rigid registration")
    voxels = sitk.GetArrayFromImage(reference)
    mask = voxels > 0.05
    found = network_prior(_AnyWeights(), head_of(acquisition, moved, mask, anywhere(mask)), "cpu")  # type: ignore[arg-type]
    np.testing.assert_allclose(found.fractions[0] / 255.0, voxels[mask], atol=0.08)


def test_weights_that_know_their_heads_tell_how_far_this_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "infer", _echo)
    image = _blob(grid((60, 64, 30), (2.0, 1.5, 4.0), np.eye(3)))
    weights_with = _AnyWeights()
    weights_with.familiarity = {  # type: ignore[assignment]
        "latent_one": Population(np.array([3.0, 4.0]), np.eye(2), 2.0),
        "tissues_one": Population(np.zeros(6), np.eye(6)),
    }
    acquisition = Acquisition("t1w", volume_from_image(image), Protocol.of("mprage"))
    mask = sitk.GetArrayFromImage(image) > 0.05
    found = network_prior(weights_with, head_of(acquisition, align(image, image), mask, anywhere(mask)), "cpu")  # type: ignore[arg-type]
    assert found.distances is not None and found.distances.together is None
    assert found.distances.inputs == pytest.approx([2.5]) and found.distances.tissues > 0


def test_network_and_atlas_speak_together_and_alone() -> None:
    sure, unsure, silent = np.zeros((3, TISSUES + 1))
    sure[0], unsure[:2], unsure[-1] = 1.0, 0.4, 0.2
    atlas = np.zeros(TISSUES)
    atlas[[0, 1]] = 0.25, 0.75
    fractions = np.round(255 * np.stack([sure, unsure, silent], axis=1)).astype(np.uint8)
    joined = joined_with_atlas(fractions, np.repeat(np.round(255 * atlas).astype(np.uint8)[:, None], 3, axis=1)) / 255.0
    assert joined[0, 0] > 0.97  # the network is sure
    np.testing.assert_allclose(joined[[0, 1, -1], 1], [0.2, 0.6, 0.2], atol=0.02)  # the atlas decides between two; lesions are kept
    np.testing.assert_allclose(joined[[0, 1], 2], [0.25, 0.75], atol=0.04)  # the network was not asked
    np.testing.assert_allclose(joined.sum(axis=0), 1.0, atol=0.04)


def test_the_network_is_asked_about_the_brain_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, ...]] = []

    def listen(given: object, images: Sequence[np.ndarray], *rest: object) -> inference.Inference:
        asked.append(images[0].shape)
        return _echo(given, images)

    monkeypatch.setattr(inference, "infer", listen)
    image = _blob(grid((100, 100, 100), (2.0, 2.0, 2.0), np.eye(3)))
    acquisition = Acquisition("t1w", volume_from_image(image), Protocol.of("mprage"))
    mask = np.ones(image.GetSize()[::-1], dtype=bool)
    place = np.zeros((TISSUES, *mask.shape), dtype=np.uint8)
    place[-1] = 255  # air, but for white matter in a box of 40 × 60 × 80 mm
    place[:, 40:60, 30:60, 20:60] = 0
    place[0, 40:60, 30:60, 20:60] = 255
    atlas = place.reshape(TISSUES, -1)
    found = network_prior(_AnyWeights(), head_of(acquisition, align(image, image), mask, atlas), "cpu")  # type: ignore[arg-type]
    assert all(abs(n - extent) <= 3 for n, extent in zip(asked[0], (38 + 24, 58 + 24, 78 + 24), strict=True))
    outside = ~(place[0] > 0).ravel() & (found.fractions[0] <= 2) & (found.fractions[-1] == 0)
    assert outside.mean() > 0.8
    assert (found.fractions[TISSUES - 1][outside] > 240).all()


def test_without_weights_auto_is_the_literature_and_network_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "shipped_weights", lambda: None)
    assert usable_weights("auto") is None and usable_weights("literature") is None
    with pytest.raises(WeightsError, match="No network weights are installed"):
        usable_weights("network")
