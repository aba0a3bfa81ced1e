"""Suite ``reconstruction``: the inputs rendered again, from the prior alone and from the fitted maps, as in the paper's Table 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from PhysMRISynthLib.imaging.head.masks import bounding_box
from PhysMRISynthLib.workflow.estimation.estimate import Estimate

from ..simulator.standard_acquisition import NOISE
from .drawing import Picture, View, draw_pictures
from .plan import Plan, progress_bar
from .refit import expected_images
from .results import Findings, Table
from .similarity import CONVENTION, check_metrics, data_range, least_squares_gain, psnr, similarity
from .subjects import PROTOCOLS_DOUBTFUL, Subject, check_heads, has_patient_07, head_notes, patient_07, simulated_head

ALONE, FITTED, CEILING = "prior alone", "after the fit", "truth without noise"
BRAIN, BOX = "brain", "head and air"
PAPER = {"psnr": 32.70, "ms_ssim": 0.9632, "mae": 20.25, "mse": 996.0}
"""The paper's best row, prior and adaptive group normalisation (Lüpke et al., Table 1)."""
PAPER_RANGE = float(np.sqrt(PAPER["mse"] * 10.0 ** (PAPER["psnr"] / 10.0)))
"""The data range implied by the paper's MSE and PSNR, about 1362: MSE and MAE are stated for images of that range."""
_ERROR_SHOWN = 0.2
_NOTES = (
    f"Each input is compared with its image from the '{ALONE}' (expected tissue probabilities, the network's or the placed atlas's, times "
    "the tissues' literature values, without the network's correction of these; under the input's protocol and fitted receive field, with "
    f"one least-squares gain) and '{FITTED}'. The targets are the images as measured, with their noise: '{CEILING}' shows what it leaves "
    "to the right answer, and the last column compares with the image before noise was added. The paper's images hold the air around the "
    f"head, as '{BOX}' (the box around the head) does; '{BRAIN}' is the brain mask.",
    f"{CONVENTION} MSE and MAE are those of images scaled to a range of {PAPER_RANGE:.0f}, which the paper's own MSE and PSNR imply. The "
    f"paper's data and its definition of the range are others: its row is for orientation. {PROTOCOLS_DOUBTFUL}",
)
Record = dict[str, Any]


def check(plan: Plan) -> None:
    """Raise PhysMRISynthError if MONAI or a head of the plan is not available."""
    check_metrics()
    check_heads(plan)


def measure(plan: Plan) -> Findings:
    """The plan's simulated heads, and the real patient at 3 T if the data folder holds the scans."""
    count = len(plan.heads) + has_patient_07(plan)
    return reconstruct(plan, _subjects(plan), count)


def _subjects(plan: Plan) -> Iterator[Subject]:
    for head in plan.heads:
        simulated = simulated_head(plan, head, 0)
        clean = {a.name: a.volume.voxels for a in simulated.scan(0.0).acquisitions}
        yield replace(simulated.scan(100.0 * NOISE), noise_free=clean)
    if has_patient_07(plan):
        yield patient_07(plan)


def reconstruct(plan: Plan, subjects: Iterator[Subject], count: int) -> Findings:
    """The suite on any ``count`` subjects; the brain mask is the first prior's if the subject has none."""
    records: list[Record] = []
    pictures: list[list[Picture]] = []
    with progress_bar(count * len(plan.estimators), "reconstruction") as bar:
        for number, subject in enumerate(subjects):
            brain = subject.brain
            shown = number == 0 or subject.truth is None  # keep the figure small
            for prior in plan.estimators:
                estimate = plan.estimate(prior, subject.acquisitions, subject.field_strength, subject.name)
                brain = estimate.brain if brain is None else brain
                images = _images(estimate, subject, brain)
                records += _records(subject, prior, estimate, images, brain)
                pictures += _pictures(subject.name, prior, estimate, images, brain) if shown else []
                bar.update()
    return Findings(records, [_table(records)], [*_NOTES, *head_notes(plan)], partial(draw_pictures, pictures))


def _images(estimate: Estimate, subject: Subject, brain: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Images by input and method."""
    images = {}
    for name, expected in expected_images(estimate, subject.acquisitions).items():
        gain = least_squares_gain(expected[brain], estimate.inputs[name][brain])
        images[name] = {ALONE: expected * np.float32(gain), FITTED: estimate.fits[name]}
    return images


def _records(
    subject: Subject, prior: str, estimate: Estimate, images: Mapping[str, Mapping[str, np.ndarray]], brain: np.ndarray
) -> list[Record]:
    box = bounding_box(estimate.maps.mask)
    assert box is not None
    around = np.zeros_like(estimate.maps.mask)
    around[box] = True
    records = []
    for name, by_method in images.items():
        target, covered = estimate.inputs[name], estimate.alignments[name].covered
        clean = subject.noise_free.get(name)
        level = data_range(target, brain & covered)
        known = {} if clean is None else {CEILING: clean}
        for method, image in {**by_method, **known}.items():
            for region, mask in ((BRAIN, brain & covered), (BOX, around & covered)):
                score = similarity(image, target, mask, level, estimate.maps.grid)
                kind = {"subject": subject.name, "prior": prior, "method": method, "input": name, "region": region}
                noise_free = None if clean is None else psnr(image, clean, mask, level)
                records.append({**kind, **asdict(score), "psnr_to_noise_free": noise_free})
    return records


def _table(records: Sequence[Record]) -> Table:
    """Means over the inputs of each subject, the paper's best first."""
    rows = [("OASIS-3 (the paper)", "", "published", "", *_cells(PAPER, 1.0), "")]
    kinds = dict.fromkeys((r["subject"], r["prior"], r["method"], r["region"]) for r in records)
    for kind in kinds:
        members = [r for r in records if (r["subject"], r["prior"], r["method"], r["region"]) == kind]
        means = {name: float(np.mean([r[name] for r in members])) for name in PAPER}
        clean = [r["psnr_to_noise_free"] for r in members]
        rows.append((*kind, *_cells(means, PAPER_RANGE), "" if None in clean else f"{np.mean(clean):.2f}"))
    columns = ("subject", "prior", "image", "region", "PSNR dB", "MS-SSIM", "MAE", "MSE", "PSNR dB to the image without noise")
    return Table("Inputs rendered again, mean over the inputs", columns, tuple(rows))


def _cells(means: Mapping[str, float], level: float) -> tuple[str, ...]:
    return f"{means['psnr']:.2f}", f"{means['ms_ssim']:.4f}", f"{means['mae'] * level:.2f}", f"{means['mse'] * level**2:.0f}"


def _pictures(
    subject: str, prior: str, estimate: Estimate, images: Mapping[str, Mapping[str, np.ndarray]], brain: np.ndarray
) -> list[list[Picture]]:
    """A row per input: measured, each method's image and its error."""
    view = View(brain, estimate.maps.mask, estimate.maps.grid)
    rows = []
    for name, by_method in images.items():
        target = estimate.inputs[name]
        level = data_range(target, brain)
        row = [Picture(f"{subject}\n{name}", view.plane(target), 0.0, level)]
        row += [Picture(f"{prior}\n{method}", view.plane(image), 0.0, level) for method, image in by_method.items()]
        for method, image in by_method.items():
            error = view.plane((image - target) / level)
            row.append(Picture(f"{method}\nerror, ±{100 * _ERROR_SHOWN:.0f} % of the range", error, -_ERROR_SHOWN, _ERROR_SHOWN, "RdBu_r"))
        rows.append(row)
    return rows
