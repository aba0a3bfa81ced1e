"""Receive fields of coils without prescan normalisation: told from the brain's solid tissue, and divided out before the fit.

The fit's own fields are smooth and weak: with a scalp that is several times as bright as the centre, white matter at the surface would
look like grey matter in the middle. In the brain's solid tissue a polynomial of second order follows the logarithm of the signal over that
of the atlas at literature values; what it leaves is as weak as other fields. A field that the fit itself finds to be far from even began
its search too far away: it is divided out too, and what is left is fitted from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import SimpleITK as sitk

from ...fitting.fields import PolynomialBasis
from ...fitting.head import HeadModel
from ...fitting.observation import Observation
from ...fitting.tissue_level import brain_rows
from ...imaging.head.alignment import Alignment
from ...imaging.head.atlas import AtlasPlacement
from ...imaging.intake.volumes import image_like
from ...physics.tissues import tissue_table
from .aligned_head import AlignedHead, AlignedInputs, StrongField
from .head_voxels import HeadVoxels
from .verdict import Cause, Level, Reason

_WORKING_MM = 3.0
_DEGREE, _ROUNDS, _OUTLIER = 2, 8, 2.0
"""Of the polynomial, since more would go astray where there is no white matter; fits in which voxels that are so many robust SDs off count
less."""
_SURE, _LIKELY, _LEAST_VOXELS = 230, 127, 500
"""Of 255: where the atlas gives solid tissue of the brain, and the brain with its fluid, more. Fewer voxels of tissue tell no field."""
_UNEXPLAINED = 0.7
"""A strong field leaves less than this of how far signals deviate from the expected ones (0.1 to 0.5); a polynomial through a tumour, or
where the atlas does not quite fit, follows tissues instead and leaves more (0.8; 1.1 to 1.3)."""
_STRONG, _VERY_STRONG = 2.1, 3.0
"""Ratio of the field's 95th and 5th percentile in the brain, which is 1.1 to 2.0 in sound images: beyond the first it is
divided out, beyond the second what is left of it may still show."""
_UNEVEN = 1.5
"""The same of the fit's field: 1.1 to 1.3 where coils were made even, up to 1.46 in scans at 1.5 T that the fit follows well."""
_ENOUGH = 20_000
"""Voxels that tell a field's percentiles; the basis of them all would take a gigabyte."""


def strong_fields(inputs: AlignedInputs, placement: AtlasPlacement) -> dict[str, StrongField]:
    """The receive fields, by input, that are too strong for the fit; of magnitude images alone, since the others have none.

    Estimated from every few millimetres of the head, with the ``placement`` of the atlas.
    """
    grid, alignments = inputs.grid, inputs.alignments
    x, y, z = (max(1, round(_WORKING_MM / s)) for s in grid.GetSpacing())
    every = (slice(None, None, z), slice(None, None, y), slice(None, None, x))
    voxels = HeadVoxels.inside(inputs.mask[every], grid[::x, ::y, ::z], placement)
    table = tissue_table(inputs.field_strength)
    solid_rows = [row for row in brain_rows() if table[row].name != "csf"]
    solid = np.flatnonzero(voxels.atlas[solid_rows].sum(axis=0, dtype=np.int32) > _SURE)
    brain = np.flatnonzero(voxels.atlas[brain_rows()].sum(axis=0, dtype=np.int32) > _LIKELY)
    values = np.exp(np.stack([tissue.theta for tissue in table], axis=1))
    found = {}
    for a in inputs.acquisitions:
        if a.protocol.sequence.signed or not a.protocol.sequence.uses_pd:
            continue
        covered = alignments[a.name].covered[every].reshape(-1)[voxels.index]
        shown, seen = solid[covered[solid]], brain[covered[brain]]  # beyond what an image shows, a polynomial says anything
        signal = sitk.GetArrayViewFromImage(alignments[a.name].image)[every].reshape(-1)[voxels.index[shown]]
        expected = np.abs(a.protocol.signal(*values)) @ voxels.atlas[:, shown]
        strong = _strong_field(signal / np.maximum(expected, 1e-9), voxels.positions(shown), voxels.positions(seen), grid)
        if strong is not None:
            found[a.name] = strong
    return found


def uneven_fields(model: HeadModel, head: AlignedHead, brain: np.ndarray) -> dict[str, StrongField]:
    """The fitted receive fields, by input, that are too far from even for the search from an even one; ``brain`` are voxels (M,) of it."""
    down, back, across = (np.arange(n) * s for n, s in zip(head.grid.GetSize()[::-1], head.grid.GetSpacing()[::-1], strict=True))
    some = brain[:: max(1, brain.size // _ENOUGH)]
    fields = model.fields(model.basis.evaluate(head.voxels.positions(some)))
    found = {}
    for name, coefficients, field in zip(head.alignments, model.coefficients, fields, strict=True):
        low, middle, high = np.percentile(field, (5, 50, 95))
        if high > _UNEVEN * low:
            lines, columns = model.basis.factors(coefficients[None], [down, back, across])
            everywhere = np.exp((lines[0] @ columns).reshape(down.size, back.size, across.size)) / middle
            found[name] = StrongField(float(high / low), image_like(everywhere.astype(np.float32), head.grid))
    return found


def without(fields: Mapping[str, StrongField], alignments: Mapping[str, Alignment]) -> dict[str, Alignment]:
    """The aligned inputs divided by their ``fields``."""
    return {
        name: replace(alignment, image=alignment.image / fields[name].field) if name in fields else alignment
        for name, alignment in alignments.items()
    }


def without_field(observation: Observation, fields: Mapping[str, StrongField], voxels: HeadVoxels) -> Observation:
    """An input at the head's voxels divided by its field."""
    if observation.name not in fields:
        return observation
    field = sitk.GetArrayViewFromImage(fields[observation.name].field).reshape(-1)[voxels.index]
    return replace(observation, signal=observation.signal / field)


def divided(
    head: AlignedHead, observations: Sequence[Observation], fields: Mapping[str, StrongField]
) -> tuple[AlignedHead, list[Observation]]:
    """The head's images and their ``observations`` at its voxels, both divided by the ``fields``."""
    at_voxels = [without_field(observation, fields, head.voxels) for observation in observations]
    return replace(head, alignments=without(fields, head.alignments)), at_voxels


def field_reasons(fields: Mapping[str, StrongField]) -> Iterator[Reason]:
    """What was divided out, with the remedy, where coils were not made even; a warning where that was much."""
    for name, strong in fields.items():
        if strong.strength <= _STRONG:
            continue
        text = (
            f"The receive field varies {strong.strength:.1f}-fold over the brain, as in images without prescan normalisation; it was "
            "divided out. Where the scanner stored the image with prescan normalisation too, give that one."
        )
        yield Reason(Cause.IMAGES, Level.CAUTION if strong.strength > _VERY_STRONG else Level.GOOD, text, name)


def _strong_field(signal: np.ndarray, positions: np.ndarray, brain: np.ndarray, grid: sitk.Image) -> StrongField | None:
    """The field that a ``signal`` (N,) over the expected one tells at ``positions`` (N, 3; mm), if it is strong in the ``brain`` (M, 3). A
    robust fit, since some voxels are lesions or another tissue."""
    if np.count_nonzero(signal > 0.0) < _LEAST_VOXELS:
        return None
    basis = PolynomialBasis.around(brain, _DEGREE)
    terms, logs = _terms(basis, positions[signal > 0.0]), np.log(signal[signal > 0.0].astype(float))
    weights = np.ones_like(logs)
    without = float(np.median(np.abs(logs - np.median(logs))))
    for _ in range(_ROUNDS):
        found, *_rest = np.linalg.lstsq(terms * weights[:, None], logs * weights, rcond=None)
        away = np.abs(logs - terms @ found)
        weights = 1.0 / np.maximum(1.0, away / (_OUTLIER * 1.4826 * float(np.median(away)) + 1e-6))
    inside = _terms(basis, brain) @ found
    low, high = np.percentile(inside, (5, 95))
    strength = float(np.exp(high - low))
    if strength <= _STRONG or float(np.median(away)) > _UNEXPLAINED * without:
        return None
    found[0] -= inside.mean()
    return StrongField(strength, _on_grid(basis, found, grid))


def _terms(basis: PolynomialBasis, positions: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(positions)), basis.evaluate(positions)])


def _on_grid(basis: PolynomialBasis, coefficients: np.ndarray, grid: sitk.Image) -> sitk.Image:
    """exp of the polynomial at all voxels of the grid, slice by slice."""
    depth, height, width = (int(n) for n in grid.GetSize()[::-1])
    z, y, x = (float(s) for s in grid.GetSpacing()[::-1])
    plane = np.stack(np.meshgrid([0.0], np.arange(height) * y, np.arange(width) * x, indexing="ij"), axis=-1).reshape(-1, 3)
    field = np.empty((depth, height, width), dtype=np.float32)
    for k in range(depth):
        field[k] = np.exp(_terms(basis, plane + np.array([k * z, 0.0, 0.0])) @ coefficients).reshape(height, width)
    return image_like(field, grid)
