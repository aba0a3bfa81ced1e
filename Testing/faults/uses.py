"""Faults of what uses maps: regions, volumes, two visits, cohorts in one contrast, measured maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from faults.fault import Fault
from faults.results import maps, on_another_grid, toy
from faults.scans import Make, both, content, scan
from PhysMRISynthLib.imaging.volumes import write_image
from workflow.map_folders import write_maps

MEASURE = "measure --maps {here}/maps --regions {here}/labels.nii.gz --out {out}/regions.tsv"
VOLUMES = "volumes --maps {here}/maps --out {out}/volumes.tsv"
COMPARE = "compare {here}/a {here}/b --out {out}/changes"
NAMES = " --names {here}/names.tsv"


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
    Fault("labels beside the head", both(maps(), labels(lambda v: np.where(toy().mask, 0, 1))), MEASURE,
          r"None of the regions lies in the head\. Check"),
    Fault("an unknown region", both(maps(), labels()), MEASURE + " --only putamen",
          r"no region 'putamen' in the label map\. Its regions are"),
    Fault("no table of names", both(maps(), labels()), MEASURE + NAMES, r"names\.tsv cannot be read .*columns index and name"),
    Fault("a table without names", both(maps(), labels(), content("names.tsv", b"a\tb\n1\tx\n")), MEASURE + NAMES,
          r"is not a table of names\. Give a tab-separated table"),
    Fault("names that are no text", both(maps(), labels(), content("names.tsv", b"index\tname\n1\t\xff\n")), MEASURE + NAMES,
          r"names\.tsv cannot be read"),
    Fault("two regions of one name", both(maps(), labels(), content("names.tsv", b"index\tname\n1\tx\n2\tx\n")), MEASURE + NAMES,
          r"two labels alike \(x\)\. Give each its own name"),
    Fault("a table of regions that is no .tsv", both(maps(), labels()), MEASURE.replace(".tsv", ".xlsx"), r"a name that ends in \.tsv"),
    Fault("a table of regions that exists", both(maps(), labels()), MEASURE,
          r"exists already\. Choose", before=content("regions.tsv", b"x")),
    Fault("SDs that belong to other maps", both(maps(), on_another_grid("T1_sd.nii.gz"), labels()), MEASURE, r"is not the SD of the maps"),
    Fault("shared errors that are damaged", both(maps(), labels(), content("maps/report.json", b'{"shared_errors": 1}')), MEASURE,
          r"entry shared_errors of the maps' report is damaged\. Restore"),
    Fault("maps without tissues", maps(), VOLUMES, r"no label map of the tissues .*Estimate them again"),
    Fault("tissues that nobody knows", both(maps(), unknown_tissues), VOLUMES, r"labels that stand for no tissue\. Restore"),
)

VISITS = (
    Fault("one visit of two", head_maps("a"), COMPARE, r"b is not a folder\. Give the folder that"),
    Fault("one visit given twice", both(head_maps("a"), head_maps("b")), COMPARE, r"are the same maps\. Give the folders of two visits"),
    Fault("visits without tissues", both(maps("a"), maps("b", T1=lambda v: v * 1.1)), COMPARE, r"lack SDs or tissues\.nii\.gz\. Estimate"),
    Fault("a comparison over a visit", both(head_maps("a"), head_maps("b")), "compare {here}/a {here}/b --out {here}/a --overwrite",
          r"holds the maps that are to be used\. Choose"),
    Fault("a comparison in an unknown contrast", both(head_maps("a"), head_maps("b")), COMPARE + " --protocol epi", r"neither a preset"),
    Fault("scans in place of visits", both(scan("t1w", "a/t1w.nii.gz"), scan("t1w", "b/t1w.nii.gz")), COMPARE,
          r"PD\.nii\.gz does not exist"),
)

USES = (*REGIONS, *VISITS)

