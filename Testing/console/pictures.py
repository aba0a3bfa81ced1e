"""Makes the pictures of the guide's pages from simulated heads: ``python Testing/console/pictures.py`` writes them into Resources/docs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from PhysMRISynthLib.imaging.head.tissue_labels import labels_of, tissue_labels
from PhysMRISynthLib.imaging.head.ventricles import ventricle_mask
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.analysis.compare import compare_visits, renderings
from PhysMRISynthLib.workflow.analysis.measured_maps import import_maps, measured_of
from PhysMRISynthLib.workflow.analysis.posterior import posterior_samples
from PhysMRISynthLib.workflow.analysis.sweep import swept
from PhysMRISynthLib.workflow.cohort.thumbnails import axial_plane
from PhysMRISynthLib.workflow.examples.example import example_head
from PhysMRISynthLib.workflow.rendering.order import RenderOrder
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.rendering.rendered import rendered
from PhysMRISynthLib.workflow.rendering.scanner_effects import ScannerEffects
from PhysMRISynthLib.workflow.results.map_set import MapSet
from PhysMRISynthLib.workflow.results.regions import measure_regions
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import installed_sampler
from Testing.workflow.map_folders import shared

FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "docs"
STEP = (slice(None, None, 2),) * 3
OWN_SD = 0.03
MEASURED = (1, 2)
"""Labels of white matter and cortex."""


def head(seed: int = 0, lesion: bool = False) -> MapSet:
    """The embedded example at 2 mm with each voxel's own errors, perhaps with a lesion, as an estimate would leave it."""
    known = example_head(0)
    rng = np.random.default_rng(seed)
    maps = known.maps
    grid = maps.grid[::2, ::2, ::2]
    pd, t1, t2 = (np.where(maps.mask, v, 0)[STEP] * np.exp(0.02 * rng.standard_normal(v[STEP].shape)) for v in (maps.pd, maps.t1, maps.t2))
    tissue = known.tissue[STEP]
    if lesion:
        place = np.argwhere(tissue == 0)
        centre = place[np.abs(place - np.array(tissue.shape) * [0.62, 0.45, 0.64]).sum(axis=1).argmin()]
        ball = np.sum([(axis - c) ** 2 for axis, c in zip(np.indices(tissue.shape), centre, strict=True)], axis=0) < 3.5**2
        t1, t2 = np.where(ball & (t1 > 0), 1500.0, t1), np.where(ball & (t2 > 0), 150.0, t2)
    sd = float(np.hypot(0.04, OWN_SD))
    arrays = [v.astype(np.float32) for v in (pd, t1, t2)]
    report = {"field_strength_tesla": 3.0, "shared_errors": shared().report()}
    found = TissueMaps(*arrays, maps.mask[STEP], grid, dict(zip(("PD", "T1", "T2"), (sd * v for v in arrays), strict=True)), report)
    fluid = (t1 > 2500) & (np.isin(tissue, (4, 255))) & found.mask
    mixed = np.where(fluid, 4, np.where(t1 > 1150, 1, 0))
    rows = np.where(tissue == 255, mixed, tissue).astype(np.uint8)
    return MapSet(found, labels_of(rows, np.isin(rows, range(5)) & found.mask))


def show(ax: Axes, found: MapSet, voxels: np.ndarray, title: str, **how: object) -> None:
    ax.imshow(axial_plane(found.maps.image(voxels.astype(np.float32))), **{"cmap": "gray", **how})  # type: ignore[arg-type]
    ax.set_title(title, fontsize=8)
    ax.set_axis_off()


def save(figure: Figure, name: str) -> None:
    figure.tight_layout()
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=80)


def row(count: int, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(2.3 * count, height))
    return figure, list(np.atleast_1d(figure.subplots(1, count)))


def tissues(found: MapSet) -> None:
    assert found.labels is not None
    brain, fluid = np.isin(found.labels, range(1, 6)), (found.labels == 5).astype(np.float32)
    inside = ventricle_mask(found.labels - np.uint8(1), brain, fluid, found.maps.grid)
    figure, (one, two, three) = row(3)
    show(one, found, found.maps.t1, "T1 (ms)", vmax=2500)
    show(two, found, np.where(brain, found.labels, 0), "tissues.nii.gz", cmap="nipy_spectral", vmin=0, vmax=8)
    show(three, found, np.where(inside & (fluid > 0), 2.0, brain), "ventricles", cmap="inferno", vmax=2.5)
    save(figure, "tissues")


def regions(found: MapSet) -> None:
    sure = example_head(0).tissue[STEP].astype(np.int64) + 1  # voxels of one tissue
    names = {label.index: label.title for label in tissue_labels()}
    measured = measure_regions(found, np.where(np.isin(sure, MEASURED), sure, 0), names)
    figure, axes = row(3, 2.4)
    for ax, quantity in zip(axes, ("PD", "T1", "T2"), strict=True):
        for place, region in enumerate(measured):
            m = region.measurements[quantity]
            if m.published:
                ax.fill_between([place - 0.3, place + 0.3], *m.published, color="#dddddd")
            ax.errorbar(place, m.mean, m.mean_sd, fmt="o", color="#2f6db3", capsize=4)
        ax.set_xticks(range(2), [region.name.replace(" ", "\n") for region in measured], fontsize=7)
        ax.set_title(f"{quantity} ({measured[0].measurements[quantity].unit})", fontsize=8)
        ax.tick_params(labelsize=7)
    save(figure, "regions")


def visits() -> None:
    first, second = head(1), head(2, lesion=True)
    found = compare_visits(first, second)
    images = renderings(found, protocol_from_spec("synthetic-flair"))
    right, front, up = max(found.spots, key=lambda spot: spot.z).centre_ras
    plane = round(found.registration.grid.TransformPhysicalPointToContinuousIndex((-right, -front, up))[2])
    figure, axes = row(3)
    for ax, voxels, title, how in zip(
        axes, (*images, found.z["T1"]), ("FLAIR, visit 1 (synthetic)", "FLAIR, visit 2 (synthetic)", "z of T1"),
        ({"vmin": 0}, {"vmin": 0}, {"cmap": "coolwarm", "vmin": -8, "vmax": 8}), strict=True,
    ):  # fmt: skip
        ax.imshow(voxels[plane], **{"cmap": "gray", **how})  # type: ignore[arg-type]
        ax.set_title(title, fontsize=8)
        ax.set_axis_off()
    save(figure, "two-visits")


def cohorts(found: MapSet) -> None:
    figure, axes = row(4)
    specs = ("flair,TR=9000,TE=90,TI=2500", "flair,TR=6000,TE=140,TI=2000", "flair,TR=11000,TE=120,TI=2800", "flair,TR=8000,TE=100,TI=2300")
    for number, (ax, spec) in enumerate(zip(axes, specs, strict=True), start=1):
        show(ax, found, render(found.maps, protocol_from_spec(spec)), f"scanner {number}" if number < 4 else "one protocol for all", vmin=0)
    save(figure, "cohorts")


def measured(found: MapSet) -> None:
    maps = found.maps
    rate = np.where(maps.mask, 1000.0 / np.maximum(maps.t1, 1.0), 0.0).astype(np.float32)
    given = {"T1": measured_of("T1", volume_from_image(maps.image(rate)), "1/s", "R1")}
    imported = replace(found, maps=import_maps(given, 3.0).maps)
    figure, axes = row(4)
    show(axes[0], found, rate, "measured: R1 (1/s)", vmax=1.5)
    show(axes[1], imported, imported.maps.t1, "T1 (ms)", vmax=2500)
    show(axes[2], imported, imported.maps.t2, "T2 (ms), filled", vmax=200)
    show(axes[3], imported, render(imported.maps, protocol_from_spec("synthetic-flair")), "FLAIR, synthetic", vmin=0)
    save(figure, "measured-maps")


def contrasts(found: MapSet) -> None:
    times = (300.0, 700.0, 1200.0, 2000.0, 3000.0)
    figure, axes = row(len(times))
    for ax, protocol in zip(axes, swept(protocol_from_spec("ir,TR=5000,TE=20"), "TI", times), strict=True):
        show(ax, found, render(found.maps, protocol), f"TI {protocol.values['TI']:.0f} ms", vmin=0, vmax=0.6)
    save(figure, "contrasts")


def scanner_effects(found: MapSet) -> None:
    thick = ScannerEffects(slice_thickness=6.0, slice_plane="sagittal")
    cases = {
        "ideal": (None, ScannerEffects()), "SNR 15": (15.0, ScannerEffects()), "6 mm slices": (None, thick),
        "ringing 50 %": (None, ScannerEffects(ringing=50.0)), "motion 1.5 mm": (None, ScannerEffects(motion=1.5)),
        "all": (15.0, replace(thick, receive_field=30.0, ringing=40.0, motion=0.5)),
    }  # fmt: skip
    figure, axes = row(len(cases))
    for ax, (title, (snr, effects)) in zip(axes, cases.items(), strict=True):
        order = RenderOrder("flair,TR=9000,TE=90,TI=2500", snr=snr, seed=1, effects=effects)
        image = sitk.DICOMOrient(rendered(found.maps, order).image, "LPS")
        plane = sitk.GetArrayFromImage(image)[image.GetSize()[2] // 2]
        ax.imshow(plane, cmap="gray", vmin=0, vmax=500, aspect=image.GetSpacing()[1] / image.GetSpacing()[0])
        ax.set_title(title, fontsize=8)
        ax.set_axis_off()
    save(figure, "scanner-effects")


def posterior(found: MapSet) -> None:
    samples = list(posterior_samples(found, 40, seed=1))
    figure, axes = row(5, 2.4)
    show(axes[0], found, found.maps.t1, "T1 (ms)", vmin=0, vmax=2500)
    for ax, number, one in zip(axes[1:4], range(1, 4), samples, strict=False):
        relative = 100.0 * np.where(found.maps.mask, one.t1 / np.maximum(found.maps.t1, 1.0) - 1.0, 0.0)
        show(ax, found, relative, f"sample {number}: T1 ± 15 %", cmap="coolwarm", vmin=-15, vmax=15)
    assert found.labels is not None
    for place, label in enumerate(MEASURED):
        axes[4].plot(np.full(len(samples), place), [one.t1[found.labels == label].mean() for one in samples], "o", ms=3, alpha=0.4)
    axes[4].set_xticks(range(2), ["White\nmatter", "Cortex"], fontsize=7)
    axes[4].set_xlim(-0.5, 1.5)
    axes[4].set_title("mean T1 (ms)", fontsize=8)
    axes[4].tick_params(labelsize=7)
    save(figure, "posterior")


def virtual_heads() -> None:
    """A synthetic head as a data set has it: with noise and scanner effects, and its labels."""
    sampled = installed_sampler().head(SampleOrder(7, steps=10))
    labels = sampled.structures()
    effects = ScannerEffects(receive_field=20.0, ringing=20.0, motion=0.2)
    images = [rendered(sampled.maps, RenderOrder(spec, snr=40.0, effects=effects)).voxels for spec in ("oasis3-t1w", "oasis3-flair")]
    colours = np.random.default_rng(3).uniform(0.2, 1.0, (256, 3)) * (np.arange(256) > 0)[:, None]
    figure = Figure(figsize=(9.0, 3.6))
    for ax, picture, title in zip(
        figure.subplots(1, 4), (*(image[118] for image in images), colours[labels[118]], colours[labels[::-1, :, 85]]),
        ("T1w", "FLAIR", "labels", "labels"), strict=True,
    ):  # fmt: skip
        ax.imshow(picture, cmap="gray", vmin=0, vmax=np.percentile(picture, 99.3))
        ax.set_title(title, fontsize=8)
        ax.set_axis_off()
    save(figure, "virtual-heads")


def main(*wanted: str) -> None:
    """Make the pictures of these pages, or of all."""
    found = head()
    makers = {
        "tissues": tissues, "regions": regions, "cohorts": cohorts, "measured-maps": measured, "contrasts": contrasts,
        "scanner-effects": scanner_effects, "posterior": posterior,
    }  # fmt: skip
    for name, make in makers.items():
        if name in wanted or not wanted:
            make(found)
    for name, make_alone in {"two-visits": visits, "virtual-heads": virtual_heads}.items():
        if name in wanted or not wanted:
            make_alone()


if __name__ == "__main__":
    main(*sys.argv[1:])
