"""The table of faults: what goes wrong in a clinic or on a cluster, and what the command line says to it."""

from __future__ import annotations

import os
from functools import partial

import numpy as np

from Testing.faults import results, scans
from Testing.faults.fault import Fault, full_disk, private, read_only, without_privileges
from Testing.faults.results import maps, source
from Testing.faults.scans import INF, NAN, both, content, link, made, nothing, picture, pipe, raw, scan, sidecar, truncated
from Testing.faults.uses import USES

_END = " --prior literature --out {out}/maps"
T1W = "estimate --t1w {here}/t1w.nii.gz" + _END
NII = "estimate --t1w {here}/t1w.nii" + _END
NRRD = "estimate --t1w {here}/t1w.nrrd" + _END
PAIR = "estimate --t1w {here}/t1w.nii.gz --t2w {here}/t2w.nii.gz" + _END
STATED = " --t1w-protocol mprage --t2w-protocol tse --field-strength 3 --no-register"
RENDER = "render --maps {here}/maps --protocol se --out {out}/se.nii.gz"
SIMULATE = "simulate --maps {here}/maps --out {out}/scans"
EXPORT = "export --maps {here}/maps --out {out}/dicom"
FROM = EXPORT + " --source {here}/source"
SAMPLE = "sample --out {out}/heads --steps 2"
EVALUATE = "evaluate --out {out}/results --priors literature"
TRAIN = "train vae --data {here} --out {out}/run --steps 1"
T1W_MAPS = frozenset(
    {"maps", "maps/tissues.tsv", "maps/fluid_fraction.nii.gz"}
    | {f"maps/{name}.nii.gz" for name in ("PD", "T1", "T2", "PD_sd", "T1_sd", "T2_sd", "mask", "tissues", "fit_t1w")}
    | {f"maps/report.{kind}" for kind in ("json", "html", "pdf", "png")}
)
PAIR_MAPS = T1W_MAPS | {"maps/fit_t2w.nii.gz"}
DICOM = frozenset({"dicom", *(f"dicom/{name}" for name in ("PD.dcm", "T1.dcm", "T2.dcm", "T1_sd.dcm", "report.json"))})

NO_TEXT = os.fsdecode(b"m\xff")

FILES = (
    Fault("a .nii.gz cut off", truncated("t1w.nii.gz"), T1W, r"cannot be read .*complete, or convert"),
    Fault("a .nii cut off", truncated("t1w.nii"), NII, r"cannot be read .*complete, or convert"),
    Fault("a .nrrd cut off", truncated("t1w.nrrd"), NRRD, r"cannot be read .*complete, or convert"),
    Fault("a file of zero bytes", content("t1w.nii.gz", b""), T1W, r"zero bytes\. Copy or export it again"),
    Fault("a text called .nii.gz", content("t1w.nii.gz", b"Dear colleague,\n" * 60), T1W, r"cannot be read .*convert"),
    Fault("gzip of a text", raw("t1w.nii.gz", offset=0.0), T1W, r"ends early or is damaged"),
    Fault(
        "a DICOM file",
        content("t1w.dcm", b"\0" * 128 + b"DICM"),
        "estimate --t1w {here}/t1w.dcm" + _END,
        r"t1w\.dcm cannot be read as DICOM .*Copy it again",
    ),
    Fault("no such file", nothing, T1W, r"does not exist\. Check the path"),
    Fault("a folder in place of a file", scans.folder("t1w.nii.gz"), T1W, r"is a folder\. Give one volume file"),
    Fault("a pipe in place of a file", pipe("t1w.nii.gz"), T1W, r"is a pipe or a device\. Give an ordinary"),
    Fault("a device in place of a file", link("t1w.nii.gz", "/dev/full"), T1W, r"is a pipe or a device\. Give an ordinary"),
    Fault("a link that leads nowhere", link("t1w.nii.gz", "gone.nii.gz"), T1W, r"is a link that leads nowhere\. Check the path"),
    Fault("links in a circle", both(link("t1w.nii.gz", "b.nii.gz"), link("b.nii.gz", "t1w.nii.gz")), T1W, r"leads nowhere\. Check"),
    Fault(
        "a file of somebody else",
        both(scan("t1w"), private("t1w.nii.gz")),
        T1W,
        r"cannot be read \(Permission denied\)\. Check that",
        during=without_privileges,
    ),
)

VOXELS = (
    Fault("all voxels 0", made(lambda: scans.filled(0)), T1W, r"is empty: every voxel is 0\. Choose another"),
    Fault("all voxels 7", made(lambda: scans.filled(7)), T1W, r"is empty: every voxel is 7\. Choose another"),
    Fault("all voxels negative", scan("t1w", change=lambda v: -v - 1), T1W, r"No head stands out .*0 or less\. Check"),
    Fault("all voxels NaN", scan("t1w", change=lambda v: v * NAN), T1W, r"100 % of the voxels are NaN or infinite\. Export"),
    Fault(
        "half of the voxels infinite", scan("t1w", change=lambda v: np.where(v < np.median(v), INF, v)), T1W, r"NaN or infinite\. Export"
    ),
    Fault("voxels of 1e30", scan("t1w", change=lambda v: v * 1e30), T1W, r"voxels of up to .*Check its scaling"),
    Fault("voxels of 1e-30", scan("t1w", change=lambda v: v * 1e-30), T1W, r"voxels of up to .*Check its scaling"),
    Fault(
        "noise alone", made(lambda: picture((30, 30, 30), (8.0, 8.0, 8.0))), T1W, r"a magnitude image of a head .*Give the magnitude image"
    ),
    Fault("islands of NaN and infinity", scan("t1w", change=scans.islands), T1W, r"29 voxels were NaN or infinite", 0, written=T1W_MAPS),
    Fault("a CT", made(scans.ct), T1W, r"below zero.*Check that it is no CT", 0, written=T1W_MAPS),
    Fault("a segmentation", made(scans.labels), T1W, r"is a segmentation or a mask\. Give the scan"),
    Fault("four dimensions", made(lambda: scans.sitk.JoinSeries([picture()] * 3)), T1W, r"is 4-D .*Give one 3-D volume"),
    Fault("colours", made(scans.colour), T1W, r"3 values a voxel\. Give a grey-value"),
    Fault("complex numbers", made(scans.complex_numbers), T1W, r"2 values a voxel\. Give a grey-value"),
    Fault("a picture", made(lambda: picture()[:, :, 3]), T1W, r"single 2-D picture\. Give a 3-D"),
    Fault("one slice", made(lambda: picture()[:, :, 3:4], "t1w.nrrd"), NRRD, r"\(12, 10, 1\) voxels.*Check its voxel spacing"),
    Fault("a volume of 5 voxels a side", made(lambda: picture((5, 5, 5), (4.0, 4.0, 4.0))), T1W, r"cannot be a head\. Check"),
)

GEOMETRY = (
    Fault("spacing in metres", raw(spacing=(0.02, 0.02, 0.02)), NII, r"cannot be a head\. Check its voxel spacing \(mm\)"),
    Fault("spacing in micrometres", raw(spacing=(2e4, 2e4, 2e4)), NII, r"cannot be a head\. Check its voxel spacing \(mm\)"),
    Fault("spacing of 0", raw(spacing=(0.0, 20.0, 20.0)), NII, r"voxel spacing of 0 × 20 × 20 is invalid\. Correct"),
    Fault("negative spacing", raw(spacing=(20.0, -20.0, 20.0)), NII, r"voxel spacing of 20 × -20 × 20 is invalid\. Correct"),
    Fault("spacing of NaN", raw(spacing=(20.0, 20.0, NAN)), NII, r"voxel spacing of 20 × 20 × nan is invalid\. Correct"),
    Fault("a header of 30000³ voxels", raw(size=(30000, 30000, 30000)), NII, r"27000000000000 voxels, .*cannot hold"),
    Fault("the same, compressed", raw("t1w.nii.gz", size=(30000, 30000, 30000)), T1W, r"27000000000000 voxels, .*cannot hold"),
    Fault("a negative size", raw(size=(12, -10, 8)), NII, r"ends early or is damaged"),
    Fault("voxels before the file begins", raw(offset=-5.0), NII, r"ends early or is damaged"),
    Fault("voxels at NaN", raw(offset=NAN), NII, r"ends early or is damaged"),
    Fault("an infinite slope", raw(slope=INF), NII, r"slope inf .*Convert the image again"),
    Fault(
        "an sform without an inverse",
        raw(quaternion=None, sform=((20, 20, 0, 0), (0, 0, 0, 0), (0, 0, 20, 0))),
        NII,
        r"not at right angles, or none",
    ),
    Fault("an sform of NaN", raw(quaternion=None, sform=((NAN, 0, 0, 0), (0, 20, 0, 0), (0, 0, 20, 0))), NII, r"damaged\)\. Convert"),
    Fault(
        "an sform of other spacing",
        raw(quaternion=None, sform=((9, 0, 0, 0), (0, 9, 0, 0), (0, 0, 9, 0))),
        NII,
        r"and, in its sform, of 9 × 9",
    ),
    Fault("a skewed sform", raw(quaternion=None, sform=((20, 4, 0, 0), (0, 19.6, 0, 0), (0, 0, 20, 0))), NII, r"not at right angles"),
    Fault("a qform that is no rotation", raw(quaternion=(2.0, 2.0, 2.0)), NII, r"qform or sform is damaged"),
    Fault("axes not at right angles", made(scans.skewed, "t1w.nrrd"), NRRD, r"not at right angles\. Resample"),
)

PAIRS = (
    Fault(
        "T1w and T2w exchanged",
        both(scan("t1w", "t2w.nii.gz"), scan("t2w", "t1w.nii.gz")),
        PAIR + STATED,
        r"do not lie where a brain has them\. .*no contrasts are exchanged",
        0,
        written=PAIR_MAPS | {"maps/unfamiliar.nii.gz"},
    ),
    Fault(
        "one file given twice",
        scan("t1w"),
        "estimate --t1w {here}/t1w.nii.gz --t2w {here}/t1w.nii.gz" + _END,
        r"t1w and t2w are the same image\. Give",
    ),
    Fault("the same image under two names", both(scan("t1w"), scan("t1w", "t2w.nii.gz")), PAIR, r"t1w and t2w are the same image\. Give"),
    Fault(
        "heads of two patients",
        both(scan("t1w"), scans.another_head),
        "estimate --t1w {here}/t1w.nii.gz --flair {here}/flair.nii.gz" + _END,
        r"the same patient",
        0,
        written=T1W_MAPS | {"maps/fit_flair.nii.gz", "maps/unfamiliar.nii.gz"},
    ),
    Fault("inputs that lie apart", both(scan("t1w"), scans.far_away("t2w")), PAIR + " --no-register", r"do not overlap in space\. Check"),
    Fault("one input of two is missing", scan("t1w"), PAIR, r"t2w\.nii\.gz does not exist"),
    Fault("no input", nothing, "estimate" + _END, r"No input: give at least one"),
    Fault("a reference that is no input", scan("t1w"), T1W + " --reference flair", r"'flair' is not among the inputs"),
)

PROTOCOLS = tuple(
    Fault(name, scan("t1w"), T1W + f" --t1w-protocol {spec}", told)
    for name, spec, told in (
        ("an unknown sequence", "epi,TR=2000", r"neither a preset .*nor a sequence"),
        ("an unknown parameter", "mprage,TD=5", r"it takes TR, TI"),
        ("a parameter given twice", "mprage,TR=2400,tr=2000", r"TR is given twice"),
        ("a parameter without a value", "mprage,TR", r"is not NAME=VALUE, for example"),
        ("a word for a number", "mprage,TR=long", r"'long' is not a number for TR"),
        ("TE above TR", "se,TR=500,TE=600", r"TE must be shorter than TR"),
        ("a negative TE", "se,TR=500,TE=-5", r"TE=-5 ms is out of bounds"),
        ("TI above TR", "mprage,TR=2400,TI=3000", r"TI must be shorter than TR"),
        ("TR of NaN", "mprage,TR=nan", r"TR=nan ms is out of bounds"),
        ("seconds for milliseconds", "mprage,TR=2.4,TI=1.0", r"TR=2\.4 ms is out of bounds"),
        ("an infinite flip angle", "mprage,FA=inf", r"FA=inf ° is out of bounds"),
        ("an empty protocol", ",", r"neither a preset"),
    )
)

SIDECARS = tuple(
    Fault(name, both(scan("t1w"), sidecar(fields)), T1W, told)
    for name, fields, told in (
        ("a sidecar that is no JSON", "{", r"t1w\.json is not a readable JSON sidecar .*Correct it"),
        ("an empty sidecar", "", r"t1w\.json is not a readable JSON sidecar .*Correct it"),
        ("a sidecar of other letters", "±µ", r"t1w\.json is not a readable JSON sidecar"),
        ("a list as sidecar", [1, 2], r"is not a JSON object\. Correct it"),
        ("a sidecar nested beyond measure", "[" * 100_000, r"is not a readable JSON sidecar"),
        ("words for numbers in a sidecar", {"RepetitionTime": "long", "EchoTime": 0.003}, r"RepetitionTime is 'long', not a number"),
        ("NaN in a sidecar", {"RepetitionTime": NAN, "EchoTime": 0.003}, r"RepetitionTime is nan, not a number"),
        ("a huge number in a sidecar", {"RepetitionTime": 1e300, "EchoTime": 0.003}, r"TR=.* out of bounds"),
        ("a whole number beyond measure", '{"EchoTime": 1' + "0" * 5000 + "}", r"EchoTime|not a readable JSON"),
        ("milliseconds in a sidecar", {"RepetitionTime": 2400, "EchoTime": 3, "InversionTime": 1000}, r"TR=.* out of bounds"),
        ("a negative time in a sidecar", {"RepetitionTime": 2.4, "EchoTime": -0.003, "InversionTime": 1.0}, r"TE=-3 ms is out of bounds"),
        ("lists in a sidecar", {"RepetitionTime": [2.4], "EchoTime": {"a": 1}}, r"(RepetitionTime|EchoTime) is .*not a number"),
        (
            "a field strength that is none",
            {"MagneticFieldStrength": -3, "RepetitionTime": 2.4, "InversionTime": 1.0},
            r"field strength between 1 and 4 T",
        ),
    )
)

OPTIONS = tuple(
    Fault(name, scan("t1w"), T1W + f" {option}", told)
    for name, option, told in (
        ("maps at 0 mm", "--spacing 0", r"--spacing: must be from 0\.5 to 5 mm"),
        ("maps at 1000 mm", "--spacing 1000", r"--spacing: must be from 0\.5 to 5 mm"),
        ("maps at NaN mm", "--spacing nan", r"--spacing: must be from 0\.5 to 5 mm"),
        ("maps at infinite mm", "--spacing inf", r"--spacing: must be from 0\.5 to 5 mm"),
        ("a field strength of NaN", "--field-strength nan", r"between 1 and 4 T"),
        ("a field strength of 7 T", "--field-strength 7", r"between 1 and 4 T"),
        ("a protocol without its image", "--t2w-protocol tse", r"A protocol is given for t2w, but no image\. Give the image"),
        ("an unknown option", "--speed", r"unrecognized arguments"),
    )
)

MAPS = (
    *(
        Fault(name, make, RENDER, told)
        for name, make, told in (
            ("no folder of maps", nothing, r"is not a folder\. Give the folder that"),
            ("a file for the folder of maps", content("maps", b"x"), r"is not a folder\. Give the folder that"),
            ("maps without T2", results.without("T2.nii.gz"), r"T2\.nii\.gz does not exist"),
            ("maps on different grids", results.on_another_grid("T1.nii.gz"), r"lie on different grids\. Give maps of one"),
            ("negative T1", maps(T1=lambda v: -v), r"T1\.nii\.gz has negative voxels .*Restore"),
            ("some negative T2", maps(T2=lambda v: np.where(v > 1000, -v, v)), r"T2\.nii\.gz has negative voxels .*Restore"),
            ("T1 in seconds", maps(T1=lambda v: v / 1000), r"cannot be T1 in ms\. Check its unit"),
            ("PD as a fraction", maps(PD=lambda v: v / 100), r"cannot be PD in % of water\. Check its unit"),
            ("PD of 1e9", maps(PD=lambda v: np.where(v > 90, 1e9, v)), r"PD\.nii\.gz has voxels of up to 1e\+09 .*Restore"),
            ("T1 of 1e9", maps(T1=lambda v: np.where(v > 1000, 1e9, v)), r"T1\.nii\.gz has voxels of up to 1e\+09 .*Restore"),
            ("T1 and T2 exchanged", maps(T1=lambda v: v / 11, T2=lambda v: v * 11), r"cannot be T1 in ms\. Check its unit"),
            ("T2 longer than T1", maps(T2=lambda v: np.where(v > 0, 1500, v)), r"T2 is longer than T1 in 9\d % .*not exchanged"),
            (
                "NaN in the head of T1",
                maps(T1=lambda v: np.where(v > 1000, NAN, v)),
                r"T1\.nii\.gz is 0 or NaN in 12 voxels of tissue\. Restore",
            ),
            (
                "T1 of 0 in the head",
                maps(T1=lambda v: np.where(v > 1000, 0, v)),
                r"T1\.nii\.gz is 0 or NaN in 12 voxels of tissue\. Restore",
            ),
            ("an empty mask", maps(mask=lambda v: v * 0), r"the mask is empty\. Give maps of a head"),
            ("a report that is no JSON", both(maps(), content("maps/report.json", b"{")), r"is not readable JSON .*Restore it, or delete"),
            ("a report that is a list", both(maps(), content("maps/report.json", b"[]")), r"is not a report\. Restore it, or delete"),
        )
    ),
    Fault("a pipe as report", both(maps(), pipe("maps/report.json")), RENDER, r"", 0, written=frozenset({"se.nii.gz", "se.json"})),
    Fault("a signal-to-noise ratio of 0", maps(), RENDER + " --snr 0", r"must be a positive number"),
    Fault("a signal-to-noise ratio of NaN", maps(), RENDER + " --snr nan", r"must be a positive number"),
    Fault("a negative seed", maps(), RENDER + " --snr 20 --seed -1", r"--seed: must be 0 or more"),
    Fault("a seed with decimals", maps(), RENDER + " --snr 20 --seed 1.5", r"--seed: invalid"),
    Fault("an infinite receive field", maps(), SIMULATE + " --bias inf", r"amplitude must be a number"),
    Fault("a receive field beyond measure", maps(), SIMULATE + " --bias 200", r"amplitude must be a number from 0 to 3"),
    Fault("noise of nothing", maps(), SIMULATE + " --snr -5", r"must be a positive number"),
    Fault("no maps to simulate from", nothing, SIMULATE, r"is not a folder\. Give the folder that"),
)

PLACES = (
    Fault("a format that is not written", maps(), RENDER.replace("se.nii.gz", "se.png"), r"not written in this format\. Use one of"),
    Fault("a device as output", maps(), RENDER.replace("{out}/se.nii.gz", "/dev/full"), r"/dev/full exists already"),
    Fault("a device as folder of results", maps(), SIMULATE.replace("{out}", "/dev/full"), r"/dev/full is a file, not a folder\. Choose"),
    Fault(
        "the output exists", maps(), RENDER, r"exists already\. Choose another --out, or add --overwrite", before=content("se.nii.gz", b"x")
    ),
    Fault("the output is a link", maps(), RENDER, r"exists already\. Choose", before=link("se.nii.gz", "elsewhere")),
    Fault(
        "the output is a folder",
        maps(),
        RENDER + " --overwrite",
        r"se\.nii\.gz is a folder where a file",
        before=content("se.nii.gz/a", b"x"),
    ),
    Fault("results where files are", scan("t1w"), T1W, r"exists already\. Choose another --out", before=content("maps/notes.txt", b"x")),
    Fault("the folder of results is a file", scan("t1w"), T1W, r"exists already\. Choose another --out", before=content("maps", b"x")),
    Fault(
        "a file on the way to the results",
        scan("t1w"),
        T1W + "/deep",
        r"maps is a file, not a folder\. Choose another --out",
        before=content("maps", b"x"),
    ),
    Fault(
        "a folder where a map is to be",
        maps(),
        SIMULATE + " --overwrite",
        r"t2w\.nii\.gz is a folder where a file",
        before=both(content("scans/t1w.nii.gz", b"earlier"), content("scans/t2w.nii.gz/a", b"x")),
    ),
    Fault(
        "a rendering in place of a map",
        maps(),
        RENDER.replace("{out}/se.nii.gz", "{here}/maps/T1.nii.gz") + " --overwrite",
        r"T1\.nii\.gz is one of the maps\. Choose another --out",
    ),
    Fault("a place that cannot be written", maps(), RENDER, r"Permission denied.*Check", before=read_only, during=without_privileges),
    Fault("scans where nothing can be written", maps(), SIMULATE, r"Permission denied.*Check", before=read_only, during=without_privileges),
    Fault(
        "a path that is no text",
        both(maps(), lambda here: (here / "maps").rename(here / NO_TEXT)),
        RENDER.replace("/maps", f"/{NO_TEXT}"),
        r"letters that are not Unicode\. Rename",
    ),
    Fault("a place that is no text", maps(), SIMULATE + NO_TEXT, r"letters that are not Unicode\. Rename"),
    Fault(
        "a path with spaces and other letters",
        maps("Köpfe 頭/a b"),
        "render --maps '{here}/Köpfe 頭/a b' --protocol se --out '{out}/für Ärzte/s é.nii.gz'",
        r"",
        0,
        written=frozenset({"für Ärzte", "für Ärzte/s é.nii.gz", "für Ärzte/s é.json"}),
    ),
    *(
        Fault(f"a full disk: {name}", maps(), command, r"could not be written .*Check free space", during=partial(full_disk, room))
        for name, command, room in (
            ("a rendered .nii.gz", RENDER + " --snr 5", 1000),
            ("a rendered .nii", RENDER.replace(".nii.gz", ".nii"), 1000),
            ("a rendered .nrrd", RENDER.replace(".nii.gz", ".nrrd") + " --snr 5", 1000),
            ("a rendered .mha", RENDER.replace(".nii.gz", ".mha") + " --snr 5", 1000),
            ("scans", SIMULATE, 1000),
            ("DICOM", EXPORT, 3000),
        )
    ),
    Fault("a full disk: maps", scan("t1w"), T1W, r"could not be written .*Check free space", during=full_disk),
)

EXPORTS = (
    *(
        Fault(name, both(maps(), make), FROM, told)
        for name, make, told in (
            ("no source", nothing, r"is not a folder\. Give the folder with"),
            ("a source without DICOM", content("source/a.txt", b"x" * 500), r"holds no DICOM images with a position"),
            (
                "a source of two patients",
                source(results.with_attribute("B", "PatientID", 3)),
                r"differ in PatientID\. Give a folder with one",
            ),
            ("a source of two studies", source(results.with_attribute("1.2.3", "StudyInstanceUID", 3)), r"differ in StudyInstanceUID"),
            ("a source without a patient", source(results.without_attributes("PatientName")), r"have no valid PatientName\. Give complete"),
            ("a source without a study", source(results.with_attribute("", "StudyInstanceUID")), r"have no valid StudyInstanceUID"),
            ("letters that nobody knows", source(results.with_attribute("ISO 0", "SpecificCharacterSet")), r"unknown character set ISO 0"),
            ("a source of another place", source(results.moved(4000.0)), r"lie outside the source's images"),
            ("a source cut off", results.cut_short, r"is a damaged DICOM file \(its header ends early\)\. Copy"),
            (
                "words for numbers in a source",
                results.replaced(b"1.0\\0.0\\0.0\\0.0\\1.0", b"x.0\\0.0\\0.0\\0.0\\1.0"),
                r"slice_0001\.dcm is a damaged DICOM",
            ),
            ("NaN in a source", source(results.with_attribute([NAN, 1.0], "PixelSpacing", 2)), r"slice_0003\.dcm is a damaged DICOM"),
            (
                "half a place in a source",
                source(results.with_attribute([1.0, 0.0, 0.0], "ImageOrientationPatient")),
                r"is incomplete\)\. Copy",
            ),
            ("a source without a place", source(results.without_attributes("ImageOrientationPatient")), r"ImageOrientationPatient"),
            ("a source without a spacing", source(results.without_attributes("PixelSpacing")), r"PixelSpacing"),
            ("a source without a series", source(results.without_attributes("SeriesInstanceUID")), r"SeriesInstanceUID"),
            ("a source with an empty place", source(results.with_attribute(None, "ImagePositionPatient")), r"ImagePositionPatient"),
        )
    ),
    Fault(
        "a source from which dates and sex were taken out",
        both(maps(), source(results.without_attributes("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"))),
        FROM,
        r"",
        0,
        written=DICOM,
    ),
    Fault(
        "a source with an impossible date",
        both(maps(), source(results.with_attribute("20251399", "StudyDate"))),
        FROM,
        r"",
        0,
        written=DICOM,
    ),
    Fault("a source that holds each image twice", both(maps(), source(), results.copied), FROM, r"", 0, written=DICOM),
    Fault(
        "maps whose name no source can spell",
        both(maps("頭"), source()),
        "export --maps {here}/頭 --source {here}/source --protocol se --out {out}/dicom",
        r"",
        0,
        written=DICOM | {f"dicom/se_{number:04d}.dcm" for number in range(1, 11)},
    ),
    Fault(
        "a source beside the head",
        both(maps(), source(results.moved(110.0))),
        FROM,
        r"Warning: Only \d+ % of the maps' head lies within the source",
        0,
        written=DICOM,
    ),
    Fault("results into the source", both(maps(), source()), FROM + " --out {here}/source --overwrite", r"lies in the source, .*Choose"),
    Fault("results below the source", both(maps(), source()), FROM + " --out {here}/source/dicom", r"lies in the source, .*Choose"),
    Fault(
        "an export onto another command's results",
        maps(),
        EXPORT + " --overwrite",
        r"holds results of another command",
        before=content("dicom/report.json", b'{"files": []}'),
    ),
    Fault("an export onto an earlier one", maps(), EXPORT, r"exists already\. Choose", before=content("dicom/T1.dcm", b"x")),
    Fault(
        "a report that is a pipe", maps(), EXPORT + " --overwrite", r"holds results of another command", before=pipe("dicom/report.json")
    ),
    Fault(
        "SDs of other maps",
        both(maps(), results.on_another_grid("T1_sd.nii.gz")),
        EXPORT,
        r"is not the SD of the maps beside it\. Give maps of one",
    ),
    Fault("negative SDs", maps(T1_sd=lambda v: -v), EXPORT, r"is not the SD of the maps beside it"),
)

NETWORKS = (
    Fault(
        "no sampling model", nothing, SAMPLE + " --sampler {here}/none.safetensors", r"There are no network weights at .*none\.safetensors"
    ),
    Fault(
        "a sampling model cut off",
        results.sampler(lambda b: b[: len(b) // 2]),
        SAMPLE + " --sampler {here}/sampler.safetensors",
        r"are damaged",
    ),
    Fault(
        "another network as sampling model",
        results.sampler(lambda b: b),
        SAMPLE + " --sampler {here}/sampler.safetensors",
        r"holds other weights than .*Use the weights",
    ),
    Fault("a text as sampling model", content("s.safetensors", b"x" * 999), SAMPLE + " --sampler {here}/s.safetensors", r"are damaged"),
    Fault(
        "a pickle as sampling model",
        content("s.safetensors", b"\x80\x04cos\nsystem\n."),
        SAMPLE + " --sampler {here}/s.safetensors",
        r"are damaged",
    ),
    Fault("a negative seed of a head", nothing, SAMPLE + " --seed -3", r"--seed: must be 0 or more"),
    Fault("no steps", nothing, SAMPLE + " --steps 0", r"--steps: must be from 1 to 1000"),
    Fault("a million steps", nothing, SAMPLE + " --steps 1000000", r"must be from 1 to 1000"),
    Fault("a wish without a value", nothing, SAMPLE + " --condition brain_volume", r"is not NAME=VALUE"),
    Fault("a head at NaN T", nothing, SAMPLE + " --field-strength nan", r"between 1 and 4 T"),
    Fault("an unknown suite", nothing, EVALUATE + " --suite all-of-it", r"There is no suite 'all-of-it'"),
    Fault("an evaluation without data", nothing, EVALUATE + " --suite retest", r"Give the folder that holds it with --data"),
    Fault("an evaluation on an unknown head", nothing, EVALUATE + " --suite maps --heads 99", r"head_99\.nii\.gz\. Give the folder that"),
    Fault("an evaluation at NaN % noise", nothing, EVALUATE + " --suite maps --noise nan", r"must be above 0"),
    Fault(
        "results of an evaluation that are damaged",
        nothing,
        EVALUATE + " --suite maps --heads example",
        r"cannot be read .*Delete it",
        before=content("results/results.json", b"{"),
    ),
    Fault(
        "a file for the results of an evaluation",
        nothing,
        EVALUATE + " --suite maps --heads example",
        r"is a file\. Give a folder",
        before=content("results", b"x"),
    ),
    Fault("a training without data", nothing, TRAIN, r"holds no training data: neither"),
    Fault("a training by an unknown configuration", nothing, TRAIN + " --config none", r"There is no configuration 'none'"),
    Fault("a training by a damaged configuration", content("c.json", b"{"), TRAIN + " --config {here}/c.json", r"cannot be read"),
    Fault("a training to go on with that never began", nothing, TRAIN + " --resume", r"has no checkpoint\. Leave --resume out"),
    Fault(
        "a training where one is already", nothing, TRAIN, r"has a checkpoint\. Give --resume", before=content("run/checkpoint.pt", b"x")
    ),
    Fault(
        "a sampler's training on a damaged network",
        content("w.safetensors", b"x" * 99),
        TRAIN.replace("vae", "ldm") + " --vae {here}/w.safetensors",
        r"damaged",
    ),
    Fault("negative steps of a training", nothing, TRAIN + " --steps -1", r"--steps: must be 0 or more"),
)

SESSIONS = (
    *(
        Fault(name, make, "estimate --session {here}/visit" + _END, told)
        for name, make, told in (
            ("no folder of a visit", nothing, r"is not a folder\. Choose the folder of one visit"),
            ("a file for the folder of a visit", content("visit", b"x"), r"is not a folder\. Choose the folder of one visit"),
            ("an empty visit", scans.folder("visit"), r"There is no T1w, T2w or FLAIR volume in .*Expected are"),
            ("a visit with a folder in itself", both(scans.folder("visit"), link("visit/again", ".")), r"There is no T1w, T2w or FLAIR"),
            ("a visit with a pipe", both(scans.folder("visit"), pipe("visit/image.dcm")), r"There is no T1w, T2w or FLAIR"),
            ("two visits", both(scan("t1w", "visit/a_t1w.nii.gz"), scan("t1w", "visit/b_t1w.nii.gz")), r"holds 2 visits: .*Choose the"),
            ("a damaged image of a visit", content("visit/t1w.nii.gz", b"x" * 999), r"t1w\.nii\.gz cannot be read"),
            (
                "damaged DICOM of a visit",
                both(results.cut_short, lambda here: (here / "source").rename(here / "visit")),
                r"slice_0001\.dcm cannot be read as DICOM .*Copy it again",
            ),
        )
    ),
    Fault("several jobs for one visit", scan("t1w"), T1W + " --jobs 2", r"are for a data set\. Give its folder with --bids"),
    Fault("an empty data set", nothing, "estimate --bids {here}" + _END, r"There is no T1w, T2w or FLAIR volume in .*Expected are"),
    Fault("no data set", nothing, "estimate --bids {here}/none" + _END, r"is not a folder\. Give the folder of a BIDS data set"),
)

TABLE = (
    *FILES, *VOXELS, *GEOMETRY, *PAIRS, *PROTOCOLS, *SIDECARS, *OPTIONS, *SESSIONS, *MAPS, *PLACES, *EXPORTS, *NETWORKS, *USES,
)  # fmt: skip
