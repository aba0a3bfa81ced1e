"""The plan of an evaluation: estimators to compare, data and simulated heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from PhysMRISynthLib.errors import PhysMRISynthError, WeightsError
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.workflow.estimation.estimate import Estimate, estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.network_prior import usable_weights
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.sampling.sample import Sampler, installed_sampler

from ..simulator.acquisitions import STANDARD

if TYPE_CHECKING:
    from PhysMRISynthLib.network.weights import Weights

Estimator = Callable[[Sequence[Acquisition], float], Estimate]
"""From inputs and their field strength in tesla to an estimate."""
PRIORS = ("network", "literature")
EXAMPLE = "example"
"""Name of the embedded example among the heads: its anatomy was not used for the atlas or the training."""
TEST_HEADS = (16, 17)
"""Label maps kept for final testing."""
HEADS = (*map(str, TEST_HEADS), EXAMPLE)
"""Default heads."""
NOISE_PERCENT = (0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Plan:
    """``estimators`` by the name of their prior; ``heads`` are numbers of label maps in ``data``/head_labels, or "example", each with
    ``seeds`` random draws, at every ``step``-th voxel along each axis, with noise of ``noise_percent`` of an image's 99th percentile, by
    the test ``acquisitions``.

    ``scans`` and ``maps`` are folders of weighted scans and of measured maps of the same people; ``register``: align them (None:
    if their grids differ).
    ``sampler`` loads the sampling model for ``samples`` heads; ``condenser`` is the checkpoint of its second stage. They are compared with
    the ``training_heads`` (None: all), ``mixed_heads`` of two of these, and ``reconstructions``; or, where ``people`` is a folder of test
    people's heads, with these, with those that were ``learned`` from and with ``groups`` of heads, all folders; ``cache`` keeps measured
    heads.
    ``runs`` is a folder of trained runs of the 2D model, compared on ``slices`` axial slices of each session.
    ``sha256`` identifies the network, if any, and ``notes`` are cautions for readers of the results.
    """

    estimators: Mapping[str, Estimator]
    data: Path | None = None
    heads: tuple[str, ...] = HEADS
    noise_percent: tuple[float, ...] = NOISE_PERCENT
    seeds: int = 1
    step: int = 1
    sha256: str | None = None
    notes: tuple[str, ...] = ()
    sampler: Callable[[], Sampler] = installed_sampler
    samples: int = 20
    condenser: Path | None = None
    training_heads: tuple[int, ...] | None = None
    mixed_heads: int = 8
    reconstructions: int = 6
    people: Path | None = None
    learned: Path | None = None
    groups: Mapping[str, Path] = field(default_factory=dict)
    cache: Path | None = None
    acquisitions: tuple[str, ...] = (STANDARD,)
    scans: Path | None = None
    maps: Path | None = None
    register: bool | None = None
    runs: Path | None = None
    slices: int = 4

    def file(self, name: str) -> Path:
        """The file ``name`` of the data folder. Raises PhysMRISynthError when there is no such file."""
        if self.data is None:
            raise PhysMRISynthError(f"This suite needs {name}. Give the folder that holds it with --data.")
        path = self.data / name
        if not path.is_file():
            raise PhysMRISynthError(f"{path} does not exist. Give the folder that holds {name} with --data, or choose another suite.")
        return path

    def has(self, name: str) -> bool:
        """Whether the data folder holds the file ``name``."""
        return self.data is not None and (self.data / name).is_file()

    def estimate(self, prior: str, acquisitions: Sequence[Acquisition], field_strength: float, case: str) -> Estimate:
        """Estimate with a ``prior``. Raises a PhysMRISynthError that names the ``case`` when that fails."""
        try:
            return self.estimators[prior](acquisitions, field_strength)
        except PhysMRISynthError as error:
            raise type(error)(f"{case}, {prior} prior: {error}") from error

    def settings(self, names: Sequence[str]) -> dict[str, Any]:
        """The priors, and the attributes of these ``names``, as JSON values."""
        chosen = {name: getattr(self, name) for name in names}
        listed = {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}
        return {"priors": list(self.estimators), "network_sha256": self.sha256, **listed}


def progress_bar(total: int, suite: str) -> tqdm:
    """A progress bar over a suite's estimates, on a terminal."""
    return tqdm(total=total, desc=suite, unit="estimate", leave=False, disable=None)


def estimators_for(priors: Sequence[str], weights: Path | None, device: str) -> tuple[dict[str, Estimator], str | None, list[str]]:
    """The estimator of each prior ("network", "literature"), the network's SHA-256, and reasons for missing ones.

    ``weights`` is a safetensors file to use in place of the installed network; ``device`` is the network's. Raises
    WeightsError when that file cannot be used, or when the network is not available and the literature prior was not requested.
    """
    found: dict[str, Estimator] = {}
    sha256, missing = None, []
    for prior in dict.fromkeys(priors):
        if prior == "literature":
            found[prior] = partial(_estimate, prior, "auto", None)
            continue
        try:
            network = _network(weights)
        except WeightsError as error:
            if weights is not None or "literature" not in priors:
                raise
            missing.append(f"The network's column is missing: {error}")
        else:
            found[prior], sha256 = partial(_estimate, prior, device, network), network.sha256
    return found, sha256, missing


def _estimate(prior: str, device: str, weights: Weights | None, acquisitions: Sequence[Acquisition], field_strength: float) -> Estimate:
    return estimate_tissue_maps(acquisitions, EstimateOrder(field_strength=field_strength, prior=prior, device=device), weights=weights)


def _network(file: Path | None) -> Weights:
    if file is None:
        installed = usable_weights("network")
        assert installed is not None
        return installed
    try:
        from PhysMRISynthLib.network.weights import load_weights
    except ImportError:
        raise WeightsError("The network needs torch and safetensors. Install physmrisynth[inference].") from None
    return load_weights(file)
