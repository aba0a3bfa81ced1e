"""What an estimate found that its user must know, gathered from images, protocols, anatomy and fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..fitting.check import LARGEST_GOOD_RESIDUAL, FitCheck
from ..imaging.acquisition import Acquisition
from ..physics.protocol import Protocol
from ..physics.tissues import PROPERTIES
from .applicability import LEAST_AGREEMENT
from .verdict import Cause, Level, Reason

_UNKNOWNS = len(PROPERTIES)
_DOUBTFUL_EQUATIONS = 4.0
_USELESS_RESIDUAL = 4.0 * LARGEST_GOOD_RESIDUAL
_DECISIVE = ("TR", "TE", "TI", "FA")
"""Parameters whose assumed value may be far from the true one; trains and echo spacings change the contrast little."""
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
        yield Reason(Cause.IMAGES, Level.CAUTION if len(acquisitions) == 1 else Level.GOOD, text)


def _assumed(protocol: Protocol) -> tuple[Level, str] | None:
    """Which values nobody stated; None where there are none, or where the protocol's own note says so of all of them."""
    assumed = protocol.assumed
    if not assumed or (protocol.notes and len(assumed) == len(protocol.values)):
        return None
    decisive = any(value.partition("=")[0] in _DECISIVE for value in assumed)
    text = f"{', '.join(assumed)} {'is' if len(assumed) == 1 else 'are'} assumed, not stated. Give what is known with the protocol."
    return Level.CAUTION if decisive else Level.GOOD, text


def fit_reasons(checks: Mapping[str, FitCheck], equation_error: float, agreement: float, implausible: Sequence[str]) -> Iterator[Reason]:
    """What the fit shows: inputs that the maps do not explain, protocols that the tissues contradict, tissues in the wrong places."""
    for name, check in checks.items():
        if check.warning:
            usable = check.rms_percent <= _USELESS_RESIDUAL  # False for NaN
            yield Reason(Cause.FIT, Level.CAUTION if usable else Level.DO_NOT_USE, check.warning, name)
    if equation_error > _DOUBTFUL_EQUATIONS:
        text = (
            f"The tissues' contrasts contradict the given protocols {equation_error:.0f} times more than expected; the uncertainties "
            "were widened and the values lean on the literature. Check the sequences and their TR, TE, TI and train length."
        )
        yield Reason(Cause.PROTOCOL, Level.CAUTION, text)
    if agreement < LEAST_AGREEMENT:
        text = (
            "The tissues found do not lie where a brain has them. Check the images' orientation (nothing upside down or back to front), "
            "and that they show the whole head of an adult."
        )
        yield Reason(Cause.ANATOMY, Level.DO_NOT_USE if len(checks) > 1 else Level.CAUTION, text)
    yield from (Reason(Cause.FIT, Level.CAUTION, text) for text in implausible)
