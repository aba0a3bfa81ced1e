"""The law of every preset that nulls: in the head at hand, what it nulls is dark beside the cortex."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from physmrisynth_training.simulator.standard_acquisition import PROTOCOLS
from PhysMRISynthLib.imaging.head.known_head import KnownHead
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import volume_from_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.contrast import signed_signals
from PhysMRISynthLib.physics.nulling import inversion_times
from PhysMRISynthLib.physics.presets import Preset, adapted, load_presets
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import estimate_tissue_maps
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisitions
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.estimation.tissue_medians import medians_by_tissue, outer_medians
from PhysMRISynthLib.workflow.examples.example import example_head
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.head_points import head_points, published_points
from PhysMRISynthLib.workflow.rendering.render import signed_signal
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from PhysMRISynthLib.workflow.tissue_values import maps_of, sampled_values

NULLING = [preset for preset in load_presets().values() if preset.null]
DARK = 0.05
PATIENTS = {  # tesla, mm, protocols as published
    "raw_patient12/visit1": (1.5, 3.0, {"t1w": "se,TR=600,TE=15", "t2w": "tse,TR=4500,TE=100", "flair": "flair,TR=11000,TE=140,TI=2800"}),
    "mni_patient07": (3.0, 3.0, {"t1w": "ir,TR=2000,TE=20,TI=800", "t2w": "tse,TR=6000,TE=120", "flair": "flair,TR=5000,TE=100,TI=1800"}),
}


@cache
def simulated(field_strength: float, seed: int) -> KnownHead:
    """A head with tissue values of its own around the published ones."""
    tissue = small_head(field_strength).tissue
    rng = np.random.default_rng(seed)
    fractions = (np.arange(len(tissue_table()) + 1)[:, None, None, None] == tissue).astype(np.float32)
    return KnownHead(maps_of(fractions, sampled_values(field_strength, rng), rng), tissue)


def with_report(maps: TissueMaps, tissue: np.ndarray, field_strength: float) -> TissueMaps:
    """As an estimate leaves them."""
    medians = medians_by_tissue({"PD": (maps.pd, 100.0), "T1": (maps.t1, 1.0), "T2": (maps.t2, 1.0)}, tissue, 1.0)
    outer = outer_medians(maps, tissue)
    return replace(maps, provenance={"field_strength_tesla": field_strength, "tissue_medians": medians, "outer_medians": outer})


def darkness(preset: Preset, maps: TissueMaps, tissue: np.ndarray) -> dict[str, float]:
    """Median signal of each tissue that the preset nulls over that of the cortex, in the image that the maps give."""
    protocol = adapted(preset, head_points(maps))
    rows = {entry.name: row for row, entry in enumerate(tissue_table())}

    image = signed_signal(maps, protocol)

    def median(name: str) -> float:
        return abs(float(np.median(image[(tissue == rows[name]) & maps.mask])))

    return {name: median(name) / median("cortex") for name in preset.null}


@pytest.mark.parametrize("preset", NULLING, ids=lambda preset: preset.name)
@pytest.mark.parametrize("field_strength", [1.5, 3.0])
def test_null_presets_null_in_ten_simulated_heads(preset: Preset, field_strength: float) -> None:
    for seed in range(10):
        head = simulated(field_strength, seed)
        found = darkness(preset, with_report(head.maps, head.tissue, field_strength), head.tissue)
        assert max(found.values()) < DARK, (seed, found)


@pytest.mark.parametrize("preset", NULLING, ids=lambda preset: preset.name)
def test_maps_without_a_report_are_searched_for_their_tissues(preset: Preset) -> None:
    head = simulated(3.0, 3)
    found = darkness(preset, replace(head.maps, provenance={}), head.tissue)
    assert max(found.values()) < 2 * DARK, found


def test_fluid_is_dark_where_most_of_its_voxels_hold_tissue_as_well() -> None:
    """In an estimate of the embedded example, in whose fluid voxels the median T1 is a sixth shorter than that of the fluid."""
    maps, every = example_head(seed=1).maps, (slice(None, None, 4),) * 3
    maps = TissueMaps(maps.pd[every], maps.t1[every], maps.t2[every], maps.mask[every], maps.grid[::4, ::4, ::4])
    images = simulate(maps, PROTOCOLS, 100.0, 0.2, 1)
    inputs = [Acquisition(role, volume_from_image(maps.image(image)), PROTOCOLS[role]) for role, image in images.items()]
    estimate = estimate_tissue_maps(inputs, EstimateOrder(field_strength=3.0, register=False, prior="literature"))
    tissue = np.where(estimate.brain, estimate.tissue, 255)
    for maps in (estimate.maps, with_report(estimate.maps, tissue, 3.0)):
        for preset in (preset for preset in NULLING if "csf" in preset.null):
            assert darkness(preset, maps, tissue)["csf"] < DARK, preset.name


@pytest.mark.parametrize("preset", NULLING, ids=lambda preset: preset.name)
def test_the_textbook_values_are_those_of_the_tissue_table(preset: Preset) -> None:
    assert preset.field_strength is not None
    solved = adapted(preset, published_points(preset.field_strength)).values
    for name in inversion_times(preset.protocol.sequence):
        assert preset.protocol.values[name] == pytest.approx(solved[name], rel=0.02)


def test_a_preset_that_nulls_nothing_is_the_same_for_every_head() -> None:
    preset = load_presets()["synthetic-t1w"]
    assert adapted(preset, {}) is preset.protocol


@pytest.mark.parametrize("patient", ["raw_patient12/visit1", pytest.param("mni_patient07", marks=pytest.mark.nightly)])
def test_null_presets_null_in_the_sample_patients(patient: str, data: Callable[[str], Path]) -> None:
    strength, spacing, specs = PATIENTS[patient]
    folder = data(f"real/{patient}")
    files = {role: folder / f"{role}.nii.gz" for role in specs}
    images = read_acquisitions(files, EstimateOrder(protocols=specs))
    estimate = estimate_tissue_maps(images, EstimateOrder(field_strength=strength, register=False, prior="literature", spacing_mm=spacing))
    maps = with_report(estimate.maps, np.where(estimate.brain, estimate.tissue, 255), strength)
    points = head_points(maps)
    for preset in NULLING:
        protocol = adapted(preset, points)
        signals = signed_signals(protocol.sequence, protocol.values, [points[name] for name in (*preset.null, "cortex")])
        assert np.abs(signals[:-1]).max() < DARK * abs(signals[-1]), (preset.name, protocol.spec)
        if estimate.medians.keys() >= {*preset.null}:  # one of these heads has no fat and next to no fluid left
            found = darkness(preset, maps, np.where(estimate.brain, estimate.tissue, 255))
            assert max(found.values()) < DARK, (preset.name, found)
