"""Samples as tensors: what they hold, what is shown of them, and numbers that never repeat nor get lost."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from PhysMRISynthLib.network.condition import CONDITION_SIZE, protocol_condition
from PhysMRISynthLib.physics.tissues import tissue_table
from PhysMRISynthLib.training.anatomy import LESION, DrawTissueValues
from PhysMRISynthLib.training.dataset import Batch, SimulatedHeads, StepSampler, as_tensors, class_values, collate, random_subset
from PhysMRISynthLib.training.sample import Sample
from PhysMRISynthLib.training.scanner import ROLES
from PhysMRISynthLib.training.simulator import Simulator
from training.heads import WHITE, toy_head

SHAPES = ((16, 20, 24), (24, 16, 20), (20, 24, 16))
PARTS = ("images", "conditions", "present", "tissue", "offset")


def simulator(seed: int = 0) -> Simulator:
    return Simulator((toy_head(), toy_head((44, 40, 46))), (np.ones((9, 9, 9), bool),), SHAPES[0], seed)


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, part), getattr(b, part)) for part in PARTS)


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
    shown = np.array([random_subset(3, rng, (0.2, 0.3, 0.5)) for _ in range(3000)])
    assert shown.dtype == bool and shown.any(axis=1).all()
    shares = np.bincount(shown.sum(axis=1), minlength=4)[1:] / 3000
    np.testing.assert_allclose(shares, (0.2, 0.3, 0.5), atol=0.04)
    np.testing.assert_allclose(shown.mean(axis=0), (0.2 + 2 * 0.3 + 3 * 0.5) / 3, atol=0.04)  # every input alike
    for count in (1, 2):
        assert all(1 <= random_subset(count, rng).sum() <= count for _ in range(50))


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
    batch = as_tensors(sample, np.array([True, False, True]))
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
    one, two = (as_tensors(simulator().sample(i), np.array([True, i == 1, False])) for i in (1, 2))
    both = collate([one, two])
    for i, single in enumerate((one, two)):
        assert same(Batch(*(getattr(both, part)[i : i + 1] for part in PARTS)), single)
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
