"""The demonstration: estimate, render every clinical contrast, and compare with the truth if it is known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...imaging.head.known_head import KnownHead, coverage, map_errors
from ...imaging.intake.acquisition import Acquisition
from ...imaging.intake.volumes import volume_from_image, write_image
from ...physics.protocol import Protocol
from ..estimation.estimate import Estimate
from ..estimation.tissue_medians import outer_medians
from ..rendering.contrast_choice import clinical_protocols
from ..rendering.head_points import head_points
from ..rendering.render import render
from ..rendering.simulate import simulate
from ..results.figure import write_contrasts
from ..results.outputs import save_estimate, whole_folder, write_report
from .example import example_head

_EXAMPLE_PROTOCOLS = {
    "t1w": Protocol.of("mprage", "example", TR=2400, TI=1000, TE=3.16, FA=8, ESP=7.6, N=176),
    "t2w": Protocol.of("tse", "example", TR=4500, TE=100, L=150),
    "flair": Protocol.of("flair", "example", TR=9000, TE=90, TI=2500, L=150),
}
_SNR, _FIELD, _SEED = 100.0, 0.2, 1


def example_acquisitions() -> tuple[KnownHead, list[Acquisition]]:
    """The embedded example: its known maps, and its T1w, T2w and FLAIR with 1 % noise and a receive field of ±20 %."""
    head = example_head(_SEED)
    images = simulate(head.maps, _EXAMPLE_PROTOCOLS, _SNR, _FIELD, _SEED)
    return head, [Acquisition(name, volume_from_image(head.maps.image(v)), _EXAMPLE_PROTOCOLS[name]) for name, v in images.items()]


def write_demo(estimate: Estimate, truth: KnownHead | None, out: Path, overwrite: bool) -> list[str]:
    """Write the estimate, the rendered contrasts, and the inputs and truth of a simulated example; returns lines for the user."""
    protocols = synthetic_set(estimate)
    contrasts = {name: render(estimate.maps, protocol, scale=1000.0) for name, protocol in protocols.items()}
    with whole_folder(out, overwrite) as folder:
        save_estimate(estimate, folder)
        for name, image in contrasts.items():
            write_image(estimate.maps.image(image), folder / f"rendered_{name}.nii.gz")
        write_contrasts(estimate, contrasts, protocols, folder / "contrasts.png")
        if truth is not None:
            for acquisition in estimate.acquisitions:
                write_image(acquisition.volume.image, folder / f"input_{acquisition.name}.nii.gz")
            for name, file in truth.maps.files().items():
                write_image(file, folder / f"truth_{name}")
        write_report(estimate, folder, out)
    lines = [] if truth is None else _comparison(estimate, truth)
    return [*lines, f"Maps, report.html, rendered contrasts and contrasts.png are in {out}."]


def synthetic_set(estimate: Estimate) -> Mapping[str, Protocol]:
    """The clinical contrasts by short name, with inversion times solved for this head."""
    report = {"field_strength_tesla": estimate.field_strength, "tissue_medians": estimate.medians}
    points = head_points(estimate.maps, {**report, "outer_medians": outer_medians(estimate.maps, estimate.tissue)})
    return {name.removeprefix("synthetic-"): protocol for name, protocol in clinical_protocols(points).items()}


def _comparison(estimate: Estimate, truth: KnownHead) -> list[str]:
    errors, covered = map_errors(estimate.maps, truth), coverage(estimate.maps, truth)
    table = [f"  {group:<13} PD {e['PD']:4.1f}   T1 {e['T1']:4.1f}   T2 {e['T2']:4.1f}" for group, e in errors.items()]
    within = ", ".join(f"{name} {value:.0f}" for name, value in covered.items())
    return [
        "Median absolute error against the known truth (%):",
        *table,
        f"Truth within one SD (%, ideally 68): {within}.",
    ]
