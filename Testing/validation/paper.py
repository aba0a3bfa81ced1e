"""Fills the tables and figures of ``docs/validation/paper.md`` from the suite's results.

``python Testing/validation/paper.py RESULTS``: the folder that ``physmrisynth evaluate --suite paper … --out RESULTS`` wrote.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from physmrisynth_training.evaluation.results import markdown_table

ROOT = Path(__file__).resolve().parents[2]
PAGE, PICTURES = ROOT / "docs" / "validation" / "paper.md", ROOT / "Resources" / "docs"
PLACE = re.compile(r"<!-- table: (?P<title>[^>]+) -->\n.*?<!-- end -->", re.DOTALL)
"""A place for the table whose title begins so."""
PALETTE_COLOURS = 128
MOST_PIXELS = 1000


def filled(page: str, tables: Sequence[dict[str, Any]]) -> str:
    """The page with the suite's tables in their places. Raises LookupError for a place without a table."""

    def at(place: re.Match[str]) -> str:
        found = [table for table in tables if table["title"].startswith(place["title"])]
        if not found:
            raise LookupError(f"The results have no table '{place['title']}'.")
        (table,) = found
        return f"<!-- table: {place['title']} -->\n{table['title']}:\n\n{markdown_table(table['columns'], table['rows'])}\n<!-- end -->"

    return PLACE.sub(at, page)


def main(folder: Path) -> int:
    """Fill the page and copy the figures."""
    entry = json.loads((folder / "results.json").read_text(encoding="utf-8"))["suites"]["paper"]
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), entry["tables"]), encoding="utf-8")
    for name in ("paper", *(f"paper-{figure}" for figure in entry["figures"])):
        picture = Image.open(folder / f"{name}.png").convert("RGB")
        picture.thumbnail((MOST_PIXELS, MOST_PIXELS))
        picture.quantize(PALETTE_COLOURS).save(PICTURES / f"{name}.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else (print(__doc__, file=sys.stderr) or 2))
