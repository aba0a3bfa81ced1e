"""The network's word reaches the right voxels, and who has no network gets on without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import SimpleITK as sitk
from imaging.phantoms import grid, points
from PhysMRISynthLib.errors import EstimationError, WeightsError
from PhysMRISynthLib.imaging.acquisition import Acquisition
from PhysMRISynthLib.imaging.alignment import align
from PhysMRISynthLib.imaging.volumes import image_like, volume_from_image
from PhysMRISynthLib.network import inference, weights
from PhysMRISynthLib.network.vae import CLASSES
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.workflow.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.network_prior import network_prior, usable_weights

OBLIQUE = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]])


class _AnyWeights:
    sha256 = "0" * 64


def _blob(reference: sitk.Image) -> sitk.Image:
    """A smooth bright ball a little off the centre, in physical space."""
    away = points(reference) - np.reshape((12.0, -8.0, 5.0), (3, 1, 1, 1))
    return image_like(np.exp(-(away**2).sum(axis=0) / (2 * 18.0**2)).astype(np.float32), reference)


def _echo(given: object, images: Sequence[np.ndarray], *rest: object) -> np.ndarray:
    """Instead of a network: the first image is the probability of the first class, the rest goes to the last."""
    probabilities = np.zeros((len(CLASSES), *images[0].shape), dtype=np.float32)
    probabilities[0], probabilities[-1] = images[0], 1.0 - images[0]
    return probabilities


@pytest.mark.parametrize("direction", (np.eye(3), np.diag([-1.0, -1.0, 1.0]), OBLIQUE, OBLIQUE @ np.diag([1.0, -1.0, -1.0])))
def test_probabilities_arrive_where_the_head_is(direction: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "class_probabilities", _echo)
    image = _blob(grid((60, 64, 30), (2.0, 1.5, 4.0), direction))
    acquisition = Acquisition("t1w", volume_from_image(image), Protocol.of("mprage"))
    voxels = sitk.GetArrayFromImage(image)
    mask = voxels > 0.05
    found = network_prior(_AnyWeights(), [acquisition], {"t1w": align(image, image)}, image, mask, 3.0, "cpu")  # type: ignore[arg-type]
    assert found.fractions.shape == (len(CLASSES), mask.sum()) and found.fractions.dtype == np.uint8
    np.testing.assert_allclose(found.fractions[0] / 255.0, voxels[mask], atol=0.03)
    np.testing.assert_allclose(found.fractions.sum(axis=0, dtype=int), 255, atol=2)
    assert found.device == "cpu"


def test_another_grid_is_looked_at_through_its_alignment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "class_probabilities", _echo)
    reference = _blob(grid((60, 64, 30), (2.0, 1.5, 4.0), np.eye(3)))
    turned = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.0, 0.0, 0.2, (3.0, 0.0, 0.0))
    image = sitk.Resample(reference, reference, turned.GetInverse(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    alignment = align(image, reference, register=False)
    acquisition = Acquisition("t1w", volume_from_image(image), Protocol.of("mprage"))
    moved = type(alignment)(alignment.image, alignment.covered, turned, "rigid registration")
    voxels = sitk.GetArrayFromImage(reference)
    mask = voxels > 0.05
    found = network_prior(_AnyWeights(), [acquisition], {"t1w": moved}, reference, mask, 3.0, "cpu")  # type: ignore[arg-type]
    np.testing.assert_allclose(found.fractions[0] / 255.0, voxels[mask], atol=0.06)


def test_without_weights_auto_is_the_literature_and_network_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "shipped_weights", lambda: None)
    assert usable_weights("auto") is None and usable_weights("literature") is None
    with pytest.raises(WeightsError, match="No network weights are installed"):
        usable_weights("network")


def test_a_gpu_for_the_literature_prior_is_refused() -> None:
    image = _blob(grid((40, 40, 40), (4.0, 4.0, 4.0), np.eye(3)))
    acquisition = Acquisition("t1w", volume_from_image(image), Protocol.of("mprage"))
    with pytest.raises(EstimationError, match="runs on the CPU"):
        estimate_tissue_maps([acquisition], prior="literature", device="cuda")
