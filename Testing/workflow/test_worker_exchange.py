"""What crosses between the processes arrives as it was, or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.sampling.order import SampleOrder
from PhysMRISynthLib.workflow.worker import exchange
from PhysMRISynthLib.workflow.worker.jobs import EstimateJob
from Testing.workflow.tiny_worker import SHAPE, tiny_acquisition, tiny_result


def test_an_estimates_job_arrives_as_it_was(tmp_path: Path) -> None:
    whole = replace(tiny_acquisition("../é: t1w"), slice_thickness_mm=4.5)
    acquisitions = [whole, replace(tiny_acquisition(), conventional_echo_time=None, field_strength=None)]
    order = EstimateOrder({"t1w": "se"}, 2.89, "t1w", False, "literature", "cpu", 1.5, True)
    job = EstimateJob(acquisitions, order)
    exchange.write_job(job, tmp_path)
    assert all(file.resolve().is_relative_to(tmp_path.resolve()) for file in tmp_path.rglob("*"))
    read = exchange.read_job(tmp_path)
    assert isinstance(read, EstimateJob)
    assert replace(read, acquisitions=()) == replace(job, acquisitions=())
    for one, other in zip(read.acquisitions, acquisitions, strict=True):
        assert replace(one, volume=other.volume) == other
        assert (one.volume.path, one.volume.notes) == (other.volume.path, other.volume.notes)
        np.testing.assert_array_equal(one.volume.voxels, other.volume.voxels)
        for geometry in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize", "GetPixelID"):
            assert getattr(one.volume.image, geometry)() == getattr(other.volume.image, geometry)()


def test_a_samples_job_arrives_as_it_was(tmp_path: Path) -> None:
    exchange.write_job(SampleOrder(7, count=3), tmp_path)
    assert exchange.read_job(tmp_path) == SampleOrder(7, count=3)


def test_a_result_arrives_as_it_was_and_outlives_its_files(tmp_path: Path) -> None:
    result, folder = tiny_result(4), tmp_path / "job folder"
    folder.mkdir()
    exchange.write_result(result, folder)
    read = exchange.read_result(folder)
    exchange.remove(folder)
    assert not folder.exists()
    pairs = [(read.fits, result.fits), (read.residuals, result.residuals), (read.maps.sd, result.maps.sd)]
    pairs += [({"": getattr(read.maps, name)}, {"": getattr(result.maps, name)}) for name in ("pd", "t1", "t2", "mask", "fluid_fraction")]
    pairs += [({"": getattr(read, name)}, {"": getattr(result, name)}) for name in ("tissue", "brain")]
    for one, other in pairs:
        assert list(one) == list(other)
        for name, array in other.items():
            assert one[name].dtype == array.dtype
            np.testing.assert_array_equal(one[name], array)
            one[name][:] = 0  # may be written to
    assert read.report == result.report == read.maps.provenance
    assert read.maps.fluid == result.maps.fluid
    for geometry in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
        assert getattr(read.maps.grid, geometry)() == getattr(result.maps.grid, geometry)()


def test_what_is_no_number_is_no_value_in_the_report(tmp_path: Path) -> None:
    exchange.write_result(replace(tiny_result(), report={"gain": float("nan"), "sd": [float("inf"), 1.5]}), tmp_path)
    assert exchange.read_result(tmp_path).report == {"gain": None, "sd": [None, 1.5]}


def test_a_result_that_could_not_be_written_whole_is_none(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        exchange.write_result(replace(tiny_result(), report={"not JSON": object()}), tmp_path)
    with pytest.raises(ImageError, match="damaged"):
        exchange.read_result(tmp_path)


def _truncate(folder: Path) -> None:
    file = folder / "0.npy"
    file.write_bytes(file.read_bytes()[:-8])


def _pickle(folder: Path) -> None:
    np.save(folder / "0.npy", np.full(SHAPE, {"a": 1}, dtype=object), allow_pickle=True)


def _reshape(folder: Path) -> None:
    np.save(folder / "0.npy", np.zeros((4, 5, 7), np.float32))


def _forget(folder: Path) -> None:
    (folder / "0.npy").unlink()


def _empty(folder: Path) -> None:
    (folder / "0.npy").write_bytes(b"")


def _scribble(folder: Path) -> None:
    (folder / "description.json").write_text(json.dumps([1, 2]))


@pytest.mark.parametrize("damage", [_truncate, _pickle, _reshape, _forget, _empty, _scribble])
def test_a_damaged_result_is_refused(damage, tmp_path: Path) -> None:
    exchange.write_result(tiny_result(), tmp_path)
    damage(tmp_path / "result")
    with pytest.raises(ImageError, match="damaged"):
        exchange.read_result(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has access lists in place of modes")
def test_folders_are_this_users_own() -> None:
    folder = exchange.new_folder()
    try:
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        exchange.remove(folder)
