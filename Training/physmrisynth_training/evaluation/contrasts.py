"""Suite ``contrasts``: on a real patient, each contrast rendered from maps that were estimated from the other two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.workflow.rendering.render import render

from .drawing import Picture, View, draw_pictures
from .plan import Plan, progress_bar
from .results import Findings, Table
from .similarity import CONVENTION, Similarity, check_metrics, data_range, least_squares_gain, psnr, regressed, similarity
from .subjects import PATIENT_07, PROTOCOLS_DOUBTFUL, Subject, check_patient, patient_07

ORACLE = "oracle regression"
_ERROR_SHOWN = 0.3
_NOTES = (
    "Each contrast of a real MS patient at 3 T is rendered, under its protocol and with one least-squares gain in the brain mask, from "
    "maps that were estimated from the other two; tissue and fluid of a voxel are rendered apart, as the product does. "
    f"The {ORACLE} is the voxelwise linear regression, with intercept, on the other two, fitted on this patient's own image of the "
    "left-out contrast, which no estimate sees; with an offset, a rendered image has its slope and intercept from there, too. The brain "
    "mask is where all three skull-stripped images are above 0, and what that "
    f"encloses. The left-out FLAIR is rendered as a variable-flip train at its nominal echo time. {PROTOCOLS_DOUBTFUL}",
    CONVENTION,
)


@dataclass(frozen=True)
class LeftOut:
    """One contrast: the measured ``target``, each method's image of it and their :class:`Similarity`, in the brain mask; ``with_offset`` is
    the PSNR of each image with the slope and the intercept that suit it best."""

    name: str
    target: np.ndarray
    images: Mapping[str, np.ndarray]
    scores: Mapping[str, Similarity]
    with_offset: Mapping[str, float]
    level: float


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if MONAI or the patient's scans are missing."""
    check_metrics()
    check_patient(plan, PATIENT_07)


def measure(plan: Plan) -> Findings:
    """Leave one contrast out, for each of the patient's three."""
    return leave_one_out(plan, patient_07(plan))


def leave_one_out(plan: Plan, subject: Subject) -> Findings:
    """The suite on any subject with skull-stripped inputs on one grid."""
    assert subject.brain is not None
    with progress_bar(len(subject.acquisitions) * len(plan.estimators), "contrasts") as bar:
        found = [_leave_out(plan, subject, a, bar) for a in subject.acquisitions]
    records = [
        {"subject": subject.name, "contrast": left.name, "method": method, **asdict(score), "psnr_with_offset": left.with_offset[method]}
        for left in found
        for method, score in left.scores.items()
    ]
    rows = _pictures(found, subject)
    return Findings(records, [_table(found, subject.name)], _NOTES, partial(draw_pictures, rows))


def _leave_out(plan: Plan, subject: Subject, left_out: Acquisition, bar: Any) -> LeftOut:
    brain = subject.brain
    assert brain is not None
    target = left_out.volume.voxels
    others = tuple(a for a in subject.acquisitions if a is not left_out)
    images = {}
    for prior in plan.estimators:
        maps = plan.estimate(prior, others, subject.field_strength, f"{subject.name} without {left_out.name}").maps
        image = render(maps, left_out.protocol)
        images[prior] = image * np.float32(least_squares_gain(image[brain], target[brain]))
        bar.update()
    images[ORACLE] = regressed([a.volume.voxels for a in others], target, brain)
    level = data_range(target, brain)
    grid = left_out.volume.image
    scores = {method: similarity(image, target, brain, level, grid) for method, image in images.items()}
    with_offset = {method: psnr(regressed([image], target, brain), target, brain, level) for method, image in images.items()}
    return LeftOut(left_out.name, target, images, scores, with_offset, level)


def _table(found: Sequence[LeftOut], name: str) -> Table:
    columns = ("contrast left out", "method", "PSNR dB", "over the oracle dB", "with an offset dB", "MS-SSIM", "MAE % of the range")
    rows = []
    for left in found:
        for method, score in left.scores.items():
            over = "" if method == ORACLE else f"{score.psnr - left.scores[ORACLE].psnr:+.2f}"
            freed = f"{left.with_offset[method]:.2f}"
            rows.append((left.name, method, f"{score.psnr:.2f}", over, freed, f"{score.ms_ssim:.4f}", f"{100 * score.mae:.2f}"))
    return Table(f"One contrast left out, {name}, brain mask", columns, tuple(rows))


def _pictures(found: Sequence[LeftOut], subject: Subject) -> list[list[Picture]]:
    """Per contrast: the measured image, each method's, and each method's error."""
    brain = subject.brain
    assert brain is not None
    view = View(brain, brain, subject.acquisitions[0].volume.image)
    rows = []
    for left in found:
        row = [Picture(f"{left.name}\nmeasured", view.plane(left.target * brain), 0.0, left.level)]
        for method, image in left.images.items():
            title = f"{method}\n{left.scores[method].psnr:.1f} dB"
            row.append(Picture(title, view.plane(image * brain), 0.0, left.level))
        for method, image in left.images.items():
            error = view.plane((image - left.target) * brain / left.level)
            row.append(Picture(f"{method}\nerror, ±{100 * _ERROR_SHOWN:.0f} % of the range", error, -_ERROR_SHOWN, _ERROR_SHOWN, "RdBu_r"))
        rows.append(row)
    return rows
