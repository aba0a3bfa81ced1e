"""How much the images of two groups of heads are alike: Fréchet distance, precision and recall, and diversity within a group.

In 2.5D: each plane of each contrast is compared by itself, and the results are averaged. The Fréchet distance of few slices is too large;
so all groups are compared by the same number of heads, drawn several times where a group has more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch

from ..frechet import DIMENSIONS, frechet_distance, precision_recall
from ..similarity import ms_ssim_of_planes
from .looks import CONTRASTS, PLANES, VIEWS
from .store import Measured

_SHALLOW, _DEEP = slice(0, DIMENSIONS), slice(DIMENSIONS, None)
_DRAWS, _MOST_PAIRS, _SEED = 10, 20, 7


@dataclass(frozen=True)
class Likeness:
    """Of a group to people, each the mean over draws of heads and over planes: Fréchet ``distance`` and its SD over draws, ``deep`` one,
    ``precision`` and ``recall`` by (view, contrast); ``heads`` compared with as many people."""

    heads: int
    distance: Mapping[tuple[str, str], float]
    sd: Mapping[tuple[str, str], float]
    deep: Mapping[tuple[str, str], float]
    precision: Mapping[tuple[str, str], float]
    recall: Mapping[tuple[str, str], float]

    def mean(self, values: Mapping[tuple[str, str], float], view: str) -> float:
        """Over the contrasts."""
        return float(np.mean([values[view, contrast] for contrast in CONTRASTS]))


def likeness(people: Sequence[Measured], group: Sequence[Measured], number: int) -> Likeness:
    """Compare so many heads of a ``group`` with as many of other ``people``."""
    return _compared([people, group], lambda rng: (_some(people, number, rng), _some(group, number, rng)), number)


def halves(people: Sequence[Measured], number: int) -> Likeness:
    """Compare so many of the ``people`` with as many others of them: how far groups without a difference are apart."""

    def split(rng: np.random.Generator) -> tuple[list[Measured], list[Measured]]:
        mixed = _some(people, 2 * number, rng)
        return mixed[:number], mixed[number:]

    return _compared([people], split, number)


def _some(heads: Sequence[Measured], number: int, rng: np.random.Generator) -> list[Measured]:
    return [heads[place] for place in rng.permutation(len(heads))[:number]]


Split = Callable[[np.random.Generator], tuple[list[Measured], list[Measured]]]


def _compared(groups: Sequence[Sequence[Measured]], split: Split, number: int) -> Likeness:
    rng = np.random.default_rng(_SEED)
    draws = 1 if len(groups) > 1 and all(len(group) == number for group in groups) else _DRAWS
    scores = np.array([_scores(*split(rng)) for _ in range(draws)])  # draws, views, contrasts, measures
    names = list(product(VIEWS, CONTRASTS))

    def by_name(values: np.ndarray) -> dict[tuple[str, str], float]:
        return dict(zip(names, values.reshape(-1).tolist(), strict=True))

    means = [by_name(scores[..., measure].mean(axis=0)) for measure in range(4)]
    return Likeness(number, means[0], by_name(scores[..., 0].std(axis=0)), *means[1:])


def _scores(people: Sequence[Measured], group: Sequence[Measured]) -> np.ndarray:
    """Shallow and deep distance, precision and recall (views, contrasts, 4), each the mean over the planes."""
    one, other = (np.stack([head.looks.features for head in heads]).astype(np.float64) for heads in (people, group))
    owners, heads = (np.repeat(np.arange(len(each)), each.shape[4]) for each in (one, other))
    found = np.empty((len(VIEWS), len(CONTRASTS), len(PLANES), 4))
    for place in np.ndindex(*found.shape[:3]):
        first, second = (each[(slice(None), *place)].reshape(-1, each.shape[-1]) for each in (one, other))
        found[place] = (
            frechet_distance(first[:, _SHALLOW], second[:, _SHALLOW]), frechet_distance(first[:, _DEEP], second[:, _DEEP]),
            *precision_recall(first[:, _DEEP], owners, second[:, _DEEP], heads),
        )  # fmt: skip
    return found.mean(axis=2)


def diversity(heads: Sequence[Measured]) -> float:
    """Mean MS-SSIM of corresponding axial T1w slices of the brains of pairs of heads (NaN: fewer than two)."""
    pairs = list(combinations(heads, 2))
    if not pairs:
        return float("nan")
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), _MOST_PAIRS)).astype(int))
    return float(np.mean([_alike(pairs[place][0].looks.brains, pairs[place][1].looks.brains) for place in chosen]))


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    first, second = (torch.from_numpy(planes.astype(np.float32) / 255.0)[:, None] for planes in (one, other))
    seen = ((first > 0) | (second > 0)).float()
    return float(np.average(ms_ssim_of_planes(first, second, seen).numpy(), weights=seen.sum(dim=(1, 2, 3)).numpy()))
