"""What a user of the command line is told when something is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from PhysMRISynthLib.cli.remedies import WORDS
from PhysMRISynthLib.errors import PhysMRISynthError


@contextmanager
def refused(error: type[PhysMRISynthError], match: str) -> Iterator[None]:
    """As ``pytest.raises``, of the cause with its remedies in the words of the command line."""
    with pytest.raises(error) as caught:
        yield
    told = caught.value.told(WORDS)
    assert re.search(match, told), f"'{told}' does not match '{match}'"
