"""From acquisitions to tissue maps: align, find the head, place the atlas, fit the head level, fit every voxel, check the fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from threadpoolctl import threadpool_limits

from ...errors import EstimationError
from ...fitting.boundary import Boundary
from ...fitting.check import FitCheck, check_fit
from ...fitting.head import HeadModel, fit_head
from ...fitting.observation import Observation
from ...fitting.tissue_level import brain_rows
from ...imaging.head.alignment import Alignment, grid_of_spacing
from ...imaging.head.atlas import LEAST_LIKENESS, AtlasPlacement, brain_outside, place_atlas
from ...imaging.head.masks import brain_mask, filled_in_slices, head_mask
from ...imaging.head.slice_profile import SliceProfile, slice_profile
from ...imaging.intake.acquisition import Acquisition
from ...imaging.intake.intensities import saturation
from ...imaging.intake.noise_level import noise_level
from ...imaging.tissue_maps import TissueMaps
from ...physics.tissues import PROPERTIES, tissue_table
from ..compute import Compute
from .aligned import align_inputs
from .applicability import Applicability, assess
from .calibration import sd_factors
from .coverage import coverage_reasons
from .even_voxels import boundary_voxels, brain_voxels, even_voxels
from .head_voxels import NO_TISSUE, FittedVoxels, HeadVoxels, fit_with_profiles
from .input_checks import check_brain_intensities, check_inputs, check_intensities, check_maps
from .network_prior import NetworkPrior, network_prior, usable_weights
from .reasons import anatomy_reasons, fit_reasons, input_reasons
from .receive_field import StrongField, field_reasons, strong_fields, without, without_field
from .tissue_medians import Medians, implausible_medians, tissue_medians
from .unexplained import fit_unexplained, widened
from .unfamiliar import unfamiliar_reasons, unfamiliar_region
from .verdict import Level, Reason, Verdict, ordered

if TYPE_CHECKING:
    from ...network.weights import Weights

_LEAST_BRAIN = 1000
_PREFERRED_REFERENCE = ("t1w", "t2w", "flair")
Progress = Callable[[str, float], None]
"""Callback ``(stage, fraction_done)``."""


@dataclass(frozen=True)
class Estimate:
    """Tissue maps with what supports them.

    ``brain`` mask and ``tissue`` (row of the tissue table where one tissue is more probable than not, else 255) are (z, y, x);
    ``inputs`` are on the maps' grid, divided by receive fields that are too strong for the fit; ``fits`` are they re-rendered from the
    maps; ``agreement`` as in
    :func:`agreement_with_atlas`; ``medians`` per tissue; ``applicability`` of the method to the inputs; ``warnings`` are all that was
    found, in words, and the ``verdict`` what follows from them; ``seconds`` per stage.
    """

    maps: TissueMaps
    brain: np.ndarray
    tissue: np.ndarray
    inputs: Mapping[str, np.ndarray]
    fits: Mapping[str, np.ndarray]
    checks: Mapping[str, FitCheck]
    alignments: Mapping[str, Alignment]
    head: HeadModel
    placement: AtlasPlacement
    reference: str
    agreement: float
    medians: Medians
    applicability: Applicability
    warnings: tuple[str, ...]
    verdict: Verdict
    seconds: Mapping[str, float] = field(default_factory=dict)
    network: NetworkPrior | None = None
    """What the network expected, where it was the prior."""
    unfamiliar: np.ndarray | None = None
    """True (z, y, x) in regions of the brain that look like no tissue; None where there are none."""


class _Clock:
    """Times the stages and passes progress on."""

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress, self._stage, self._start = progress, "", time.perf_counter()

    def stage(self, name: str) -> None:
        self.end()
        self._stage = name
        self.fraction(0.0)

    def end(self) -> None:
        now = time.perf_counter()
        if self._stage:
            self.seconds[self._stage] = round(now - self._start, 2)
        self._stage, self._start = "", now

    def fraction(self, done: float) -> None:
        self._progress(self._stage, done)


def estimate_tissue_maps(
    acquisitions: Sequence[Acquisition],
    reference: str | None = None,
    register: bool | None = None,
    field_strength: float = 3.0,
    progress: Progress = lambda stage, fraction: None,
    prior: str = "auto",
    device: str = "auto",
    weights: Weights | None = None,
    spacing_mm: float | None = None,
) -> Estimate:
    """Maps of PD, T1 and T2 on the grid of the ``reference`` input (t1w, else t2w, else flair, else the first), or along its axes and over
    its extent at an isotropic ``spacing_mm``.

    ``register`` as in :func:`~PhysMRISynthLib.imaging.head.alignment.align`; ``field_strength`` in tesla; ``prior`` "network",
    "literature" or
    "auto" (the network where it is installed); ``device`` what network and fit run on (cpu, cuda, mps; auto: the network on a GPU that
    works, the fit on the CPU); ``weights`` a network to use instead of the installed one. Raises a PhysMRISynthError that
    names cause and remedy when no trustworthy maps can be had.
    """
    clock = _Clock(progress)
    compute = Compute.on(device)
    chosen = reference_of(acquisitions, reference)
    check_inputs(acquisitions)
    processed = check_intensities(acquisitions)
    tissue_table(field_strength)  # refuses what it has no values for, before the work
    if weights is None or prior == "literature":
        weights = usable_weights(prior)
    clock.stage("align")
    grid = chosen.volume.image if spacing_mm is None else grid_of_spacing(chosen.volume.image, spacing_mm)
    alignments, misplaced = align_inputs(acquisitions, chosen, register, grid, clock.fraction)
    clock.stage("find the head")
    mask = head_mask([alignment.image for alignment in alignments.values()], [alignment.covered for alignment in alignments.values()])
    clock.stage("place the atlas")
    placement = place_atlas(chosen.volume.image, chosen.protocol, field_strength, clock.fraction)
    placement, fields = _placed_without_fields(acquisitions, alignments, chosen, placement, mask, grid, field_strength)
    if placement.skull_stripped:  # what was cut away is not head
        mask &= np.any([filled_in_slices(sitk.GetArrayFromImage(alignment.image) != 0) for alignment in alignments.values()], axis=0)
    voxels = HeadVoxels.inside(mask, grid, placement)
    learned = None
    if weights is not None:
        clock.stage("expect tissues")
        learned = network_prior(weights, acquisitions, alignments, grid, mask, voxels.atlas, field_strength, device, clock.fraction, fields)
        voxels = replace(voxels, expected=learned.fractions)
    observations = [_observation(a, alignments[a.name], mask, voxels, placement.skull_stripped) for a in acquisitions]
    cut_off = check_brain_intensities(acquisitions, observations, voxels.atlas[brain_rows()].sum(axis=0, dtype=np.int32) > 127)
    observations = [without_field(o, fields, voxels) for o in observations]
    alignments = without(fields, alignments)
    before = (*processed, *cut_off, *misplaced, *field_reasons(fields), *anatomy_reasons(placement, chosen.name, mask, grid))
    doubtful = {a.name: a.conventional_echo_time for a in acquisitions if a.conventional_echo_time is not None}
    with threadpool_limits(limits=1, user_api="blas"):  # small matrices on all our own threads: BLAS threads would fight over the cores
        clock.stage("fit tissues, gains and fields")
        profiles = [slice_profile(a.volume.image, alignments[a.name], a.slice_thickness_mm) for a in acquisitions]
        head = _fit_head(observations, profiles, voxels, grid, field_strength, doubtful, clock.fraction, compute)
        clock.stage("fit voxels")
        fitted = fit_with_profiles(head, observations, profiles, voxels, grid, clock.fraction, compute)
    clock.stage("check the fit")
    brain = brain_mask(voxels.volume(fitted.brain), grid)
    unfamiliar = unfamiliar_region(head, observations, voxels, grid, brain)
    fitted = fit_unexplained(head, observations, voxels, fitted, unfamiliar)
    return _assembled(
        acquisitions, alignments, head, placement, voxels, fitted, grid, chosen.name, clock, learned, before, brain, unfamiliar
    )


def _placed_without_fields(
    acquisitions: Sequence[Acquisition],
    alignments: Mapping[str, Alignment],
    chosen: Acquisition,
    placement: AtlasPlacement,
    mask: np.ndarray,
    grid: sitk.Image,
    field_strength: float,
) -> tuple[AtlasPlacement, dict[str, StrongField]]:
    """The atlas's placement, a new one where the reference's receive field was in its way, and the fields that are strong."""
    fields = strong_fields(acquisitions, alignments, placement, mask, grid, field_strength)
    if chosen.name in fields and placement.likeness < LEAST_LIKENESS:
        again = place_atlas(without(fields, alignments)[chosen.name].image, chosen.protocol, field_strength)
        if again.likeness > placement.likeness:
            placement = again
            fields = strong_fields(acquisitions, alignments, placement, mask, grid, field_strength)
    return placement, fields if placement.likeness >= LEAST_LIKENESS else {}


def reference_of(acquisitions: Sequence[Acquisition], reference: str | None) -> Acquisition:
    """The input whose grid the maps get. Raises EstimationError when there is no input, or none of that name."""
    by_name = {a.name: a for a in acquisitions}
    if not by_name:
        raise EstimationError("No input: give at least one of T1w, T2w and FLAIR.")
    if reference is not None and reference not in by_name:
        raise EstimationError(f"The reference '{reference}' is not among the inputs ({', '.join(by_name)}).")
    order = [reference] if reference else [*_PREFERRED_REFERENCE, *by_name]
    return next(by_name[name] for name in order if name in by_name)


def _observation(acquisition: Acquisition, alignment: Alignment, mask: np.ndarray, voxels: HeadVoxels, stripped: bool) -> Observation:
    """An input at the head's voxels. In a skull-stripped magnitude image, what is not positive was cut away: no data, not darkness;
    unless tissue encloses it: fluid that preprocessing left at 0."""
    image = sitk.GetArrayFromImage(alignment.image)
    signal = image.reshape(-1)[voxels.index]
    covered = alignment.covered.reshape(-1)[voxels.index]
    if stripped and not acquisition.protocol.sequence.signed:
        covered = covered & filled_in_slices(image > 0).reshape(-1)[voxels.index]
    highest = saturation(acquisition.volume.voxels)
    if highest is not None:  # cut off there: the true signal is higher, nobody knows by how much
        covered = covered & (signal < highest)
    if not (covered & (signal != 0)).any():
        raise EstimationError(f"{acquisition.name} shows nothing inside the head. Check that the inputs are of the same patient.")
    return Observation(acquisition.name, acquisition.protocol, signal, noise_level(image, mask & alignment.covered), covered)


def _fit_head(
    observations: Sequence[Observation],
    profiles: Sequence[SliceProfile | None],
    voxels: HeadVoxels,
    grid: sitk.Image,
    field_strength: float,
    doubtful: Mapping[str, float],
    progress: Callable[[float], None],
    compute: Compute,
) -> HeadModel:
    """Fit the head level on voxels of the brain that every input shows to be even.

    The atlas alone says which tissue is expected: a network's certainty takes voxels of several tissues in (in a phantom of blurred tissues
    it doubled the misfit), and what it knows of single voxels serves those.
    """
    likely = brain_voxels(voxels)
    if likely.size < _LEAST_BRAIN:
        raise EstimationError("No brain was found in the images. Check that they show a head and that their orientation is right.")
    for observation in observations:
        if observation.covered[likely].sum() < min(_LEAST_BRAIN, likely.size // 2):
            raise EstimationError(f"{observation.name} does not show the brain. Check that the inputs are of the same patient and region.")
    sample = even_voxels(observations, voxels, [None if p is None else p.half_extent(grid) for p in profiles])
    seen, positions, atlas = _sampled(observations, voxels, sample)
    thick = any(p is not None for p in profiles)  # then the inputs do not show the same mixtures
    boundary = None if thick else Boundary(*_sampled(observations, voxels, boundary_voxels(observations, voxels)))
    return compute.at_once(lambda move: fit_head(seen, positions, atlas, field_strength, doubtful, progress, move, boundary))


def _sampled(
    observations: Sequence[Observation], voxels: HeadVoxels, sample: np.ndarray
) -> tuple[list[Observation], np.ndarray, np.ndarray]:
    """The inputs, the positions (n, 3) and the atlas's fractions (tissues, n) at some of the voxels."""
    return [o.at(sample) for o in observations], voxels.positions(sample), voxels.atlas[:, sample] / np.float32(255.0)


def _assembled(
    acquisitions: Sequence[Acquisition],
    alignments: Mapping[str, Alignment],
    head: HeadModel,
    placement: AtlasPlacement,
    voxels: HeadVoxels,
    fitted: FittedVoxels,
    grid: sitk.Image,
    reference: str,
    clock: _Clock,
    learned: NetworkPrior | None,
    before: tuple[Reason, ...],
    brain: np.ndarray,
    unfamiliar: np.ndarray,
) -> Estimate:
    linear = np.exp(fitted.theta)
    spread = linear * fitted.sd * sd_factors(len(acquisitions)).astype(np.float32)[:, None]
    pd, t1, t2 = (voxels.volume(linear[j]) for j in range(3))
    maps = TissueMaps(
        pd,
        t1,
        t2,
        mask=voxels.volume(np.ones(voxels.index.size, dtype=bool)),
        grid=grid,
        sd={name: voxels.volume(spread[j]) for j, name in enumerate(PROPERTIES)},
        fluid_fraction=voxels.volume(fitted.fluid),
        fluid=head.fluid,
    )
    check_maps(maps)
    tissue = voxels.volume(fitted.tissue, outside=NO_TISSUE)
    inputs = {name: sitk.GetArrayFromImage(alignment.image) for name, alignment in alignments.items()}
    fits = {a.name: voxels.volume(fitted.predicted[i]) for i, a in enumerate(acquisitions)}
    checks = {a.name: check_fit(inputs[a.name], fits[a.name], brain & alignments[a.name].covered) for a in acquisitions}
    medians = tissue_medians(maps, tissue, brain)
    agreement = agreement_with_atlas(fitted.tissue, voxels.atlas)
    applicability = assess(acquisitions, checks, placement.likeness, learned.distances if learned is not None else None)
    implausible = implausible_medians(medians, head.field_strength)
    anywhere = None if placement.skull_stripped else np.any([alignment.covered for alignment in alignments.values()], axis=0)
    known = placement.likeness >= LEAST_LIKENESS  # else nobody knows where the brain is
    uncovered = coverage_reasons(alignments, brain, brain_outside(placement, grid, anywhere) if known else 0.0)
    strange = unfamiliar_reasons(unfamiliar, grid) if known else ()
    explained = any(reason.level is Level.DO_NOT_USE for reason in before)
    misfits = fit_reasons(checks, head.equation_error, implausible, explained)
    found = ordered((*before, *input_reasons(acquisitions), *strange, *uncovered, *applicability.reasons, *misfits))
    verdict = Verdict.of(found)
    if verdict.level is Level.DO_NOT_USE:
        maps = widened(maps, head)
        medians = tissue_medians(maps, tissue, brain)
    clock.end()
    return Estimate(
        maps, brain, tissue, inputs, fits, checks, alignments, head, placement, reference, agreement, medians, applicability,
        tuple(reason.sentence for reason in found), verdict, clock.seconds, learned,
        unfamiliar if unfamiliar.any() else None,
    )  # fmt: skip


def agreement_with_atlas(tissue: np.ndarray, atlas: np.ndarray) -> float:
    """How well the tissues found (N,) lie where the placed ``atlas`` (tissues, N; uint8) expects them, over its brain.

    The atlas's mean probability of the tissue found, over what tissues drawn from the atlas itself would get: 1.06 and more in
    heads that lie as they should, with three inputs about 1 or less in heads that are upside down or back to front. One input alone tells
    less of it.
    """
    sure = (tissue != NO_TISSUE) & (atlas[brain_rows()].sum(axis=0, dtype=np.int32) > 127)
    if not sure.any():
        return 0.0
    fractions = atlas[:, sure].astype(np.float32) / 255.0
    confirmed = np.take_along_axis(fractions, tissue[sure][None].astype(np.int64), axis=0)
    return float(confirmed.mean() / (fractions**2).sum(axis=0).mean())
