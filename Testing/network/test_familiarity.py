"""Familiar heads: numbers that tell a head, and a distance that is 1 at the limit."""

from __future__ import annotations

import numpy as np
import pytest

from PhysMRISynthLib.errors import WeightsError
from PhysMRISynthLib.network.familiarity import (
    POPULATIONS,
    Population,
    distances_of,
    familiarity_arrays,
    familiarity_from,
    head_numbers,
    population_of,
)
from PhysMRISynthLib.network.head_view import Inference
from PhysMRISynthLib.network.vae import CLASSES

SHAPE, FACTOR = (48, 52, 44), 4
WHITE, AIR = CLASSES.index("white_matter"), CLASSES.index("air")


def ball(radius: float = 16.0, stretch: float = 1.0, sure: float = 1.0, inputs: int = 3, shape: tuple[int, ...] = SHAPE) -> Inference:
    """A brain of white matter, a ball or longer, in air; latents are 1, 2, … there for each input and 0 elsewhere."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    middle = [(n - 1) / 2 for n in shape]
    inside = ((z - middle[0]) / stretch) ** 2 + (y - middle[1]) ** 2 + (x - middle[2]) ** 2 < radius**2
    probabilities = np.full((len(CLASSES), *shape), (1.0 - sure) / len(CLASSES), dtype=np.float32)
    probabilities[WHITE] += sure * inside
    probabilities[AIR] += sure * ~inside
    rows = np.arange(1.0, inputs + 1 + (inputs > 1), dtype=np.float32)
    half = FACTOR // 2
    latents = rows[:, None, None, None, None] * np.stack([inside[half::FACTOR, half::FACTOR, half::FACTOR]] * 2)
    return Inference(probabilities, latents.astype(np.float32), FACTOR)


def test_latents_are_averaged_over_the_brain() -> None:
    numbers = head_numbers(ball())
    np.testing.assert_allclose(numbers["latent_one"], [[1, 1], [2, 2], [3, 3]], rtol=1e-4)
    np.testing.assert_allclose(numbers["latent_several"], [4, 4], rtol=1e-4)
    assert set(head_numbers(ball(inputs=1))) == {"latent_one", "tissues_one"}


def test_tissues_are_told_by_certainty_volume_shares_and_shape() -> None:
    entropy, volume, white, cortex, fluid, radius = head_numbers(ball())["tissues_several"]
    ml = 4.0 / 3.0 * np.pi * 16.0**3 / 1000.0
    assert entropy == pytest.approx(0.0, abs=1e-3)
    assert volume == pytest.approx(np.log(ml + 1.0), abs=0.03)
    assert white == pytest.approx(0.0, abs=0.01) and cortex == fluid == pytest.approx(-np.log(ml + 1.0), abs=0.03)
    assert radius == pytest.approx(np.log(np.sqrt(0.6) * 16.0 / (1000.0 * (ml + 1.0)) ** (1 / 3)), abs=0.03)
    assert head_numbers(ball(sure=0.5))["tissues_several"][0] > 0.5
    assert head_numbers(ball(8.0, stretch=2.7))["tissues_several"][5] > radius + 0.1


def test_a_brain_that_is_nowhere_has_numbers_too() -> None:
    numbers = head_numbers(ball(radius=-1.0))
    assert all(np.isfinite(row).all() for row in numbers.values())


@pytest.mark.parametrize("shape", ((47, 50, 45), (3, 5, 9)))
def test_sides_need_be_no_multiples_of_the_latents_step(shape: tuple[int, int, int]) -> None:
    whole = ball(shape=shape)
    latents = np.ones((4, 2, *(-(-n // FACTOR) for n in shape)), dtype=np.float32)
    numbers = head_numbers(Inference(whole.probabilities, latents, FACTOR))
    assert all(np.isfinite(row).all() for row in numbers.values())


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Heads whose numbers go together."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 6)) @ (np.eye(6) + 1.5 * np.eye(6, k=1)) + 3.0


def population(count: int = 60) -> Population:
    return population_of(drawn(count), [f"head {n % 12}" for n in range(count)], drawn(20, 1))


@pytest.mark.parametrize("count", (60, 400))
def test_next_to_all_heads_of_the_population_keep_the_limit(count: int) -> None:
    known = population(count)
    fresh = np.array([known.distance(row) for row in drawn(2000, 2)])
    assert np.mean(fresh < 1.0) > 0.95 and fresh.max() < 2.5
    assert np.median(fresh) > 0.3


def test_what_never_goes_together_is_far_though_each_number_is_ordinary() -> None:
    known, heads = population(), drawn(2000, 2)
    axis = np.linalg.eigh(np.cov(heads.T))[1][:, 0]
    strange = heads.mean(axis=0) + 2.0 * heads.std(axis=0).mean() * axis
    assert known.distance(heads.mean(axis=0)) < 0.3 < 1.0 < known.distance(strange)
    assert known.distance(heads.mean(axis=0) + 1000.0) > 50.0


def test_numbers_that_never_vary_do_no_harm() -> None:
    numbers = drawn(30)
    numbers[:, 2] = 0.0
    known = population_of(numbers, ["a", "b", "c"] * 10, numbers[:3])
    assert np.isfinite(known.distance(numbers[0]))


def test_few_heads_are_refused() -> None:
    with pytest.raises(WeightsError, match="too few"):
        population_of(drawn(4), ["a", "a", "b", "b"], drawn(2))


def test_distances_are_told_by_input_and_together() -> None:
    known = dict.fromkeys(POPULATIONS[:2], Population(np.zeros(2), np.eye(2), 2.0)) | dict.fromkeys(
        POPULATIONS[2:], Population(np.zeros(6), np.eye(6), 1.0)
    )
    found = distances_of(known, head_numbers(ball()))
    assert found.inputs == pytest.approx([np.sqrt(2) * n / 2 for n in (1, 2, 3)], rel=1e-3)
    assert found.together == pytest.approx(np.sqrt(2) * 2, rel=1e-3) and found.tissues > 0
    assert distances_of(known, head_numbers(ball(inputs=1))).together is None


def test_populations_survive_a_file() -> None:
    known = dict.fromkeys(POPULATIONS, population())
    again = familiarity_from(familiarity_arrays(known))
    assert again is not None and familiarity_from({}) is None
    for row in drawn(5, 3):
        assert again["latent_one"].distance(row) == pytest.approx(known["latent_one"].distance(row), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "value"),
    (
        ("latent_one.mean", None),
        ("latent_one.mean", np.zeros(5, dtype=np.float32)),
        ("tissues_one.covariance", -np.eye(6, dtype=np.float32)),
        ("tissues_one.covariance", np.zeros(6, dtype=np.float32)),
        ("latent_several.limit", np.float32(0.0)),
        ("latent_several.limit", np.ones(3, dtype=np.float32)),
    ),
)
def test_damaged_statistics_are_refused(name: str, value: np.ndarray | None) -> None:
    arrays = familiarity_arrays(dict.fromkeys(POPULATIONS, population()))
    arrays = {key: array for key, array in arrays.items() if key != name} | ({} if value is None else {name: value})
    with pytest.raises(WeightsError, match="statistics of the training heads are damaged"):
        familiarity_from(arrays)
