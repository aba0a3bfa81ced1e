"""What the DICOM headers of a volume node say about its acquisition, as BIDS-like fields (seconds)."""

from __future__ import annotations

import logging
from typing import Any

import slicer

from ..errors import ImageError
from ..headers.dicom_header import ENHANCED, SOP_CLASS, classic_fields, dicom_fields

_log = logging.getLogger(__name__)


def dicomFields(node: Any) -> dict[str, Any] | None:
    """The BIDS-like fields of the first instance of a node that was loaded from DICOM; None for other nodes.

    Values that the header lacks, or that are not numbers, are left out.
    """
    database = getattr(slicer, "dicomDatabase", None)
    uids = (node.GetAttribute("DICOM.instanceUIDs") or "").split()
    if database is None or not uids:
        return None
    uid = uids[0]

    def value(tag: str) -> str:
        return str(database.instanceValue(uid, tag) or "").strip()

    if value(SOP_CLASS) in ENHANCED:  # its parameters are nested, which the database does not look into
        try:
            return dicom_fields(database.fileForInstance(uid))
        except ImageError as error:
            _log.warning("The protocol of %s stays unknown: %s", node.GetName(), error)
    return classic_fields(value)
