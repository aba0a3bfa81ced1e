"""Sampling: maps that are physical, the same for the same seed, written whole, stopped at will, and refused with a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import ImageError, PhysMRISynthError, WeightsError
from PhysMRISynthLib.imaging.head.atlas import AtlasPlacement, atlas_on_grid
from PhysMRISynthLib.imaging.head.midline import Midline
from PhysMRISynthLib.imaging.tissue_maps import read_tissue_maps
from PhysMRISynthLib.network.diffusion_weights import save_sampler
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.workflow.rendering.render import render
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.sampling.sample import (
    SHARPENING,
    STAGE,
    Sampler,
    installed_sampler,
    looked_at,
    sampled_heads,
    sampler_of,
    sharpened,
    write_samples,
)
from PhysMRISynthLib.workflow.tissue_values import TissueValues, maps_of, sampled_values
from PhysMRISynthLib.workflow.worker import child, exchange
from PhysMRISynthLib.workflow.worker.remaining_time import SAMPLE_SECONDS
from Testing.network.tiny_sampler import TINY, installed, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = [tissue.name for tissue in tissue_table()]
CLASSES = len(NAMES) + 1
WHITE, FLUID, FAT, BONE, AIR = (NAMES.index(name) for name in ("white_matter", "csf", "fat", "bone", "air"))


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "resources"
    folder.mkdir()
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", installed(folder))
    return folder


@pytest.fixture
def sampler(shipped: Path) -> Sampler:
    """Its heads count as found in the atlas, and as whole."""
    found = AtlasPlacement(sitk.AffineTransform(3), False, 1.0), Midline(0.0, True, 1.0)

    def look(tissue: np.ndarray, progress: Callable[[float], None]) -> tuple[AtlasPlacement, Midline]:
        progress(1.0)
        return found

    return replace(installed_sampler(), look=look)


def order(**options: object) -> SampleOrder:
    return SampleOrder(**{"steps": 2, "precision": "32-true", "device": "cpu", "attempts": 1, **options})  # type: ignore[arg-type]


# --- values ---------------------------------------------------------------------------------------------------------------------


def fractions(shape: tuple[int, int, int], **shares: float) -> np.ndarray:
    found = np.zeros((CLASSES, *shape), dtype=np.float32)
    for name, share in shares.items():
        found[NAMES.index(name)] = share
    return found


def literature(within: float = 0.0) -> TissueValues:
    theta = np.stack([*(tissue.theta for tissue in tissue_table()), np.log([0.8, 1400.0, 130.0])])
    return TissueValues(theta, np.full((CLASSES, 3), within))


def value(row: int) -> np.ndarray:
    return np.exp(tissue_table()[row].theta)


def test_water_adds_up_and_rates_are_counted_by_water() -> None:
    maps = maps_of(fractions((4, 4, 4), white_matter=0.75, csf=0.25), literature(), np.random.default_rng(0))
    shares = np.array([0.75, 0.25])
    pd, t1, t2 = (np.array([value(row)[k] for row in (WHITE, FLUID)]) for k in range(3))
    np.testing.assert_allclose(maps.pd, shares @ pd, rtol=1e-5)
    np.testing.assert_allclose(maps.t1, (shares * pd).sum() / (shares * pd / t1).sum(), rtol=1e-5)
    np.testing.assert_allclose(maps.t2, (shares * pd).sum() / (shares * pd / t2).sum(), rtol=1e-5)
    # so that the first of a signal's decay is that of the parts together
    te = 0.5
    mixed = maps.pd[0, 0, 0] * np.exp(-te / maps.t2[0, 0, 0])
    assert mixed == pytest.approx(float((shares * pd * np.exp(-te / t2)).sum()), rel=1e-4)


def test_air_takes_water_away_and_nothing_else() -> None:
    maps = maps_of(fractions((4, 4, 4), fat=0.6, air=0.4), literature(), np.random.default_rng(0))
    assert maps.pd.flat[0] == pytest.approx(0.6 * value(FAT)[0] + 0.4 * value(AIR)[0], rel=1e-4)
    assert maps.t1.flat[0] == pytest.approx(value(FAT)[1], rel=0.01) and maps.t2.flat[0] == pytest.approx(value(FAT)[2], rel=0.01)


def test_air_is_dark_and_so_is_what_is_not_the_head() -> None:
    inside = np.zeros((20, 20, 20), dtype=bool)
    inside[4:16, 4:16, 4:16] = True
    head, island = inside.copy(), np.zeros_like(inside)
    island[0:2, 0:2, 0:2] = True
    some, little = (fractions(inside.shape, white_matter=share, air=1.0 - share) for share in (0.8, 0.3))
    found = np.where(inside | island, some, little)
    maps = maps_of(found, sampled_values(3.0, np.random.default_rng(1)), np.random.default_rng(1))
    np.testing.assert_array_equal(maps.mask, head)
    for voxels in (maps.pd, maps.t1, maps.t2):
        assert (voxels[~head] == 0).all() and (voxels[head] > 0).all()
    for spec in ("mprage", "tse", "synthetic-flair"):
        image = render(maps, protocol_from_spec(spec))
        assert np.isfinite(image).all() and (image[~head] == 0).all() and image[head].max() > 0


def test_values_stay_physical_however_wide_the_texture() -> None:
    wild = replace(literature(), within=np.full((CLASSES, 3), 3.0))
    maps = maps_of(fractions((16, 16, 16), csf=1.0), wild, np.random.default_rng(0))
    assert maps.pd.max() <= 1.1 and maps.t1.min() >= 50 and maps.t1.max() <= 6000 and maps.t2.min() >= 5 and maps.t2.max() <= 4000
    assert (maps.t2 <= maps.t1).all() and maps.pd.std() > 0.1


def test_texture_is_smooth_and_of_the_tissues_spread() -> None:
    maps = maps_of(fractions((48, 48, 48), cortex=1.0), literature(0.05), np.random.default_rng(0))
    log = np.log(maps.t1)
    assert log.std() == pytest.approx(0.05, rel=0.3) and np.abs(np.diff(log, axis=0)).max() < 0.05
    assert 0.3 < np.corrcoef(log.ravel(), np.log(maps.pd).ravel())[0, 1] < 0.7
    assert maps.grid.TransformContinuousIndexToPhysicalPoint((23.5, 23.5, 23.5)) == pytest.approx((0, 0, 0))


def test_heads_differ_as_people_do() -> None:
    drawn = np.stack([sampled_values(3.0, np.random.default_rng(n)).theta for n in range(300)])
    table = tissue_table(3.0)
    spread = np.stack([tissue.between_heads for tissue in table])
    np.testing.assert_allclose(drawn.mean(axis=0)[:-1], np.stack([t.theta for t in table]), atol=0.08)
    np.testing.assert_allclose(drawn.std(axis=0)[:-1], spread, rtol=0.15)
    lesion, white = np.exp(drawn[:, -1]), np.exp(drawn[:, WHITE])
    assert (lesion > white).all() and ((lesion / white)[:, 1] <= 1.8001).all()
    assert sampled_values(1.5, np.random.default_rng(0)).report()["white_matter"]["T1"] < 800


# --- heads ----------------------------------------------------------------------------------------------------------------------


def test_the_same_order_gives_the_same_head(sampler: Sampler) -> None:
    torch.manual_seed(5)
    told: list[float] = []
    one = sampler.head(order(seed=4), told.append)
    torch.manual_seed(6)
    again, other = sampler.head(order(seed=4)), sampler.head(order(seed=5))
    for name in ("pd", "t1", "t2", "mask"):
        np.testing.assert_array_equal(getattr(one.maps, name), getattr(again.maps, name))
    np.testing.assert_array_equal(one.tissue, again.tissue)
    assert one.maps.pd.shape == TINY.shape and one.maps.mask.any() and (one.maps.t1 != other.maps.t1).any()
    assert told == sorted(told) and told[0] == 0 and told[-1] == pytest.approx(1) and len(told) >= 4
    assert not (one.brain & ~one.maps.mask).any() and one.tissue.max() <= len(NAMES)
    wished = sampler.head(order(seed=4, condition={"brain_volume": 1800.0}))
    assert (wished.maps.t1 != one.maps.t1).any()


def test_a_drawn_head_is_surer_than_the_decoder(sampler: Sampler) -> None:
    """Where tissue is one, the same is the likeliest, what was certain stays so, and fractions are fractions."""
    likely = np.random.default_rng(0).dirichlet(np.ones(CLASSES), 5).T.astype(np.float16)  # five slabs, each all the same
    likely[:, 0] = np.eye(CLASSES)[WHITE]
    found = sharpened(np.repeat(likely, 4, axis=1)[:, :, None, None] * np.ones((1, 1, 6, 5), np.float16))
    assert found.dtype == likely.dtype and found.shape == (CLASSES, 20, 6, 5)
    np.testing.assert_allclose(found.sum(axis=0, dtype=np.float64), 1.0, atol=5e-3)
    within = found[:, 1::4, 2, 2]  # beside its like
    np.testing.assert_allclose(within, likely.astype(float) ** SHARPENING / (likely.astype(float) ** SHARPENING).sum(axis=0), atol=2e-3)
    np.testing.assert_array_equal(within[:, 0], likely[:, 0])
    assert sampler.head(order()).report["sampled"]["decision"] == SHARPENING


def test_a_drawn_head_has_no_checkerboard() -> None:
    """What alternates from voxel to voxel is nobody's anatomy; the border of two tissues stays where it is."""
    odd = np.indices((8, 8, 8)).sum(axis=0) % 2
    one = np.where(odd, 0.9, 0.3)
    found = sharpened(np.stack([one, 1.0 - one]).astype(np.float32))
    np.testing.assert_allclose(found[:, 1:-1, 1:-1, 1:-1], found[:, 4:5, 4:5, 4:5] * np.ones((1, 6, 6, 6)), atol=1e-5)
    border = np.broadcast_to(np.arange(8) < 4, (8, 8, 8)).astype(np.float32)
    sides = sharpened(np.stack([border, 1.0 - border]))[0]
    np.testing.assert_array_equal(sides > 0.5, border > 0.5)
    assert sides[..., 3].min() > 0.95


def test_the_report_has_all_that_a_head_follows_from(sampler: Sampler) -> None:
    head = sampler.head(order(seed=3, condition={"lesion_load": 2.0}, field_strength=1.5, renewal=0.5))
    assert head.report["field_strength_tesla"] == 1.5
    told = head.report["sampled"]
    assert json.loads(json.dumps(head.report)) == head.report == head.maps.provenance
    again = order(**{name: told[name] for name in ("seed", "steps", "condition", "precision", "renewal", "attempt")}, field_strength=1.5)
    np.testing.assert_array_equal(sampler.head(again).maps.t2, head.maps.t2)
    assert (told["sampler_sha256"], told["decoder_sha256"]) == (sampler.model.sha256, sampler.decoder.sha256)
    assert head.report["software"]["torch"] == torch.__version__ and "synthetic head" in head.report["notice"]
    assert head.report["volumes_ml"]["brain"] > 0 and head.report["tissue_values"]["csf"]["PD"] > 90


def test_a_broken_midline_is_drawn_again(sampler: Sampler) -> None:
    """From other noise, until one is whole; where none is, the least broken is taken, and said to be broken."""
    looks: list[Midline | None] = []

    def look(tissue: np.ndarray, progress: Callable[[float], None]) -> tuple[AtlasPlacement, Midline | None]:
        progress(1.0)
        return AtlasPlacement(sitk.AffineTransform(3), False, 1.0), looks.pop(0) if looks else None

    sampler = replace(sampler, look=look)
    alone = [sampler.head(order(seed=4, attempt=attempt)) for attempt in (1, 2, 3, 4)]
    assert all((one.maps.t1 != other.maps.t1).any() for one, other in combinations(alone, 2))
    assert alone[0].report["midline"] is None and "not found in the atlas (attempts: 1)" in alone[0].report["warnings"][0]
    found = [None, Midline(200.0, True, 0.8), Midline(300.0, True, 0.8), Midline(10.0, True, 0.8)]

    looks, told = [*found, Midline(0.0, True, 0.9)], list[float]()
    head = sampler.head(order(seed=4, attempts=6), told.append)
    assert len(looks) == 1 and (head.report["sampled"]["attempt"], head.report["sampled"]["attempts_made"]) == (4, 4)
    np.testing.assert_array_equal(head.maps.t1, alone[3].maps.t1)
    assert head.report["midline"] == vars(Midline(10.0, True, 0.8)) and head.report["warnings"] == []
    assert told == sorted(told) and told[-1] == pytest.approx(1)

    looks = list(found)
    head = sampler.head(order(seed=4, attempts=3))
    assert (head.report["sampled"]["attempt"], head.report["sampled"]["attempts_made"]) == (2, 3)
    np.testing.assert_array_equal(head.maps.t1, alone[1].maps.t1)
    assert "(attempts: 3): the hemispheres are joined over 200 mm² (limit 60). Sample another seed." in head.report["warnings"][0]


def test_what_is_looked_at_is_the_head_as_it_was_drawn() -> None:
    """Upright it is found in the atlas, and its midline measured; of nothing there is none."""
    grid = sitk.Image((176, 210, 170), sitk.sitkUInt8)
    grid.SetOrigin((-87.5, -110.0, -70.0))
    likely = atlas_on_grid(AtlasPlacement(sitk.AffineTransform(3), False, 1.0), grid, np.arange(grid.GetNumberOfPixels()))
    told: list[float] = []
    tissue = likely.argmax(axis=0).astype(np.uint8).reshape(grid.GetSize()[::-1])
    placement, midline = looked_at(tissue, told.append)
    assert placement is not None and midline is not None and midline.third_ventricle < 1.0
    assert told == sorted(told) and len(told) > 3
    assert looked_at(np.full((40, 40, 40), AIR, np.uint8), told.append) == (None, None)


def test_counted_heads_have_the_next_seeds(sampler: Sampler) -> None:
    told: list[float] = []
    heads = list(sampled_heads(sampler, order(seed=8, count=2), told.append))
    assert [head.report["sampled"]["seed"] for head in heads] == [8, 9]
    np.testing.assert_array_equal(heads[1].maps.t1, sampler.head(order(seed=9)).maps.t1)
    assert told == sorted(told) and told[-1] == pytest.approx(1)


class _Stop(BaseException):
    pass


def test_stopping_leaves_whole_heads_or_none(sampler: Sampler, tmp_path: Path) -> None:
    def stop(done: float) -> None:
        if done > 0.6:
            raise _Stop

    with pytest.raises(_Stop):
        write_samples(sampler, order(count=2), tmp_path / "out", progress=stop)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sample_0001"]
    images = {f"{name}.nii.gz" for name in ("PD", "T1", "T2", "mask", "tissues", "labels")}
    assert {path.name for path in (tmp_path / "out" / "sample_0001").iterdir()} == images | {"report.json", "tissues.tsv", "labels.tsv"}
    before = (tmp_path / "out" / "sample_0001" / "T1.nii.gz").read_bytes()
    (tmp_path / "out" / "sample_0001").rename(tmp_path / "out" / "sample_0002")
    with pytest.raises(ImageError, match="exists already"):
        write_samples(sampler, order(seed=3, count=2), tmp_path / "out", progress=stop)  # which is not reached
    (tmp_path / "out" / "sample_0002").rename(tmp_path / "out" / "sample_0001")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sample_0001"]
    assert (tmp_path / "out" / "sample_0001" / "T1.nii.gz").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"steps": 0}, "from 1 to 1000"),
        ({"steps": 1001}, "from 1 to 1000"),
        ({"attempts": 0}, "attempts must be from 1 to 50"),
        ({"attempt": 0}, "first attempt must be 1 or more"),
        ({"seed": -1}, "0 or more"),
        ({"renewal": 1.5}, "from 0 to 1, not 1.5"),
        ({"renewal": float("nan")}, "from 0 to 1, not nan"),
        ({"condition": {"age": 50.0}}, "no condition age"),
        ({"condition": {"brain_volume": 3.0}}, "from 500 to 2500 ml"),
        ({"field_strength": 7.0}, "No tissue values for 7 T"),
    ),
    ids=str,
)
def test_impossible_orders_are_refused(sampler: Sampler, options: dict[str, object], message: str) -> None:
    with pytest.raises(PhysMRISynthError, match=message):
        sampler.head(order(**options))


def test_a_model_of_ones_own_is_taken_in_place_of_the_installed_one(shipped: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    sha256 = save_sampler(tiny_model(condition=("age",)), installed_sampler().decoder.sha256, {}, own)
    assert sampler_of(SampleOrder(weights=str(own))).model.sha256 == sha256 != sampler_of(SampleOrder()).model.sha256


def test_a_model_of_slices_draws_no_heads(sampler: Sampler, tmp_path: Path) -> None:
    flat = tiny_model(spatial_dims=2, shape=(48, 32))
    save_sampler(flat, sampler.decoder.sha256, {}, tmp_path / "flat.safetensors")
    with pytest.raises(WeightsError, match="samples slices"):
        installed_sampler(tmp_path / "flat.safetensors")


# --- command line and worker ----------------------------------------------------------------------------------------------------


def test_the_command_writes_maps_that_can_be_rendered(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "heads"
    command = ["sample", "--out", str(out), "--steps", "2", "--precision", "32-true", "--device", "cpu", "--attempts", "1"]
    assert main([*command, "--seed", "4", "--count", "2", "--condition", "brain_volume=1200", "lesion_load=3"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["sample_0001", "sample_0002"]
    assert "Warning: sample_0002: " in capsys.readouterr().err
    report = json.loads((out / "sample_0002" / "report.json").read_text(encoding="utf-8"))
    assert report["sampled"]["seed"] == 5 and report["sampled"]["condition"] == {"brain_volume": 1200.0, "lesion_load": 3.0}
    assert report["files"] == ["PD.nii.gz", "T1.nii.gz", "T2.nii.gz", "mask.nii.gz", "report.json", "tissues.nii.gz", "tissues.tsv"]
    maps = read_tissue_maps(out / "sample_0001")
    assert maps.pd.max() <= 1.1 + 1e-5 and (maps.t1[~maps.mask] == 0).all()
    assert main(["render", "--maps", str(out / "sample_0001"), "--protocol", "mprage", "--out", str(tmp_path / "t1w.nii.gz")]) == 0
    assert main(command) == 2 and "exists already" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0

    for given, message in (("brain_volume", "is not NAME=VALUE"), ("age=3", "no condition age")):
        try:
            assert main([*command[:2], str(tmp_path / "none"), *command[3:], "--condition", given]) == 2
        except SystemExit as stop:
            assert stop.code == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_without_weights_the_command_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", tmp_path / "weights.json")
    assert main(["sample", "--out", str(tmp_path / "heads")]) == 2
    assert "No weights for sampling are installed" in capsys.readouterr().err and not (tmp_path / "heads").exists()


def test_the_worker_samples_and_keeps_the_model(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PhysMRISynthLib.network.device.fastest_precision", lambda device: "32-true")
    handler = child.SampleHandler()
    told: list[tuple[str, float]] = []
    kept = None
    for turn in range(2):
        folder = tmp_path / f"job {turn}"
        folder.mkdir()
        exchange.write_job(SampleOrder(6, count=2 - turn, steps=2, condition={"lesion_load": 1.0}, device="cpu"), folder)
        handler(folder, lambda stage, fraction: told.append((stage, fraction)))
        kept = kept or handler._sampler
        results = exchange.read_results(folder)
        assert [result.report["sampled"]["seed"] for result in results] == [6, 7][: 2 - turn] and handler._sampler is kept
        assert results[0].fits == results[0].residuals == {} and results[0].maps.mask.any()
    again = tmp_path / "attempt 3"
    again.mkdir()
    exchange.write_job(order(seed=6, attempt=3), again)
    handler(again, lambda stage, fraction: None)
    (third,), asked = exchange.read_results(again), installed_sampler().head(order(seed=6, attempt=3))
    assert third.report["sampled"]["attempt"] == 3 and third.report["order"] == asked.report["order"]
    np.testing.assert_array_equal(third.maps.t1, asked.maps.t1)
    assert not np.array_equal(third.maps.t1, results[0].maps.t1)
    assert {stage for stage, _ in told} == set(SAMPLE_SECONDS) and STAGE in SAMPLE_SECONDS
    (shipped / "weights.json").unlink()
    with pytest.raises(WeightsError, match="No weights for sampling"):
        handler(folder, lambda stage, fraction: None)
