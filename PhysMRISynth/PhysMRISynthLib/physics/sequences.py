"""The pulse sequences that can be fitted and rendered: an equation with named, bounded, unit-carrying parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from ..errors import ProtocolError
from . import equations
from .dual import Array


@dataclass(frozen=True)
class Parameter:
    """A sequence parameter: bounds from the equation and from scanners, and a usual default."""

    name: str
    title: str
    unit: str
    minimum: float
    maximum: float
    default: float | None
    """``None``: the parameter is optional."""


def _milliseconds(name: str, title: str, minimum: float, maximum: float, default: float | None) -> Parameter:
    return Parameter(name, title, "ms", minimum, maximum, default)


def _flip_angle(default: float, name: str = "FA", maximum: float = 90.0) -> Parameter:
    return Parameter(name, "Flip angle", "°", 0.5, maximum, default)


def _tr(default: float, minimum: float = 50.0) -> Parameter:
    return _milliseconds("TR", "Repetition time", minimum, 20000.0, default)


def _te(default: float, maximum: float = 1000.0) -> Parameter:
    return _milliseconds("TE", "Echo time", 0.0, maximum, default)


def _ti(default: float, name: str = "TI", title: str = "Inversion time") -> Parameter:
    return _milliseconds(name, title, 1.0, 15000.0, default)


def _train(default: float | None) -> Parameter:
    return _milliseconds("L", "Readout train length", 0.0, 3000.0, default)


_ESP = _milliseconds("ESP", "Echo spacing", 1.0, 30.0, 7.6)


def _echo_train(echoes: float, spacing: float) -> tuple[Parameter, Parameter]:
    return Parameter("ETL", "Echoes per train", "", 1.0, 1000.0, echoes), _milliseconds("ESP", "Echo spacing", 1.0, 50.0, spacing)


def _pulses(default: float) -> Parameter:
    return Parameter("N", "Pulses per train", "", 1.0, 1024.0, default)


Check = tuple[Callable[[Mapping[str, float]], bool], str]
"""A condition on the values together, and the sentence that states it."""


@dataclass(frozen=True)
class Sequence:
    """A signal equation with its parameters.

    ``signed``: the image keeps the sign of the equation (PSIR, MP2RAGE); all others are magnitude images.
    ``uses_pd``: the image is proportional to gain · PD (all but MP2RAGE's ratio image).
    """

    name: str
    title: str
    equation: Callable[..., Array]
    parameters: tuple[Parameter, ...]
    checks: tuple[Check, ...] = ()
    signed: bool = False
    uses_pd: bool = True

    def __reduce__(self) -> tuple[Callable[[str], Sequence], tuple[str]]:
        """Pickled by name: equations and checks are code, which other processes have too."""
        return sequence_named, (self.name,)

    def parameter(self, name: str) -> Parameter:
        """The parameter of that name (upper or lower case). Raises ProtocolError that lists the allowed names."""
        for parameter in self.parameters:
            if parameter.name == name.upper():
                return parameter
        allowed = ", ".join(p.name for p in self.parameters)
        raise ProtocolError(f"Sequence '{self.name}' has no parameter '{name}': it takes {allowed}.")

    def validate(self, values: Mapping[str, float]) -> None:
        """Raise ProtocolError unless every value is there, finite, in its bounds and consistent with the others."""
        missing = [p.name for p in self.parameters if p.default is not None and p.name not in values]
        if missing:
            raise ProtocolError(f"{self.name}: {', '.join(missing)} must be given.")
        for name, value in values.items():
            p = self.parameter(name)
            if not (math.isfinite(value) and p.minimum <= value <= p.maximum):
                unit = f" {p.unit}" if p.unit else ""
                raise ProtocolError(
                    f"{self.name}: {name}={value:g}{unit} is out of bounds: {p.title.lower()} must lie between "
                    f"{p.minimum:g} and {p.maximum:g}{unit}.{_meant_seconds(p, value)}"
                )
        for holds, sentence in self.checks:
            if not holds(values):
                listed = ", ".join(f"{k}={v:g}" for k, v in values.items())
                raise ProtocolError(f"{self.name}: {sentence} Given: {listed}.")

    def signal(
        self, r1: Array, r2: Array, values: Mapping[str, float], b1: Array = 1.0, imperfections: Mapping[str, float] | None = None
    ) -> Array:
        """Signed signal per unit of gain · PD at the rates ``r1``, ``r2`` (1/ms); ``b1`` scales every flip angle (1: as prescribed),
        ``imperfections`` are further arguments of the equation by name, such as ``inversion_efficiency``."""
        arguments = {
            p.name: math.radians(values[p.name]) * b1 if p.unit == "°" else values[p.name] for p in self.parameters if p.name in values
        }
        return self.equation(r1, r2, **arguments, **(imperfections or {}))


def _meant_seconds(parameter: Parameter, value: float) -> str:
    """A question where a time is out of bounds in milliseconds, but not in seconds."""
    milliseconds = 1000.0 * value
    if parameter.unit != "ms" or not parameter.minimum <= milliseconds <= parameter.maximum:
        return ""
    return f" Did you mean {milliseconds:g} ms ({value:g} s)?"


def _te_before_tr(v: Mapping[str, float]) -> bool:
    return v["TE"] < v["TR"]


def _ti_before_tr(v: Mapping[str, float]) -> bool:
    return v["TI"] < v["TR"]


_TE_TR: Check = (_te_before_tr, "TE must be shorter than TR.")
_TI_TR: Check = (
    _ti_before_tr,
    "TI must be shorter than TR (for MPRAGE, TR runs from inversion to inversion, not from pulse to pulse).",
)
_READOUT_FITS: Check = (
    lambda v: v.get("TI", 0.0) + v.get("L", 0.0) < v["TR"],
    "the readout train must end before the next repetition: TI + L < TR.",
)
_ECHO_FITS: Check = (lambda v: v["TI"] + v["TE"] < v["TR"], "the echo must come before the next inversion: TI + TE < TR.")
_IR_CHECKS = (_TE_TR, _TI_TR, _ECHO_FITS, _READOUT_FITS)


def _inversion_recovery(name: str, title: str, tr: float, te: float, ti: float, length: float | None, signed: bool = False) -> Sequence:
    parameters = (_tr(tr), _te(te), _ti(ti), _train(length))
    return Sequence(name, title, equations.inversion_recovery, parameters, _IR_CHECKS, signed)


_TRAIN_FITS: Check = (
    lambda v: v.get("TI", 0.0) + v["ETL"] * v["ESP"] < v["TR"],
    "the echo train must end before the next repetition: TI + ETL·ESP < TR.",
)
_ECHO_IN_TRAIN: Check = (
    lambda v: v["ESP"] <= v["TE"] <= v["ETL"] * v["ESP"],
    "TE must be that of an echo of the train: ESP ≤ TE ≤ ETL·ESP.",
)


def _refocused(name: str, title: str, parameters: tuple[Parameter, ...]) -> Sequence:
    inverted = any(p.name == "TI" for p in parameters)
    checks = (_TE_TR, _ECHO_IN_TRAIN, _TRAIN_FITS, *((_TI_TR,) if inverted else ()))
    return Sequence(name, title, equations.refocused_spin_echo, parameters, checks)


_TWO_TRAINS: tuple[Check, ...] = (
    (lambda v: v["TI1"] >= v["N"] * v["ESP"] / 2, "the first half of the first train must fit into TI1: N·ESP/2 ≤ TI1."),
    (lambda v: v["TI2"] - v["TI1"] >= v["N"] * v["ESP"], "the two trains must not overlap: TI2 − TI1 ≥ N·ESP."),
    (lambda v: v["TI2"] + v["N"] * v["ESP"] / 2 <= v["TR"], "the second train must end within TR: TI2 + N·ESP/2 ≤ TR."),
    (lambda v: v.get("TE", 0.0) < v["ESP"], "TE must be shorter than the echo spacing ESP."),
)


def _two_trains(*more: Parameter) -> tuple[Parameter, ...]:
    """The parameters of MP2RAGE."""
    return (
        _tr(5000), _ti(700, "TI1", "First inversion time"), _ti(2500, "TI2", "Second inversion time"), *more,
        _flip_angle(4, "FA1", 45), _flip_angle(5, "FA2", 45), _ESP, _pulses(160),
    )  # fmt: skip


_ALL = (
    Sequence(
        "mprage", "MPRAGE (exact, with readout train)", equations.mprage,
        (_tr(2400), _ti(1000), _te(3.16, 50), _flip_angle(8, maximum=45), _ESP, _pulses(176)),
        (
            _TI_TR,
            (lambda v: v["TI"] >= v["N"] * v["ESP"] / 2, "the first half of the train must fit into TI: N·ESP/2 ≤ TI."),
            (lambda v: v["TI"] + v["N"] * v["ESP"] / 2 <= v["TR"], "the train must end within TR: TI + N·ESP/2 ≤ TR."),
            (lambda v: v["TE"] < v["ESP"], "TE must be shorter than the echo spacing ESP."),
        ),
    ),
    Sequence("mprage_simple", "MPRAGE (the paper's equation)", equations.mprage_simple, (_tr(2400), _ti(1000)), (_TI_TR,)),
    Sequence("se", "Spin echo", equations.spin_echo, (_tr(600), _te(15)), (_TE_TR,)),
    Sequence("tse", "Turbo (fast) spin echo", equations.turbo_spin_echo, (_tr(4500), _te(100), _train(150)), (_TE_TR, _READOUT_FITS)),
    _refocused(
        "tse_rf", "Turbo spin echo, refocusing below 180°",
        (_tr(4500), _te(100), *_echo_train(15, 10), Parameter("RFA", "Refocusing flip angle", "°", 30.0, 180.0, 150)),
    ),
    _refocused("space", "3D turbo spin echo, variable angles (SPACE, CUBE, VISTA)", (_tr(3200), _te(455), *_echo_train(270, 3.8))),
    _refocused("space_flair", "3D FLAIR, variable angles", (_tr(5000), _te(394), _ti(1800), *_echo_train(220, 3.7))),
    _inversion_recovery("ir", "Inversion recovery", 2500, 15, 800, None),
    _inversion_recovery("flair", "FLAIR (fluid nulled)", 9000, 90, 2500, None),
    _inversion_recovery("stir", "STIR (fat nulled)", 4000, 40, 260, None),
    _inversion_recovery("psir", "Phase-sensitive inversion recovery", 2500, 15, 400, None, signed=True),
    Sequence(
        "dir", "Double inversion recovery", equations.double_inversion_recovery,
        (_tr(11000), _te(25), _ti(3870, "TI1", "First inversion to excitation"), _ti(627, "TI2", "Second inversion to excitation")),
        (
            _TE_TR,
            (lambda v: v["TI2"] < v["TI1"], "TI2 (second inversion to excitation) must be shorter than TI1."),
            (lambda v: v["TI1"] + v["TE"] < v["TR"], "the echo must come before the next inversion: TI1 + TE < TR."),
        ),
    ),
    Sequence("spgr", "Spoiled gradient echo (FLASH)", equations.spoiled_gradient_echo, (_tr(20, 2), _te(4, 100), _flip_angle(25)),
             (_TE_TR,)),
    Sequence("bssfp", "Balanced SSFP", equations.balanced_ssfp, (_tr(5, 2), _te(2.5, 100), _flip_angle(40)), (_TE_TR,)),
    Sequence("mp2rage", "MP2RAGE uniform image", equations.mp2rage_uni, _two_trains(), _TWO_TRAINS, signed=True, uses_pd=False),
    Sequence("mp2rage_inv1", "MP2RAGE, first inversion image (INV1)", equations.mp2rage_inv1, _two_trains(_te(3, 50)), _TWO_TRAINS),
    Sequence("mp2rage_inv2", "MP2RAGE, second inversion image (INV2)", equations.mp2rage_inv2, _two_trains(_te(3, 50)), _TWO_TRAINS),
)  # fmt: skip

SEQUENCES: dict[str, Sequence] = {sequence.name: sequence for sequence in _ALL}
"""Every sequence by its name on the command line."""


OWN_SEQUENCES: dict[str, Sequence] = {}
"""Sequences that the user wrote, by name: for rendering; the network and the fit know only SEQUENCES."""


def sequence_named(name: str) -> Sequence:
    """The sequence of that name (any case). Raises ProtocolError that lists the names there are."""
    known = {**SEQUENCES, **OWN_SEQUENCES}
    try:
        return known[name.strip().lower()]
    except KeyError:
        raise ProtocolError(f"Unknown sequence '{name}': use one of {', '.join(known)}.{meant(name, known)}") from None


def meant(name: str, known: Iterable[str]) -> str:
    """`` Did you mean 'flair'?`` where a known name is like the one given, else nothing."""
    close = get_close_matches(name.strip().lower(), list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""
