"""Contrast-enhanced images, whose shortened T1 no signal equation of native tissue explains."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Any

from ..errors import ImageError, Remedy
from .header_values import SERIES_NAMES, number_of, text_of
from .sequence_family import plain, words

AGENT_FIELDS = ("ContrastBolusAgent", "ContrastBolusIngredient", "ContrastBolusVolume", "ContrastBolusRoute", "ContrastBolusStartTime")
"""Fields on the agent: which one, how much (ml), and how and when it was given."""
_WHICH, _VOLUME, _HOW = AGENT_FIELDS[:2], AGENT_FIELDS[2], AGENT_FIELDS[3:]
_DENIAL = re.compile(
    r"(?:(?:no|none|non|not|without|w/?o|ohne|keine?\w?|sans|sin|senza|nil|null|na|n/a|false|unknown|undefined)(?![a-z0-9]).*"
    r"|n|n\.a|0+(?:[.,]0+)?\s*(?:ml|cc|mmol)?)?",
    re.DOTALL,
)
"""Entries in the agent's field that mean none, without the punctuation around them."""
_MARKS = f"{string.punctuation}{string.whitespace}–—"
_ASIDE = re.compile(r"\bspace-[a-z0-9]+|\b(?:sub|ses)-[a-z0-9]+(?= )|\bce-none\b|(?<= )-c\b")
"""BIDS entities for subject, session and space, whose labels may be named after a contrast; and those for "without contrast agent"."""
_WITHOUT = words(
    r"(?:pre|non|not|no|without|w-o|wo|ohne|kein\w*|sans|sin|senza|vor)-(?:contrast\w*|kontrast\w*|enhanced|inj\w*|gd|gad\w*|km|ce|cm|mdc)"
)
_WITH = words(
    r"gd|gad|gado\w*|gadavist|dotarem|clariscan|multihance|magnevist|omniscan|prohance|eovist|primovist|elucirem|vueway|feraheme|ferumoxytol|"
    r"post(?! ?op)|\w*post-(?:gd|gad\w*|contrast\w*|kontrast\w*|km|ce|inj\w*)|contrast\w*|kontrast\w*|enhanced|inj(?:ect\w*)?|km|ce|mdc|"
    r"(?<!\d )cm|t1w?-?(?:ce|c|gd|gad\w*|km|post(?! ?op))"
)
_PLUS = re.compile(r"\+ ?(?:c|gd|km|k|cm|contrast|kontrast)(?![a-z0-9])|(?<![a-z0-9])c ?\+")


def spoken(name: str) -> str:
    """The words of a name as :func:`~.sequence_family.plain`, without misleading ones: denials of an agent, and BIDS' labels."""
    return _WITHOUT.sub(" ", plain(name, _ASIDE))


def names_agent(name: str) -> bool:
    """Whether a name says that the image was taken after a contrast agent: ``T1 +C``, ``t1_mprage_post_Gd``, BIDS' ``ce-``, a brand."""
    text = spoken(name)
    return bool(_WITH.search(text) or _PLUS.search(text))


def contrast_agent(fields: Mapping[str, Any] | None, file_name: str = "") -> str | None:
    """Evidence that an image was acquired after a contrast agent (``GADAVIST, says its header``), or None.

    Sources are the header's ``fields`` on the agent, the names of its series, and the file's name.
    """
    entry = _entry(fields or {})
    if entry:
        return f"{entry}, says its header"
    return "says its name" if names_agent(file_name) else None


def check_contrast_agent(name: str, role: str, agent: str | None, allowed: bool = False) -> str | None:
    """A note for an image that was taken after an ``agent`` (of :func:`contrast_agent`), None without one.

    Raises ImageError for a T1w image unless that is ``allowed``. ``name`` is the image's name for the user.
    """
    if agent is None:
        return None
    cause = f"{name} was taken after a contrast agent ({agent})"
    if role == "t1w" and not allowed:
        raise ImageError(
            f"{cause}, which shortens T1: its maps would be wrong. Choose the T1w image from before the agent, or leave T1w out.",
            Remedy.ALLOW_CONTRAST_AGENT,
        )
    return f"{cause}, which shortens T1: the maps are wrong where it went, in vessels and lesions."


def _entry(fields: Mapping[str, Any]) -> str | None:
    """The header's entry on an agent. The route counts unless the name or the volume denies an agent."""
    which = [text for name in _WHICH if (text := text_of(fields, name).strip())]
    volume = number_of(fields, _VOLUME)
    how = () if which or volume == 0.0 else _HOW
    given = ((name, text_of(fields, name)) for name in how)
    series = ((name, text_of(fields, name)) for name in SERIES_NAMES)
    entries = (
        *(text[:60] for text in which if not _denies(text)),
        *((f"{volume:g} ml",) if volume is not None and volume > 0.0 else ()),
        *(f"{name} {text[:40]}" for name, text in given if not _denies(text)),
        *(f"{name} '{text[:60]}'" for name, text in series if names_agent(text)),
    )
    return next(iter(entries), None)


def _denies(text: str) -> bool:
    return _DENIAL.fullmatch(text.lower().strip(_MARKS)) is not None and not names_agent(text)
