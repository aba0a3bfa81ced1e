"""What the shipped network was not made for is said: a CT, something that is no head, a head upside down, a contrast agent."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import image_like, volume_from_image
from PhysMRISynthLib.imaging.smooth import smooth_noise
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.protocol import Protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisition
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.estimation.verdict import Level
from PhysMRISynthLib.workflow.examples.example import example_head
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from Testing.validation.defects import clean_scans

pytestmark = pytest.mark.slow
HOUNSFIELD = {"csf": 5, "blood": 45, "muscle": 50, "mucosa": 20, "fat": -100, "marrow": 300, "bone": 1000, "air": -1000}
GREY_AND_WHITE = 35
MPRAGE = PROTOCOLS["t1w"]


@cache
def _head() -> KnownHead:
    """The embedded example at 2 mm."""
    full = example_head(seed=8)
    step = (slice(None, None, 2),) * 3
    maps = full.maps
    return KnownHead(TissueMaps(maps.pd[step], maps.t1[step], maps.t2[step], maps.mask[step], maps.grid[::2, ::2, ::2]), full.tissue[step])


@cache
def _scan() -> dict[str, np.ndarray]:
    return simulate(_head().maps, PROTOCOLS, snr=100, field=0.2, seed=9)


def _estimate(images: dict[str, np.ndarray], protocols: dict[str, Protocol] = PROTOCOLS, prior: str = "network") -> Estimate:
    grid = _head().maps.grid
    inputs = [Acquisition(name, volume_from_image(image_like(v.astype(np.float32), grid)), protocols[name]) for name, v in images.items()]
    return estimate_tissue_maps(inputs, EstimateOrder(prior=prior))


def _ct() -> np.ndarray:
    head, names = _head(), [tissue.name for tissue in tissue_table()]
    values = np.array([HOUNSFIELD.get(name, GREY_AND_WHITE) for name in names], dtype=float)
    known = np.where(head.tissue < len(names), head.tissue, names.index("csf"))
    return values[known] + np.random.default_rng(1).normal(0.0, 8.0, known.shape)


def _random_field() -> np.ndarray:
    """Smooth patches of signal in an oval body, as an abdomen looks to somebody who knows only heads."""
    shape = _head().tissue.shape
    rng = np.random.default_rng(2)
    y, x = np.meshgrid(*(np.linspace(-1.0, 1.0, n) for n in shape[1:]), indexing="ij")
    body = (y / 0.8) ** 2 + (x / 0.9) ** 2 < 1.0
    field = 0.6 * smooth_noise(shape, 12, rng)[0] + 0.2 * smooth_noise(shape, 4, rng)[0]
    return np.abs(300.0 * np.exp(field) * body + rng.normal(0.0, 8.0, shape))


@pytest.mark.nightly
def test_an_ordinary_head_is_familiar_to_the_network() -> None:
    """As far as a phantom of blurred tissues at 2 mm is ordinary: it lies at the limit that 1 in 200 simulated scans pass."""
    parts = _estimate(_scan()).applicability.parts
    assert max(parts["latent_distance"].values()) < 1.25
    assert parts["tissue_distance"]["all"] < 1
    assert parts["unlike_atlas"]["all"] < 1


def test_a_head_upside_down_is_warned_about() -> None:
    scan = clean_scans(small_head())["t1w"]
    turned = Acquisition("t1w", volume_from_image(image_like(sitk.GetArrayFromImage(scan)[::-1, ::-1].copy(), scan)), MPRAGE)
    found = estimate_tissue_maps([turned], EstimateOrder(prior="literature"))
    assert found.applicability.parts["unlike_atlas"]["all"] > 1
    assert any("do not lie where a brain has them" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("stranger", "prior"),
    ((_ct, "network"), (_random_field, "literature"), pytest.param(_random_field, "network", marks=pytest.mark.nightly)),
)
def test_what_is_no_mr_image_of_a_head_is_refused_or_warned_about(stranger: Callable[[], np.ndarray], prior: str) -> None:
    try:
        found = _estimate({"t1w": stranger()}, {"t1w": MPRAGE}, prior)
    except PhysMRISynthError as error:
        assert "Check" in str(error)
        return
    assert found.applicability.score > 1.4
    assert len(found.warnings) > 1


@pytest.mark.nightly
def test_an_image_after_a_contrast_agent_is_not_passed_in_silence(data: Callable[[str], Path]) -> None:
    """The agent shows in few voxels of a brain without its vessels and meninges."""
    specs = {"t1w": "ir,TR=2000,TE=20,TI=800", "t2w": "tse,TR=6000,TE=120", "flair": "flair,TR=5000,TE=392,TI=1800"}
    files = {role: data(f"real/mni_patient07/{'t1w_gd' if role == 't1w' else role}.nii.gz") for role in specs}
    inputs = [read_acquisition(role, files[role], spec, EstimateOrder(allow_contrast_agent=True)) for role, spec in specs.items()]
    found = estimate_tissue_maps(inputs, EstimateOrder(prior="network"))
    assert found.applicability.score > 1
    assert found.verdict.level is not Level.GOOD
