"""Calibration factors are what makes two thirds of the voxels lie within one SD; heads for the final test cannot be used for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from physmrisynth_training.shipping import calibrate
from PhysMRISynthLib.imaging.head.known_head import KnownHead, coverage, standard_scores
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import PROPERTIES, tissue_table
from PhysMRISynthLib.workflow.estimation.calibration import sd_factors

TOO_SMALL = {1: (0.5, 1.0, 3.0), 2: (0.8, 1.0, 1.2), 3: (2.0, 1.0, 0.7)}


def runs_with_errors_of(factors: dict[int, tuple[float, ...]]) -> list[dict[tuple[str, ...], np.ndarray]]:
    """Normal errors, in units of SDs that are too small by ``factors``."""
    rng = np.random.default_rng(0)
    spread = {n: np.array(f)[:, None] for n, f in factors.items()}
    return [{subset: np.abs(spread[len(subset)] * rng.standard_normal((3, 4000))) for subset in calibrate.SUBSETS} for _ in range(4)]


def test_factors_are_what_the_errors_need() -> None:
    found = calibrate.factors_from(runs_with_errors_of(TOO_SMALL))
    for count, needed in TOO_SMALL.items():
        np.testing.assert_allclose(found[count], np.array(needed) * sd_factors(count), rtol=0.03)


def test_factors_that_hold_already_come_out_as_they_were() -> None:
    found = calibrate.factors_from(runs_with_errors_of(dict.fromkeys((1, 2, 3), (1.0, 1.0, 1.0))))
    for count in (1, 2, 3):
        np.testing.assert_allclose(found[count], sd_factors(count), rtol=0.03)


def test_factors_that_the_heads_do_not_agree_on_stay() -> None:
    some, others = (runs_with_errors_of(dict.fromkeys((1, 2, 3), (spread, 1.5, 1.5)))[0] for spread in (3.0, 0.4))
    found = calibrate.factors_from([some, others])
    for count in (1, 2, 3):
        np.testing.assert_allclose(found[count][0], sd_factors(count)[0], rtol=0.05)  # one head needs more, the other less
        np.testing.assert_allclose(found[count][1:], 1.5 * sd_factors(count)[1:], rtol=0.05)
    np.testing.assert_array_equal(calibrate.factors_from([some])[3], sd_factors(3))  # one head proves nothing


def test_the_shipped_factors_are_near_one() -> None:
    for count in (1, 2, 3, 4):
        assert sd_factors(count).shape == (3,) and (sd_factors(count) > 0.4).all() and (sd_factors(count) < 2.5).all()
    np.testing.assert_array_equal(sd_factors(4), sd_factors(3))


def test_only_the_counts_that_were_measured_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = runs_with_errors_of(TOO_SMALL)
    asked: list[list[int]] = []

    def scores(head: object, rng: object, prior: str, counts: list[int], acquisition: str) -> dict[tuple[str, ...], np.ndarray]:
        asked.append(counts)
        return {subset: found for subset, found in measured[len(asked) - 1].items() if len(subset) in counts}

    (tmp_path / "head_labels").mkdir()
    for number in (1, 2):
        labels = sitk.Image([4, 4, 4], sitk.sitkInt16)
        sitk.WriteImage(labels, str(tmp_path / f"head_labels/head_{number:02d}.nii.gz"))
    monkeypatch.setattr(calibrate, "scores_of", scores)
    out = tmp_path / "c.json"
    monkeypatch.setattr("sys.argv", ["calibrate", "--data", str(tmp_path), "--out", str(out), "--heads", "1", "2", "--counts", "3"])
    calibrate.main()
    found = json.loads(out.read_text(encoding="utf-8"))
    assert asked == [[3], [3]]
    assert found["made_from"]["3"] == {"heads": [1, 2], "draws": 1, "prior": "literature", "acquisitions": ["standard"]}
    for count in (1, 2):
        assert list(found["factors"][str(count)].values()) == pytest.approx(sd_factors(count).tolist(), abs=1e-3)
    assert found["factors"]["3"]["PD"] > 1.5 * sd_factors(3)[0]


def test_heads_of_the_final_test_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["calibrate", "--data", str(tmp_path), "--out", str(tmp_path / "c.json"), "--heads", "1", "16"])
    with pytest.raises(SystemExit):
        calibrate.main()
    assert "16" in capsys.readouterr().err


def test_scores_count_sds_and_coverage_counts_scores_below_one() -> None:
    cortex = [t.name for t in tissue_table()].index("cortex")
    tissue = np.full((2, 2, 2), cortex, dtype=np.uint8)
    tissue[0] = [t.name for t in tissue_table()].index("fat")  # outside the brain: not counted
    grid = sitk.GetImageFromArray(tissue)
    ones = np.ones((2, 2, 2), dtype=np.float32)
    mask = np.ones((2, 2, 2), dtype=bool)
    truth = KnownHead(TissueMaps(ones, 1000 * ones, 100 * ones, mask, grid), tissue)
    sd = dict(zip(PROPERTIES, (0.2 * ones, 50 * ones, 30 * ones), strict=True))
    estimate = TissueMaps(1.1 * ones, 1100 * ones, 70 * ones, mask, grid, sd=sd)
    scores = standard_scores(estimate, truth)
    assert scores.shape == (3, 4)
    np.testing.assert_allclose(scores, np.repeat([[0.5], [2.0], [1.0]], 4, axis=1), rtol=1e-5)
    assert coverage(estimate, truth) == pytest.approx({"PD": 100.0, "T1": 0.0, "T2": 100.0 * (scores[2] <= 1).mean()})
