"""Faults of what uses maps: regions, volumes, two visits, cohorts in one contrast, measured maps."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.imaging.intake.volumes import write_image
from Testing.faults.fault import Fault
from Testing.faults.results import maps, on_another_grid, toy
from Testing.faults.scans import Make, both, content, far_away, folder, nothing, scan
from Testing.workflow.cohorts import touch
from Testing.workflow.map_folders import write_derivative_maps, write_maps

MEASURE = "measure --maps {here}/maps --regions {here}/labels.nii.gz --out {out}/regions.tsv"
VOLUMES = "volumes --maps {here}/maps --out {out}/volumes.tsv"
COMPARE = "compare {here}/a {here}/b --out {out}/changes"
NAMES = " --names {here}/names.tsv"


@contextmanager
def no_programs() -> Iterator[None]:
    """Neither the system nor a package has a program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "")
        patch.setitem(sys.modules, "imageio_ffmpeg", None)
        yield


def labels(change: object = None) -> Make:
    """A label map of the toy: its left half is region 1, its right half region 2."""

    def make(here: Path) -> None:
        x = np.indices(toy().mask.shape)[2]
        voxels = np.where(toy().mask, 1 + (x > 5), 0).astype(np.float32)
        voxels = change(voxels) if callable(change) else voxels
        write_image(toy().image(voxels.astype(np.float32)), here / "labels.nii.gz")

    return make


def other_grid(here: Path) -> None:
    labels()(here)
    write_image(sitk.ReadImage(str(here / "labels.nii.gz"))[:, :, 1:], here / "labels.nii.gz")


def unknown_tissues(here: Path) -> None:
    write_image(toy().image(toy().mask * np.float32(99)), here / "maps" / "tissues.nii.gz")


def head_maps(name: str, **report: object) -> Make:
    return lambda here: write_maps(here / name, **report)


REGIONS = (
    Fault("regions of no maps", labels(), MEASURE, r"is not a folder\. Give the folder that"),
    Fault("no label file", maps(), MEASURE, r"labels\.nii\.gz does not exist\. Check the path"),
    Fault("labels on another grid", both(maps(), other_grid), MEASURE, r"different grids\. Add --resample if .*else register"),
    Fault("a scan as label map", both(maps(), labels(lambda v: v + 0.5)), MEASURE, r"is not a label map: .*Give a segmentation"),
    Fault("negative labels", both(maps(), labels(lambda v: -v)), MEASURE, r"is not a label map: .*Give a segmentation"),
    Fault(
        "labels beside the head",
        both(maps(), labels(lambda v: np.where(toy().mask, 0, 1))),
        MEASURE,
        r"None of the regions lies in the head\. Check",
    ),
    Fault(
        "an unknown region", both(maps(), labels()), MEASURE + " --only putamen", r"no region 'putamen' in the label map\. Its regions are"
    ),
    Fault("no table of names", both(maps(), labels()), MEASURE + NAMES, r"names\.tsv cannot be read .*columns index and name"),
    Fault(
        "a table without names",
        both(maps(), labels(), content("names.tsv", b"a\tb\n1\tx\n")),
        MEASURE + NAMES,
        r"is not a table of names\. Give a tab-separated table",
    ),
    Fault(
        "names that are no text",
        both(maps(), labels(), content("names.tsv", b"index\tname\n1\t\xff\n")),
        MEASURE + NAMES,
        r"names\.tsv cannot be read",
    ),
    Fault(
        "two regions of one name",
        both(maps(), labels(), content("names.tsv", b"index\tname\n1\tx\n2\tx\n")),
        MEASURE + NAMES,
        r"two labels alike \(x\)\. Give each its own name",
    ),
    Fault("a table of regions that is no .tsv", both(maps(), labels()), MEASURE.replace(".tsv", ".xlsx"), r"a name that ends in \.tsv"),
    Fault(
        "a table of regions that exists", both(maps(), labels()), MEASURE, r"exists already\. Choose", before=content("regions.tsv", b"x")
    ),
    Fault("SDs that belong to other maps", both(maps(), on_another_grid("T1_sd.nii.gz"), labels()), MEASURE, r"is not the SD of the maps"),
    Fault(
        "shared errors that are damaged",
        both(maps(), labels(), content("maps/report.json", b'{"shared_errors": 1}')),
        MEASURE,
        r"entry shared_errors of the maps' report is damaged\. Restore",
    ),
    Fault("volumes of no maps", nothing, VOLUMES, r"is not a folder\. Give the folder that"),
    Fault("volumes over a file", head_maps("maps"), VOLUMES, r"exists already\. Choose", before=content("volumes.tsv", b"x")),
    Fault("maps without tissues", maps(), VOLUMES, r"no label map of the tissues .*Estimate them again"),
    Fault("tissues that nobody knows", both(maps(), unknown_tissues), VOLUMES, r"labels that stand for no tissue\. Restore"),
)

VISITS = (
    Fault("one visit of two", head_maps("a"), COMPARE, r"b is not a folder\. Give the folder that"),
    Fault("one visit given twice", both(head_maps("a"), head_maps("b")), COMPARE, r"are the same maps\. Give the folders of two visits"),
    Fault("visits without tissues", both(maps("a"), maps("b", T1=lambda v: v * 1.1)), COMPARE, r"lack SDs or tissues\.nii\.gz\. Estimate"),
    Fault(
        "a comparison over a visit",
        both(head_maps("a"), head_maps("b")),
        "compare {here}/a {here}/b --out {here}/a --overwrite",
        r"holds the maps that are to be used\. Choose",
    ),
    Fault("a comparison in an unknown contrast", both(head_maps("a"), head_maps("b")), COMPARE + " --protocol epi", r"neither a preset"),
    Fault(
        "visits of two patients",
        lambda here: write_derivative_maps(here, "01/1", "02/1"),
        "compare {here}/sub-01/ses-1/anat {here}/sub-02/ses-1/anat --out {out}/changes",
        r"two participants, sub-01 and sub-02\. Give two visits of one",
    ),
    Fault(
        "visits swapped",
        lambda here: write_derivative_maps(here, "01/1", "01/2"),
        "compare {here}/sub-01/ses-2/anat {here}/sub-01/ses-1/anat --out {out}/changes",
        r"ses-2 is given as the earlier visit .*Exchange the two",
    ),
    Fault(
        "visits with regions of another grid",
        both(head_maps("a"), head_maps("b"), other_grid),
        COMPARE + " --regions {here}/labels.nii.gz",
        r"different grids\. Add --resample if .*else register",
    ),
    Fault(
        "scans in place of visits", both(scan("t1w", "a/t1w.nii.gz"), scan("t1w", "b/t1w.nii.gz")), COMPARE, r"PD\.nii\.gz does not exist"
    ),
)

COHORT = "render --bids {here}/maps --protocol se,TR=500,TE=15 --out {out}/se"
COMPLETE = "complete --bids {here}/raw --maps {here}/maps --out {out}/more"
MATCH = "match --image {here}/t1w.nii.gz --maps {here}/maps --sequence mprage"
ONE_OF_TWO = frozenset(
    {"se", "se/.bidsignore", "se/cohort.tsv", "se/dataset_description.json", "se/index.html", "se/sub-01", "se/sub-01/anat"}
    | {f"se/sub-01/anat/sub-01_{name}" for name in ("desc-synthetic_T1w.nii.gz", "desc-synthetic_T1w.json", "report.json", "report.png")}
)
COMPLETED = frozenset(name.replace("se/", "more/", 1).replace("T1w", "T2w") if name != "se" else "more" for name in ONE_OF_TWO)


def visits(*names: str) -> Make:
    return lambda here: write_derivative_maps(here / "maps", *names)


def broken_visit(here: Path) -> None:
    visits("01", "02")(here)
    (here / "maps" / "sub-02" / "anat" / "sub-02_T1map.nii.gz").write_bytes(b"no image")


COHORTS = (
    Fault(
        "a cohort with one broken visit", broken_visit, COHORT, r"1 of 2 visits failed; the table says why\. Run again", written=ONE_OF_TWO
    ),
    Fault("a cohort without maps", folder("maps"), COHORT, r"There are no maps in .*Expected are sub-"),
    Fault("no cohort", nothing, COHORT, r"is not a folder\. Give the folder of derivatives"),
    Fault("a cohort in an unknown contrast", visits("01"), COHORT.replace("se,TR=500,TE=15", "epi"), r"neither a preset"),
    Fault("a cohort rendered over its maps", visits("01"), COHORT.replace("{out}/se", "{here}/maps"), r"is the data set itself\. Choose"),
    Fault("a noisy cohort", visits("01"), COHORT + " --snr 20", r"--snr is for one image\. Leave it out"),
    Fault("maps and a cohort at once", visits("01"), COHORT + " --maps {here}/maps", r"not allowed with argument"),
    Fault(
        "several jobs for one image",
        maps(),
        "render --maps {here}/maps --protocol se --out {out}/a.nii.gz --jobs 2",
        r"are for a data set\. Give its folder with --bids",
    ),
    Fault(
        "a cohort completed among its images",
        both(visits("01"), lambda here: touch(here / "raw", "01")),
        COMPLETE.replace("{out}/more", "{here}/raw"),
        r"never put among them",
    ),
    Fault(
        "a cohort completed in an unknown contrast",
        both(visits("01"), lambda here: touch(here / "raw", "01")),
        COMPLETE + " --t2w-protocol epi",
        r"neither a preset",
    ),
    Fault(
        "a cohort to complete with one broken visit",
        both(broken_visit, lambda here: touch(here / "raw", "01", "02")),
        COMPLETE,
        r"1 of 2 visits failed; the table says why\. Run again",
        written=COMPLETED,
    ),
    Fault(
        "a cohort to complete without its maps",
        lambda here: touch(here / "raw", "01"),
        COMPLETE,
        r"is not a folder\. Give the folder of derivatives",
    ),
    Fault("an unknown sequence to match", both(scan("t1w"), head_maps("maps")), MATCH.replace("mprage", "epi"), r"epi.*(use|Use)"),
    Fault("an image of elsewhere to match", both(far_away("t1w"), head_maps("maps")), MATCH + " --no-register", r"do not overlap in space"),
    Fault("an image to match with maps without tissues", both(scan("t1w"), maps()), MATCH, r"no label map of the tissues"),
)

IMPORT = "import --t1 {here}/maps/T1.nii.gz --out {out}/mine"
MEASURED = (
    Fault("no measured map", nothing, "import --out {out}/mine", r"Neither T1 nor T2 is given"),
    Fault("a measured map that is gone", nothing, IMPORT, r"T1\.nii\.gz does not exist"),
    Fault("T1 that may be in s or 1/s", maps(T1=lambda v: v / 1000), IMPORT, r"does not tell the unit of T1\. Give --t1-unit"),
    Fault("a unit that nobody knows", maps(), IMPORT + " --t1-unit furlong", r"'furlong' is not known\. Give --t1-unit \(ms, s"),
    Fault(
        "a sidecar of a unit that nobody knows",
        both(maps(), content("maps/T1.json", b'{"Units": "furlong"}')),
        IMPORT,
        r"'furlong' is not known\. Give --t1-unit",
    ),
    Fault("a sidecar of a measured map that is no JSON", both(maps(), content("maps/T1.json", b"{")), IMPORT, r"is not a readable JSON"),
    Fault(
        "measured T1 and T2 exchanged",
        maps(),
        "import --t1 {here}/maps/T2.nii.gz --t2 {here}/maps/T1.nii.gz --t1-unit ms --t2-unit ms --out {out}/mine",
        r"T2 is longer than T1 .*not exchanged",
    ),
    Fault("measured maps at 7 T", maps(), IMPORT + " --field-strength 7", r"between 1 and 4 T"),
    Fault("measured maps over other files", maps(), IMPORT, r"exists already\. Choose", before=content("mine/a", b"x")),
)

EXPORT = "export --maps {here}/maps --regions {here}/labels.nii.gz --out {out}/dicom"
ALSO = "estimate --t1w {here}/t1w.nii.gz --t1w-protocol mprage --out {out}/maps --also "
MORE = (
    Fault("a report of regions on another grid", both(maps(), other_grid), EXPORT, r"different grids\. Add --resample if .*else register"),
    Fault(
        "a report of regions beside the head",
        both(maps(), labels(lambda v: np.where(toy().mask, 0, 1))),
        EXPORT,
        r"None of the regions lies in the head\. Check",
    ),
    Fault("a report of no regions", maps(), EXPORT, r"labels\.nii\.gz does not exist\. Check the path"),
    Fault(
        "names of no regions",
        both(maps(), labels()),
        EXPORT.replace("--regions {here}/labels.nii.gz", "--names {here}/names.tsv"),
        r"--names is given without --regions",
    ),
    Fault("a further input that nobody knows", scan("t1w"), ALSO + "swi {here}/t1w.nii.gz se", r"'swi' is no further input\. Use one of"),
    Fault(
        "two further inputs of one role",
        scan("t1w"),
        ALSO + "pdw {here}/t1w.nii.gz se --also pdw {here}/t1w.nii.gz se",
        r"Two images are given as pdw\. Give each",
    ),
    Fault("a further input that is gone", scan("t1w"), ALSO + "pdw {here}/pd.nii.gz se", r"pd\.nii\.gz does not exist"),
    Fault("a spin echo as T2* weighted input", scan("t1w"), ALSO + "t2starw {here}/t1w.nii.gz se", r"its sequence is spgr, not se"),
    Fault(
        "an inversion image as uniform image", scan("t1w"), ALSO + "inv1 {here}/t1w.nii.gz mp2rage", r"its sequence is mp2rage_inv1, not"
    ),
    Fault("a further input in an unknown protocol", scan("t1w"), ALSO + "pdw {here}/t1w.nii.gz epi", r"neither a preset"),
    Fault("a further input given twice", scan("t1w"), ALSO + "t1w_2 {here}/t1w.nii.gz mprage", r"are the same image\. Give each contrast"),
    Fault(
        "further inputs of a data set",
        folder("raw"),
        "estimate --bids {here}/raw --out {out}/maps --also pdw {here}/pd.nii.gz se",
        r"--also is for one visit",
    ),
)

SWEEP = "sweep --maps {here}/maps --protocol ir --parameter TI --from 100 --to 900 --frames 3 --out {out}/ti.gif"
FILMS = (
    Fault("a film of no maps", nothing, SWEEP, r"is not a folder\. Give the folder that"),
    Fault("a film of an unknown kind", maps(), SWEEP.replace(".gif", ".avi"), r"ends in \.gif or \.mp4"),
    Fault(
        "an MP4 without ffmpeg",
        maps(),
        SWEEP.replace(".gif", ".mp4"),
        r"needs the program ffmpeg.*Install physmrisynth\[film\].*ends in \.gif",
        during=no_programs,
    ),
    Fault("a film of an unknown parameter", maps(), SWEEP.replace("TI ", "XY "), r"no parameter 'XY': it takes TR, TE, TI"),
    Fault("a film beyond what the sequence allows", maps(), SWEEP.replace("900", "90000"), r"out of bounds"),
    Fault("a film of one frame", maps(), SWEEP.replace("frames 3", "frames 1"), r"has 2 to 500 frames"),
    Fault("a film over a file", maps(), SWEEP, r"exists already\. Choose", before=content("ti.gif", b"x")),
)

USES = (*REGIONS, *VISITS, *COHORTS, *MEASURED, *MORE, *FILMS)
