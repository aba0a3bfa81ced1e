"""What a message tells the user to do works: each remedy is followed here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from imaging.phantoms import grid, head, rotation
from PhysMRISynthLib.errors import ImageError, PhysMRISynthError, ProtocolError
from PhysMRISynthLib.imaging.volumes import image_like, read_volume
from PhysMRISynthLib.workflow.inputs import field_strength_of, read_acquisition, read_acquisitions
from PhysMRISynthLib.workflow.outputs import whole_folder

ON = grid((40, 44, 40), (5.0, 5.0, 5.0), rotation(3, 4, 5))
SPEC = "mprage,TR=2400,TI=1000,TE=3,FA=8"


def scan(folder: Path, **fields: object) -> Path:
    sitk.WriteImage(head(ON, 0), str(folder / "t1w.nii.gz"))
    (folder / "t1w.json").write_text(json.dumps({"RepetitionTime": 2.4, "EchoTime": 0.003, **fields}), encoding="utf-8")
    return folder / "t1w.nii.gz"


@pytest.mark.parametrize(("stated", "tesla"), (("3T", 3.0), ("1.5 Tesla", 1.5), (15000, 1.5), ("2.89", 2.9), (0.064, 0.064)))
def test_a_field_strength_in_other_words_is_understood(tmp_path: Path, stated: object, tesla: float) -> None:
    assert field_strength_of([read_acquisition("t1w", scan(tmp_path, MagneticFieldStrength=stated))], None) == (tesla, "header")


def test_field_strength_given_makes_up_for_what_the_header_says_of_it(tmp_path: Path) -> None:
    path = scan(tmp_path, MagneticFieldStrength="high")
    with pytest.raises(ProtocolError, match="--field-strength"):
        read_acquisitions({"t1w": path}, {})
    (read,) = read_acquisitions({"t1w": path}, {}, field_strength=3.0)
    assert field_strength_of([read], 3.0)[0] == 3.0


def test_a_protocol_given_makes_up_for_a_header_that_is_no_number(tmp_path: Path) -> None:
    path = scan(tmp_path, RepetitionTime="2,4 s")
    with pytest.raises(ProtocolError, match="Give the protocol on the command line"):
        read_acquisition("t1w", path)
    assert read_acquisition("t1w", path, SPEC).protocol.values["TR"] == 2400


def test_a_compressed_file_is_renamed(tmp_path: Path) -> None:
    path = scan(tmp_path)
    wrong = path.rename(tmp_path / "t1w.nii")
    with pytest.raises(ImageError, match=r"Rename it to t1w\.nii\.gz"):
        read_volume(wrong)
    assert read_volume(wrong.rename(path)).voxels.shape == (40, 44, 40)


def test_a_phase_image_is_replaced_by_its_magnitude(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"this is a phase image\. Give the weighted image in magnitude"):
        read_acquisition("t1w", scan(tmp_path, ImageType=["ORIGINAL", "PRIMARY", "P"]))
    assert read_acquisition("t1w", scan(tmp_path, ImageType=["ORIGINAL", "PRIMARY", "M"])).name == "t1w"


def test_the_uniform_image_of_an_mp2rage_is_taken_with_its_protocol(tmp_path: Path) -> None:
    path = scan(tmp_path, ImageType=["DERIVED", "PRIMARY", "M", "UNI"])
    sitk.WriteImage(image_like(np.clip(sitk.GetArrayFromImage(head(ON, 0)) * 4.0, 0.0, 4095.0).astype(np.float32), ON), str(path))
    with pytest.raises(PhysMRISynthError, match="uniform image"):
        read_acquisition("t1w", path, SPEC)
    assert read_acquisition("t1w", path, "mp2rage").protocol.sequence.name == "mp2rage"


def test_of_two_runs_into_one_folder_the_first_one_that_ends_counts(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"Another run has written into .* Choose another --out"), whole_folder(tmp_path, False) as late:
        (late / "T1.txt").write_text("late")
        with whole_folder(tmp_path, False) as early:
            (early / "T1.txt").write_text("early")
            (early / "T2.txt").write_text("early")
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"T1.txt": "early", "T2.txt": "early"}
    with whole_folder(tmp_path / "other", False) as again:
        (again / "T1.txt").write_text("late")
    assert (tmp_path / "other" / "T1.txt").read_text() == "late"
