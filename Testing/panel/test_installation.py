"""Missing packages: asked first, installed the way that Slicer wants it, and what is told when that fails; nothing is installed here."""

from __future__ import annotations

import importlib
import subprocess
import sys
from functools import partial
from importlib.metadata import requires
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import slicer
from packaging.requirements import Requirement
from PySide6 import QtWidgets

from Testing.panel.harness import installDoubles
from Testing.standins import Standins, install

REAL = {"threadpoolctl", "torch", "safetensors"}


class Computer:
    """What is installed, who was asked to install what, and what the dialogs showed."""

    def __init__(self, standins: Standins, installation: Any) -> None:
        self.present: set[str] = set()
        self.calls: list[tuple[str, Any, dict[str, Any]]] = []
        self.failure: Exception | None = None
        self.dialogs, self.installation = standins.dialogs, installation

    @property
    def waiting(self) -> bool:
        """Whether the user sees that something goes on: the cursor, and a word in the status bar."""
        return QtWidgets.QApplication.overrideCursor() is not None and "torch" in self.dialogs.texts("showStatusMessage")[-1]

    def ask(self, prior: str) -> bool:
        return self.installation.ensureInstalled(prior)

    def install(self, by: str, what: Any, **options: Any) -> None:
        self.calls.append((by, what, options))
        if self.failure:
            raise self.failure
        names = [what] if isinstance(what, str) else what
        self.present |= {name.partition(">")[0] for text in names for name in text.split()}

    def shown(self, kind: str) -> str:
        return "\n".join(self.dialogs.texts(kind))


@pytest.fixture
def computer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Computer:
    """A Slicer with the PyTorch extension, installed weights and none of the packages."""
    installDoubles()
    made = install(slicer, getattr(slicer, "mrmlScene", None))
    module = importlib.import_module("PhysMRISynthLib.panel.installation")
    computer = Computer(made, module)
    monkeypatch.setattr(module, "find_spec", lambda name: SimpleNamespace() if name in computer.present else None)
    monkeypatch.setattr(module, "present_weights", lambda: tmp_path / "weights.safetensors")
    packaging = ModuleType("slicer.packaging")
    packaging.pip_ensure = partial(pip_ensure, computer)
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    offer_torch(monkeypatch, partial(install_torch, computer))
    return computer


def pip_ensure(
    computer: Computer, requirements: Any, constraints: Any = None, skip_packages: Any = None, prompt_install: bool = True,
    prompt_restart: bool = True, requester: str | None = None, skip_in_testing: bool = True, show_progress: bool = True,
) -> None:  # fmt: skip
    """As Slicer's, which installs nothing when it was started with --testing."""
    if not (skip_in_testing and slicer.app.testingEnabled()):
        computer.install("pip_ensure", requirements, prompt_install=prompt_install, requester=requester)


def install_torch(
    computer: Computer, askConfirmation: bool = False, forceComputationBackend: str | None = None,
    torchVersionRequirement: str | None = None, torchvisionVersionRequirement: str | None = None,
) -> None:  # fmt: skip
    """As the PyTorch extension's."""
    assert computer.waiting, "Slicer is frozen meanwhile, and nobody is told"
    computer.install("installTorch", "torch", askConfirmation=askConfirmation, torchVersionRequirement=torchVersionRequirement)


def offer_torch(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    utils = ModuleType("PyTorchUtils")
    utils.PyTorchUtilsLogic = lambda: SimpleNamespace(installTorch=function)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", utils)


def test_nothing_is_asked_when_nothing_is_missing(computer: Computer) -> None:
    computer.present = set(REAL)
    assert all(computer.ask(prior) for prior in ("auto", "network", "literature"))
    assert not computer.dialogs.shown and not computer.calls


def test_the_literature_prior_needs_no_torch(computer: Computer) -> None:
    assert computer.installation.missingPackages("literature") == ["threadpoolctl"]
    assert computer.ask("literature")
    assert computer.calls == [("pip_ensure", ["threadpoolctl>=3.0"], {"prompt_install": False, "requester": "PhysMRISynth"})]


def test_auto_needs_torch_only_where_there_are_weights(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert computer.installation.missingPackages("auto") == ["torch", "threadpoolctl", "safetensors"]
    monkeypatch.setattr(computer.installation, "present_weights", lambda: None)
    assert computer.installation.missingPackages("auto") == ["threadpoolctl"]
    assert "torch" in computer.installation.missingPackages("network")


def test_torch_comes_from_the_extension_and_is_asked_for_once(computer: Computer) -> None:
    computer.present = {"threadpoolctl"}
    assert computer.ask("network")
    assert [(by, what) for by, what, _ in computer.calls] == [("installTorch", "torch"), ("pip_ensure", ["safetensors>=0.4"])]
    assert computer.calls[0][2] == {"askConfirmation": False, "torchVersionRequirement": ">=2.2"}
    (question,) = computer.dialogs.texts("confirmOkCancelDisplay")
    assert "torch, safetensors" in question and "large download" in question


@pytest.mark.parametrize("arguments", ["", "askConfirmation=False", "forceComputationBackend=None, **more"])
def test_any_version_of_the_extension_will_do(computer: Computer, monkeypatch: pytest.MonkeyPatch, arguments: str) -> None:
    space = {"computer": computer}
    exec(f"def installTorch({arguments}): computer.install('installTorch', 'torch')", space)
    offer_torch(monkeypatch, space["installTorch"])
    assert computer.ask("network") and computer.present >= REAL - {"threadpoolctl"}


def test_a_test_run_of_slicer_asks_nobody_and_installs_nothing(computer: Computer) -> None:
    slicer.app.testing = True
    assert not computer.ask("network") and not computer.ask("literature") and not computer.installation.ensureSampling()
    assert not computer.calls and computer.dialogs.texts("errorDisplay") == []
    importlib.import_module("slicer.packaging").pip_ensure(["einops>=0.7"])
    assert not computer.calls, "Slicer's own function would install nothing either"


def test_declining_installs_nothing(computer: Computer) -> None:
    computer.dialogs.answer = False
    assert not computer.ask("literature") and not computer.ask("network")
    assert not computer.calls and "rendering still works" in computer.shown("confirmOkCancelDisplay")


def test_declining_torch_leaves_the_literature_prior(computer: Computer) -> None:
    computer.dialogs.answer, computer.present = False, {"threadpoolctl"}
    assert computer.ask("auto")
    assert not computer.calls and "the literature prior is used; choose it under Advanced" in computer.shown("confirmYesNoDisplay")


@pytest.mark.parametrize(
    "failure",
    [
        subprocess.CalledProcessError(1, ["pip"]),
        OSError("[Errno 101] Network is unreachable"),
        RuntimeError("ProxyError: cannot connect to proxy"),
    ],
)
def test_offline_and_proxies_are_told_with_what_to_do(computer: Computer, failure: Exception) -> None:
    computer.failure = failure
    assert not computer.ask("network")
    told = computer.shown("errorDisplay")
    assert "HTTPS_PROXY" in told and "Offline use" in told and str(failure) in told and "torch" in told


def test_an_installation_that_installs_nothing_is_noticed(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    offer_torch(monkeypatch, lambda: None)  # the extension's own question was declined
    assert not computer.ask("network")
    assert "torch could not be installed" in computer.shown("errorDisplay")


def test_without_the_extension_it_is_named(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    assert not computer.ask("network")
    assert "extension 'PyTorch'" in computer.shown("errorDisplay") and "Extensions Manager" in computer.shown("errorDisplay")


def test_sampling_asks_for_what_it_needs_beside(computer: Computer) -> None:
    computer.present = set(REAL)
    assert all(computer.ask(prior) for prior in ("auto", "network", "literature")) and not computer.dialogs.shown
    computer.dialogs.answer = False
    assert not computer.installation.ensureSampling() and not computer.calls
    assert "no head can be sampled" in computer.shown("confirmOkCancelDisplay")
    computer.dialogs.answer = True
    assert computer.installation.ensureSampling() and computer.installation.ensureSampling()
    assert [what for _, what, _ in computer.calls] == [["einops>=0.7", "monai>=1.5,<1.7"]]


def test_sampling_never_lets_pip_replace_slicers_torch(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    computer.present = {"threadpoolctl", "safetensors", "torch"}
    monkeypatch.setattr(computer.installation, "version", lambda name: "2.7.1+cu126")
    assert not computer.installation.ensureSampling() and not computer.calls
    assert "PyTorch 2.8 or later, and Slicer has 2.7" in computer.shown("errorDisplay")
    computer.present = set()
    assert computer.installation.ensureSampling()
    assert computer.calls[0][2]["torchVersionRequirement"] == ">=2.8"
    needed = [Requirement(text) for text in requires("monai") or () if text.startswith("torch")]
    assert all("2.8" in requirement.specifier for requirement in needed if not requirement.marker), needed


def test_an_older_slicer_without_packaging(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(slicer.util, "pip_install", lambda text: computer.install("pip_install", text))
    assert computer.ask("literature")
    assert computer.calls == [("pip_install", "threadpoolctl>=3.0", {})]


def test_slicers_own_packages_are_never_asked_for(computer: Computer) -> None:
    asked = {name for prior in ("auto", "network", "literature") for name in computer.installation.missingPackages(prior)}
    assert asked == REAL
