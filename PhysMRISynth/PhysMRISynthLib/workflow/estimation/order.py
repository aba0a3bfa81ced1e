"""What an estimate is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..orders import DEVICES, Order, check_field_strength, limited

PRIORS = ("auto", "network", "literature")


@dataclass(frozen=True)
class EstimateOrder(Order):
    """How tissue maps are estimated, whatever the images are.

    Attributes
    ----------
    protocols
        By input (t1w, t2w, flair) a preset or ``sequence,NAME=VALUE,…`` (ms, degrees), where it is not the header's.
    field_strength
        Tesla, 1 to 4; None: that of the headers, else 3.
    reference
        The input whose grid the maps get; None: t1w, else t2w, else flair, else the first.
    register
        True always, False never, None where grids differ or heads moved.
    prior
        "network", "literature", or "auto": the network where it is installed.
    device
        auto, cpu, cuda or mps: what network and fit run on (auto: the network on a GPU that works, the fit on the CPU).
    spacing_mm
        Edge of isotropic voxels along the reference's axes and over its extent; None: the reference's own grid.
    allow_contrast_agent
        Take a T1w image that was acquired after a contrast agent, with a warning.
    weights
        A file that 'train vae' wrote, to use in place of the installed network; "": none.

    Raises
    ------
    OrderError
        For a value out of bounds.
    ProtocolError
        For a field strength without tissue values.
    """

    protocols: Mapping[str, str] = field(default_factory=dict)
    field_strength: float | None = None
    reference: str | None = None
    register: bool | None = limited(None, "registration", choices=(True, False))
    prior: str = limited("auto", "prior", choices=PRIORS)
    device: str = limited("auto", "device", choices=DEVICES)
    spacing_mm: float | None = limited(None, "spacing of the maps", low=0.5, high=5.0, unit="mm")
    allow_contrast_agent: bool = limited(False, "permission of a contrast agent", choices=(True, False))
    weights: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.field_strength is not None:
            check_field_strength(self.field_strength)


USUAL = EstimateOrder()
"""Everything by default."""
