"""The timing of an MPRAGE: time between inversions, time between pulses, and number of pulses per train.

Siemens writes the time between inversions as the repetition time, GE and Philips that between pulses; none writes the other one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ProtocolError
from .header_values import Values, one_of, repetition_times, stated_number
from .usual_inversion import usual_pulses

_USUAL_PERIOD, _USUAL_SPACING, _USUAL_PULSES = 2400.0, 7.6, 176.0
_SPACINGS, _MOST_PULSES = (1.0, 30.0), 1024.0
_BEFORE_NEXT = 0.9
"""Of the echo spacing: an echo comes earlier than the next pulse."""
_ROOM = 0.95
"""Share of the available time around the inversion time that an assumed train takes."""
_PULSES = ("NumberShots", "PhaseEncodingStepsOutOfPlane", "EchoTrainLength")
"""BIDS' field; partitions in enhanced headers; Philips' turbo factor, which other vendors write as an echo train of 1."""


def mprage_timing(fields: Mapping[str, Any], stated: Values, source: str) -> tuple[Values, tuple[str, ...]]:
    """TR, ESP, N (ms, ms, pulses) and, where it can be looked up, FA (degrees) of an MPRAGE with their sources, and notes; ``stated`` are
    its other values (TE, TI).

    Raises ProtocolError if neither the time between inversions nor the inversion time is known.
    """
    periods, spacings = repetition_times(fields, source)
    period, about_period = one_of(periods, "repetition times")
    spacing, about_spacing = one_of(
        {name: value for name, value in spacings.items() if _SPACINGS[0] <= value[0] <= _SPACINGS[1]}, "echo spacings"
    )
    notes = (*about_period, *about_spacing)
    if period is None and spacings:
        name, (short, _) = next(iter(spacings.items()))
        if "TI" not in stated or spacing is None:
            raise ProtocolError(
                f"a repetition time of {short:g} ms runs from pulse to pulse; that of an MPRAGE is needed from inversion to "
                f"inversion (about {_USUAL_PERIOD - 400:g} ms)."
            )
        period = (max(_USUAL_PERIOD, 2.0 * stated["TI"][0]), "assumed: headers of GE and Philips do not state the time between inversions")
        notes += (
            f"The header's {name} of {short:g} ms runs from pulse to pulse and is used as the echo spacing. The time between "
            f"inversions is not stated: {period[0]:g} ms is assumed. Give TR with the protocol where you know it: "
            "±500 ms shift T1 by about 7 %.",
        )
    values = {"TR": period} if period else {}
    usual = _usual_pulses(stated, period) if period and periods else {}
    values |= usual
    values["ESP"] = spacing or usual.get("ESP") or _usual_spacing(stated)
    pulses, about_pulses = _train(fields, {**stated, **values}, source)
    return {**values, "N": pulses}, (*notes, *about_pulses)


def _usual_pulses(stated: Values, period: tuple[float, str]) -> Values:
    """FA and ESP of the protocol that has these times, where the echo comes as early as its pulses ask for."""
    usual = usual_pulses(period[0], stated["TI"][0]) if "TI" in stated else {}
    fits = "TE" not in stated or not usual or stated["TE"][0] < _BEFORE_NEXT * usual["ESP"][0]
    return usual if fits else {}


def _usual_spacing(stated: Values) -> tuple[float, str]:
    echo_time = stated["TE"][0] if "TE" in stated else 0.0
    if echo_time < _BEFORE_NEXT * _USUAL_SPACING:
        return _USUAL_SPACING, "assumed: usual echo spacing, which the header does not state"
    return min(2.0 * echo_time, _SPACINGS[1]), "assumed: twice the echo time"


def _train(fields: Mapping[str, Any], values: Values, source: str) -> tuple[tuple[float, str], tuple[str, ...]]:
    """N with its source. The equation puts the k-space centre in the middle of the train, at TI: half of it must fit before and after."""
    spacing = values["ESP"][0]
    inversion = values["TI"][0] if "TI" in values else 1000.0
    period = values["TR"][0] if "TR" in values else _USUAL_PERIOD
    room = max(2.0, min(_MOST_PULSES, 2.0 * min(inversion, period - inversion) / spacing))
    stated = _stated_pulses(fields, source)
    if stated is None:
        usual = min(_USUAL_PULSES, float(int(_ROOM * room)))
        reason = "usual train" if usual == _USUAL_PULSES else "as many as fit around the inversion time"
        return (max(1.0, usual), f"assumed: {reason}; the header states no train length"), ()
    if stated[0] <= room:
        return stated, ()
    fitting = max(1.0, float(int(_ROOM * room)))
    note = (
        f"{stated[0]:g} pulses every {spacing:g} ms do not fit around an inversion time of {inversion:g} ms: the centre of k-space comes "
        f"early in the train, which the equation does not know. {fitting:g} pulses are assumed."
    )
    return (fitting, f"assumed: as many of {stated[0]:g} as fit around the inversion time"), (note,)


def _stated_pulses(fields: Mapping[str, Any], source: str) -> tuple[float, str] | None:
    """Pulses per inversion stated by the header; partitions are divided by the acceleration along them."""
    for name in _PULSES:
        value = fields.get(name)
        if name == "NumberShots" and isinstance(value, (list, tuple)):  # BIDS: before and after the centre of k-space
            value = sum(part for index in range(len(value)) if (part := stated_number({name: value[index]}, name)) is not None)
        pulses = stated_number({name: value}, name)
        if pulses is None or pulses <= 1.0:
            continue
        if name == "PhaseEncodingStepsOutOfPlane":
            pulses /= max(1.0, stated_number(fields, "ParallelReductionFactorOutOfPlane") or 1.0)
        return float(round(pulses)), f"{source} ({name})"
    return None
