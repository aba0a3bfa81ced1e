"""Are sampled heads copies of training heads, whole or by hemispheres? Distances to training heads, compared with those of known copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from ..simulator.hemisphere_mixing import JOINT
from .groups import COPIED, HELD_OUT, JOINED, SAMPLED, TRAINING, Record
from .kinship import PARTS, distances


class Aligned(Protocol):
    """A head with its brain in the atlas (None: not found there)."""

    @property
    def name(self) -> str: ...

    @property
    def aligned(self) -> np.ndarray | None: ...


def nearness(kind: str, head: Aligned, others: Sequence[Aligned]) -> Record:
    """Distances to the training heads ``others``; empty if the head itself or all of them were not aligned with the atlas."""
    known = {other.name: other.aligned for other in others if other.aligned is not None}
    if head.aligned is None or not known:
        return {}
    found = {name: distances(head.aligned, aligned) for name, aligned in known.items()}
    whole, *halves = (_nearest({name: far[part] for name, far in found.items()}) for part in PARTS)
    record = {"nearest": whole[0], "distance": whole[1], "distance_over_second": whole[2]}
    record |= {
        "people": head.name.split(JOINT),
        "halves": [{"nearest": name, "distance_over_second": share} for name, _, share in sorted(halves, key=lambda half: half[2])],
    }
    return record | ({"own": head.name == whole[0]} if kind in COPIED else {})


def _nearest(far: Mapping[str, float]) -> tuple[str, float, float]:
    """The nearest head, its distance, and the ratio of this to the second nearest."""
    nearest, *further = sorted(far, key=lambda name: far[name])
    return nearest, far[nearest], far[nearest] / max(far[further[0]], 1e-6) if further else 1.0


def memorisation(records: Sequence[Record]) -> str:
    """Text: how many samples, and other people, are nearer to a training head than its copies or match it as closely, for each kind of
    copies; and how many match one in a hemisphere."""
    compared = [record for record in records if "distance" in record]
    kinds = [kind for kind in COPIED if any(record["kind"] == kind for record in records)]
    lost = len(records) - len(compared)
    missing = f" {lost} of {len(records)} heads were not aligned with the atlas and are not compared." if lost else ""
    return " ".join([*(_copies(kind, compared) for kind in kinds), *_halves(compared)]) + missing


def _copies(kind: str, compared: Sequence[Record]) -> str:
    copies = [record for record in compared if record["kind"] == kind]
    share = max((record["distance_over_second"] for record in copies if record["own"]), default=0.0)
    reach: dict[str, float] = {}
    for record in (record for record in copies if record["own"]):
        reach[record["nearest"]] = max(record["distance"], reach.get(record["nearest"], 0.0))

    def nearer(record: Record) -> bool:
        return bool(record["distance"] < reach.get(record["nearest"], 0.0))

    def belongs(record: Record) -> bool:
        return bool(record["distance_over_second"] <= share)

    own = f"{sum(record['own'] for record in copies)} of {len(copies)} copies are nearest to their original"
    return (
        f"Measured by {kind}: {_counted(compared, nearer)} are nearer to a training head than its farthest copy. "
        f"{_counted(compared, belongs)} match one as closely as copies do (nearest over second nearest at most {share:.2f}; {own})."
    )


def _halves(compared: Sequence[Record]) -> list[str]:
    """By the hemispheres of mixed heads, one of which is a training head's, unchanged, and the other was deformed onto it; hemispheres
    nearest to a third person are no measure."""
    joined, samples = _of(JOINED, compared), _of(SAMPLED, compared)
    known = [[half for half in record["halves"] if half["nearest"] in record["people"]] for record in joined]
    both = [halves for halves in known if len({half["nearest"] for half in halves}) == 2]
    if not both or not samples:
        return []
    kept, fitted = ([halves[place]["distance_over_second"] for halves in both] for place in (0, 1))
    drawn = [record["halves"][0]["distance_over_second"] for record in samples]

    def belongs(record: Record) -> bool:
        return bool(record["halves"][0]["distance_over_second"] <= max(kept))

    return [
        f"By hemispheres: in {len(both)} of {len(joined)} {JOINED} each hemisphere is nearest to one of the two people; there, nearest "
        f"over second nearest is {min(kept):.2f} to {max(kept):.2f} for the nearer hemisphere, {min(fitted):.2f} to {max(fitted):.2f} for "
        f"the other. For the nearer hemispheres of samples it is {min(drawn):.2f} to {max(drawn):.2f}. {_counted(compared, belongs)} match "
        "a training head in one hemisphere as closely as these."
    ]


def _of(kind: str, records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record["kind"] == kind]


def _counted(compared: Sequence[Record], holds: Callable[[Record], bool]) -> str:
    """Counts of samples, training heads and held-out heads for which ``holds``; samples are named."""
    counts = []
    for kind in (SAMPLED, TRAINING, HELD_OUT):
        members = _of(kind, compared)
        names = [record["head"] for record in members if holds(record)]
        named = f" ({', '.join(names)})" if names and kind == SAMPLED else ""
        counts.append(f"{len(names)} of {len(members)} {kind}{named}")
    return ", ".join(counts)
