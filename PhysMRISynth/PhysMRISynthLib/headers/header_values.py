"""Numbers of a header's BIDS-like fields (seconds) as parameters of a protocol (ms), each with its source."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import ProtocolError

Values = dict[str, tuple[float, str]]
"""Values (ms, degrees, pulses) by the parameter's name, each with its source."""
SERIES_NAMES = ("SeriesDescription", "ProtocolName")
"""Fields with the name of a series, the clearer one first."""
SHORTEST_INVERSION_PERIOD = 300.0
"""ms: a gradient echo with a shorter repetition time states the time from pulse to pulse."""
_REPETITIONS = ("RepetitionTimePreparation", "RepetitionTimeInversion", "RepetitionTime", "RepetitionTimeExcitation", "EchoSpacing")
"""Fields for repetition times. Converters confuse them, so their values decide which one is meant."""
_ALIKE = 0.01
_NOTHING = ("", "n/a", "none", "null")
_WITH_UNIT = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(s|sec|seconds|ms|deg|degrees|°)\s*", re.IGNORECASE)
_MS = 0.001


def stated_number(fields: Mapping[str, Any], name: str) -> float | None:
    """A field as a number, None if absent. Raises ProtocolError for anything else.

    Some converters write a list of one number, or a number with its unit (seconds by default). An empty text and BIDS' "n/a" count as
    absent.
    """
    value = _stated(fields, name)
    if value is None:
        return None
    if isinstance(value, str) and (measured := _WITH_UNIT.fullmatch(value)) is not None:
        return float(measured[1]) * (_MS if measured[2].lower() == "ms" else 1.0)
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ProtocolError(f"{name} is {repr(value)[:60]}, not a number in seconds, degrees or tesla.")
    return found


def _stated(fields: Mapping[str, Any], name: str) -> Any:
    """A field's value, taken out of a list of one; None if it is empty."""
    value = fields.get(name)
    if isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    return None if isinstance(value, str) and value.strip().lower() in _NOTHING else value


def number_of(fields: Mapping[str, Any], name: str) -> float | None:
    """A field that is a number, else None."""
    try:
        return stated_number(fields, name)
    except ProtocolError:
        return None


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """A field as text, several values joined by backslashes; empty if absent."""
    value = fields.get(name)
    return "\\".join(map(str, value)) if isinstance(value, (list, tuple)) else "" if value is None else str(value)


def series_names(fields: Mapping[str, Any]) -> list[str]:
    """A header's names of its series that are present: description, then protocol."""
    return [text for name in SERIES_NAMES if (text := text_of(fields, name))]


def has_timing(fields: Mapping[str, Any] | None) -> bool:
    """Whether any of TR, TE, TI and flip angle is stated."""
    return any(_stated(fields or {}, name) is not None for name in (*_REPETITIONS, "EchoTime", "InversionTime", "FlipAngle"))


def times(fields: Mapping[str, Any], names: Mapping[str, str], source: str) -> Values:
    """The times in ms that ``fields`` state in seconds; ``names`` maps a field to its parameter."""
    stated = {parameter: stated_number(fields, name) for name, parameter in names.items()}
    return {parameter: (1000.0 * value, source) for parameter, value in stated.items() if value is not None}


def repetition_times(fields: Mapping[str, Any], source: str) -> tuple[Values, Values]:
    """The repetition times (ms) by the names of their fields: those of inversions or excitations, and those of the pulses of a train."""
    stated = times(fields, {name: name for name in _REPETITIONS}, source)
    stated = {name: (value, source if name == "RepetitionTime" else f"{source} ({name})") for name, (value, _) in stated.items() if value}
    long = {name: stated[name] for name in stated if stated[name][0] >= SHORTEST_INVERSION_PERIOD}
    return long, {name: stated[name] for name in stated if name not in long}


def one_of(candidates: Values, meaning: str) -> tuple[tuple[float, str] | None, tuple[str, ...]]:
    """The first of several values of one ``meaning``, None if there is none; and a note if another one differs."""
    if not candidates:
        return None, ()
    (first, (value, _)), *others = candidates.items()
    differing = [f"{name} {other:g}" for name, (other, _) in others if abs(other - value) > _ALIKE * value]
    note = f"The header states two {meaning}: {first} {value:g} and {', '.join(differing)} ms. {first} is used."
    return candidates[first], (note,) if differing else ()
