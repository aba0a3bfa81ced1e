"""What the README and the pages promise: snippets that run, messages that exist, files that are there, few lines."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest

import PhysMRISynthLib as pms
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.imaging.intake.volumes import write_image
from PhysMRISynthLib.physics.presets import protocol_from_spec
from PhysMRISynthLib.workflow.examples.small_head import small_head
from PhysMRISynthLib.workflow.rendering.simulate import simulate

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
MOST_LINES = 120


def section(title: str, text: str = README) -> str:
    """The text below a heading, up to the next one of any level."""
    body = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert body, f"there is no section '{title}'"
    return body[1]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


@pytest.mark.slow
def test_the_readmes_snippet_and_its_rendering_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # as where torch is not installed: the network would take most of the time, and other tests use it
    monkeypatch.setitem(sys.modules, "PhysMRISynthLib.network.weights", None)
    maps = small_head().maps
    specs = {"T1W": "mprage", "T2W": "tse", "FLAIR": "flair,L=150"}
    for name, image in simulate(maps, {name: protocol_from_spec(spec) for name, spec in specs.items()}, 100.0, 0.1, 1).items():
        write_image(maps.image(image), Path(f"{name}.nii.gz"))
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {"pms": pms}
    exec(snippet, names)
    (tmp_path / "dir.nii.gz").unlink()
    (tmp_path / "dir.json").unlink()
    (command,) = re.findall(r"^physmrisynth render.*", README, re.MULTILINE)
    assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    assert (tmp_path / "dir.nii.gz").exists() and (tmp_path / "maps" / "report.html").exists()


def test_links_between_the_pages_lead_somewhere() -> None:
    links = [(page, link) for page in PAGES for link in re.findall(r"\]\(((?!https?:|#)[^)\s#]+)", page.read_text(encoding="utf-8"))]
    assert len(links) > 60
    assert [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()] == []


def test_the_fresh_machine_needs_two_commands() -> None:
    commands = re.findall(r"^python3 .*", section("Two commands for a fresh machine (Python 3.11 or later)"), re.MULTILINE)
    assert [command.split("#")[0].split() for command in commands] == [["python3", "dev.py", "demo"], ["python3", "dev.py", "test"]]


# --- messages -------------------------------------------------------------------------------------------------------------------


def text_of(node: ast.AST) -> str | None:
    """A text in the source as a user may see it: what is put in is an ellipsis."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"\{[^{}]*\}", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "…" for part in node.values)
    return None


def texts_of_the_sources() -> str:
    """Every text in the module's sources."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "PhysMRISynth").rglob("*.py"))
    return "\n".join(text for tree in trees for node in ast.walk(tree) if (text := text_of(node)))


def test_the_explained_messages_are_those_that_the_module_says() -> None:
    messages = re.findall(r"^\| `(.+?)` \|", (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)
    said = texts_of_the_sources() + (ROOT / "PhysMRISynth/Resources/UI/PhysMRISynth.ui").read_text(encoding="utf-8")
    assert len(messages) > 10
    unknown = [message for message in messages if message.rstrip("…").strip() not in said]
    assert not unknown
