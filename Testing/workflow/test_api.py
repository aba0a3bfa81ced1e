"""The public functions at work: files in, files out, and refusals before anything is written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import PhysMRISynthLib as pms
from PhysMRISynthLib.errors import EstimationError, ImageError, OrderError, ProtocolError
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.simulate import simulate
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from Testing.workflow.map_folders import head

FIELD_STRENGTH = 1.5
SPECS = {"t1w": "mprage", "t2w": "tse", "flair": "flair,L=150"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """T1w, T2w and FLAIR of the small head."""
    folder = tmp_path_factory.mktemp("images")
    maps = small_head(FIELD_STRENGTH).maps
    images = simulate(maps, {role: protocol_from_spec(spec) for role, spec in SPECS.items()}, 100.0, 0.1, 1)
    for role, image in images.items():
        sitk.WriteImage(maps.image(image), str(folder / f"{role}.nii.gz"))
    return {role: folder / f"{role}.nii.gz" for role in images}


def test_an_estimate_is_written_and_read_back(files: dict[str, Path], tmp_path: Path) -> None:
    stages: list[str] = []
    estimate = pms.estimate(
        **{role: str(file) for role, file in files.items()}, protocols=SPECS, prior="literature", field_strength=FIELD_STRENGTH,
        out=tmp_path / "maps", progress=lambda stage, done: stages.append(stage),
    )  # fmt: skip
    truth = small_head(FIELD_STRENGTH)
    brain = truth.brain_tissue()
    assert np.median(np.abs(estimate.maps.t1[brain] / truth.maps.t1[brain] - 1.0)) < 0.1
    read = pms.load_maps(str(tmp_path / "maps"))
    np.testing.assert_allclose(read.t1, estimate.maps.t1, rtol=1e-5)
    np.testing.assert_allclose(read.sd["PD"], estimate.maps.sd["PD"], rtol=1e-4, atol=1e-6)
    assert read.provenance["field_strength_tesla"] == FIELD_STRENGTH and len(set(stages)) > 3
    for preset in ("synthetic-dir", "synthetic-flair"):  # solved for this head in either case
        own, again = (sitk.GetArrayFromImage(pms.render(maps, preset)) for maps in (estimate.maps, read))
        np.testing.assert_allclose(own, again, rtol=1e-3, atol=0.5)
        fluid, cortex = (np.median(own[truth.tissue == row]) for row in (4, 1))
        assert fluid < 0.1 * cortex
    with pytest.raises(ImageError, match="exists already"):
        pms.estimate(files["t1w"], out=tmp_path / "maps")


def test_an_estimate_needs_an_image(tmp_path: Path) -> None:
    with pytest.raises(EstimationError, match="No input"):
        pms.estimate(out=tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_maps_survive_writing_and_reading(tmp_path: Path) -> None:
    maps = head().maps
    pms.save_maps(maps, tmp_path / "maps")
    read = pms.load_maps(tmp_path / "maps")
    for name in ("pd", "t1", "t2", "mask"):
        np.testing.assert_allclose(getattr(read, name), getattr(maps, name), rtol=1e-5)
    assert read.sd.keys() == maps.sd.keys() and read.provenance["field_strength_tesla"] == 3.0
    with pytest.raises(ImageError, match="exists already"):
        pms.save_maps(maps, tmp_path / "maps")
    pms.save_maps(maps, tmp_path / "maps", overwrite=True)


def test_a_preset_nulls_this_heads_tissue() -> None:
    maps = head().maps
    image = sitk.GetArrayFromImage(pms.render(maps, "synthetic-flair"))
    fluid = (small_head().tissue == 4) & maps.mask
    assert image[fluid].mean() < 0.01 * image[small_head().brain_tissue()].mean()


def test_a_rendering_is_written_with_its_protocol_and_never_over_another(tmp_path: Path) -> None:
    maps, out = head().maps, tmp_path / "new" / "stir.nii.gz"
    protocol = pms.Protocol.of("stir", TR=4000, TE=40, TI=260)
    image = pms.render(maps, protocol, snr=40, seed=3, out=out)
    assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(pms.render(maps, protocol.spec, snr=40, seed=3)))
    np.testing.assert_allclose(sitk.GetArrayFromImage(sitk.ReadImage(str(out))), sitk.GetArrayFromImage(image), rtol=1e-6)
    sidecar = json.loads(out.with_name("stir.json").read_text(encoding="utf-8"))
    assert sidecar["InversionTime"] == 0.26 and sidecar["SNR"] == 40 and "Not for diagnosis" in sidecar["Description"]
    with pytest.raises(ImageError, match="exists already"):
        pms.render(maps, protocol, out=out)
    with pytest.raises(ProtocolError, match="neither a preset"):
        pms.render(maps, "flare")


def test_dicom_takes_what_rendering_takes(tmp_path: Path) -> None:
    export = pms.export_dicom(head().maps, tmp_path / "dicom", protocols=["synthetic-dir", pms.Protocol.of("se", TR=500, TE=15)])
    assert {"T1.dcm", "T1_sd.dcm"} <= set(export.files) and any(name.startswith("dir") for name in export.files)


def test_what_is_asked_of_a_sample_reaches_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    class Echo:
        def head(self, order: SampleOrder, progress: object) -> SampleOrder:
            return order

    monkeypatch.setattr("PhysMRISynthLib.api.sampler_of", lambda order: Echo())
    found = pms.sample(4, condition={"age": 70.0, "sex": 1.0}, guidance=1.5, weights=Path("own.safetensors"))
    assert found == SampleOrder(4, condition={"age": 70.0, "sex": 1.0}, guidance=1.5, weights="own.safetensors")


def test_a_sample_is_refused_before_weights_are_loaded() -> None:
    with pytest.raises(OrderError, match="number of steps"):
        pms.sample(steps=0)
