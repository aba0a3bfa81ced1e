"""Python packages that Slicer lacks: which, asking before any is installed, and what to do when that fails."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..errors import PhysMRISynthError
from ..network.manifest import present_weights
from .remedies import inPanel

_log = logging.getLogger(__name__)
_REQUIREMENTS = Path(__file__).parents[2] / "Resources" / "requirements.txt"
_NETWORK, _SAMPLING = ("torch", "safetensors"), ("einops", "monai")
_TORCH_VERSION, _SAMPLING_TORCH = (2, 2), (2, 8)
"""The least versions that an estimate and, for MONAI, sampling need."""


def missingPackages(prior: str) -> list[str]:
    """Names of the packages that an estimate with this ``prior`` ("auto", "network", "literature") lacks.

    "auto" uses the network where its weights are installed.
    """
    network = prior == "network" or (prior == "auto" and present_weights() is not None)
    unused = _SAMPLING if network else _NETWORK + _SAMPLING
    return [name for name in _missing() if name not in unused]


def _missing() -> list[str]:
    return [name for name in ("torch", *_requirements()) if find_spec(name) is None]


def ensureInstalled(prior: str) -> bool:
    """Whether an estimate with this ``prior`` can start; asks before it installs what is missing.

    Without the network's packages "auto" goes on with the literature prior. What failed is shown with what to do. Rendering needs nothing.
    """
    optional = missingPackages(prior) if prior == "auto" else []
    optional = [name for name in optional if name in _NETWORK]
    if optional and slicer.util.confirmYesNoDisplay(
        _question(optional, _("With No, the literature prior is used; choose it under Advanced and this is not asked again."))
    ):
        _install(optional)
    required = [name for name in missingPackages(prior) if prior == "network" or name not in _NETWORK]
    if not required:
        return True
    if not slicer.util.confirmOkCancelDisplay(_question(required, _("Without them nothing can be estimated; rendering still works."))):
        return False
    return _install(required)


def ensureSampling() -> bool:
    """Whether a new head can be sampled; asks before it installs what is missing. What failed is shown with what to do."""
    missing = _missing()
    if "torch" not in missing and _torchVersion() < _SAMPLING_TORCH:
        text = _(
            "Sampling needs PyTorch {needed} or later, and Slicer has {found}. Install a later one with the module 'PyTorch Util', restart "
            "Slicer and click again. Estimating and rendering still work."
        )
        slicer.util.errorDisplay(text.format(needed=_dotted(_SAMPLING_TORCH), found=_dotted(_torchVersion())))
        return False
    if not missing:
        return True
    otherwise = _("Without them no head can be sampled; estimating and rendering still work.")
    return slicer.util.confirmOkCancelDisplay(_question(missing, otherwise)) and _install(missing, _SAMPLING_TORCH)


def _torchVersion() -> tuple[int, ...]:
    """Major and minor version of the installed one."""
    return tuple(int(part) for part in version("torch").split(".")[:2])


def _dotted(parts: Sequence[int]) -> str:
    return ".".join(map(str, parts))


def _question(names: Sequence[str], otherwise: str) -> str:
    large = _(" PyTorch is a large download (0.2 to 3 GB): Slicer does not respond for some minutes meanwhile.")
    size = large if "torch" in names else ""
    text = _("This needs these Python packages, which Slicer lacks: {names}. Download and install them now?")
    return f"{text.format(names=', '.join(names))}{size} {otherwise}"


def _install(names: Sequence[str], torch: tuple[int, ...] = _TORCH_VERSION) -> bool:
    """Install packages and say so when they are not there afterwards."""
    try:
        slicer.util.showStatusMessage(_("Installing {names} …").format(names=", ".join(names)))
        with slicer.util.WaitCursor():
            if "torch" in names:
                _installTorch(f">={_dotted(torch)}")
            others = [_requirements()[name] for name in names if name != "torch"]
            if others:
                _installOthers(others)
    except PhysMRISynthError as error:
        slicer.util.errorDisplay(inPanel(error))
        return False
    except Exception as error:  # pip, light-the-torch and the network fail in many ways, and none may leave a traceback
        _log.exception("The installation failed.")
        slicer.util.errorDisplay(_remedy(names, str(error) or type(error).__name__))
        return False
    finally:
        slicer.util.showStatusMessage("")
    importlib.invalidate_caches()
    left = [name for name in names if find_spec(name) is None]
    if left:
        slicer.util.errorDisplay(_remedy(left, _("pip ended without them")))
    return not left


def _remedy(names: Sequence[str], cause: str) -> str:
    text = _(
        "{names} could not be installed ({cause}). Check the internet connection; behind a proxy, set the environment variable HTTPS_PROXY "
        "before Slicer starts. For a computer without internet see 'Offline use' in the documentation. Rendering works meanwhile."
    )
    return text.format(names=", ".join(names), cause=cause.strip().splitlines()[-1][:200])


def _installTorch(requirement: str) -> None:
    """Through Slicer's PyTorch extension, which chooses the build that fits the computer. Raises PhysMRISynthError when it is absent."""
    try:
        utils = importlib.import_module("PyTorchUtils")
    except ImportError:
        raise PhysMRISynthError(
            _("Slicer's extension 'PyTorch' is missing. Install it in the Extensions Manager, restart Slicer and click again.")
        ) from None
    install = utils.PyTorchUtilsLogic().installTorch
    install(**_accepted(install, askConfirmation=False, torchVersionRequirement=requirement))  # asked before


def _installOthers(requirements: list[str]) -> None:
    try:
        ensure = importlib.import_module("slicer.packaging").pip_ensure
    except ImportError:  # a Slicer before 5.11
        slicer.util.pip_install(" ".join(requirements))
    else:
        ensure(requirements, **_accepted(ensure, prompt_install=False, requester="PhysMRISynth"))


def _accepted(function: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Those arguments that this version of a function takes."""
    parameters = inspect.signature(function).parameters
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {name: value for name, value in arguments.items() if anything or name in parameters}


def _requirements() -> dict[str, str]:
    """The lines of Resources/requirements.txt by the package's name."""
    lines = [line.strip() for line in _REQUIREMENTS.read_text(encoding="utf-8").splitlines()]
    return {line.partition(">")[0]: line for line in lines if line and not line.startswith("#")}
