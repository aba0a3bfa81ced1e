"""From acquisitions to tissue maps: align, find the head, place the atlas, fit the head level, fit every voxel, check the fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk
from threadpoolctl import threadpool_limits

from ...errors import EstimationError
from ...fitting.check import FitCheck, check_fit
from ...fitting.head import HeadModel
from ...fitting.observation import Observation
from ...fitting.tissue_level import brain_rows
from ...imaging.head.alignment import Alignment, grid_of_spacing
from ...imaging.head.atlas import AtlasPlacement, brain_outside, place_atlas
from ...imaging.head.masks import brain_mask, filled_in_slices, head_mask
from ...imaging.head.slice_profile import slice_profile
from ...imaging.intake.acquisition import Acquisition
from ...imaging.intake.intensities import saturation
from ...imaging.intake.noise_level import noise_level
from ...imaging.tissue_maps import TissueMaps
from ...physics.tissues import PROPERTIES, tissue_table
from ..compute import Compute
from ..meanwhile import begun
from .aligned import align_inputs
from .aligned_head import AlignedHead, AlignedInputs
from .applicability import Applicability, assess
from .calibration import sd_factors
from .coverage import coverage_reasons
from .even_voxels import brain_voxels, is_brain
from .head_level import fit_head_level
from .head_voxels import NO_TISSUE, FittedVoxels, HeadVoxels, fit_with_profiles
from .input_checks import check_brain_intensities, check_inputs, check_intensities, check_maps, check_wrapped
from .inputs import field_strength_of
from .network_prior import NetworkPrior, loadable_weights, network_prior
from .order import USUAL, EstimateOrder
from .reasons import anatomy_reasons, fit_reasons, input_reasons
from .receive_field import divided, field_reasons, strong_fields, uneven_fields, without
from .tissue_medians import Medians, implausible_medians, tissue_medians
from .unexplained import fit_unexplained, widened
from .unfamiliar import unfamiliar_reasons, unfamiliar_region
from .verdict import Cause, Level, Reason, Verdict, ordered

if TYPE_CHECKING:
    from ...network.weights import Weights

_PREFERRED_REFERENCE = ("t1w", "t2w", "flair")
Progress = Callable[[str, float], None]
"""Callback ``(stage, fraction_done)``."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Tissue maps with what supports them.

    ``order`` and ``acquisitions``: what was asked for, and of what. ``brain`` mask and ``tissue`` (row of the tissue table where one tissue
    is more probable than not, else 255) are (z, y, x); ``inputs`` are on the maps' grid, divided by receive fields that are too strong for
    the fit; ``fits`` are they re-rendered from the maps; ``agreement`` as in :func:`agreement_with_atlas`; ``medians`` per tissue;
    ``applicability`` of the method to the inputs; ``warnings`` are all that was found, in words, and the ``verdict`` what follows from
    them; ``seconds`` per stage.
    """

    order: EstimateOrder
    acquisitions: Sequence[Acquisition]
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

    @property
    def field_strength(self) -> float:
        """Tesla: the one that was ordered, else that of the headers, else 3."""
        return self.head.field_strength


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
    order: EstimateOrder = USUAL,
    progress: Progress = lambda stage, fraction: None,
    weights: Weights | None = None,
) -> Estimate:
    """Maps of PD, T1 and T2 as the ``order`` has them; its protocols are those of the acquisitions already.

    ``weights`` are a network to use instead of the installed one. Raises a PhysMRISynthError with cause and remedy when no trustworthy
    maps can be had.
    """
    clock = _Clock(progress)
    compute = Compute.on(order.device)
    chosen = reference_of(acquisitions, order.reference)
    check_inputs(acquisitions)
    processed = check_intensities(acquisitions)
    field_strength, _ = field_strength_of(acquisitions, order.field_strength)
    tissue_table(field_strength)  # refuses what it has no values for, before the work
    given = weights if order.prior != "literature" else None
    load = loadable_weights(order.prior, order.weights) if given is None else lambda: given
    with begun(load) as loaded:
        inputs, misplaced = _aligned(acquisitions, chosen, field_strength, order, clock)
        clock.stage("place the atlas")
        head = _placed(inputs, clock.fraction)
        network = loaded()
    with begun(partial(_learned, network, head, order.device)) as learned, _single_blas():  # the head level needs no network
        observations = [observation_of(head, a) for a in acquisitions]
        cut_off = check_brain_intensities(acquisitions, observations, is_brain(head.voxels))
        head, observations = divided(head, observations, head.fields)
        before = (*processed, *check_wrapped(head), *cut_off, *misplaced, *field_reasons(head.fields), *anatomy_reasons(head))
        clock.stage("fit tissues, gains and fields")
        expected = partial(_expected, head.voxels, learned)
        profiles = [slice_profile(a.volume.image, head.alignments[a.name], a.slice_thickness_mm) for a in acquisitions]
        model = fit_head_level(head, observations, profiles, expected, clock.fraction, compute)
        if uneven := uneven_fields(model, head, brain_voxels(head.voxels)):
            head, observations = divided(head, observations, uneven)
            before = (*before, *field_reasons(uneven))
            model = fit_head_level(head, observations, profiles, expected, clock.fraction, compute)
        if network is not None:
            clock.stage("expect tissues")
        head = replace(head, voxels=expected())
    clock.stage("fit voxels")
    with _single_blas():
        fitted = fit_with_profiles(model, observations, profiles, head.voxels, head.grid, clock.fraction, compute)
    clock.stage("check the fit")
    brain = brain_mask(head.voxels.volume(fitted.brain), head.grid)
    unfamiliar = unfamiliar_region(model, observations, head.voxels, head.grid, brain)
    fitted = fit_unexplained(model, observations, head.voxels, fitted, unfamiliar)
    return _assembled(order, head, _Fit(model, fitted, brain, unfamiliar, learned()), before, clock)


def _single_blas() -> threadpool_limits:
    """For small matrices on all our own threads: BLAS threads would fight with these over the cores."""
    return threadpool_limits(limits=1, user_api="blas")


def _learned(network: Weights | None, head: AlignedHead, device: str) -> NetworkPrior | None:
    return None if network is None else network_prior(network, head, device)


def _expected(voxels: HeadVoxels, learned: Callable[[], NetworkPrior | None]) -> HeadVoxels:
    """The head's voxels with what the network expects there, once it has ``learned`` that."""
    found = learned()
    return voxels if found is None else replace(voxels, expected=found.fractions)


def _aligned(
    acquisitions: Sequence[Acquisition], chosen: Acquisition, field_strength: float, order: EstimateOrder, clock: _Clock
) -> tuple[AlignedInputs, tuple[Reason, ...]]:
    """The inputs on one grid with the head in them, and what a user must know of how they lie there."""
    clock.stage("align")
    grid = chosen.volume.image if order.spacing_mm is None else grid_of_spacing(chosen.volume.image, order.spacing_mm)
    alignments, misplaced = align_inputs(acquisitions, chosen, order.register, grid, clock.fraction)
    clock.stage("find the head")
    mask = head_mask([alignment.image for alignment in alignments.values()], [alignment.covered for alignment in alignments.values()])
    return AlignedInputs(acquisitions, chosen, field_strength, grid, alignments, mask), misplaced


def _placed(inputs: AlignedInputs, progress: Callable[[float], None]) -> AlignedHead:
    """The head with the atlas's placement, a new one where the reference's receive field was in its way, and the fields that are strong."""
    reference = inputs.reference
    placement = place_atlas(reference.volume.image, reference.protocol, inputs.field_strength, progress)
    fields = strong_fields(inputs, placement)
    if reference.name in fields and not placement.known:
        again = place_atlas(without(fields, inputs.alignments)[reference.name].image, reference.protocol, inputs.field_strength)
        if again.likeness > placement.likeness:
            placement = again
            fields = strong_fields(inputs, placement)
    if placement.skull_stripped:  # what was cut away is not head
        shown = [filled_in_slices(sitk.GetArrayFromImage(alignment.image) != 0) for alignment in inputs.alignments.values()]
        inputs = replace(inputs, mask=inputs.mask & np.any(shown, axis=0))
    return AlignedHead.of(inputs, placement, fields if placement.known else {})


def reference_of(acquisitions: Sequence[Acquisition], reference: str | None) -> Acquisition:
    """The input whose grid the maps get. Raises EstimationError when there is no input, or none of that name."""
    by_name = {a.name: a for a in acquisitions}
    if not by_name:
        raise EstimationError("No input: give at least one of T1w, T2w and FLAIR.")
    if reference is not None and reference not in by_name:
        raise EstimationError(f"The reference '{reference}' is not among the inputs ({', '.join(by_name)}).")
    order = [reference] if reference else [*_PREFERRED_REFERENCE, *by_name]
    return next(by_name[name] for name in order if name in by_name)


def observation_of(head: AlignedHead, acquisition: Acquisition) -> Observation:
    """An input at the head's voxels. In a skull-stripped magnitude image, what is not positive was cut away: no data, not darkness;
    unless tissue encloses it: fluid that preprocessing left at 0."""
    alignment, index = head.alignments[acquisition.name], head.voxels.index
    image = sitk.GetArrayFromImage(alignment.image)
    signal = image.reshape(-1)[index]
    covered = alignment.covered.reshape(-1)[index]
    if head.placement.skull_stripped and not acquisition.protocol.sequence.signed:
        covered = covered & filled_in_slices(image > 0).reshape(-1)[index]
    highest = saturation(acquisition.volume.voxels)
    if highest is not None:  # cut off there: the true signal is higher, nobody knows by how much
        covered = covered & (signal < highest)
    if not (covered & (signal != 0)).any():
        raise EstimationError(f"{acquisition.name} shows nothing inside the head. Check that the inputs are of the same patient.")
    return Observation(acquisition.name, acquisition.protocol, signal, noise_level(image, head.mask & alignment.covered), covered)


@dataclass(frozen=True)
class _Fit:
    """What was fitted to a head: the ``model`` of the head level, its ``voxels``, the ``brain`` and what is ``unfamiliar`` in it (z, y, x),
    and what the network ``learned`` where it was the prior."""

    model: HeadModel
    voxels: FittedVoxels
    brain: np.ndarray
    unfamiliar: np.ndarray
    learned: NetworkPrior | None


def _assembled(order: EstimateOrder, head: AlignedHead, fit: _Fit, before: tuple[Reason, ...], clock: _Clock) -> Estimate:
    acquisitions, alignments, placement, grid = head.acquisitions, head.alignments, head.placement, head.grid
    model, fitted, voxels, brain = fit.model, fit.voxels, head.voxels, fit.brain
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
        fluid=model.fluid,
    )
    check_maps(maps)
    tissue = voxels.volume(fitted.tissue, outside=NO_TISSUE)
    inputs = {name: sitk.GetArrayFromImage(alignment.image) for name, alignment in alignments.items()}
    fits = {a.name: voxels.volume(fitted.predicted[i]) for i, a in enumerate(acquisitions)}
    checks = {a.name: check_fit(inputs[a.name], fits[a.name], brain & alignments[a.name].covered) for a in acquisitions}
    medians = tissue_medians(maps, tissue, brain)
    agreement = agreement_with_atlas(fitted.tissue, voxels.atlas)
    applicability = assess(acquisitions, checks, placement.likeness, fit.learned.distances if fit.learned is not None else None)
    implausible = implausible_medians(medians, head.field_strength)
    anywhere = None if placement.skull_stripped else np.any([alignment.covered for alignment in alignments.values()], axis=0)
    known = placement.known  # else nobody knows where the brain is
    uncovered = coverage_reasons(alignments, brain, brain_outside(placement, grid, anywhere) if known else 0.0)
    strange = unfamiliar_reasons(fit.unfamiliar, grid) if known else ()
    explained = any(reason.level is Level.DO_NOT_USE or _is_doubted_image(reason) for reason in before)
    misfits = fit_reasons(checks, model.equation_error, implausible, explained)
    found = ordered((*before, *input_reasons(acquisitions), *strange, *uncovered, *applicability.reasons, *misfits))
    verdict = Verdict.of(found)
    if verdict.level is Level.DO_NOT_USE:
        maps = widened(maps, model)
        medians = tissue_medians(maps, tissue, brain)
    clock.end()
    return Estimate(
        order=order,
        acquisitions=acquisitions,
        maps=maps,
        brain=brain,
        tissue=tissue,
        inputs=inputs,
        fits=fits,
        checks=checks,
        alignments=alignments,
        head=model,
        placement=placement,
        reference=head.reference.name,
        agreement=agreement,
        medians=medians,
        applicability=applicability,
        warnings=tuple(reason.sentence for reason in found),
        verdict=verdict,
        seconds=clock.seconds,
        network=fit.learned,
        unfamiliar=fit.unfamiliar if fit.unfamiliar.any() else None,
    )


def _is_doubted_image(reason: Reason) -> bool:
    return reason.cause is Cause.IMAGES and reason.level is not Level.GOOD


def agreement_with_atlas(tissue: np.ndarray, atlas: np.ndarray) -> float:
    """How well the tissues found (N,) lie where the placed ``atlas`` (tissues, N; uint8) expects them, over its brain.

    The atlas's mean probability of the tissue found, over what tissues drawn from the atlas itself would get: 1.06 and more in
    heads that lie as they should, with three inputs about 1 or less in heads that are upside down or back to front. One input alone tells
    less of it.
    """
    sure = (tissue != NO_TISSUE) & (atlas[brain_rows()].sum(axis=0, dtype=np.int32) > 127)
    if not sure.any():
        return 0.0
    places = np.flatnonzero(sure)
    confirmed = atlas[tissue[places], places].mean() / 255.0
    drawn = sum(float(np.square(row[places] / np.float32(255.0)).mean(dtype=float)) for row in atlas)
    return float(confirmed / drawn)
