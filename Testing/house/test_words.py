"""One word for one thing in everything that a user reads: the guide, the panel, messages and the command line's help."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "PhysMRISynth"
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.yml")]
SOURCES = [MODULE / "PhysMRISynth.py", *(path for path in (MODULE / "PhysMRISynthLib").rglob("*.py") if "training" not in path.parts)]
INSTEAD = {
    r"do(es)? not exist before|heads? that (do|does|did) not exist|this head does not exist|nobody's": "synthetic head",
    r"drawn heads?|heads? that (is|are|was|were) drawn|head is drawn|draw (a |another |new )?(heads?|seed)|drawn (again|anew)": "sample",
    r"\bwish(es|ed)?\b|told at will": "condition, target",
    r"\b(which|and|that) is none\b|\bis none\.": "is a computed image; is invalid",
    r"\bnevertheless\b": "anyway",
    r"stated by nobody|nobody stated|nobody told": "assumed",
    r"\bfamiliarity\b|\bfamiliar heads?\b|suits? the method": "out-of-distribution score, input check",
    r"what expects which tissue": "prior over tissue classes",
    r"word of the network|its word with": "tissue probabilities",
    r"\b(condenser|expander)s?\b": "second-stage encoder, decoder",
    r"\bnoising\b": "noise schedule",
    r"\bheads of two people\b|\bjoined heads?\b|\bhalves\b": "hemisphere mixing",
    r"\bdecided\b": "sharpened",
    r"\bmend(s|ed|ing)?\b": "repair",
    r"\bfor no data\b": "missing data",
    r"\bseed paper\b": "the paper",
    r"\b(no|any|some|every)body\b": "no header, no person, unknown",
    r"\bso often\b|\bat will\b|\bfor ever\b|\bnext to no|\banew\b|\bgo(es)? on\b|\bshall\b|\bas it says\b": "plain English",
    r"\bhas told\b|\bis told\b|\bare told\b|\bwas told\b|\btold (the|that|to|of|by)\b": "state, name, give",
}
"""Patterns banned in texts for users, and what to say instead."""
PLAIN_ROOMS = [
    *(MODULE / "PhysMRISynthLib" / room for room in ("physics", "headers", "network", "imaging")),
    *(MODULE / "PhysMRISynthLib" / "workflow" / room for room in ("rendering", "sampling", "examples")),
    ROOT / "Training" / "physmrisynth_training",
]
"""Their docstrings and comments are held to this too."""
IN_CODE = r"\b(wish(es|ed)?|told|nobody|anybody|somebody|anew|mend(s|ed)?|sought|seed paper|noising|shall|at will|for ever)\b|\bnext to no"
CODE = re.compile(r"```.*?```|`[^`]*`|'physmrisynth [^']*'", re.DOTALL)
"""Code and names of commands, which may contain banned words."""


def found_in(text: str) -> list[str]:
    """The words of a text that the glossary bans."""
    plain = CODE.sub("", text)
    return [f"'{match[0]}': say {instead}" for pattern, instead in INSTEAD.items() for match in re.finditer(pattern, plain, re.IGNORECASE)]


def texts_of(source: str) -> Iterator[str]:
    """The strings of a program that a user may read: several words, no docstrings."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings and " " in node.value.strip():
            yield node.value


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_speak_plainly(path: Path) -> None:
    assert found_in(path.read_text(encoding="utf-8")) == []


def test_messages_and_help_speak_plainly() -> None:
    texts = {path.relative_to(MODULE).as_posix(): [*texts_of(path.read_text(encoding="utf-8"))] for path in SOURCES}
    assert sum(map(len, texts.values())) > 500
    assert {name: found for name, entries in texts.items() if (found := [hit for text in entries for hit in found_in(text)])} == {}


def test_docstrings_and_comments_speak_plainly() -> None:
    found = []
    for path in sorted(path for room in PLAIN_ROOMS for path in room.rglob("*.py")):
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                found += [f"{path.name}:{token.start[0]}: {match[0]}" for match in re.finditer(IN_CODE, token.string, re.IGNORECASE)]
    assert found == []


def test_the_panel_speaks_plainly() -> None:
    strings = re.findall(
        r"<string>(.*?)</string>", (MODULE / "Resources" / "UI" / "PhysMRISynth.ui").read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(strings) > 50
    assert [hit for text in strings for hit in found_in(text)] == []


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("One head that did not exist before.", 1),
        ("The image was computed from scans and is none.", 1),
        ("Heads that are drawn; wishes are followed.", 2),
        ("`physmrisynth train condenser` trains it", 0),
        ("A synthetic head was sampled.", 0),
        ("Three voxels were mended for no data; the fit goes on.", 3),
        ("Values that were drawn from a distribution; what the images tell.", 0),
    ],
)
def test_banned_words_are_seen(text: str, number: int) -> None:
    assert len(found_in(text)) == number
