"""What posterior samples are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from ..orders import Order, limited


@dataclass(frozen=True)
class PosteriorOrder(Order):
    """How many sets of maps are sampled.

    Attributes
    ----------
    count
        Number of samples; one alone would say nothing about uncertainty.
    seed
        Makes the samples repeatable.

    Raises
    ------
    OrderError
        For a value out of bounds.
    """

    count: int = limited(20, "number of samples", low=2, whole=True)
    seed: int = limited(0, "seed", low=0, whole=True)
