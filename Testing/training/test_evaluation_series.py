"""Suite ``series``: the full fits are those that others publish, and two or three images of a clean series give the same times."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.evaluation import series
from physmrisynth_training.evaluation.plan import Plan
from physmrisynth_training.evaluation.series_fits import inversion_recovery_t1, spin_echo_t2
from PhysMRISynthLib.errors import PhysMRISynthError

TI = np.array([350.0, 500.0, 650.0, 800.0, 950.0, 1100.0, 1250.0, 1400.0, 1700.0])
TE = 12.8 * np.arange(1.0, 31.0)
SHAPE = (1, 16, 18)


def _write(folder: Path, name: str, images: np.ndarray) -> None:
    volumes = [sitk.GetImageFromArray(image.astype(np.float32)) for image in images]
    sitk.WriteImage(volumes[0] if len(volumes) == 1 else sitk.JoinSeries(volumes), str(folder / name))


def _spoiled(pd: np.ndarray, t1: np.ndarray, tr: float, degrees: np.ndarray | float) -> np.ndarray:
    e, angle = np.exp(-tr / t1), np.radians(degrees)
    return pd * np.sin(angle) * (1 - e) / (1 - e * np.cos(angle))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Series of a slice of known times, with noise of 0.2 %."""
    folder, rng = tmp_path / "measured", np.random.default_rng(0)
    folder.mkdir()
    _, y, x = (axis / max(axis.max(), 1) for axis in np.indices(SHAPE).astype(float))
    t1, t2, pd, b1 = 650 + 850 * y, 60 + 70 * x, 650 + 200 * x * y, 0.85 + 0.3 * x
    recovered = [np.abs(pd * (1 - 2 * np.exp(-t / t1) + np.exp(-2500.0 / t1))) for t in TI]
    made = {
        "inversion_recovery.nii.gz": recovered,
        "mono_t2.nii.gz": [pd * np.exp(-t / t2) for t in TE],
        "vfa_t1.nii.gz": [_spoiled(pd, t1, 15.0, angle * b1) for angle in (3.0, 20.0)],
        "mt_sat.nii.gz": [0.6 * pd, _spoiled(pd, t1, 28.0, 6.0), _spoiled(pd, t1, 18.0, 20.0)],
    }
    for name, images in made.items():
        _write(folder, name, np.stack([image + 0.002 * image.max() * rng.standard_normal(SHAPE) for image in images]))
    for name in ("inversion_recovery_mask", "mono_t2_mask", "vfa_t1_mask"):
        _write(folder, f"{name}.nii.gz", np.ones((1, *SHAPE)))
    _write(folder, "vfa_t1_B1map.nii.gz", b1[None])
    return Plan({}, tmp_path)


def test_few_images_of_a_clean_series_agree_with_all(plan: Plan, tmp_path: Path) -> None:
    series.check(plan)
    found = series.measure(plan)
    by_name = {(r["series"], r["inputs"]): r for r in found.records}
    assert len(by_name) == 9
    for (name, _), record in by_name.items():
        if "known to the reference" in name:
            assert record["limits"][1] > 15, "flip angles that are off by 15 % are seen"
        else:
            assert abs(record["bias"]) < 4 and record["correlation"] > 0.85, record
    assert by_name["30 spin echoes", "TE 25.6 + TE 102.4"]["within_one_sd_percent"] > 60
    assert all(len(row) == len(found.tables[0].columns) for row in found.tables[0].rows)
    found.draw(tmp_path / "series.png")
    assert (tmp_path / "series.png").read_bytes().startswith(b"\x89PNG")


def test_the_full_fit_of_an_imperfect_inversion_is_right_and_of_none_is_nothing() -> None:
    t1 = np.array([500.0, 900.0, 1600.0])
    images = np.abs(1.0 - 1.9 * np.exp(-TI[:, None] / t1))
    np.testing.assert_allclose(inversion_recovery_t1(images[::-1], TI[::-1]), t1, rtol=3e-3)
    saturated = 1.0 - np.exp(-TI[:, None] / t1)
    assert np.isnan(inversion_recovery_t1(saturated, TI)).all()


def test_missing_series_are_named(tmp_path: Path) -> None:
    with pytest.raises(PhysMRISynthError, match=r"measured/inversion_recovery.*--data"):
        series.check(Plan({}, tmp_path))


@pytest.mark.parametrize("name", ("inversion_recovery", "mono_t2"))
def test_the_full_fits_are_those_published_with_the_series(data: Callable[[str], Path], name: str) -> None:
    folder = data("measured")
    images = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}.nii.gz")))[:, 0]
    probes = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["probes"]
    fit, key, times = (inversion_recovery_t1, "T1", TI) if name == "inversion_recovery" else (spin_echo_t2, "T2", TE)
    found = fit(np.stack([images[:, probe["y"], probe["x"]] for probe in probes], axis=1), times)
    expected = np.array([1000.0 * probe["expected"][key] for probe in probes])
    sound = np.isfinite(found)
    assert sound.sum() >= 3
    np.testing.assert_allclose(found[sound], expected[sound], rtol=4e-3)
