"""Tables as tab-separated files: written whole or not at all, n/a where there is no value, as BIDS has it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ImageError, Remedy
from .bids_derivatives import write_text
from .outputs import check_free

_NONE = ("", None)


def check_table(path: Path, overwrite: bool) -> None:
    """Raise ImageError when a table may not be written there: taken, or not a .tsv file."""
    if path.suffix.lower() != ".tsv":
        raise ImageError(f"{path.name} is not the name of a table.", Remedy.NAME_OUTPUT(suffix=".tsv"))
    check_free(path, overwrite)
    if path.is_dir():
        raise ImageError(f"{path} is a folder where a table is to be written.", Remedy.CHOOSE_OUTPUT)


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write ``rows``, whose first names the columns, under a temporary name and rename. Raises ImageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(table_text(rows), path)
    except OSError as error:
        raise ImageError(f"{path} could not be written ({error.strerror or error}). Check free space and permissions.") from error


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """``rows`` as tab-separated text; numbers with four significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value in _NONE or (isinstance(value, float) and not math.isfinite(value)):
        return "n/a"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    return str(value)


def read_names(path: Path) -> dict[int, str]:
    """Names by label of a table with the columns index and name, as a BIDS dseg.tsv has them. Raises ImageError."""
    try:
        lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), delimiter="\t"))
        names = {int(line["index"]): line["name"].strip() for line in lines}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"{path} cannot be read ({error}). Give a tab-separated table of the columns index and name.") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ImageError(f"{path} is not a table of names. Give a tab-separated table of the columns index and name.") from error
    doubled = {name for name in names.values() if list(names.values()).count(name) > 1}
    if not names or len(lines) > len(names) or doubled:
        raise ImageError(f"{path} names no label, or two labels alike ({', '.join(sorted(doubled)) or 'index'}). Give each its own name.")
    return names
