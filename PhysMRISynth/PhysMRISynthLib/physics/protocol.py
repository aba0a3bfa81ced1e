"""A sequence with values, and where each value came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ProtocolError
from .dual import Array, Dual, exp
from .sequences import Sequence, sequence_named

TRANSMIT_FIELD = "transmit_field"
"""The imperfection that scales every flip angle; all others are arguments of the equations."""
_LIKE_SECONDS = 20.0
"""ms: no practical inversion time is shorter."""


@dataclass(frozen=True)
class Rates:
    """Inputs of all equations from θ: ``pd`` (fraction of water), and 1/T1 and 1/T2 in 1/ms with their derivatives by log T1 and log T2."""

    pd: Array
    r1: Dual
    r2: Dual

    @classmethod
    def of(cls, theta: Array) -> Rates:
        """At ``theta`` = (log PD, log T1/ms, log T2/ms), shape (3, …)."""
        r1, r2 = exp(-theta[1]), exp(-theta[2])
        return cls(exp(theta[0]), Dual(r1, d1=-r1), Dual(r2, d2=-r2))


@dataclass(frozen=True)
class Protocol:
    """A sequence's parameter values (ms, degrees) and the source of each ("command line", "preset …", "sidecar …",
    "default", "assumed: why").

    ``notes`` are cautions for the user, for example that a nominal echo time was replaced. ``imperfections`` are fitted deviations of
    the scanner from the prescription, by name (:mod:`.nuisances`).
    Raises ProtocolError when a value is out of bounds or values contradict each other.
    """

    sequence: Sequence
    values: Mapping[str, float]
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    imperfections: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sequence.validate(self.values)

    @classmethod
    def of(cls, sequence: str, source: str = "script", **values: float) -> Protocol:
        """``Protocol.of("flair", TR=9000, TE=90, TI=2500)``: parameters not given take the sequence's defaults."""
        chosen = sequence_named(sequence)
        given = {chosen.parameter(name).name: float(value) for name, value in values.items()}
        complete, sources = {}, {}
        for p in chosen.parameters:
            value = given.get(p.name, p.default)
            if value is not None:
                complete[p.name] = float(value)
                sources[p.name] = source if p.name in given else "default"
        return cls(chosen, complete, sources)

    def changed(self, source: str, note: str | None = None, **values: float) -> Protocol:
        """A copy with other values from ``source``, and a note added when given."""
        values = {self.sequence.parameter(name).name: float(value) for name, value in values.items()}
        notes = self.notes if note is None else (*self.notes, note)
        sources = {**self.sources, **dict.fromkeys(values, source)}
        return replace(self, values={**self.values, **values}, sources=sources, notes=notes)

    def as_json(self) -> dict[str, Any]:
        """The protocol as JSON values, from which :meth:`from_json` makes an equal one."""
        parts = {name: dict(getattr(self, name)) for name in ("values", "sources", "imperfections")}
        return {"sequence": self.sequence.name, **parts, "notes": list(self.notes)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Protocol:
        """Raises ProtocolError for invalid values, LookupError for missing ones."""
        sequence, values, sources = sequence_named(told["sequence"]), told["values"], told["sources"]
        return cls(sequence, values, sources, tuple(told["notes"]), told["imperfections"])

    @property
    def assumed(self) -> tuple[str, ...]:
        """The assumed values, as ``NAME=value unit``: defaults of the sequence, and guesses from the other values."""
        unstated = (name for name, source in self.sources.items() if is_assumed(source))
        parameters = {name: self.sequence.parameter(name) for name in unstated}
        return tuple(f"{name}={_shortest(self.values[name])}{f' {p.unit}' if p.unit else ''}" for name, p in parameters.items())

    @property
    def spec(self) -> str:
        """Text that :func:`parse_protocol` reads back, ``flair,TR=9000,TE=90,TI=2500``."""
        return ",".join([self.sequence.name, *(f"{name}={_shortest(value)}" for name, value in self.values.items())])

    def signal(self, pd: Array, t1: Array, t2: Array, b1: Array = 1.0) -> Array:
        """The noise-free image at unit gain, magnitude unless the sequence keeps the sign.

        ``pd`` fraction of water, ``t1`` and ``t2`` in ms; NumPy arrays or torch tensors of one shape, also the result's.
        """
        signal = self._relative(1.0 / t1, 1.0 / t2, b1)
        if self.sequence.uses_pd:
            signal = pd * signal
        return signal if self.sequence.signed else abs(signal)

    def signal_and_derivatives(self, theta: Array | Rates) -> tuple[Array, tuple[Array | None, Array | None, Array | None]]:
        """Signed signal and its three derivatives (None: zero) at ``theta`` = (log PD, log T1/ms, log T2/ms), shape (3, …), or at rates
        shared by several protocols."""
        rates = theta if isinstance(theta, Rates) else Rates.of(theta)
        relative = self._relative(rates.r1, rates.r2, 1.0)
        if not isinstance(relative, Dual):
            raise TypeError(f"sequence {self.sequence.name} lost its derivatives")
        if not self.sequence.uses_pd:
            return relative.value, (None, relative.d1, relative.d2)
        signal = relative * rates.pd
        return signal.value, (signal.value, signal.d1, signal.d2)

    def _relative(self, r1: Array, r2: Array, b1: Array) -> Array:
        """Signed signal per unit of gain · PD."""
        beside = dict(self.imperfections)
        return self.sequence.signal(r1, r2, self.values, b1 * beside.pop(TRANSMIT_FIELD, 1.0), beside)


def is_assumed(source: str) -> bool:
    """Whether a source marks an assumed value: "default", or "assumed" with or without a reason after a colon."""
    return source.partition(":")[0] in ("default", "assumed")


def parse_protocol(text: str, source: str = "command line") -> Protocol:
    """Read ``sequence,TR=2400,TI=1000,…`` (ms, degrees). Raises ProtocolError that lists what is allowed."""
    name, *assignments = [part.strip() for part in text.split(",")]
    values: dict[str, float] = {}
    for assignment in assignments:
        key, equals, number = (part.strip() for part in assignment.partition("="))
        if not equals or not key:
            raise ProtocolError(f"'{assignment}' in protocol '{text}' is not NAME=VALUE, for example TR=2400 (ms).")
        if key.upper() in values:
            raise ProtocolError(f"{key.upper()} is given twice in protocol '{text}'.")
        try:
            values[key.upper()] = float(number)
        except ValueError:
            raise ProtocolError(f"'{number}' is not a number for {key} in protocol '{text}' (ms or degrees).") from None
    protocol = Protocol.of(name, source, **values)
    note = _meant_seconds(protocol, values)
    return protocol if note is None else replace(protocol, notes=(*protocol.notes, note))


def _meant_seconds(protocol: Protocol, given: Mapping[str, float]) -> str | None:
    """A note if an inversion time, or the TR of an inversion sequence, is so short that seconds may have been meant."""
    if not any(p.name.startswith("TI") for p in protocol.sequence.parameters):
        return None
    short = [name for name, value in given.items() if name.startswith(("TI", "TR")) and value < _LIKE_SECONDS]
    if not short:
        return None
    name = short[0]
    return f"{name}={given[name]:g} means {given[name]:g} ms. Did you mean {name}={1000 * given[name]:g} ({given[name]:g} s)?"


def _shortest(value: float) -> str:
    """The shortest decimal that reads back as the same number, without a trailing ``.0``."""
    return repr(value).removesuffix(".0")
