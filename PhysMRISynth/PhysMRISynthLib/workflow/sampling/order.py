"""The order of a sampling job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..orders import DEVICES, PRECISIONS, Order, check_field_strength, limited


@dataclass(frozen=True)
class SampleOrder(Order):
    """Which synthetic heads to sample.

    Because heads are selected by their midline, their distribution differs slightly from the model's.

    Attributes
    ----------
    seed
        Seed of the first head; further heads have the next seeds.
    steps
        Sampling steps, 1 to 1000; fewer are faster and coarser.
    condition
        Targets by the names of :data:`~PhysMRISynthLib.network.diffusion_config.CONDITIONS` that the model knows
        (:func:`~PhysMRISynthLib.network.known_conditions.known_conditions`), within the range of its training heads.
    field_strength
        Field strength of T1 and T2 in tesla, 1 to 4.
    device
        auto, cpu, cuda or mps.
    precision
        auto, or that of a head's report to reproduce the head exactly.
    renewal
        Stochasticity, 0 to 1: share of the noise replaced at each step, which corrects earlier errors of the network (Karras et al.,
        "Elucidating the design space of diffusion-based generative models", NeurIPS 2022, section 4).
    guidance
        Above 1 the head follows ``condition`` more strictly, in twice the time (classifier-free guidance: Ho & Salimans,
        arXiv:2207.12598).
    attempts
        Maximum number of attempts until the midline check passes, 1 to 50.
    attempt
        Number of the first attempt. That of a report, with one attempt, reproduces the head on any machine.
    count
        Number of heads.
    skull_stripped
        Keep the brain with its fluid alone.
    weights
        A file that 'train ldm' wrote, to use in place of the installed sampling model; "": none.

    Raises
    ------
    OrderError
        For a value out of bounds.
    ProtocolError
        For a field strength without tissue values.
    """

    seed: int = limited(0, "seed", low=0, whole=True)
    steps: int = limited(30, "number of steps", low=1, high=1000, whole=True)
    condition: Mapping[str, float] = field(default_factory=dict)
    field_strength: float = 3.0
    device: str = limited("auto", "device", choices=DEVICES)
    precision: str = limited("auto", "precision", choices=PRECISIONS)
    renewal: float = limited(1.0, "renewal of noise", low=0.0, high=1.0)
    guidance: float = limited(1.0, "guidance", low=1.0, high=5.0)
    attempts: int = limited(6, "number of attempts", low=1, high=50, whole=True)
    attempt: int = limited(1, "number of the first attempt", low=1, whole=True)
    count: int = limited(1, "number of heads", low=1, whole=True)
    skull_stripped: bool = limited(False, "skull stripping", choices=(True, False))
    weights: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_field_strength(self.field_strength)
