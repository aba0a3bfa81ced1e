"""How much is known about how an image was acquired: what an estimate is worth before it is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from ...physics.protocol import Protocol, is_assumed


class Knowledge(StrEnum):
    """What of a protocol was stated: all of it, some of it, or nothing."""

    KNOWN = "known"
    PARTLY = "partly assumed"
    UNKNOWN = "assumed"

    @property
    def glyph(self) -> str:
        """A full, a half and an empty circle."""
        return {Knowledge.KNOWN: "●", Knowledge.PARTLY: "◐", Knowledge.UNKNOWN: "○"}[self]


def knowledge_of(protocol: Protocol) -> Knowledge:
    """Of a protocol, by the source of each value."""
    return _of_sources([protocol.sources.get(name, "assumed") for name in protocol.values])


def knowledge_in(report: Mapping[str, Any]) -> dict[str, Knowledge]:
    """Of each input of an estimate's report, by role; inputs whose sources are not listed count as known."""
    found = {}
    for role, described in (report.get("inputs") or {}).items():
        parameters = (described.get("protocol") or {}).get("parameters") or {}
        found[role] = _of_sources([entry.get("source", "assumed") for entry in parameters.values()])
    return found


def specs_in(report: Any) -> dict[str, str]:
    """The protocols of the inputs that an estimate's report (JSON values) states, by role; what is not stated is left out."""
    inputs = report.get("inputs") if isinstance(report, Mapping) else None
    found = {}
    for role, described in inputs.items() if isinstance(inputs, Mapping) else ():
        protocol = described.get("protocol") if isinstance(described, Mapping) else None
        if isinstance(protocol, Mapping) and protocol.get("spec"):
            found[str(role)] = str(protocol["spec"])
    return found


def worst(found: Iterable[Knowledge]) -> Knowledge:
    """The least that is known of any."""
    order = list(Knowledge)
    return max(found, key=order.index, default=Knowledge.KNOWN)


def _of_sources(sources: list[str]) -> Knowledge:
    assumed = [is_assumed(source) for source in sources]
    if not any(assumed):
        return Knowledge.KNOWN
    return Knowledge.UNKNOWN if all(assumed) else Knowledge.PARTLY
