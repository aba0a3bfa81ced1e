"""Choosing a contrast: buttons for the clinical ones, a list of all, and what a preset was solved for."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import qt
from slicer.i18n import tr as _

from ..errors import ProtocolError
from ..physics.contrast import TissuePoint, signals
from ..physics.nulling import inversion_times
from ..physics.presets import Preset, all_presets
from ..physics.protocol import Protocol, parse_protocol
from ..workflow.estimation.knowledge import specs_in
from ..workflow.rendering.contrast_choice import caption, mismatch
from .choices import SEPARATOR
from .keyboard import tabOrder
from .protocolText import NO_BREAK_SPACE, number, together, withUnit
from .runText import ROLE_TITLES
from .styles import WARNED

ACQUIRED, RECENT = "acquired:", "recent:"
"""Beginnings of values that are no presets: the protocol of an input, and one that was saved lately."""
_COLUMNS = 4


def makeButtons(parent: Any, before: Any, chosen: Any) -> dict[str, Any]:
    """A button for each clinical preset, in a grid in ``parent``; ``chosen(name)`` is called on a click. Buttons by name."""
    buttons = {}
    layout = parent.layout()
    for index, preset in enumerate(preset for preset in all_presets().values() if preset.group == "clinical"):
        button = qt.QPushButton(preset.title)
        button.setObjectName(f"{preset.name}Button")
        button.toolTip = presetTip(preset)
        button.setMinimumWidth(20)
        button.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        button.connect("clicked(bool)", lambda checked, name=preset.name: chosen(name))
        layout.addWidget(button, index // _COLUMNS, index % _COLUMNS)
        buttons[preset.name] = button
    tabOrder([before, *buttons.values()])
    return buttons


def presetTip(preset: Preset) -> str:
    """What a preset is, with the textbook values of one that is solved anew for every head."""
    field = _("any field strength") if preset.field_strength is None else _("{field:g} T").format(field=preset.field_strength)
    values = caption(preset.protocol)
    if preset.null:
        told = _("Solved for each head. Textbook values ({field}): {values}. {source}")
        return told.format(field=field, values=values, source=preset.source)
    return _("{values} ({field}). {source}").format(values=values, field=field, source=preset.source)


def entries(field: float | None, report: Mapping[str, Any], recent: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """(text, value) of the list, in groups, and the tooltips; ``field`` is that of the maps (None: no maps)."""
    found, tips = [(_("Custom"), "")], [_("Values that were set with the sliders.")]
    groups: dict[str, list[Preset]] = {"clinical": [], "own": [], "study": []}
    for preset in all_presets().values():
        groups[preset.group].append(preset)
    for group in ("clinical", "own", "acquired", "study"):
        if group == "acquired":
            rows = [*_acquired(report), *_recent(recent)]
        else:
            rows = [(_titleOf(preset, field), preset.name, presetTip(preset)) for preset in groups[group]]
        if rows:
            found += [("", SEPARATOR), *((text, value) for text, value, _tip in rows)]
            tips += ["", *(tip for _text, _value, tip in rows)]
    return found, tips


def _titleOf(preset: Preset, field: float | None) -> str:
    """A preset that does not suit the maps says for which field strength it is."""
    if field is None or preset.null or preset.is_for(field):
        return preset.title
    return f"{preset.title} ({preset.field_strength:g} T)"


def _acquired(report: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    rows = []
    for role, spec in specs_in(report).items():
        protocol = _understood(spec)
        if protocol is not None:
            tip = _("The protocol of the acquired image: {values}").format(values=caption(protocol))
            rows.append((_("As acquired: {role}").format(role=ROLE_TITLES.get(role, role)), f"{ACQUIRED}{role}", tip))
    return rows


def _recent(specs: list[str]) -> list[tuple[str, str, str]]:
    known = [(spec, protocol) for spec in specs if (protocol := _understood(spec)) is not None]
    return [(_("Recent: {values}").format(values=caption(p)), f"{RECENT}{spec}", caption(p)) for spec, p in known]


def _understood(spec: str | None) -> Protocol | None:
    try:
        return parse_protocol(spec, "panel") if spec else None
    except ProtocolError:
        return None


def noteHtml(preset: Preset | None, protocol: Protocol | None, points: Mapping[str, TissuePoint] | None, field: float) -> str:
    """What the values of a preset were solved for, or why they may not suit these maps; empty where there is nothing to say."""
    if preset is None or points is None or protocol is None:
        return ""
    unsuited = mismatch(preset, field)
    if unsuited:
        return WARNED.format(escape(unsuited))
    if not preset.null:
        return ""
    tissues = [points[name] for name in preset.null if name in points]
    times = ", ".join(withUnit(protocol.sequence.parameter(name), protocol.values[name]) for name in inversion_times(protocol.sequence))
    named = ", ".join(_("{title} T1 {t1} ms").format(title=tissue.title, t1=number(tissue.t1)) for tissue in tissues)
    told = together(_("<b>{times}</b> for this head ({named}).").format(times=times, named=named))
    published = [tissue.title for tissue in tissues if not tissue.own]
    if published:
        told += " " + WARNED.format(escape(_("{tissues}: published value, not found in these maps.").format(tissues=", ".join(published))))
    return told


def signalsText(protocol: Protocol | None, points: Mapping[str, TissuePoint] | None) -> str:
    """The signal of the tissues in % of fully relaxed water."""
    if protocol is None or points is None:
        return ""
    shown = [points[name] for name in ("white_matter", "cortex", "csf", "lesion") if name in points]
    names = {"white_matter": _("white matter"), "cortex": _("cortex"), "csf": _("CSF"), "lesion": _("lesion")}
    unit = 100.0 if protocol.sequence.uses_pd else 1.0
    values = (unit * signals(protocol, shown)).tolist()
    listed = " · ".join(f"{names[p.name]}{NO_BREAK_SPACE}{value:.1f}" for p, value in zip(shown, values, strict=True))
    return _("Signal (%): {listed}").format(listed=listed.replace("-0.0", "0.0"))
