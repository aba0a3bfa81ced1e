"""The condenser: codes of variance 1, from which latents come back; and weights that are refused where they do not belong together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from PhysMRISynthLib.errors import PhysMRISynthError, WeightsError
from PhysMRISynthLib.network.condenser import Condenser, CondenserConfig
from PhysMRISynthLib.network.condenser_weights import codes_sha256, load_expander, save_expander
from PhysMRISynthLib.network.diffusion_weights import load_sampler, sampling_weights, save_sampler
from PhysMRISynthLib.network.latent_space import Moments
from PhysMRISynthLib.network.manifest import write_manifest
from PhysMRISynthLib.network.weights import save_weights
from Testing.network.tiny_sampler import CONDENSER, tiny_condenser, tiny_model, tiny_vae, with_condenser

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")


def heads(count: int = 8) -> torch.Tensor:
    """Latents that vary smoothly along two directions: much less than their numbers."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.nn.functional.interpolate(torch.randn(2, 2, 2, 3, 2, generator=generator), size=(8, 12, 8), mode="trilinear")
    return torch.einsum("np,pcxyz->ncxyz", torch.randn(count, 2, generator=generator), patterns)


def test_latents_come_back_from_a_fraction_of_their_numbers() -> None:
    torch.manual_seed(0)
    condenser, latents = Condenser(CONDENSER), heads()
    optimizer = torch.optim.AdamW(condenser.parameters(), 2e-3)
    first = last = 0.0
    for _ in range(150):
        loss = condenser.error(*condenser(latents))
        first, last = first or float(loss.detach()), float(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert last < 0.3 * first
    codes = condenser.eval().requires_grad_(False).codes(latents)
    assert codes.shape == (8, 4, 2, 3, 2) and codes.numel() < latents.numel() / 8
    assert codes.square().mean().sqrt() == pytest.approx(1.0, abs=0.2)  # what is normalised in training is so afterwards
    back = condenser.expander.latent(codes)
    assert back.shape == latents.shape
    assert (condenser.expander.space.seen(back) - condenser.expander.space.seen(latents)).square().mean() < 0.3 * first


def test_codes_are_told_with_noise_in_training() -> None:
    """Each step draws its own; without noise the same comes back every time."""
    condenser, latents = tiny_condenser(), heads(2)
    torch.manual_seed(1)
    one = float(condenser.error(*condenser(latents)))
    torch.manual_seed(2)
    other = float(condenser.error(*condenser(latents)))
    still = Condenser(CondenserConfig(**{**vars(CONDENSER), "noise": 0.0})).eval().requires_grad_(False)
    still.load_state_dict(condenser.state_dict())
    clear = [float(still.error(*still(latents))) for _ in range(2)]
    assert one != other and clear[0] == clear[1] != one


def test_places_count_as_much_as_they_are_told_to() -> None:
    torch.manual_seed(0)
    condenser = Condenser(CondenserConfig(**{**vars(CONDENSER), "noise": 0.0})).eval().requires_grad_(False)
    latents, even = heads(2), torch.ones(1, 4, 6, 4)
    half = even.clone()
    half[:, 2:] = 0.0
    mean, sd = torch.zeros(2), torch.ones(2)
    found = []
    for emphasis in (even, half, 2.0 - half - even):
        condenser.take(Moments(mean, sd), emphasis.clamp_min(0.0))
        found.append(float(condenser.error(*condenser(latents))))
    assert found[1] != pytest.approx(found[2], rel=0.01) and found[0] == pytest.approx((found[1] + found[2]) / 2, rel=1e-5)


def test_the_expander_is_told_where_it_is_and_what_the_mean_head_has_there() -> None:
    condenser = tiny_condenser()
    codes = torch.zeros(1, 4, 2, 3, 2)
    flat = condenser.expander.seen(codes)
    assert (flat - flat.mean(dim=(2, 3, 4), keepdim=True)).abs().max() > 1e-3  # positions alone
    condenser.expander.space.centre[:, 1] += 3.0
    assert (condenser.expander.seen(codes) - flat).abs().max() > 1e-2


def test_codes_are_named_by_what_they_follow_from() -> None:
    """An expander may be trained on for the same codes; another reader or other moments make other codes."""
    condenser = tiny_condenser()
    name = codes_sha256(condenser)
    assert codes_sha256(tiny_condenser()) == name != codes_sha256(tiny_condenser(1))
    condenser.expander.leave.weight += 0.1
    assert codes_sha256(condenser) == name
    condenser.expander.space.mean += 0.1
    assert codes_sha256(condenser) != name


def test_an_expander_survives_its_file(tmp_path: Path) -> None:
    condenser = tiny_condenser()
    sha256 = save_expander(condenser, "0" * 64, {"steps": 6}, tmp_path / "expander.safetensors")
    found = load_expander(tmp_path / "expander.safetensors", sha256)
    assert (found.sha256, found.codes_sha256, found.card) == (sha256, codes_sha256(condenser), {"steps": 6})
    codes = torch.randn(1, 4, 2, 3, 2, generator=torch.Generator().manual_seed(0))
    before, after = condenser.expander.latent(codes), found.network.latent(codes)
    assert float((after - before).norm()) < 0.05 * float(before.norm())  # weights are rounded


def test_a_sampling_model_of_codes_finds_its_expander_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vae = tmp_path / "vae.safetensors"
    sampler = with_condenser(tmp_path, save_weights(tiny_vae(), {}, vae))
    found, _ = sampling_weights(sampler, vae)
    assert found.expander is not None
    free = torch.full((3,), torch.nan)
    latent = found.latent(CPU, 2, 0, free)
    assert latent.shape == (1, 2, 8, 12, 8) and torch.isfinite(latent).all()
    torch.testing.assert_close(latent, found.expander.network.latent(found.model.sample(2, 0, free)))

    manifest = tmp_path / "weights.json"
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", manifest)
    write_manifest(vae, manifest)
    write_manifest(sampler, manifest, "sampler")
    with pytest.raises(WeightsError, match="decoder of the sampling model is not installed"):
        sampling_weights()
    write_manifest(tmp_path / "expander.safetensors", manifest, "expander")
    assert sampling_weights()[0].expander is not None

    with pytest.raises(WeightsError, match="its second-stage decoder is not loaded"):
        load_sampler(sampler).latent(CPU, 2, 0, free)
    for other, vae_sha256 in ((1, found.vae_sha256), (0, "0" * 64)):  # of other codes, and to another network's latents
        save_expander(tiny_condenser(other), vae_sha256, {}, tmp_path / "expander.safetensors")
        with pytest.raises(WeightsError, match="not the shipped ones"):
            sampling_weights()
        with pytest.raises(WeightsError, match="samples other codes"):
            sampling_weights(sampler, vae)
    (tmp_path / "expander.safetensors").unlink()
    with pytest.raises(WeightsError, match="no network weights at"):
        sampling_weights(sampler, vae)


def test_what_is_no_expander_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="other weights than this version's second-stage decoder"):
        save_sampler(tiny_model(), "0" * 64, {}, tmp_path / "sampler.safetensors")
        load_expander(tmp_path / "sampler.safetensors")
    broken = tiny_condenser()
    broken.expander.leave.weight[0] = torch.nan
    with pytest.raises(WeightsError, match="not numbers in leave"):
        save_expander(broken, "0" * 64, {}, tmp_path / "broken.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"shape": [32, 48, 24]}, "multiples of 16"),
        ({"components": 17}, "at most 16 components"),
        ({"codes": 0}, "whole numbers"),
        ({"reading": [16, 24]}, "widths of multiples"),
        ({"writing": [16]}, "as many widths as blocks"),
        ({"noise": -0.1}, "noise from 0"),
        ({"colour": 1}, "Unknown field of a second stage: colour"),
        ({"fold": None}, "whole numbers"),
    ),
    ids=str,
)
def test_an_impossible_shape_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(PhysMRISynthError, match=message):
        CondenserConfig.from_mapping({**CONDENSER.mapping(), **change})
