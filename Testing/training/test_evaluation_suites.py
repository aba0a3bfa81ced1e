"""The suites on estimates of known content: what is right is found right, and what is wrong by so much is found wrong by so much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from physmrisynth_training.evaluation import contrasts, distributions, maps, reconstruction, refit, retest
from physmrisynth_training.evaluation.plan import Estimator, Plan
from physmrisynth_training.evaluation.subjects import Subject, simulated_head
from physmrisynth_training.simulator.standard_acquisition import INFORMATION_BOUND, PROTOCOLS
from PhysMRISynthLib.errors import EstimationError
from PhysMRISynthLib.imaging.intake.acquisition import Acquisition
from PhysMRISynthLib.imaging.tissue_maps import TissueMaps
from PhysMRISynthLib.physics.tissues import PROPERTIES, tissue_table
from PhysMRISynthLib.workflow.estimation.estimate import Estimate
from PhysMRISynthLib.workflow.rendering.render import render
from Testing.training.doubles import estimate_of, head_model, scans, slab_head
from Testing.training.heads import toy_labels, write_label_map


def always(answer: Callable[[Sequence[Acquisition]], Estimate]) -> Estimator:
    return lambda inputs, field_strength: answer(inputs)


# --- maps -----------------------------------------------------------------------------------------------------------------------


def scaled(truth: TissueMaps, factor: float, relative_sd: float) -> TissueMaps:
    values = {"PD": truth.pd * factor, "T1": truth.t1 * factor, "T2": truth.t2 * factor}
    sd = {name: relative_sd * value for name, value in values.items()}
    return replace(truth, pd=values["PD"], t1=values["T1"], t2=values["T2"], sd=sd)


@pytest.fixture
def toy_plan(tmp_path: Path) -> Plan:
    """A toy head under head 16's name, and estimators that are wrong by 1 and by 2 %."""
    write_label_map(tmp_path / "head_labels" / "head_16.nii.gz", toy_labels((28, 32, 30)), 4.0)
    plan = Plan({}, tmp_path, ("16",), (0.5, 2.0), seeds=2)
    truths = iter([simulated_head(plan, "16", seed).truth.maps for seed in range(2) for _ in range(2 * len(maps.SUBSETS))])
    answers: dict[int, TissueMaps] = {}

    def network(inputs: Sequence[Acquisition]) -> Estimate:
        answers[0] = next(truths)
        return estimate_of(scaled(answers[0], 1.01, 0.02), inputs)

    def literature(inputs: Sequence[Acquisition]) -> Estimate:
        return estimate_of(scaled(answers[0], 1.02, 0.01), inputs)

    return replace(plan, estimators={"network": always(network), "literature": always(literature)})


def test_map_errors_ratios_and_coverage_are_those_of_the_maps(toy_plan: Plan) -> None:
    found = maps.measure(toy_plan)
    assert len(found.records) == 2 * 2 * len(maps.SUBSETS) * 2
    for record in found.records:
        error, within = (1.0, 100.0) if record["prior"] == "network" else (2.0, 0.0)
        assert record["error_percent"]["brain"] == pytest.approx(dict.fromkeys(PROPERTIES, error), abs=1e-3)
        assert record["within_one_sd_percent"] == dict.fromkeys(PROPERTIES, within)
    whole, parts = found.tables
    assert len(whole.rows) == 2 * len(maps.SUBSETS)
    assert all(row[-1] == "0.50 / 0.50 / 0.50" for row in whole.rows)
    assert whole.rows[0][:6] == ("t1w + t2w + flair", "0.5", "1.0 (1.0)", "1.0 (1.0)", "1.0 (1.0)", "100 / 100 / 100")
    white = next(row for row in parts.rows if row[2] == "white matter")
    assert white[3:6] == tuple(f"1.0 ({1.0 / bound:.1f}×)" for bound in INFORMATION_BOUND["white_matter"])
    assert {len(row) for row in whole.rows} == {len(whole.columns)} and {len(row) for row in parts.rows} == {len(parts.columns)}


def test_without_the_network_there_is_no_ratio(toy_plan: Plan) -> None:
    alone = replace(toy_plan, estimators={"network": toy_plan.estimators["network"]}, seeds=1)
    table = maps.measure(alone).tables[0]
    assert not any("literature" in column for column in table.columns)


def test_acquisitions_stand_beside_each_other(toy_plan: Plan, tmp_path: Path) -> None:
    truth, seen = simulated_head(toy_plan, "16", 0).truth.maps, []

    def literature(inputs: Sequence[Acquisition]) -> Estimate:
        seen.append({a.name: a.protocol.sequence.name for a in inputs})
        return estimate_of(scaled(truth, 1.01 if len(seen) == 1 else 1.03, 0.02), inputs)

    plan = replace(
        toy_plan, estimators={"literature": always(literature)}, acquisitions=("standard", "oasis3"), noise_percent=(1.0,), seeds=1
    )
    found = maps.measure(plan, [tuple(PROTOCOLS)])
    assert seen[0] == {"t1w": "mprage", "t2w": "tse", "flair": "flair"} and seen[1]["t2w"] == "space"
    assert [r["acquisition"] for r in found.records] == ["standard", "oasis3"]
    titles = [table.title for table in found.tables if table.title.startswith("Brain tissue")]
    assert titles == ["Brain tissue, head 16", "Brain tissue, head 16, acquisition oasis3"]
    assert [float(table.rows[0][3]) for table in found.tables[::2]] == pytest.approx([1.0, 3.0], abs=0.05)
    found.draw(tmp_path / "maps.png")
    assert (tmp_path / "maps.png").read_bytes().startswith(b"\x89PNG")


def test_scans_of_a_draw_differ_in_noise_alone_and_draws_differ(toy_plan: Plan) -> None:
    first = simulated_head(toy_plan, "16", 0)
    quiet, same, loud = (first.scan(noise).acquisitions[0].volume.voxels for noise in (1e-6, 1e-6, 2.0))
    np.testing.assert_array_equal(quiet, same)
    head = first.truth.maps.mask
    assert 0 < np.abs(loud - quiet)[head].max() < 0.2 * quiet.max()
    assert not np.array_equal(first.truth.maps.t1, simulated_head(toy_plan, "16", 1).truth.maps.t1)
    thin = simulated_head(replace(toy_plan, step=2), "16", 0).truth
    assert thin.maps.pd.shape == (14, 16, 15) and thin.maps.grid.GetSpacing() == (8.0, 8.0, 8.0)


def test_an_estimate_that_fails_names_its_case(toy_plan: Plan) -> None:
    def fail(inputs: Sequence[Acquisition]) -> Estimate:
        raise EstimationError("No brain was found.")

    with pytest.raises(EstimationError, match=r"head 16, draw 0, t1w \+ t2w \+ flair, noise 0.5 %, network prior: No brain"):
        maps.measure(replace(toy_plan, estimators={"network": always(fail)}))


# --- contrasts ------------------------------------------------------------------------------------------------------------------


def test_perfect_maps_give_the_left_out_contrast_which_no_estimator_is_shown() -> None:
    truth = slab_head().maps
    inputs = scans(truth)
    shown: list[set[str]] = []

    def perfect(given: Sequence[Acquisition]) -> Estimate:
        shown.append({a.name for a in given})
        return estimate_of(truth, given)

    subject = Subject("nobody", inputs, brain=truth.mask)
    found = contrasts.leave_one_out(Plan({"literature": always(perfect)}), subject)
    assert shown == [{"t2w", "flair"}, {"t1w", "flair"}, {"t1w", "t2w"}]
    scores = {(r["contrast"], r["method"]): r for r in found.records}
    assert len(scores) == 6
    for name in PROTOCOLS:
        assert scores[name, "literature"]["psnr"] > 100
        assert 5 < scores[name, contrasts.ORACLE]["psnr"] < 60
        assert scores[name, contrasts.ORACLE]["psnr_with_offset"] == pytest.approx(scores[name, contrasts.ORACLE]["psnr"], abs=0.01)
    (table,) = found.tables
    row = table.rows[0]
    assert row[:2] == ("t1w", "literature")
    gap = scores["t1w", "literature"]["psnr"] - scores["t1w", contrasts.ORACLE]["psnr"]
    assert float(row[3]) == pytest.approx(gap, abs=0.01)


def test_an_offset_is_allowed_for_as_it_is_in_the_regression() -> None:
    truth = slab_head().maps
    inputs = tuple(
        replace(a, volume=replace(a.volume, image=truth.image(0.7 * a.volume.voxels + np.float32(40.0)))) if a.name == "t2w" else a
        for a in scans(truth)
    )
    plan = Plan({"literature": always(lambda given: estimate_of(truth, given))})
    found = contrasts.leave_one_out(plan, Subject("nobody", inputs, brain=truth.mask))
    score = next(r for r in found.records if r["contrast"] == "t2w" and r["method"] == "literature")
    assert score["psnr"] < 60 and score["psnr_with_offset"] > 80


def test_tissue_and_fluid_of_a_voxel_are_rendered_apart() -> None:
    truth = slab_head().maps
    share = np.where(truth.mask, np.float32(0.5), np.float32(0.0))
    mixed = replace(truth, fluid_fraction=share * truth.pd, fluid=(1.0, 4200.0, 2000.0))
    inputs = tuple(
        replace(a, volume=replace(a.volume, image=mixed.image(render(mixed, a.protocol)))) if a.name == "flair" else a for a in scans(truth)
    )
    plan = Plan({"literature": always(lambda given: estimate_of(mixed, given))})
    found = contrasts.leave_one_out(plan, Subject("nobody", inputs, brain=truth.mask))
    score = next(r["psnr"] for r in found.records if r["contrast"] == "flair" and r["method"] == "literature")
    assert score > 100


# --- retest ---------------------------------------------------------------------------------------------------------------------


def visits(*medians: Mapping[str, Mapping[str, float]]) -> Plan:
    answers = iter(medians)
    return Plan({"literature": always(lambda inputs: estimate_of(slab_head().maps, inputs, medians=next(answers)))})


def test_the_difference_of_visits_is_relative_to_their_mean_and_has_a_sign() -> None:
    inputs = scans(slab_head().maps)
    first, second = Subject("visit 1", inputs), Subject("visit 2", inputs)
    one = {"white_matter": {"PD": 70.0, "T1": 900.0, "T2": 80.0}, "thalamus": {"PD": 76.0, "T1": 1200.0, "T2": 82.0}}
    other = {"white_matter": {"PD": 70.0, "T1": 1100.0, "T2": 72.0}}
    there = retest.compare(visits(one, other), first, second).records
    back = retest.compare(visits(other, one), second, first).records
    assert [r["tissue"] for r in there] == ["white_matter"] * 3
    assert [r["difference_percent"] for r in there] == pytest.approx([0.0, 20.0, -800.0 / 76.0])
    assert [r["difference_percent"] for r in back] == pytest.approx([-r["difference_percent"] for r in there])


# --- distributions --------------------------------------------------------------------------------------------------------------


def test_the_fit_without_prior_needs_no_tissue_where_the_inputs_tell_all() -> None:
    truth = slab_head().maps
    more = {f"tse{te}": PROTOCOLS["t2w"].changed("test", TE=te) for te in (15.0, 40.0, 160.0)}
    inputs = (*scans(truth), *(_scan(truth, name, protocol) for name, protocol in more.items()))
    estimate = estimate_of(truth, inputs, (1.0, 2.0, 3.0, 1.0, 1.0, 1.0))
    names = [t.name for t in tissue_table()]
    brain = truth.mask & np.isin(slab_head().tissue, [names.index(n) for n in ("white_matter", "cortex", "thalamus")])
    found = refit.fit_without_prior(estimate, inputs, brain)
    for values, true in zip(found, (truth.pd, truth.t1, truth.t2), strict=True):
        assert np.median(np.abs(values / true[brain] - 1.0)) < 0.02


def _scan(truth: TissueMaps, name: str, protocol: object) -> Acquisition:
    inputs = scans(truth)
    image = np.where(truth.mask, protocol.signal(truth.pd, truth.t1, truth.t2), 0.0).astype(np.float32)  # type: ignore[attr-defined]
    return Acquisition(name, replace(inputs[0].volume, image=truth.image(image)), protocol)  # type: ignore[arg-type]


def test_the_fit_without_prior_falls_back_on_the_papers_medians_where_nothing_is_seen() -> None:
    truth = slab_head().maps
    inputs = scans(truth)
    corner = np.zeros(truth.mask.shape, dtype=bool)
    corner[0, 0, 0] = True  # outside the brain
    estimate = estimate_of(
        replace(truth, mask=truth.mask | corner), inputs, alignments={a.name: SimpleNamespace(covered=corner) for a in inputs}
    )
    found = refit.fit_without_prior(estimate, inputs, truth.mask)
    np.testing.assert_allclose(found, np.repeat([[0.75], [1000.0], [100.0]], truth.mask.sum(), axis=1), rtol=1e-5)


def test_perfect_maps_are_distributed_as_the_truth() -> None:
    head = slab_head()
    inputs = scans(head.maps)
    subject = Subject("nobody", inputs, truth=head)
    found = distributions.compare(Plan({"literature": always(lambda given: estimate_of(head.maps, given))}), [subject])
    by_method = {r["method"]: r for r in found.records}
    assert list(by_method) == ["literature", distributions.WITHOUT, distributions.TRUTH]
    assert by_method["literature"]["percentiles"] == by_method["truth"]["percentiles"]
    assert by_method["literature"]["histograms"] != by_method[distributions.WITHOUT]["histograms"]
    medians = {row[1]: row[4] for row in found.tables[0].rows}
    assert medians["published: white matter at 3 T"] == "950"


# --- reconstruction -------------------------------------------------------------------------------------------------------------


def certain(tissue: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The right tissue with certainty, as a network with lesions says it."""
    fractions = np.zeros((len(tissue_table()) + 1, int(mask.sum())), dtype=np.uint8)
    fractions[tissue[mask], np.arange(fractions.shape[1])] = 255
    return fractions


def test_a_network_that_knows_a_textureless_head_needs_no_fit() -> None:
    head = slab_head(texture=0.0)
    inputs = scans(head.maps)
    network = SimpleNamespace(fractions=certain(head.tissue, head.maps.mask))
    plan = Plan({"network": always(lambda given: estimate_of(head.maps, given, network=network))})
    found = reconstruction.reconstruct(plan, iter([Subject("nobody", inputs, truth=head)]), 1)
    assert len(found.records) == 3 * 2 * 2
    for record in found.records:
        assert record["psnr"] == np.inf if record["method"] == reconstruction.FITTED else record["psnr"] > 90
    (table,) = found.tables
    assert table.rows[0][4:] == ("32.70", "0.9632", "20.25", "996", "")
    assert {row[2] for row in table.rows} == {"published", reconstruction.ALONE, reconstruction.FITTED}


def test_errors_are_stated_for_the_range_that_the_papers_figures_imply() -> None:
    head = slab_head(texture=0.0)
    inputs = scans(head.maps)
    fits = {a.name: a.volume.voxels * np.float32(0.9) for a in inputs}
    plan = Plan({"literature": always(lambda given: estimate_of(head.maps, given, fits=fits, network=network))})
    network = SimpleNamespace(fractions=certain(head.tissue, head.maps.mask))
    found = reconstruction.reconstruct(plan, iter([Subject("nobody", inputs, truth=head)]), 1)
    rows = [row for row in found.tables[0].rows if row[2] == reconstruction.FITTED]
    scores = [r for r in found.records if r["method"] == reconstruction.FITTED and r["region"] == reconstruction.BRAIN]
    mse = np.mean([r["mse"] for r in scores])
    assert float(rows[0][7]) == pytest.approx(mse * 996.0 * 10**3.27, abs=0.5)


def test_noise_bounds_what_the_truth_itself_can_reach() -> None:
    head = slab_head()
    inputs = scans(head.maps)
    noisy = tuple(replace(a, volume=replace(a.volume, image=head.maps.image(a.volume.voxels + np.float32(0.05)))) for a in inputs)
    clean = {a.name: a.volume.voxels for a in inputs}
    network = SimpleNamespace(fractions=certain(head.tissue, head.maps.mask))
    plan = Plan({"network": always(lambda given: estimate_of(head.maps, given, fits=clean, network=network))})
    found = reconstruction.reconstruct(plan, iter([Subject("nobody", noisy, truth=head, noise_free=clean)]), 1)
    for record in found.records:
        if record["method"] in (reconstruction.CEILING, reconstruction.FITTED):  # this fit found the truth
            assert record["psnr"] == pytest.approx(-10 * np.log10(record["mse"]), abs=1e-3) and record["psnr_to_noise_free"] == np.inf
    assert {r["method"] for r in found.records} == {reconstruction.ALONE, reconstruction.FITTED, reconstruction.CEILING}


def test_expected_images_follow_the_fitted_echo_time_and_receive_field() -> None:
    head = slab_head(texture=0.0)
    inputs = scans(head.maps, (1.0, 1.0, 1.0))
    model = head_model(head.maps, (1.0, 1.0, 1.0), {"t2w": 80.0})
    coefficients = model.coefficients.copy()
    coefficients[0, 0] = 0.2
    network = SimpleNamespace(fractions=certain(head.tissue, head.maps.mask))
    estimate = estimate_of(head.maps, inputs, head=replace(model, coefficients=coefficients), network=network)
    found = refit.expected_images(estimate, inputs)
    maps_, inside = head.maps, head.maps.mask
    later = PROTOCOLS["t2w"].changed("test", TE=80.0).signal(maps_.pd, maps_.t1, maps_.t2)
    np.testing.assert_allclose(found["t2w"][inside], later[inside], rtol=1e-3)
    field = found["t1w"][inside] / inputs[0].volume.voxels[inside]
    np.testing.assert_allclose(field, refit.fields_at(estimate, np.flatnonzero(inside))[0], rtol=1e-3)
    assert field.max() / field.min() > 1.3
    assert not found["t1w"][~inside].any()
