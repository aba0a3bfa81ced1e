"""What an estimate found that its user must know, gathered from images, protocols, anatomy and fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...fitting.check import FitCheck
from ...headers.usual_inversion import LOOKED_UP
from ...imaging.head.masks import head_size
from ...imaging.intake.acquisition import Acquisition
from ...physics.protocol import Protocol
from ...physics.tissues import PROPERTIES
from .aligned_head import AlignedHead
from .verdict import Cause, Level, Reason

_UNKNOWNS = len(PROPERTIES)
_DOUBTFUL_EQUATIONS = 4.0
_USELESS_RESIDUAL = 16.0
_DECISIVE = ("TR", "TE", "TI", "FA")
"""Parameters whose assumed value may be far from the true one; trains and echo spacings change the contrast little."""
_SMALLEST_HEAD_MM, _SMALLEST_BRAIN_MM = (125.0, 158.0), (108.0, 132.0)
"""Breadth and length of the smallest adult heads, and of their brains where the skull was removed; infants' are smaller."""
_EFFECTIVE = "the effective echo time"
"""In notes on variable-flip trains, whose nominal echo time is replaced by one that is fitted: as it should be."""


def input_reasons(acquisitions: Sequence[Acquisition]) -> Iterator[Reason]:
    """What was noted while the images and their protocols were read, and how few there are."""
    for a in acquisitions:
        yield from (Reason(Cause.IMAGES, Level.GOOD, note, a.name) for note in a.volume.notes)
        for note in a.protocol.notes:
            yield Reason(Cause.PROTOCOL, Level.GOOD if _EFFECTIVE in note else Level.CAUTION, note, a.name)
        if (told := _assumed(a.protocol)) is not None:
            yield Reason(Cause.PROTOCOL, told[0], told[1], a.name)
    if len(acquisitions) < _UNKNOWNS:
        text = (
            f"{len(acquisitions)} of {_UNKNOWNS} contrasts given for {_UNKNOWNS} unknowns: what they cannot tell is literature; "
            "look at the SD maps."
        )
        if len(acquisitions) == 1:
            text += " From one input alone, tumours and other abnormal tissue are not recognised: they get a healthy tissue's values."
        yield Reason(Cause.FIT, Level.CAUTION if len(acquisitions) == 1 else Level.GOOD, text)


def _assumed(protocol: Protocol) -> tuple[Level, str] | None:
    """Which values nobody stated; None where there are none, or where the protocol's own note says so of all of them."""
    assumed = protocol.assumed
    if not assumed or (protocol.notes and len(assumed) == len(protocol.values)):
        return None
    decisive = any(value.partition("=")[0] in _DECISIVE for value in assumed)
    looked_up = {name: source.removeprefix(LOOKED_UP) for name, source in protocol.sources.items() if source.startswith(LOOKED_UP)}
    listed = ", ".join(
        f"{value} (as in {looked_up[name]})" if (name := value.partition("=")[0]) in looked_up else value for value in assumed
    )
    text = f"{listed} {'is' if len(assumed) == 1 else 'are'} assumed, not stated. Give what is known with the protocol."
    return Level.CAUTION if decisive else Level.GOOD, text


def fit_reasons(
    checks: Mapping[str, FitCheck], equation_error: float, implausible: Sequence[str], explained: bool = False
) -> Iterator[Reason]:
    """What the fit shows: inputs that the maps do not explain, protocols that the tissues contradict, medians that nobody has
    published. Where images or anatomy have ``explained`` it, protocols are not blamed for what follows."""
    for name, check in checks.items():
        if check.warning:
            usable = check.rms_percent <= _USELESS_RESIDUAL  # False for NaN
            yield Reason(Cause.FIT, Level.CAUTION if usable else Level.DO_NOT_USE, check.warning, name)
    if equation_error > _DOUBTFUL_EQUATIONS:
        much = f"{equation_error:.0f} times more than expected"
        widened = "the uncertainties were widened and the values lean on the literature."
        if explained:
            text = f"The tissues' contrasts differ from the equations {much}, which follows from what was found before; {widened}"
        else:
            text = (
                f"The tissues' contrasts contradict the given protocols {much}; {widened} Check the sequences and their TR, TE, TI and "
                "train length."
            )
        yield Reason(Cause.FIT if explained else Cause.PROTOCOL, Level.CAUTION, text)
    yield from (Reason(Cause.FIT, Level.CAUTION, text) for text in implausible)


def anatomy_reasons(head: AlignedHead) -> Iterator[Reason]:
    """Whether the reference shows an adult's head: by the size of its mask, and by how much it is like the atlas."""
    placement, reference = head.placement, head.reference.name
    stripped = placement.skull_stripped and placement.known  # else nobody knows
    least = _SMALLEST_BRAIN_MM if stripped else _SMALLEST_HEAD_MM
    sizes = head_size(head.mask, head.grid)
    small = [size is not None and size < limit for size, limit in zip(sizes, least, strict=True)]
    if any(small) and all(ok or size is None for ok, size in zip(small, sizes, strict=True)):
        told = " and ".join(f"{size:.0f} mm {what}" for size, what in zip(sizes, ("broad", "long"), strict=True) if size is not None)
        text = (
            f"The {'brain' if stripped else 'head'} is {told}: smaller than an adult's. In newborns and infants the "
            "tissues have other values and contrasts, which this method does not know; if it is an adult's, check the voxel spacing."
        )
        yield Reason(Cause.ANATOMY, Level.DO_NOT_USE, text, reference)
    if placement.turned:
        text = (
            "The tissues found do not lie where a brain has them: turned upside down, back to front or on its side, the brain fits better. "
            "Correct the images' orientation; convert them again from the scanner's files."
        )
        yield Reason(Cause.ANATOMY, Level.DO_NOT_USE, text, reference)
    elif not placement.known:
        text = (
            "The tissues found do not lie where a brain has them. Check the images' orientation (nothing upside down or back to front), "
            "that no contrasts are exchanged, and that they show the whole head of an adult."
        )
        yield Reason(Cause.ANATOMY, Level.DO_NOT_USE, text, reference)
