"""Which conditions weights know, from the head of their file: as the loaded network has them, without torch, and refused with a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import PhysMRISynthLib as pms
from PhysMRISynthLib.cli import main
from PhysMRISynthLib.errors import WeightsError
from PhysMRISynthLib.network.diffusion_config import CONDITIONS
from PhysMRISynthLib.network.diffusion_weights import load_sampler, save_sampler
from Testing.network.tiny_sampler import installed, tiny_model

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("age", "sex", "intracranial_volume", "atrophy")
RANGE = [[19.5, 0.0, 1188.0, 19.3], [88.0, 1.0, 1731.0, 29.1]]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Weights that know people's age and sex."""
    model = tiny_model(condition=NAMES)
    model.condition_range.copy_(torch.tensor(RANGE))
    path = tmp_path / "sampler.safetensors"
    save_sampler(model, "0" * 64, {}, path)
    return path


def rewritten(path: Path, **changes: torch.Tensor | None) -> Path:
    """The weights with other tensors; None: without it."""
    loaded = load_sampler(path)
    tensors = {name: changes.get(name, tensor) for name, tensor in loaded.model.state_dict().items()}
    described = {"format": "physmrisynth-sampler-3", "config": json.dumps(loaded.config.mapping())}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items() if tensor is not None}, path, metadata=described)
    return path


def test_they_are_those_of_the_loaded_network(own: Path) -> None:
    found = pms.sample_conditions(own)
    assert {name: (condition.least, condition.greatest) for name, condition in found.items()} == load_sampler(own).model.trained
    assert tuple(found) == NAMES and [condition.unit for condition in found.values()] == ["years", "", "ml", "%"]


def test_weights_that_do_not_hold_the_range_have_what_is_possible(own: Path) -> None:
    assert pms.sample_conditions(rewritten(own, condition_range=None)) == {name: CONDITIONS[name] for name in NAMES}


def test_the_installed_ones_need_neither_torch_nor_safetensors() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'PhysMRISynth')!r})\n"
        "for name in ('torch', 'monai', 'safetensors'):\n    sys.modules[name] = None\n"
        "import PhysMRISynthLib as pms; print(*pms.sample_conditions())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "brain_volume" in done.stdout.split()


def test_the_command_lists_them(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--list-conditions", "--sampler", str(own)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == list(NAMES) and "19.5 to 88 years" in shown[0] and "1188 to 1731 ml" in shown[2]
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", installed(tmp_path))
    assert main(["sample", "--list-conditions"]) == 0
    assert "ventricle_share" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no network weights at"),
        (b"", "damaged"),
        (b"\xff" * 64, "damaged"),
        (b"\x02" + bytes(7) + b"[]", "damaged"),
        (b"\x02" + bytes(7) + b"{}", "other weights than"),
    ],
)
def test_other_files_are_refused_with_a_reason(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "mine.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        pms.sample_conditions(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"could not be read|no network weights"):
        pms.sample_conditions(tmp_path)


def test_cut_and_senseless_weights_are_damaged(own: Path) -> None:
    whole = own.read_bytes()
    own.write_bytes(whole[:200])
    with pytest.raises(WeightsError, match="damaged"):
        pms.sample_conditions(own)
    own.write_bytes(whole)
    for senseless in (torch.full((2, 4), torch.nan), torch.tensor(RANGE[::-1]), torch.zeros(2, 3), torch.zeros(2, 4, dtype=torch.float64)):
        own.write_bytes(whole)
        with pytest.raises(WeightsError, match="condition_range"):
            pms.sample_conditions(rewritten(own, condition_range=senseless))
