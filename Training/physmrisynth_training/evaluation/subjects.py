"""Subjects of the evaluation: simulated heads with known maps, and the real patients of the data folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.errors import PhysMRISynthError
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.head.masks import filled_in_slices
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisition
from PhysMRISynthLib.workflow.examples.example import example_head

from ..simulator.acquisitions import STANDARD, inputs_of
from ..simulator.standard_acquisition import known_head
from .plan import EXAMPLE, HEADS, Plan

_SEEDS_PER_HEAD = 100
_EXAMPLE_NUMBER = 0
_PATIENT_07 = {"t1w": "ir,TR=2000,TE=20,TI=800,L=150", "t2w": "tse,TR=6000,TE=120", "flair": "flair,TR=5000,TE=392,TI=1800"}
_PATIENT_12 = {"t1w": "se,TR=600,TE=15", "t2w": "tse,TR=4500,TE=100", "flair": "flair,TR=11000,TE=140,TI=2800"}
"""As stated by the papers that published the scans. Patient 7's T1w is an inversion-recovery TSE with an unknown readout train, assumed of
usual length. Its FLAIR is a variable-flip train, whose nominal echo time
:func:`~PhysMRISynthLib.imaging.intake.acquisition.acquisition` replaces by the conventional one."""
PATIENT_07, PATIENT_12 = "real/mni_patient07", "real/raw_patient12"
PROTOCOLS_DOUBTFUL = "The real scans' protocols are known only approximately."


@dataclass(frozen=True)
class Subject:
    """Inputs at a field strength in tesla; ``brain`` (z, y, x) if the inputs are skull-stripped, ``truth`` and the inputs without
    noise (``noise_free``, by name) if known."""

    name: str
    acquisitions: tuple[Acquisition, ...]
    field_strength: float = 3.0
    brain: np.ndarray | None = None
    truth: KnownHead | None = None
    noise_free: Mapping[str, np.ndarray] = field(default_factory=dict)

    def only(self, names: Sequence[str]) -> tuple[Acquisition, ...]:
        """The inputs of these names."""
        return tuple(a for a in self.acquisitions if a.name in names)

    def brain_of(self, estimate: Estimate) -> np.ndarray:
        """The known brain mask, else that of an ``estimate``."""
        return estimate.brain if self.brain is None else self.brain


@dataclass(frozen=True)
class SimulatedHead:
    """A head with values sampled around the literature; all its scans start from the same random state, so they differ only in noise."""

    name: str
    truth: KnownHead
    state: np.random.Generator

    def scan(self, noise_percent: float, acquisition: str = STANDARD) -> Subject:
        """A test acquisition with another noise level, in % of each image's 99th percentile."""
        inputs = inputs_of(self.truth, copy.deepcopy(self.state), noise_percent / 100.0, acquisition)
        return Subject(self.name, inputs, truth=self.truth)


def title(head: str) -> str:
    """Name of a head of the plan in tables."""
    return "embedded example" if head == EXAMPLE else f"head {head}"


def head_notes(plan: Plan) -> list[str]:
    """Cautions about the selected heads."""
    seen = [title(head) for head in plan.heads if head not in HEADS]
    return [f"{', '.join(seen)}: used for the atlas or the network's training, so errors are optimistic."] if seen else []


def check_heads(plan: Plan) -> None:
    """Raise PhysMRISynthError if a head of the plan is not available."""
    for head in plan.heads:
        if head != EXAMPLE:
            _label_file(plan, head)


def simulated_head(plan: Plan, head: str, seed: int) -> SimulatedHead:
    """Random draw number ``seed`` of a ``head`` of the plan, at every ``plan.step``-th voxel."""
    every = (slice(None, None, plan.step),) * 3
    if head == EXAMPLE:
        return SimulatedHead(title(head), _thinned(example_head(seed), every), np.random.default_rng([_EXAMPLE_NUMBER, seed]))
    rng = np.random.default_rng(_SEEDS_PER_HEAD * int(head) + seed)
    return SimulatedHead(title(head), known_head(_label_map(plan, head)[every], rng), rng)


def _label_file(plan: Plan, head: str) -> Path:
    if not head.isdecimal():
        raise PhysMRISynthError(f"'{head}' is not a head: give numbers of label maps, or '{EXAMPLE}'.")
    return plan.file(f"head_labels/head_{int(head):02d}.nii.gz")


def _label_map(plan: Plan, head: str) -> sitk.Image:
    path = _label_file(plan, head)
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError:
        raise PhysMRISynthError(f"{path} cannot be read as an image. Copy it again.") from None


def _thinned(head: KnownHead, every: tuple[slice, slice, slice]) -> KnownHead:
    maps = head.maps
    pd, t1, t2, mask = (np.ascontiguousarray(a[every]) for a in (maps.pd, maps.t1, maps.t2, maps.mask))
    return KnownHead(TissueMaps(pd, t1, t2, mask, maps.grid[every]), np.ascontiguousarray(head.tissue[every]))


def patient_07(plan: Plan) -> Subject:
    """The real patient at 3 T with skull-stripped scans on one grid: the brain is where all three are above 0, with holes filled,
    since preprocessing left some fluid at 0."""
    subject = _patient(plan, "patient 7", PATIENT_07, _PATIENT_07, 3.0)
    seen = np.all([a.volume.voxels > 0 for a in subject.acquisitions], axis=0)
    return replace(subject, brain=filled_in_slices(seen))


def patient_12(plan: Plan, visit: int) -> Subject:
    """The real patient at 1.5 T, in thick slices with skull, at the first or the second visit."""
    return _patient(plan, f"patient 12, visit {visit}", f"{PATIENT_12}/visit{visit}", _PATIENT_12, 1.5)


def has_patient_07(plan: Plan) -> bool:
    """Whether the data folder holds that patient's three scans."""
    return all(plan.has(f"{PATIENT_07}/{role}.nii.gz") for role in ROLES)


def check_patient(plan: Plan, folder: str) -> None:
    """Raise PhysMRISynthError when the data folder lacks one of the three scans in ``folder``."""
    for role in ROLES:
        plan.file(f"{folder}/{role}.nii.gz")


def _patient(plan: Plan, name: str, folder: str, specs: dict[str, str], field_strength: float) -> Subject:
    inputs = tuple(read_acquisition(role, plan.file(f"{folder}/{role}.nii.gz"), spec) for role, spec in specs.items())
    return Subject(name, inputs, field_strength)
