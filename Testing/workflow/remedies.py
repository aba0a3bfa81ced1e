"""Every trouble with the inputs that a message names a remedy for: what brings it about, and what the message tells the user to do."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from PhysMRISynthLib.imaging.head.alignment import align
from PhysMRISynthLib.imaging.intake.sessions import find_session
from PhysMRISynthLib.imaging.intake.volumes import image_like, read_volume
from PhysMRISynthLib.workflow.estimation.estimate import reference_of
from PhysMRISynthLib.workflow.estimation.input_checks import check_inputs, check_intensities
from PhysMRISynthLib.workflow.estimation.inputs import field_strength_of, read_acquisition, read_acquisitions
from PhysMRISynthLib.workflow.estimation.order import EstimateOrder
from PhysMRISynthLib.workflow.results.outputs import whole_folder
from Testing.imaging.phantoms import grid, head, rotation

Do = Callable[[Path], Any]
ON = grid((40, 44, 40), (5.0, 5.0, 5.0), rotation(3, 4, 5))
HEADER = {"RepetitionTime": 2.4, "EchoTime": 0.003, "InversionTime": 1.0}
MPRAGE = "mprage,TR=2400,TI=1000,TE=3,FA=8"


@dataclass(frozen=True)
class Trouble:
    """``told`` is a piece of the message, ``happen`` raises it, and ``remedy`` is done after it in the same folder and must not."""

    told: str
    happen: Do
    remedy: Do


def scan(contrast: int = 0) -> sitk.Image:
    return head(ON, contrast)


def written(folder: Path, image: sitk.Image | None = None, name: str = "t1w.nii.gz", **fields: Any) -> Path:
    """An image with its sidecar."""
    folder.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(scan() if image is None else image, str(folder / name))
    (folder / f"{name.partition('.')[0]}.json").write_text(json.dumps({**HEADER, **fields}), encoding="utf-8")
    return folder / name


def read(role: str = "t1w", spec: str | None = None, image: sitk.Image | None = None, **fields: Any) -> Do:
    """Read an image with a header, under a protocol."""
    return lambda folder: read_acquisition(role, written(folder, image, **fields), spec)


def changed(change: Callable[[np.ndarray], np.ndarray]) -> sitk.Image:
    return image_like(change(sitk.GetArrayFromImage(scan())).astype(np.float32), ON)


def volume(image: sitk.Image, name: str = "t1w.nii.gz") -> Do:
    return lambda folder: read_volume(written(folder, image, name))


def checked(*images: sitk.Image) -> Do:
    """The inputs' voxels checked, as an estimate does first."""

    def check(folder: Path) -> None:
        read = [
            read_acquisition(role, written(folder, image, f"{role}.nii.gz"), spec)
            for (role, spec), image in zip({"t1w": MPRAGE, "t2w": "tse"}.items(), images, strict=False)
        ]
        check_inputs(read)
        check_intensities(read)

    return check


def header_bytes(offset: int, values: bytes) -> Do:
    """Some bytes of the NIfTI header replaced."""

    def do(folder: Path) -> None:
        path = written(folder)
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[offset : offset + len(values)] = values
        path.write_bytes(gzip.compress(bytes(content)))
        read_volume(path)

    return do


def _compressed(folder: Path) -> None:
    read_volume(written(folder).rename(folder / "t1w.nii"))


def _renamed(folder: Path) -> None:
    read_volume((folder / "t1w.nii").rename(folder / "t1w.nii.gz"))


def _cut(folder: Path) -> None:
    path = written(folder)
    path.write_bytes(path.read_bytes()[:-5000])
    read_volume(path)


def _empty(folder: Path) -> None:
    (folder / "t1w.nii.gz").write_bytes(b"")
    read_volume(folder / "t1w.nii.gz")


def _field(strength: Any, given: float | None = None) -> Do:
    def do(folder: Path) -> None:
        read = read_acquisitions({"t1w": written(folder, MagneticFieldStrength=strength)}, EstimateOrder(field_strength=given))
        field_strength_of(read, given)

    return do


def _two_fields(given: float | None) -> Do:
    def do(folder: Path) -> None:
        files = {r: written(folder, name=f"{r}.nii.gz", MagneticFieldStrength=t) for r, t in (("t1w", 3.0), ("t2w", 1.5))}
        field_strength_of(read_acquisitions(files, EstimateOrder(protocols={"t2w": "tse"}, field_strength=given)), given)

    return do


def _visits(inner: str) -> Do:
    def do(folder: Path) -> None:
        for visit in ("a", "b"):
            written(folder / "data" / "sub-1" / f"ses-{visit}" / "anat", name=f"sub-1_ses-{visit}_T1w.nii.gz")
        find_session(folder / "data" / inner)

    return do


def _run(out: str, overwrite: bool = False) -> Do:
    def do(folder: Path) -> None:
        with whole_folder(folder / out, overwrite) as place:
            (place / "T1.txt").write_text(out)

    return do


def _used(folder: Path) -> None:
    for _ in range(2):
        _run("maps")(folder)


def _moved_away() -> sitk.Image:
    away = image_like(sitk.GetArrayFromImage(scan(1)), ON)
    away.SetOrigin([o + 900.0 for o in ON.GetOrigin()])
    return away


BLANK, NAN = changed(lambda v: 0 * v + 7), changed(lambda v: np.where(np.indices(v.shape).sum(axis=0) % 3 == 0, np.nan, v))
SMALL, TINY = image_like(sitk.GetArrayFromImage(scan()), ON), changed(lambda v: 1e-30 * v)
SMALL.SetSpacing([0.05] * 3)
SEGMENTED = changed(lambda v: np.digitize(v, (100, 400, 700)) * 10)
UNI = changed(lambda v: np.clip(4.0 * v, 0.0, 4095.0))
POSITIVE, BETWEEN = changed(np.abs), changed(lambda v: np.abs(v) / 300)

T2W_AS_TSE = EstimateOrder(protocols={"t2w": "tse"})

TROUBLES = (
    Trouble("Rename it to", _compressed, _renamed),
    Trouble("Check that the file is complete", _cut, volume(scan())),
    Trouble("Copy or export it again", _empty, volume(scan())),
    Trouble("Check the path", lambda f: read_volume(f / "t1v.nii.gz"), volume(scan())),
    Trouble("Give one volume file", read_volume, volume(scan())),
    Trouble("is not a volume file", lambda f: read_volume(shutil.copy(written(f), f / "t1w.img")), volume(scan(), "t1w.nrrd")),
    Trouble("Give one 3-D volume", volume(sitk.JoinSeries([scan(), scan(1)]), "t1w.nrrd"), volume(scan(), "t1w.nrrd")),
    Trouble("Give a 3-D volume", volume(scan()[:, :, 20], "t1w.nrrd"), volume(scan(), "t1w.nrrd")),
    Trouble("Give a grey-value volume", volume(sitk.Compose(scan(), scan(1)), "t1w.nrrd"), volume(scan(), "t1w.nrrd")),
    Trouble("Choose another file", volume(BLANK), volume(scan())),
    Trouble("Export the volume again", volume(NAN), volume(scan())),
    Trouble("Check its scaling, or export it again", volume(TINY), volume(scan())),
    Trouble("Check its voxel spacing", volume(SMALL), volume(scan())),
    Trouble("Correct the header, or convert", header_bytes(80, struct.pack("<3f", 5.0, np.nan, 5.0)), volume(scan())),
    Trouble("cannot scale voxels. Convert", header_bytes(112, struct.pack("<2f", np.inf, 0.0)), volume(scan())),
    Trouble("gives an invalid position", header_bytes(256, struct.pack("<3f", 9.0, 0.0, 0.0)), volume(scan())),
    Trouble("Correct it, or give --field-strength", _field("high"), _field("high", 3.0)),
    Trouble("Give --field-strength.", _two_fields(None), _two_fields(3.0)),
    Trouble("Give the protocol on the command line", read(RepetitionTime="2,4 s"), read(spec=MPRAGE, RepetitionTime="2,4 s")),
    Trouble("whose protocol headers do not state. Give the protocol on the command line", read(SequenceName="mp2rage"),
            read(spec="mp2rage", image=UNI, SequenceName="mp2rage")),
    Trouble("Give the protocol on the command line (psir", read(SeriesDescription="psir"), read(spec="ir", SeriesDescription="psir")),
    Trouble("Give a T1w, T2w or FLAIR image", read(ScanningSequence="EP"), read(ScanningSequence="GR")),
    Trouble("Give a spin echo, or give the protocol", read("t2w", ScanningSequence="GR", InversionTime=None),
            read("t2w", "tse", ScanningSequence="GR", InversionTime=None)),
    Trouble("mprage,… with an inversion", read(SeriesDescription="3D TFE", InversionTime=None, RepetitionTime=None),
            read(spec="spgr,TR=10,TE=4,FA=8", SeriesDescription="3D TFE", InversionTime=None, RepetitionTime=None)),
    Trouble("stir,… or flair,…", read("t2w", ScanningSequence="SE\\IR", InversionTime=None, RepetitionTime=4.0, EchoTime=0.08),
            read("t2w", "stir", ScanningSequence="SE\\IR", InversionTime=None, RepetitionTime=4.0, EchoTime=0.08)),
    Trouble("not a readable JSON sidecar",
            lambda f: (written(f), (f / "t1w.json").write_text("{"), read_acquisition("t1w", f / "t1w.nii.gz")),
            lambda f: read_acquisition("t1w", f / "t1w.nii.gz", MPRAGE)),
    Trouble("Give an MR image", read(Modality="CT"), read(Modality="MR")),
    Trouble("Give the weighted image in magnitude", read(ImageType=["ORIGINAL", "PRIMARY", "P"]),
            read(ImageType=["ORIGINAL", "PRIMARY", "M"])),
    Trouble("give the magnitude image as 'ir'", read(spec="psir", image=POSITIVE), read(spec="ir", image=POSITIVE)),
    Trouble("Export it again in one of these ranges", read(spec="mp2rage", image=BETWEEN), read(spec="mp2rage", image=UNI)),
    Trouble("Choose the T1w image from before the agent", read(ContrastBolusAgent="Gadovist"), read()),
    Trouble("Use --allow-contrast-agent to accept it anyway", read(ContrastBolusAgent="Gadovist"),
            lambda f: read_acquisition("t1w", f / "t1w.nii.gz", None, EstimateOrder(allow_contrast_agent=True))),
    Trouble("Give the image too, or leave the protocol out", lambda f: read_acquisitions({"t1w": written(f)}, T2W_AS_TSE),
            lambda f: read_acquisitions({"t1w": written(f)})),
    Trouble("give at least one of", lambda f: read_acquisitions({}), lambda f: read_acquisitions({"t1w": written(f)})),
    Trouble("Give the scan that it was made from", checked(SEGMENTED), checked(scan())),
    Trouble("Give each contrast its own", checked(scan(), scan()), checked(scan(), scan(1))),
    Trouble("z-scores", checked(changed(lambda v: (v - v.mean()) / v.std())), checked(scan())),
    Trouble("or an offset was added. Give the magnitude image", checked(changed(lambda v: v + 400)), checked(scan())),
    Trouble("Choose the folder of one of them", _visits("."), _visits("sub-1/ses-a")),
    Trouble("Choose the folder of one visit, in BIDS", lambda f: find_session(f / "none"), _visits("sub-1/ses-b")),
    Trouble("Choose another --out, or add --overwrite", _used, _run("maps", overwrite=True)),
    Trouble("Choose another --out, or add", _used, _run("others")),
    Trouble("Check that they are of the same patient and session", lambda f: align(_moved_away(), scan(0), False),
            lambda f: align(scan(1), scan(0), False)),
    Trouble("Give 0.5 to 5 mm", lambda f: EstimateOrder(spacing_mm=9.0), lambda f: EstimateOrder(spacing_mm=5.0)),
    Trouble("is not among the inputs", lambda f: reference_of([read()(f)], "flair"), lambda f: reference_of([read()(f)], "t1w")),
)  # fmt: skip
