"""The command line end to end, on a small head of known maps."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.imaging.head.known_head import KnownHead, map_errors
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.intake.volumes import same_grid, write_image
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps, read_tissue_maps
from PhysMRISynthLib.network import manifest
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol
from PhysMRISynthLib.workflow.estimation.inputs import read_acquisition
from PhysMRISynthLib.workflow.examples.example import example_head
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.simulate import simulate

SPECS = {
    "t1w": "mprage,TR=2400,TI=1000,TE=3.16,FA=8,ESP=7.6,N=176",
    "t2w": "tse,TR=4500,TE=100,L=150",
    "flair": "flair,TR=9000,TE=90,TI=2500,L=150",
}
WRITTEN = {"PD", "T1", "T2", "PD_sd", "T1_sd", "T2_sd", "mask", "tissues", "fluid_fraction"}


@pytest.fixture(scope="module")
def head() -> KnownHead:
    """A head at 4 mm."""
    return small_head()


@pytest.fixture(scope="module")
def scans(head: KnownHead, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return scans_of(head, 0.1, tmp_path_factory.mktemp("scans of a patient"))


def scans_of(head: KnownHead, field: float, folder: Path) -> dict[str, Path]:
    images = simulate(head.maps, {name: parse_protocol(spec) for name, spec in SPECS.items()}, snr=100, field=field, seed=4)
    paths = {name: folder / f"{name}.nii.gz" for name in images}
    for name, voxels in images.items():
        write_image(head.maps.image(voxels), paths[name])
    return paths


def arguments(scans: dict[str, Path], names: tuple[str, ...], out: Path, prior: str = "literature") -> list[str]:
    given = [part for name in names for part in (f"--{name}", str(scans[name]), f"--{name}-protocol", SPECS[name])]
    return ["estimate", *given, "--out", str(out), "--prior", prior]


@pytest.fixture(scope="module")
def estimated(scans: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("estimate") / "maps"
    assert main(arguments(scans, ("t1w", "t2w", "flair"), out)) == 0
    return out


def test_estimate_writes_every_map_on_the_reference_grid(estimated: Path, scans: dict[str, Path]) -> None:
    names = {f"{name}.nii.gz" for name in WRITTEN} | {f"fit_{name}.nii.gz" for name in SPECS} | {"tissues.tsv"}
    names |= {f"report.{kind}" for kind in ("json", "html", "pdf", "png")}
    assert {file.name for file in estimated.iterdir()} == names
    reference = sitk.ReadImage(str(scans["t1w"]))
    for name in WRITTEN:
        image = sitk.ReadImage(str(estimated / f"{name}.nii.gz"))
        assert same_grid(image, reference, tolerance_mm=1e-4)  # NIfTI keeps directions in single precision


def test_estimate_is_near_the_truth(estimated: Path, head: KnownHead) -> None:
    errors = map_errors(read_tissue_maps(estimated), head)["brain"]
    assert errors["PD"] < 5
    assert errors["T1"] < 8
    assert errors["T2"] < 7


def test_report_tells_protocol_sources_and_fit(estimated: Path) -> None:
    report = json.loads((estimated / "report.json").read_text(encoding="utf-8"))
    assert report["inputs"]["t1w"]["protocol"]["parameters"]["TR"] == {"value": 2400.0, "unit": "ms", "source": "command line"}
    assert all(0 < told["residual_rms_percent"] < 5 for told in report["inputs"].values())
    assert report["tissue_medians"]["white_matter"]["T1"] < report["tissue_medians"]["cortex"]["T1"]
    assert {"align", "place the atlas", "fit voxels"} <= set(report["seconds"])


def rows_of(table: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines(), delimiter="\t"))


def test_regions_of_an_estimate_are_within_their_uncertainty(estimated: Path, head: KnownHead, tmp_path: Path) -> None:
    sure = head.maps.image(np.where(head.tissue < 2, head.tissue + 1, 0).astype(np.uint8))
    write_image(sure, tmp_path / "labels.nii.gz")
    (tmp_path / "labels.tsv").write_text("index\tname\n1\tWhite\n2\tCortex\n", encoding="utf-8")
    out = tmp_path / "regions.tsv"
    assert main(["measure", "--maps", str(estimated), "--regions", str(tmp_path / "labels.nii.gz"), "--out", str(out)]) == 0
    rows = rows_of(out)
    assert [row["region"] for row in rows] == ["White"] * 6 + ["Cortex"] * 6
    truth = {"PD": 100 * head.maps.pd, "T1": head.maps.t1, "T2": head.maps.t2}
    for row in (row for row in rows if row["quantity"] in truth):
        true = truth[row["quantity"]][head.tissue == int(row["label"]) - 1].mean()
        assert abs(float(row["mean"]) - true) < 3 * float(row["mean_sd"])
        assert float(row["mean_sd"]) > 0.01 * true, "errors that all voxels share were averaged away"


def test_volumes_of_an_estimate_are_those_of_the_head(estimated: Path, head: KnownHead, tmp_path: Path) -> None:
    found = tmp_path / "volumes.tsv"
    assert main(["volumes", "--maps", str(estimated), "--out", str(found), "--probabilities", str(tmp_path / "parts")]) == 0
    volumes = {row["name"]: float(row["value"]) for row in rows_of(found)}
    sure = [(head.tissue == row).sum() * 0.064 for row in (0, 1)]
    assert volumes["white_matter"] > 0.95 * sure[0] and volumes["cortical_grey"] > 0.9 * sure[1]
    white = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "parts" / "white_matter.nii.gz")))
    assert white.sum() * 0.064 == pytest.approx(volumes["white_matter"], rel=1e-3)
    assert white[head.tissue == 0].mean() > 0.95 and white[head.tissue == 1].mean() < 0.1


def test_background_is_zero_and_values_are_finite(estimated: Path) -> None:
    maps = read_tissue_maps(estimated)
    for voxels in (maps.pd, maps.t1, maps.t2):
        assert np.isfinite(voxels).all()
        assert (voxels[~maps.mask] == 0).all()


@pytest.mark.parametrize(("names", "unseen"), [(("t1w",), "T2"), (("flair",), "T1"), (("t2w", "flair"), "T1")])
def test_any_subset_gives_maps_and_says_what_it_cannot_see(
    names: tuple[str, ...], unseen: str, scans: dict[str, Path], estimated: Path, tmp_path: Path, head: KnownHead
) -> None:
    assert main(arguments(scans, names, tmp_path / "maps")) == 0
    mask = head.brain_tissue()

    def relative_sd(folder: Path) -> float:
        sd, value = (sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{unseen}{end}.nii.gz"))) for end in ("_sd", ""))
        return float(np.median(sd[mask] / np.maximum(value[mask], 1e-3)))

    assert relative_sd(tmp_path / "maps") > relative_sd(estimated)


def test_inputs_on_other_grids_are_registered(scans: dict[str, Path], tmp_path: Path) -> None:
    moved = sitk.ReadImage(str(scans["t2w"]))
    motion = sitk.Euler3DTransform()
    motion.SetRotation(0.03, -0.02, 0.05)
    motion.SetTranslation((3.0, -2.0, 4.0))
    other_grid = (moved.GetOrigin(), [4.0, 4.0, 6.0], moved.GetDirection())
    write_image(sitk.Resample(moved, [50, 60, 34], motion, sitk.sitkLinear, *other_grid), tmp_path / "t2w.nii.gz")
    assert main(arguments({**scans, "t2w": tmp_path / "t2w.nii.gz"}, ("t1w", "t2w"), tmp_path / "maps")) == 0
    told = json.loads((tmp_path / "maps" / "report.json").read_text(encoding="utf-8"))["inputs"]["t2w"]["alignment"]
    assert told["method"] == "rigid registration"
    assert told["rotation_degrees"] == pytest.approx(np.degrees(np.linalg.norm([0.03, -0.02, 0.05])), abs=1.0)


def test_sidecar_is_used_and_defaults_are_announced(scans: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t2w.nii.gz").write_bytes(scans["t2w"].read_bytes())
    (tmp_path / "t2w.json").write_text(json.dumps({"RepetitionTime": 4.5, "EchoTime": 0.1}), encoding="utf-8")
    given = ["--t2w", str(tmp_path / "t2w.nii.gz"), "--flair", str(scans["flair"]), "--prior", "literature"]
    assert main(["estimate", *given, "--out", str(tmp_path / "maps")]) == 0
    inputs = json.loads((tmp_path / "maps" / "report.json").read_text(encoding="utf-8"))["inputs"]
    assert inputs["t2w"]["protocol"]["parameters"]["TE"] == {"value": 100.0, "unit": "ms", "source": "sidecar t2w.json"}
    assert "is assumed" in capsys.readouterr().err


def test_render_is_the_equation(estimated: Path, tmp_path: Path) -> None:
    out = tmp_path / "stir.nii.gz"
    assert main(["render", "--maps", str(estimated), "--protocol", "stir,TR=4000,TE=40,TI=260", "--out", str(out)]) == 0
    maps, stir = read_tissue_maps(estimated), Protocol.of("stir", TR=4000, TE=40, TI=260)
    assert maps.fluid_fraction is not None
    image, tissue = sitk.GetArrayFromImage(sitk.ReadImage(str(out))), maps.mask & (maps.fluid_fraction < 1e-6)
    expected = 1000 * stir.signal(maps.pd[tissue], maps.t1[tissue], maps.t2[tissue])
    np.testing.assert_allclose(image[tissue], expected, rtol=1e-3, atol=1e-1)
    told = json.loads((tmp_path / "stir.json").read_text(encoding="utf-8"))
    assert (told["RepetitionTime"], told["EchoTime"], told["InversionTime"]) == (4.0, 0.04, 0.26)  # seconds, as BIDS has it
    assert "not for diagnosis" in told["Description"].lower() and "SNR" not in told
    assert read_acquisition("t2w", out).protocol.values == parse_protocol("stir,TR=4000,TE=40,TI=260").values


def test_render_replaces_nobody_elses_sidecar(estimated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stir.json").write_text("{}", encoding="utf-8")
    command = ["render", "--maps", str(estimated), "--protocol", "stir", "--out", str(tmp_path / "stir.nii.gz")]
    assert main(command) == 2 and "exists already" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["stir.json"] and (tmp_path / "stir.json").read_text() == "{}"
    assert main([*command, "--overwrite"]) == 0
    report = estimated / "report.json"
    before = report.read_bytes()
    assert main([*command[:-1], str(estimated / "report.nii.gz"), "--overwrite"]) == 2 and report.read_bytes() == before


def test_render_noise_repeats_with_its_seed(estimated: Path, tmp_path: Path) -> None:
    voxels = []
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        out = tmp_path / f"{name}.nii.gz"
        assert main(["render", "--maps", str(estimated), "--protocol", "se", "--snr", "20", "--seed", seed, "--out", str(out)]) == 0
        voxels.append(sitk.GetArrayFromImage(sitk.ReadImage(str(out))))
    assert np.array_equal(voxels[0], voxels[1])
    assert not np.array_equal(voxels[0], voxels[2])


def test_simulate_writes_three_contrasts(estimated: Path, tmp_path: Path) -> None:
    assert main(["simulate", "--maps", str(estimated), "--out", str(tmp_path / "sim"), "--seed", "2"]) == 0
    assert {file.name for file in (tmp_path / "sim").iterdir()} == {f"{name}{end}" for name in SPECS for end in (".nii.gz", ".json")}
    told = read_acquisition("flair", tmp_path / "sim" / "flair.nii.gz").protocol
    assert told.values == parse_protocol("flair,L=150").values
    assert set(told.sources.values()) == {"sidecar flair.json"}


def test_presets_and_info_list_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    assert "oasis3-t1w" in capsys.readouterr().out
    assert main(["info"]) == 0
    assert "mp2rage" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (["--t1w", "missing.nii.gz"], "does not exist"),
        (["--t1w-protocol", "mprage,TR=2400,TI=3000"], "TI must be shorter than TR"),
        (["--t1w-protocol", "mprage,XX=1"], "it takes TR, TI"),
        (["--t1w-protocol", "nonsense"], "neither a preset"),
        (["--flair-protocol", "flair"], "protocol is given for flair, but no image"),
        (["--field-strength", "7"], "between 1 and 4 T"),
        (["--reference", "flair"], "not among the inputs"),
        (["--device", "cuda"], "--device cpu"),
    ],
)
def test_bad_input_exits_2_and_leaves_nothing(
    changed: list[str], told: str, scans: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "maps"
    assert main([*arguments(scans, ("t1w",), out), *changed]) == 2
    message = capsys.readouterr().err
    assert told in message
    assert "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_is_not_there_is_said(
    scans: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "shipped_weights", lambda: None)
    assert main(arguments(scans, ("t1w",), tmp_path / "maps", "network")) == 2
    assert "--prior literature" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_network_is_the_prior_unless_told_otherwise(scans: dict[str, Path], tmp_path: Path) -> None:
    assert main(arguments(scans, ("t1w",), tmp_path / "maps", "auto")) == 0
    report = json.loads((tmp_path / "maps" / "report.json").read_text(encoding="utf-8"))
    assert report["prior"] == "network"
    assert report["network"]["sha256"] == manifest.shipped_weights()[1]
    assert {"latent_distance", "tissue_distance"} <= set(report["applicability"]["parts"])


@pytest.mark.nightly
@pytest.mark.parametrize("prior", ["literature", "network"])
def test_an_estimate_of_a_finer_head_is_near_the_truth(prior: str, tmp_path: Path) -> None:
    """The embedded example at 2 mm, much of which is fluid and its edges."""
    full, half = example_head(seed=3), (slice(None, None, 2),) * 3
    maps = full.maps
    head = KnownHead(TissueMaps(maps.pd[half], maps.t1[half], maps.t2[half], maps.mask[half], maps.grid[::2, ::2, ::2]), full.tissue[half])
    assert main(arguments(scans_of(head, 0.2, tmp_path), ("t1w", "t2w", "flair"), tmp_path / "maps", prior)) == 0
    errors = map_errors(read_tissue_maps(tmp_path / "maps"), head)["brain"]
    assert errors["PD"] < 5 and errors["T1"] < 8 and errors["T2"] < 7


def test_results_are_not_overwritten_unasked(estimated: Path, scans: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.stat().st_mtime_ns for file in estimated.iterdir()}
    assert main(arguments(scans, ("t1w",), estimated)) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert before == {file: file.stat().st_mtime_ns for file in estimated.iterdir()}


def test_overwriting_leaves_nothing_of_an_earlier_run(scans: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "maps"
    out.mkdir()
    (out / "truth_T1.nii.gz").write_bytes(b"of another patient")
    (out / "report.json").write_text(json.dumps({"files": ["truth_T1.nii.gz", "report.json"]}), encoding="utf-8")
    (out / "notes.txt").write_text("the user's own", encoding="utf-8")
    (out / "T1W.nii.gz").write_bytes(b"the user's own too")
    assert main([*arguments(scans, ("t2w",), out), "--overwrite"]) == 0
    names = {file.name for file in out.iterdir()}
    assert "truth_T1.nii.gz" not in names
    assert {"notes.txt", "T1W.nii.gz", "T1.nii.gz", "fit_t2w.nii.gz"} <= names
    assert set(json.loads((out / "report.json").read_text(encoding="utf-8"))["files"]) == names - {"notes.txt", "T1W.nii.gz"}


@pytest.mark.parametrize("name", sorted({f"{name}.nii.gz" for name in WRITTEN} | {"fit_t2w.nii.gz", "unfamiliar.nii.gz", "earlier.nii.gz"}))
def test_an_input_is_never_replaced_or_removed_by_the_results(
    name: str, scans: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = tmp_path / name
    scan.write_bytes(scans["t2w"].read_bytes())
    (tmp_path / "report.json").write_text(json.dumps({"files": ["earlier.nii.gz", "report.json"]}), encoding="utf-8")
    given = ["--t2w", str(scan), "--t2w-protocol", SPECS["t2w"], "--prior", "literature"]
    assert main(["estimate", *given, "--out", str(tmp_path), "--overwrite"]) == 2
    said = capsys.readouterr()
    assert "is an input and would be overwritten" in said.err and "field strength" not in said.out + said.err  # before the work
    assert scan.read_bytes() == scans["t2w"].read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {name, "report.json"}


def test_the_sidecars_field_strength_counts_beside_a_given_protocol(scans: dict[str, Path], tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(scans["t1w"].read_bytes())
    (tmp_path / "scan.json").write_text('{"MagneticFieldStrength": 1.5}', encoding="utf-8")
    assert read_acquisition("t1w", scan, "se,TR=600,TE=15").field_strength == 1.5


def test_a_presets_estimated_echo_time_is_fitted(scans: dict[str, Path]) -> None:
    assert read_acquisition("t2w", scans["t2w"], "oasis3-t2w").conventional_echo_time == 455.0
    assert read_acquisition("t2w", scans["t2w"], "oasis3-t2w,TE=90").conventional_echo_time is None
    assert read_acquisition("t1w", scans["t1w"], "adni-t1w").conventional_echo_time is None


def test_no_input_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "--out", str(tmp_path / "maps")]) == 2
    assert "at least one" in capsys.readouterr().err


# --- sessions and data sets --------------------------------------------------------------------------------------------------------


def test_a_sessions_images_are_found_told_and_may_be_replaced(
    scans: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Path | None] = {}

    def look(acquisitions: Sequence[Acquisition], *_arguments: object, **_options: object) -> None:
        seen.update({a.name: a.volume.path for a in acquisitions})
        raise EstimationError("Seen enough.")

    monkeypatch.setattr("PhysMRISynthLib.workflow.estimation.estimate.estimate_tissue_maps", look)
    anat = tmp_path / "sub-1" / "anat"
    anat.mkdir(parents=True)
    for name in ("run-1_T1w", "run-2_T1w", "FLAIR"):
        (anat / f"sub-1_{name}.nii.gz").write_bytes(scans["t1w" if "T1w" in name else "flair"].read_bytes())
    out = ["--out", str(tmp_path / "maps")]
    assert main(["estimate", "--session", str(tmp_path / "sub-1"), *out]) == 2
    assert seen == {"t1w": anat / "sub-1_run-1_T1w.nii.gz", "flair": anat / "sub-1_FLAIR.nii.gz"}
    told = capsys.readouterr().out
    assert f"t1w: {seen['t1w']}" in told and "2 t1w images: sub-1_run-1_T1w.nii.gz is taken" in told
    assert main(["estimate", "--session", str(tmp_path / "sub-1"), "--t1w", str(anat / "sub-1_run-2_T1w.nii.gz"), *out]) == 2
    assert seen["t1w"] == anat / "sub-1_run-2_T1w.nii.gz" and seen["flair"] == anat / "sub-1_FLAIR.nii.gz"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--session", "{here}/none"], "is not a folder"),
        (["--session", "{here}"], "There is no T1w, T2w or FLAIR"),
        (["--bids", "{here}/none"], "is not a folder"),
        (["--bids", "{here}"], "There is no T1w, T2w or FLAIR"),
        (["--bids", "{here}", "--session", "{here}"], "Leave --session, --t1w"),
        (["--bids", "{here}", "--t1w", "{here}/t1w.nii.gz"], "Leave --session, --t1w"),
        (["--session", "{here}", "--jobs", "2"], "Give its folder with --bids"),
        (["--session", "{here}", "--scheduler", "tcp://host:8786"], "Give its folder with --bids"),
    ],
)
def test_sessions_and_data_sets_that_cannot_be_exit_2(
    given: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    assert main(["estimate", *(part.format(here=tmp_path / "here") for part in given), "--out", str(tmp_path / "maps")]) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
