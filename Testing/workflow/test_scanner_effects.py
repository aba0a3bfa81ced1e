"""Scanner effects of a rendering: off they change nothing, on they are what was asked for, and every file says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import OrderError, ProtocolError
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.rendering.order import RenderOrder
from PhysMRISynthLib.workflow.rendering.render import render, signed_signal
from PhysMRISynthLib.workflow.rendering.rendered import rendered
from PhysMRISynthLib.workflow.rendering.scanner_effects import ScannerEffects
from Testing.workflow.map_folders import head, write_maps

FLAIR = "flair,TR=9000,TE=120,TI=2500"
ALL = ScannerEffects(receive_field=20.0, slice_thickness=6.0, ringing=30.0, motion=0.5)


def _image(effects: ScannerEffects, snr: float | None = None, seed: int = 0, spec: str = FLAIR) -> sitk.Image:
    return rendered(head().maps, RenderOrder(spec, snr=snr, seed=seed, effects=effects)).image


def _voxels(*order: object, **more: object) -> np.ndarray:
    return sitk.GetArrayFromImage(_image(*order, **more))


@pytest.mark.parametrize("spec", [FLAIR, "ir,TR=4000,TE=20,TI=800", "mp2rage"])
@pytest.mark.parametrize("snr", [None, 25.0])
def test_without_effects_an_image_is_what_it_was(spec: str, snr: float | None) -> None:
    protocol = protocol_from_spec(spec)
    expected = render(head().maps, protocol, snr, 3, 1000.0 if protocol.sequence.uses_pd else 1.0)
    np.testing.assert_array_equal(_voxels(ScannerEffects(), snr, 3, spec), expected)


@pytest.mark.parametrize(
    "effects", [ALL, *(ScannerEffects(**{name: getattr(ALL, name)}) for name in ("receive_field", "ringing", "motion"))]
)
def test_a_seed_repeats_an_image_and_another_gives_another(effects: ScannerEffects) -> None:
    first = _voxels(effects, 20.0, 7)
    np.testing.assert_array_equal(first, _voxels(effects, 20.0, 7))
    assert np.abs(first - _voxels(effects, 20.0, 8)).max() > 1.0


def test_switching_one_effect_on_does_not_change_the_random_numbers_of_another() -> None:
    field = _voxels(ScannerEffects(receive_field=20.0)) / np.maximum(_voxels(ScannerEffects()), 1e-6)
    both = _voxels(replace(ALL, slice_thickness=None, ringing=0.0, motion=0.0)) / np.maximum(_voxels(ScannerEffects()), 1e-6)
    np.testing.assert_array_equal(field, both)
    inside = field[head().maps.mask]
    assert max(inside.max(), 1.0 / inside.min()) == pytest.approx(1.2, abs=0.04)


def _fluid_and_tissue() -> TissueMaps:
    """Planes of white matter and of fluid in turn, which differ in sign before TI nulls one."""
    fluid = np.zeros((12, 24, 24), bool)
    fluid[1::2] = True
    pd, t1, t2 = (np.where(fluid, wet, dry).astype(np.float32) for wet, dry in ((1.0, 0.7), (4000.0, 850.0), (2000.0, 70.0)))
    return TissueMaps(pd, t1, t2, np.ones(pd.shape, bool), sitk.Image(24, 24, 12, sitk.sitkUInt8))


def test_in_a_thick_slice_signals_add_up_with_their_signs_before_the_magnitude_is_taken() -> None:
    maps, protocol = _fluid_and_tissue(), protocol_from_spec("flair,TR=9000,TE=120,TI=1500")
    signal = signed_signal(maps, protocol, 1000.0)
    assert signal[0].max() > 0.0 > signal[1].min() and (np.abs(signal) == render(maps, protocol, scale=1000.0)).all()
    image = rendered(maps, RenderOrder(protocol, effects=ScannerEffects(slice_thickness=2.0))).voxels
    np.testing.assert_allclose(image, np.abs(signal[0] + signal[1])[None] / 2.0 * np.ones((6, 1, 1)), rtol=1e-4, atol=1e-3)


def test_thick_slices_lie_where_the_thin_ones_lay() -> None:
    maps = head().maps
    for plane, axis in (("axial", 2), ("coronal", 1), ("sagittal", 0)):
        thick = _image(ScannerEffects(slice_thickness=2.0 * maps.grid.GetSpacing()[axis], slice_plane=plane))
        assert thick.GetSpacing()[axis] == pytest.approx(2.0 * maps.grid.GetSpacing()[axis])
        thin = maps.image(_voxels(ScannerEffects()))
        back = sitk.GetArrayFromImage(sitk.Resample(thick, thin, sitk.Transform(), sitk.sitkLinear, 0.0))
        assert np.corrcoef(back[maps.mask], sitk.GetArrayFromImage(thin)[maps.mask])[0, 1] > 0.75


def test_noise_is_what_was_asked_for_and_has_its_floor_in_air() -> None:
    clean, noisy = (_voxels(ScannerEffects(motion=1e-9), snr) for snr in (None, 20.0))
    sigma = clean[head().maps.mask].mean() / 20.0
    bright = clean > 10.0 * sigma
    assert (noisy - clean)[bright].std() == pytest.approx(sigma, rel=0.05)
    air = noisy[~head().maps.mask & (clean < 0.1 * sigma)]
    assert air.size > 10_000 and air.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2.0), rel=0.05)


def test_what_cannot_be_is_refused_with_a_way_out() -> None:
    with pytest.raises(ProtocolError, match=r"ratio of two images.*Leave them out, or use another sequence"):
        _image(ScannerEffects(motion=1.0), spec="mp2rage")
    with pytest.raises(ProtocolError, match=r"0\.3 mm are thinner than the voxels.*Give thicker slices"):
        _image(ScannerEffects(slice_thickness=0.3))
    with pytest.raises(ProtocolError, match="Choose another slice thickness"):
        rendered(_fluid_and_tissue(), RenderOrder(FLAIR, effects=ScannerEffects(slice_thickness=15.0)))
    with pytest.raises(OrderError, match="motion must be from 0 to 5 mm"):
        ScannerEffects(motion=9.0)


def test_an_order_with_effects_survives_json() -> None:
    order = RenderOrder(FLAIR, snr=20.0, effects=ALL)
    assert RenderOrder.from_json(json.loads(json.dumps(order.as_json()))) == order


def test_the_command_line_writes_the_effects_and_says_so(tmp_path: Path) -> None:
    maps, out = write_maps(tmp_path / "maps"), tmp_path / "flair.nii.gz"
    effects = ["--slice-thickness", "6", "--ringing", "--motion", "0.5", "--receive-field", "20", "--seed", "4"]
    assert main(["render", "--maps", str(maps), "--protocol", FLAIR, "--snr", "30", *effects, "--out", str(out)]) == 0
    sidecar = json.loads(out.with_name("flair.json").read_text(encoding="utf-8"))
    assert sidecar["SliceThickness"] == 6.0 and sidecar["SNR"] == 30.0 and sidecar["Seed"] == 4
    assert sidecar["ScannerEffects"] == {name: value for name, value in ALL.as_json().items() if value}
    assert "slices 6 mm axial, receive field 20 %, ringing 30 %, motion 0.5 mm" in sidecar["Description"]
    written = sitk.ReadImage(str(out))
    np.testing.assert_allclose(sitk.GetArrayFromImage(written), _voxels(ALL, 30.0, 4), rtol=1e-3, atol=0.5)
