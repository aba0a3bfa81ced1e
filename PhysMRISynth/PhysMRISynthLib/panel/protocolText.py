"""Protocols in words and numbers: the values grouped by where they come from, and what each parameter does."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from slicer.i18n import tr as _

from ..physics.protocol import Protocol, is_assumed
from ..physics.sequences import Parameter, Sequence
from .styles import MARKED

THIN_SPACE, NO_BREAK_SPACE = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:%|ms|ml|mm|T)(?:\W|$))")


def number(value: float) -> str:
    """Whole from 10 on, with a thin space in thousands from five digits on; one decimal below."""
    if abs(value) < 9.95:
        return f"{value:.1f}".removesuffix(".0")
    grouped = f"{value:,.0f}"
    return grouped.replace(",", THIN_SPACE if abs(value) >= 9999.5 else "")


def together(text: str) -> str:
    """A text in which no line breaks between a number and its unit."""
    return _BEFORE_UNIT.sub(NO_BREAK_SPACE, text)


def parameterTitle(name: str) -> str:
    """What a reader calls a parameter: TR, TE, TI and FA as they are, the readout in words."""
    words = {"L": _("Echo train"), "ESP": _("Echo spacing"), "N": _("Pulses"), "FA": _("Flip angle")}
    return words.get(name, name)


def withUnit(parameter: Parameter, value: float) -> str:
    """``TR 2400 ms``, ``Flip angle 8°``, ``Pulses 176``."""
    gap = "" if parameter.unit in ("", "°") else NO_BREAK_SPACE
    return f"{parameterTitle(parameter.name)}{NO_BREAK_SPACE}{number(value)}{gap}{parameter.unit}"


def contradiction(told: str, sequence: Sequence) -> tuple[str, set[str]]:
    """What an error about values says, in the words of the panel and without the values, which the sliders show; and the parameters that
    it names."""
    text = told.removeprefix(f"{sequence.name}: ").partition(" Given:")[0]
    named = {p.name for p in sequence.parameters if re.search(rf"\b{p.name}\b", text)}
    for name in named:
        text = re.sub(rf"\b{name}\b", parameterTitle(name), text)
    return text[:1].upper() + text[1:], named


def sourceText(source: str) -> str:
    """A source of values as the panel names it: ``sidecar sub-1_T1w.json`` is long and shortens to ``sidecar``."""
    kind = source.partition(" ")[0]
    return {"sidecar": _("sidecar"), "typed": _("entered"), "preset": _("preset"), "DICOM": "DICOM"}.get(kind, source)


def valuesHtml(protocol: Protocol, entering: bool = False) -> str:
    """The sequence and its values, a line for each source; assumed ones are marked. Rich text for a label.

    ``entering``: the form for values is open below.
    """
    if all(is_assumed(protocol.sources.get(name, "assumed")) for name in protocol.values):
        return _nothingKnown(protocol, entering)
    grouped: dict[str, list[str]] = {}
    for name, value in protocol.values.items():
        source = protocol.sources.get(name, "assumed")
        key = _("assumed") if is_assumed(source) else sourceText(source)
        grouped.setdefault(key, []).append(withUnit(protocol.sequence.parameter(name), value))
    lines = [f"<b>{escape(protocol.sequence.title)}</b>"]
    for source in sorted(grouped, key=lambda source: source == _("assumed")):
        named = MARKED.format(escape(source)) if source == _("assumed") else f"{escape(source)}:"
        lines.append(f"{named} {escape(', '.join(grouped[source]))}")
    return "<br>".join([*lines, *(f"<i>{breakable(escape(note))}</i>" for note in protocol.notes)])


def _nothingKnown(protocol: Protocol, entering: bool) -> str:
    values = ", ".join(withUnit(protocol.sequence.parameter(n), v) for n, v in protocol.values.items() if n.startswith(("TR", "TE", "TI")))
    if entering:
        told = _("{marked} typical values: {sequence}, {values}. Enter those that you know below, or confirm all of them.")
    else:
        told = _(
            "No acquisition parameters found. {marked} typical values: {sequence}, {values}. T1 and T2 may be wrong by half or more. "
            "Choose <b>Enter values…</b> above."
        )
    return told.format(marked=MARKED.format(_("Assumed")), sequence=escape(protocol.sequence.title), values=escape(values))


def breakable(text: str) -> str:
    """With places at which a narrow panel may break a protocol's text or a path."""
    return re.sub(r"[,/\\]", lambda found: found[0] + "\N{ZERO WIDTH SPACE}", text)


def parameterTip(parameter: Parameter) -> str:
    """What a parameter is and does, for a tooltip."""
    unit = f" {parameter.unit}" if parameter.unit else ""
    bounds = _("Between {low} and {high}{unit}.").format(low=number(parameter.minimum), high=number(parameter.maximum), unit=unit)
    return f"{parameter.title} ({parameter.name}). {_effects().get(parameter.name.rstrip('12'), '')} {bounds}"


def _effects() -> dict[str, Any]:
    return {
        "TR": _("Time from one repetition to the next. Longer: tissues recover more fully, which takes T1 contrast away."),
        "TE": _("Time from excitation to echo. Longer: more T2 contrast, fluid brighter than tissue, and less signal."),
        "TI": _("Time from the inversion to the middle of the readout. A tissue vanishes at about 0.69 of its T1 when TR is long."),
        "FA": _("How far the excitation turns the magnetisation. Larger: more T1 contrast in gradient-echo images."),
        "L": _("How long the echo train lasts: magnetisation recovers only after it."),
        "ESP": _("Time from one pulse of the train to the next."),
        "N": _("Excitations after each inversion: the train lasts this many echo spacings."),
    }
