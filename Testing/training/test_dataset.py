"""Samples as tensors: what they hold, what is shown of them, and numbers that never repeat nor get lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from physmrisynth_training.learning.batch import Batch, LabelBatch, SignalBatch, collate, random_subset, signal_batch
from physmrisynth_training.learning.dataset import Mixture, SimulatedHeads, StepSampler, class_values, label_batch
from physmrisynth_training.simulator.anatomy import LESION, DrawTissueValues
from physmrisynth_training.simulator.scanner import Acquire
from physmrisynth_training.simulator.simulated_head import Chain, Sample
from physmrisynth_training.simulator.simulated_scans import Simulator
from PhysMRISynthLib.headers.roles import ROLES
from PhysMRISynthLib.network.condition import CONDITION_SIZE, protocol_condition
from PhysMRISynthLib.physics.protocol import parse_protocol
from PhysMRISynthLib.physics.tissues import tissue_table
from Testing.training.heads import WHITE, toy_head

SHAPES = ((16, 20, 24), (24, 16, 20), (20, 24, 16))
PARTS = ("images", "conditions", "present", "tissue", "offset")


def simulator(seed: int = 0) -> Simulator:
    return Simulator((toy_head(), toy_head((44, 40, 46))), (np.ones((9, 9, 9), bool),), SHAPES[0], seed)


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, part), getattr(b, part)) for part in PARTS)


def without_chance(signals: SimulatedHeads) -> SimulatedHeads:
    """The same heads by a scanner without noise, fields or motion."""
    steps = [step for step in signals.simulator.scanner.steps if isinstance(step, Acquire)]
    signals.simulator = replace(signals.simulator, scanner=Chain(steps))
    return signals


# --- classes and subsets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [1.5, 3.0])
def test_class_values_are_the_table_and_lesions_that_live_longer(strength: float) -> None:
    values = class_values(strength)
    assert values.shape == (LESION + 1, 3) and values.dtype == np.float32
    np.testing.assert_allclose(values[:LESION], np.stack([t.theta for t in tissue_table(strength)]), rtol=1e-6)
    assert (values[LESION] > values[WHITE]).all()


def test_lesions_are_drawn_around_their_class_values() -> None:
    tiny = np.zeros((4, 4, 4), np.uint8)
    drawn = [DrawTissueValues((3.0,))(Sample(tiny), np.random.default_rng(s)).record["DrawTissueValues"]["theta"] for s in range(200)]
    np.testing.assert_allclose(np.mean(drawn, axis=0)[LESION], class_values(3.0)[LESION], atol=0.15)


def test_subsets_are_never_empty_and_come_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    shown = np.array([random_subset(np.ones(3, bool), rng, (0.2, 0.3, 0.5)) for _ in range(3000)])
    assert shown.dtype == bool and shown.any(axis=1).all()
    shares = np.bincount(shown.sum(axis=1), minlength=4)[1:] / 3000
    np.testing.assert_allclose(shares, (0.2, 0.3, 0.5), atol=0.04)
    np.testing.assert_allclose(shown.mean(axis=0), (0.2 + 2 * 0.3 + 3 * 0.5) / 3, atol=0.04)  # every input alike


@pytest.mark.parametrize("given", [[True, False, False], [False, True, True]])
def test_only_inputs_that_there_are_can_be_shown(given: list[bool]) -> None:
    rng = np.random.default_rng(0)
    shown = np.array([random_subset(np.array(given), rng) for _ in range(50)])
    assert shown.any(axis=1).all() and (shown.any(axis=0) == given).all()


# --- numbers --------------------------------------------------------------------------------------------------------------------


def test_processes_share_all_numbers_and_none_twice() -> None:
    world, batch, steps = 3, 2, 5
    drawn = [list(islice(StepSampler(0, batch, rank, world), steps)) for rank in range(world)]
    numbers = [number for rank in drawn for step in rank for number in step]
    assert sorted(numbers) == list(range(world * batch * steps))
    for step in range(steps):  # and each step's numbers are those that SimulatedHeads takes for one step
        assert {number // (world * batch) for rank in drawn for number in rank[step]} == {step}


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 2)])
def test_a_run_goes_on_with_the_numbers_it_would_have_had(rank: int, world: int) -> None:
    whole = list(islice(StepSampler(0, 3, rank, world), 10))
    assert list(islice(StepSampler(4, 3, rank, world), 6)) == whole[4:]


# --- tensors --------------------------------------------------------------------------------------------------------------------


def test_a_sample_becomes_its_tensors() -> None:
    sample = simulator().sample(3)
    batch = label_batch(sample, np.array([True, False, True]))
    assert sample.theta is not None
    assert [getattr(batch, part).dtype for part in PARTS] == [torch.float32, torch.float32, torch.bool, torch.uint8, torch.float32]
    assert batch.images.shape == (1, 3, *SHAPES[0]) and batch.offset.shape == (1, 3, *SHAPES[0])
    assert batch.conditions.shape == (1, 3, CONDITION_SIZE)
    assert batch.present.tolist() == [[True, False, True]]
    np.testing.assert_array_equal(batch.tissue[0], sample.tissue)
    for i, role in enumerate(ROLES):
        np.testing.assert_array_equal(batch.images[0, i], sample.images[role])
        np.testing.assert_array_equal(batch.conditions[0, i], protocol_condition(sample.protocols[role], sample.field_strength))
    z, y, x = 7, 8, 9
    literature = class_values(sample.field_strength)[sample.tissue[z, y, x]]
    np.testing.assert_allclose(batch.offset[0, :, z, y, x], sample.theta[:, z, y, x] - literature, atol=1e-6)


def test_batches_are_joined_in_order() -> None:
    one, two = (label_batch(simulator().sample(i), np.array([True, i == 1, False])) for i in (1, 2))
    both = collate([one, two])
    for i, single in enumerate((one, two)):
        assert same(LabelBatch(*(getattr(both, part)[i : i + 1] for part in PARTS)), single)
    assert same(both.to(torch.device("cpu")), both)


def test_a_number_is_always_the_same_sample() -> None:
    first, again = SimulatedHeads(simulator(), SHAPES, 2), SimulatedHeads(simulator(), SHAPES, 2)
    later = first[5]
    assert same(first[0], again[0])
    assert same(later, again[5])
    for other in (first[4], SimulatedHeads(simulator(seed=1), SHAPES, 2)[5]):
        assert later.images.shape != other.images.shape or not torch.equal(later.images, other.images)


def test_samples_of_one_step_share_a_shape_and_steps_draw_from_all() -> None:
    heads = SimulatedHeads(simulator(), SHAPES, 2)
    shapes = [[tuple(heads[2 * step + i].tissue.shape[1:]) for i in range(2)] for step in range(15)]
    assert all(len(set(step)) == 1 for step in shapes)
    assert {step[0] for step in shapes} == set(SHAPES)


def test_inputs_are_left_out_in_training_only() -> None:
    shown = [SimulatedHeads(simulator(), SHAPES[:1], 1)[i].present for i in range(12)]
    assert len({tuple(p[0].tolist()) for p in shown}) > 3
    assert bool(SimulatedHeads(simulator(), SHAPES[:1], 1, dropout=False)[0].present.all())


def test_the_first_alone_is_each_samples_own_first() -> None:
    one, two, three = (np.array(shown) for shown in ([True, True, True], [False, True, True], [False, False, True]))
    batch = collate([label_batch(simulator().sample(1), shown) for shown in (one, two, three)])
    assert batch.first_alone().present.tolist() == [[True, False, False], [False, True, False], [False, False, True]]


# --- images as targets ----------------------------------------------------------------------------------------------------------


def test_targets_are_the_signal_of_the_tissue_and_inputs_are_scaled() -> None:
    """Without noise, fields and motion; hidden inputs are targets too."""
    heads = without_chance(SimulatedHeads(simulator(), SHAPES[:1], 1, as_signals=True))
    index, batch = next((i, heads[i]) for i in range(20) if not heads[i].present.all())
    sample = heads.simulator.sample(index, SHAPES[0])
    assert isinstance(batch, SignalBatch) and batch.known.all() and batch.given.all() and sample.theta is not None
    (row,) = batch.equations()
    for i, role in enumerate(ROLES):
        assert row[i] == parse_protocol(sample.protocols[role].spec, "batch")
        expected = sample.protocols[role].signal(*np.exp(sample.theta))
        np.testing.assert_allclose(batch.targets[0, i], expected, rtol=1e-4, atol=1e-6)
        assert 0.3 < float(batch.images[0, i].max()) < 4.0
    assert batch.field_strengths == [sample.field_strength]


def test_a_slice_is_the_middle_of_what_was_simulated() -> None:
    labels, images = (SimulatedHeads(simulator(), [(16, 24)], 1, as_signals=signals)[0] for signals in (False, True))
    assert isinstance(labels, LabelBatch) and isinstance(images, SignalBatch)
    assert labels.images.shape == images.images.shape == (1, 3, 16, 24)
    assert labels.tissue.shape == (1, 16, 24) and labels.offset.shape == (1, 3, 16, 24)
    volume = simulator().sample(0, (12, 16, 24))
    np.testing.assert_array_equal(labels.tissue[0], volume.tissue[6])
    np.testing.assert_array_equal(labels.images[0, 1], volume.images["t2w"][6])


def test_what_is_not_known_is_zero_and_never_a_target() -> None:
    images = np.ones((3, 4, 4), np.float32)
    images[1], images[2, 0] = np.nan, np.nan
    protocols = [parse_protocol("mprage"), None, parse_protocol("flair")]
    batch = signal_batch(images, np.array([2.0, 1.0, 3.0]), np.array([True, False, False]), protocols, 3.0)
    assert batch.given.tolist() == [[True, False, True]] and batch.equations()[0][1] is None
    assert batch.images.isfinite().all() and (batch.images[~batch.known] == 0).all()
    assert batch.known[0, 2].sum() == 12 and batch.targets[0, 2].max() == 3.0


# --- mixtures -------------------------------------------------------------------------------------------------------------------


class Always:
    """Every number gives the same word."""

    seed = 0

    def __init__(self, word: str) -> None:
        self.word, self.samples_per_step = word, 4

    def __getitem__(self, index: int) -> str:
        return self.word


def test_a_share_of_the_steps_is_real_and_no_step_is_both() -> None:
    mixture = Mixture(Always("head"), Always("scan"), 0.25)  # type: ignore[arg-type]
    steps = [{str(mixture[4 * step + i]) for i in range(4)} for step in range(2000)]
    assert all(len(words) == 1 for words in steps)
    assert np.mean([words == {"scan"} for words in steps]) == pytest.approx(0.25, abs=0.03)
    assert [mixture[i] for i in range(50)] == [mixture[i] for i in range(50)]
