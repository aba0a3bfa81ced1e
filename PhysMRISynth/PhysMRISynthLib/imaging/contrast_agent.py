"""Images after a contrast agent, whose shortened T1 no signal equation of native tissue explains."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import ImageError
from .header_values import text_of

_FIELDS = ("ContrastBolusAgent", "ContrastBolusIngredient")
_NONE = {"", "no", "none", "n", "n/a", "na", "nil", "0", "false", "without", "ohne", "no contrast"}
_ENTITY = re.compile(r"_ce-(?!none)[a-z0-9]+", re.IGNORECASE)
"""BIDS' word in a file's name."""


def contrast_agent(fields: Mapping[str, Any] | None, file_name: str = "") -> str | None:
    """The contrast agent that the header or BIDS' entity ``_ce-`` in the file's name tells, or None."""
    stated = (text_of(fields or {}, name).strip() for name in _FIELDS)
    named = _ENTITY.search(file_name)
    return next((agent for agent in stated if agent.lower() not in _NONE), named[0] if named else None)


def check_contrast_agent(name: str, role: str, agent: str | None, allowed: bool | None = None) -> str | None:
    """A note for an image that was taken after an ``agent``, None where there was none.

    Raises ImageError for a T1w image unless that is ``allowed``; None: where it cannot be, and the message names no option for it.
    ``name`` is what the user calls the image.
    """
    if agent is None:
        return None
    cause = f"{name} was taken after a contrast agent ({agent[:60]}, says its header)"
    if _ENTITY.fullmatch(agent):
        cause = f"{name} was taken after a contrast agent, says its name"
    if role == "t1w" and not allowed:
        option = "" if allowed is None else " --allow-contrast-agent takes it nevertheless."
        raise ImageError(
            f"{cause}, which shortens T1: its maps would be wrong. Choose the T1w image from before the agent, or leave T1w out.{option}"
        )
    return f"{cause}, which shortens T1: the maps are wrong where it went, in vessels and lesions."
