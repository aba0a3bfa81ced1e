"""The protocol and the role of a volume node: typed, of our own rendering, from DICOM, from a BIDS sidecar, or assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ImageError, ProtocolError
from ..imaging.acquisition import Acquisition
from ..imaging.roles import ROLES, role_of_name, role_of_timing, rules_out_a_role
from ..imaging.sidecar import acquisition, default_protocol, protocol_from_sidecar, read_sidecar, sidecar_of, stated_field_strength
from ..physics.presets import echo_time_is_estimated, protocol_from_spec
from ..physics.protocol import Protocol, parse_protocol
from .dicom import contrastAgent, dicomFields, hasTiming
from .volumes import checkIsImage, titleOf, volumeFromNode

PROTOCOL = "PhysMRISynth.Protocol"
"""Attribute of our own renderings: the protocol's spec."""
_DICOM = "DICOM"
QUANTITY = "PhysMRISynth.Quantity"
"""Attribute of everything that is derived from scans ("PD", "T1_sd", "rendering" …)."""


@dataclass(frozen=True)
class InputProtocol:
    """A protocol, whose ``sources`` tell where each value came from, and the BIDS-like header ``fields`` (seconds) of the image."""

    protocol: Protocol
    fields: Mapping[str, Any] | None


def inputProtocol(node: Any, role: str, typed: str | None = None) -> InputProtocol:
    """The protocol of an input of ``role`` t1w, t2w or flair.

    What the user ``typed`` (a preset or a spec; ms) goes first; then our own rendering's attribute, DICOM, the sidecar beside the file,
    and a default that says so. Raises ProtocolError, with the node's name, for values that cannot be.
    """
    rendered = node.GetAttribute(PROTOCOL)
    try:
        fields, source = _headerFields(node)
        if typed and typed.strip():
            protocol = protocol_from_spec(typed, "typed")
        elif rendered:
            protocol = parse_protocol(rendered, "rendering")
        elif fields is not None and (source != _DICOM or hasTiming(fields)):
            protocol = protocol_from_sidecar(fields, role, source)
        else:
            protocol = default_protocol(role)
    except ProtocolError as error:
        told = str(error).replace(" on the command line", "")  # here it is given in the panel or as an argument
        raise ProtocolError(f"{titleOf(node)}: {told}") from error
    return InputProtocol(protocol, fields)


def acquisitionFromNode(node: Any, role: str, typed: str | None = None) -> Acquisition:
    """A node as an input for the estimate: voxels in the world, protocol, field strength, and what to do about nominal echo times.

    Raises ImageError for what cannot be used: no image of a head, or a T1w image after a contrast agent; ProtocolError for its protocol.
    """
    volume = volumeFromNode(node)
    found = inputProtocol(node, role, typed)
    agent = contrastAgent(found.fields)
    if role == "t1w" and agent:
        raise ImageError(
            f"{titleOf(node)} was taken after a contrast agent ({agent}, says its header), which shortens T1: its maps would be wrong. "
            "Choose the T1w image from before the agent, or leave T1w out."
        )
    made = acquisition(role, volume, found.protocol, found.fields)
    if typed and echo_time_is_estimated(typed):
        made = replace(made, conventional_echo_time=found.protocol.values["TE"])
    return replace(made, field_strength=stated_field_strength(found.fields, titleOf(node))) if found.fields else made


def roleOf(node: Any) -> str | None:
    """``t1w``, ``t2w`` or ``flair`` as the DICOM header or else the name tells it; None for anything else, such as maps and renderings."""
    if node.GetAttribute(QUANTITY):
        return None
    fields = dicomFields(node) or {}
    stated = [str(fields[key]) for key in ("SeriesDescription", "ProtocolName") if fields.get(key)]
    name = node.GetName() or ""
    if contrastAgent(fields) or any(rules_out_a_role(text) for text in (*stated, name)):
        return None
    told = (*(role_of_name(text) for text in stated), role_of_timing(fields), role_of_name(name))
    return next((role for role in told if role), None)


def defaultInputs(scene: Any) -> dict[str, Any]:
    """The best node of each role that the scene has: of several, the one with a known protocol, then with the finest slices."""
    candidates: dict[str, list[Any]] = {role: [] for role in ROLES}
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode")
        role = roleOf(node) if _isOffered(node) else None
        if role:
            candidates[role].append(node)
    return {role: min(nodes, key=_lastChoice) for role, nodes in candidates.items() if nodes}


def _isOffered(node: Any) -> bool:
    try:
        checkIsImage(node)
    except ImageError:
        return False
    return not node.GetHideFromEditors()


def _lastChoice(node: Any) -> tuple[bool, float]:
    """Smaller is better."""
    try:
        known = hasTiming(_headerFields(node)[0]) or bool(node.GetAttribute(PROTOCOL))
    except ProtocolError:  # a damaged sidecar is told when the node is used
        known = False
    return not known, round(max(node.GetSpacing()), 2)


def _headerFields(node: Any) -> tuple[Mapping[str, Any] | None, str]:
    """The fields of the node's DICOM header, else of the sidecar beside its file, and the name of their source.

    A DICOM header without timing (anonymised, or converted) gives way to a sidecar.
    """
    fields = dicomFields(node)
    if hasTiming(fields):
        return fields, _DICOM
    storage = node.GetStorageNode()
    file = storage.GetFullNameFromFileName() if storage else None
    sidecar = sidecar_of(Path(file)) if file else None
    if sidecar is not None:
        return {**(fields or {}), **read_sidecar(sidecar)}, f"sidecar {sidecar.name}"
    return fields, _DICOM
