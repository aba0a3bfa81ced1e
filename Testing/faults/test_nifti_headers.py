"""NIfTI files with any damage: refused, or read as a volume that lies somewhere; never a traceback, never a silent guess."""

from __future__ import annotations

import gzip
import struct
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from PhysMRISynthLib.errors import ImageError
from PhysMRISynthLib.imaging.intake.volumes import read_volume
from Testing.faults.scans import picture, raw, save

HEADER = 348


def whole(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return save(picture(), Path(folder) / name).read_bytes()


PLAIN, PACKED = whole("a.nii"), whole("a.nii.gz")


def read(content: bytes, name: str) -> sitk.Image:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        return read_volume(Path(folder) / name).image


@settings(max_examples=60, deadline=None)
@given(share=st.floats(0.0, 1.0, exclude_max=True), packed=st.booleans())
def test_a_file_that_is_cut_anywhere_is_refused(share: float, packed: bool) -> None:
    content = PACKED if packed else PLAIN
    with pytest.raises(ImageError):
        read(content[: int(share * len(content))], "a.nii.gz" if packed else "a.nii")


def other_bytes() -> st.SearchStrategy[dict[int, int]]:
    """A few other bytes by their position; or a NaN where a number of four bytes is."""
    some = st.dictionaries(st.integers(0, HEADER - 1), st.integers(0, 255), min_size=1, max_size=4)
    nan = st.integers(0, HEADER // 4 - 1).map(lambda word: dict(zip(range(4 * word, 4 * word + 4), (0, 0, 0xC0, 0x7F), strict=True)))
    return some | nan


@settings(max_examples=400, deadline=None)
@given(changes=other_bytes(), packed=st.booleans())
def test_a_damaged_header_is_refused_or_gives_a_volume_that_lies_somewhere(changes: dict[int, int], packed: bool) -> None:
    content = bytearray(PLAIN)
    for position, value in changes.items():
        content[position] = value
    try:
        image = read(gzip.compress(content, 1) if packed else bytes(content), "a.nii.gz" if packed else "a.nii")
    except ImageError as error:
        assert "\n" not in str(error) and str(error).endswith((".", ")."))
        return
    axes = np.reshape(image.GetDirection(), (3, 3))
    assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-3
    assert np.isfinite([*image.GetOrigin(), *image.GetSpacing()]).all() and min(image.GetSpacing()) > 0
    assert np.isfinite(sitk.GetArrayViewFromImage(image)).all()


@pytest.mark.parametrize(
    ("quaternion", "sform", "told"),
    (
        (None, None, "no orientation"),
        ((0.0, 0.0, 0.0), ((20, 0, 0, 35), (0, 20, 0, 0), (0, 0, 20, 0)), "differently, by up to 35 mm"),
        ((0.0, 0.0, 0.0), ((-20, 0, 0, 0), (0, 20, 0, 0), (0, 0, 20, 0)), "differently"),
        ((0.0, 0.0, 0.0), ((20, 0, 0, 1), (0, 20, 0, 0), (0, 0, 20, 0)), None),
        ((0.0, 0.0, 0.0), None, None),
    ),
)
def test_a_header_without_orientation_or_with_two_is_told(
    quaternion: Sequence[float] | None, sform: Sequence[Sequence[float]] | None, told: str | None, tmp_path: Path
) -> None:
    raw(quaternion=quaternion, sform=sform)(tmp_path)
    notes = read_volume(tmp_path / "t1w.nii").notes
    assert (notes == ()) if told is None else (len(notes) == 1 and told in notes[0])


def test_the_second_version_of_the_format_is_refused_by_name() -> None:
    with pytest.raises(ImageError, match=r"NIfTI-2 .*Convert it to NIfTI-1"):
        read(struct.pack("<i8s", 540, b"n+2\0\r\n\x1a\n") + b"\0" * 600, "a.nii")
