"""The inputs on one grid, and what a user must know of how they lie there: motion between and inside series, mirrored images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import SimpleITK as sitk

from ...errors import RegistrationError
from ...imaging.head.alignment import SAME_GRID, Alignment, align
from ...imaging.head.misfit import Misfit, measure_misfit
from ...imaging.intake.acquisition import Acquisition
from ...imaging.intake.slices import SliceFaults, slice_faults
from .verdict import Cause, Level, Reason

_WORST_MISFIT_VOXELS, _LEAST_MISFIT_MM = 0.5, 0.4
_USELESS_MISFIT_VOXELS = 2.0


def align_inputs(
    acquisitions: Sequence[Acquisition],
    chosen: Acquisition,
    register: bool | None,
    grid: sitk.Image,
    progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[dict[str, Alignment], tuple[Reason, ...]]:
    """Bring every input onto the ``grid`` of the ``chosen`` one (``register`` as :func:`~PhysMRISynthLib.imaging.head.alignment.align` has
    it).

    Equal grids say nothing about motion: the misfit is measured, and beyond half a voxel the input is registered, unless the user forbade
    that. Raises RegistrationError as ``align`` does.
    """
    alignments: dict[str, Alignment] = {}
    for done, a in enumerate(acquisitions):
        alignments[a.name] = align(a.volume.image, chosen.volume.image, False if a is chosen else register, grid, a.volume.missing)
        progress((done + 1) / (len(acquisitions) + 1))
    others = [a for a in acquisitions if a is not chosen]
    fixed = alignments[chosen.name]
    reasons: list[Reason] = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        misfits = pool.map(lambda a: _misfit(alignments[a.name], fixed), others)
        faults = pool.map(lambda a: slice_faults(a.volume.voxels), acquisitions)
        measured = dict(zip((a.name for a in others), misfits, strict=True))
        for a, found in zip(acquisitions, faults, strict=True):
            reasons += _slice_reasons(a.name, found)
    worst = _worst_misfit(grid)
    for a in others:
        misfit = measured[a.name]
        apart = misfit is not None and not misfit.mirrored and misfit.distance_mm > worst
        if misfit is not None and apart and register is None and alignments[a.name].method == SAME_GRID:
            misfit = _registered(a, chosen, grid, alignments, reasons, misfit)
        reasons += _judged(
            a.name, chosen.name, misfit, worst if alignments[a.name].method == SAME_GRID else _worst_registered(a, grid), register
        )
    progress(1.0)
    return alignments, tuple(reasons)


def _registered(
    a: Acquisition, chosen: Acquisition, grid: sitk.Image, alignments: dict[str, Alignment], reasons: list[Reason], before: Misfit
) -> Misfit | None:
    """Register an input that has the reference's grid but not its place, where that helps; the misfit that is left."""
    try:
        found = align(a.volume.image, chosen.volume.image, True, grid, a.volume.missing)
    except RegistrationError:
        return before
    after = _misfit(found, alignments[chosen.name])
    if after is None or after.distance_mm >= before.distance_mm:
        return before
    alignments[a.name] = found
    text = f"The head lies {before.distance_mm:.1f} mm from its place in {chosen.name}, on the same grid: the image was registered."
    reasons.append(Reason(Cause.IMAGES, Level.GOOD, text, a.name))
    return after


def _misfit(moving: Alignment, fixed: Alignment) -> Misfit | None:
    return measure_misfit(moving.image, fixed.image, moving.covered & fixed.covered)


def _worst_misfit(grid: sitk.Image) -> float:
    """The misfit (mm) that is tolerated on a grid."""
    return max(_LEAST_MISFIT_MM, _WORST_MISFIT_VOXELS * float(np.prod(grid.GetSpacing())) ** (1.0 / 3.0))


def _worst_registered(a: Acquisition, grid: sitk.Image) -> float:
    """The misfit (mm) that is tolerated after registration: half a slice of the image or of the grid, if that is more. Between thick slices
    the measure itself errs by a millimetre, and finds as much where others registered the images."""
    return max(_worst_misfit(grid), _WORST_MISFIT_VOXELS * max(*a.volume.image.GetSpacing(), *grid.GetSpacing()))


def _judged(name: str, reference: str, misfit: Misfit | None, worst: float, register: bool | None) -> list[Reason]:
    """What is wrong with an input's place, once it is where it will be used."""
    if misfit is None:
        return []
    if misfit.mirrored:
        text = (
            f"Left and right are exchanged between this image and {reference}: mirrored, it fits better. One of the two lost its "
            "orientation in a conversion. Convert both again from the scanner's files."
        )
        return [Reason(Cause.IMAGES, Level.DO_NOT_USE, text, name)]
    if misfit.distance_mm <= worst:
        return []
    apart = f"The head lies {misfit.distance_mm:.1f} mm from its place in {reference}"
    if register is False:
        text = f"{apart}, and registration was forbidden. Register the inputs."
    else:
        text = (
            f"{apart} after registration. Check that both are of the same patient and in the right orientation, and look for motion "
            "during the scan."
        )
    useless = misfit.distance_mm > _USELESS_MISFIT_VOXELS / _WORST_MISFIT_VOXELS * worst
    return [Reason(Cause.IMAGES, Level.DO_NOT_USE if useless else Level.CAUTION, text, name)]


def _slice_reasons(name: str, faults: SliceFaults) -> list[Reason]:
    texts = []
    if faults.interleaved:
        texts.append(
            "Odd and even slices do not fit each other: the patient moved between the passes of the scan. The maps are blurred there; "
            "leave this image out if another one can replace it."
        )
    if faults.interpolated:
        texts.append(
            "Most slices were interpolated between thicker ones: edges between tissues are blurred, and their values with them. Give the "
            "image with the slices that the scanner made."
        )
    return [Reason(Cause.IMAGES, Level.CAUTION, text, name) for text in texts]
