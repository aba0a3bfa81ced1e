"""Latent diffusion: its processes end where they should, a perfect network finds the data, and what is no sampling model is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from physmrisynth_training.learning.latent_config import CondenserTrainingConfig
from PhysMRISynthLib.errors import PhysMRISynthError, WeightsError
from PhysMRISynthLib.network import diffusion as diffusion_module
from PhysMRISynthLib.network.condenser import CondenserConfig
from PhysMRISynthLib.network.config import CONDENSER_CONFIGURATIONS, SAMPLER_CONFIGURATIONS, read_configuration
from PhysMRISynthLib.network.diffusion_config import CONDITIONS, OBJECTIVES, DiffusionConfig, condition_vector
from PhysMRISynthLib.network.diffusion_weights import load_sampler, sampling_weights, save_sampler
from PhysMRISynthLib.network.inference import decode
from PhysMRISynthLib.network.latent_space import Moments
from PhysMRISynthLib.network.manifest import file_sha256, shipped_weights, write_manifest
from PhysMRISynthLib.network.noise_schedule import diffusion_process, step
from PhysMRISynthLib.network.weights import load_weights, save_weights
from Testing.network.tiny_sampler import TINY, VAE, installed, tiny_model, tiny_vae

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
RESIDUAL = tuple(name for name in OBJECTIVES if name.endswith("_residual"))


# --- processes ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", (1, 4, 30))
@pytest.mark.parametrize("schedule", ("scaled_linear_beta", "cosine"))
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_perfect_prediction_leads_from_noise_to_the_data(objective: str, schedule: str, steps: int) -> None:
    """With the truth predicted at every step, any number of steps ends at the data: mean times, signs and shares are right."""
    process = diffusion_process(replace(TINY, objective=objective, schedule=schedule, shift=3.0))
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn((2, 1, 4, 4, 4), generator=generator, dtype=torch.float64)[:, None]
    step_times = process.step_times(steps)
    assert len(step_times) == steps and all(one[1] == other[0] for one, other in pairwise(step_times))
    x = process.noisy(clean, noise, torch.tensor([step_times[0][0]]))
    assert float(torch.corrcoef(torch.stack([x.flatten(), noise.flatten()]))[0, 1]) > 0.99  # it begins where there is hardly anything else
    for now, then in step_times:
        x = step(process, process.target(clean, noise, torch.tensor([now])), x, now, then, torch.zeros(clean.shape), 0.0)
    torch.testing.assert_close(x, clean, atol=2e-3, rtol=0)


@pytest.mark.parametrize("renewal", (0.0, 0.5, 1.0))
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_leaves_as_much_noise_as_belongs_there(objective: str, renewal: float) -> None:
    """Whatever share of the noise is drawn anew, the mixture after a step is one of the later time; with 1 as much is forgotten as from
    data to more and more noise: a mixture of the earlier time follows from the later one by fresh noise alone."""
    process = diffusion_process(replace(TINY, objective=objective))
    clean, noise, fresh, more = torch.randn((4, 1, 2, 100, 500), dtype=torch.float64)
    for now, then in process.step_times(4)[:-1]:
        before = process.noisy(clean, noise, torch.tensor([now]))
        after = step(process, process.target(clean, noise, torch.tensor([now])), before, now, then, fresh, renewal)
        (data_now, noise_now), (data_then, noise_then) = process.factors(now), process.factors(then)
        left = (after - data_then * clean) / noise_then
        assert float(left.std()) == pytest.approx(1.0, rel=0.01)
        forward = data_now / data_then * (data_then * clean + noise_then * noise)
        forward += (noise_now**2 - (data_now / data_then * noise_then) ** 2) ** 0.5 * more
        alike = float((((forward - data_now * clean) / noise_now) * noise).mean())
        assert float((left * noise).mean()) == pytest.approx((1.0 - renewal**2 * (1.0 - alike**2)) ** 0.5, abs=0.02)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_more_steps_than_times_take_every_time_once(objective: str) -> None:
    model = tiny_model(objective=objective, time_steps=20, shift=8.0)
    step_times = model.process.step_times(100)
    assert all(now > then for now, then in step_times) and len(step_times) <= 20
    told: list[float] = []
    assert torch.isfinite(model.sample(100, 0, progress=told.append)).all() and told[-1] == 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_times_cover_the_whole_way(objective: str) -> None:
    torch.manual_seed(0)
    times = diffusion_process(replace(TINY, objective=objective)).random_times(4000).double() / TINY.time_steps
    assert 0 <= times.min() < 0.05 and 0.95 < times.max() <= 1 and abs(times.mean() - 0.5) < 0.02
    if objective == "flow":
        assert diffusion_process(replace(TINY, shift=3.0)).random_times(4000).double().mean() / TINY.time_steps > 0.65


@pytest.mark.parametrize("objective", RESIDUAL)
def test_a_silent_network_leaves_the_best_linear_estimate(objective: str) -> None:
    """Without a word from the network the estimate of the data errs no more than any linear filter's, at every time, in every channel
    and every place."""
    process = diffusion_process(replace(TINY, objective=objective))
    variance = torch.tensor([4.0, 1.0, 0.1]).view(3, 1, 1) * torch.linspace(0.1, 1.0, 4).view(1, 4, 1)
    for time in (20, 300, 700, TINY.time_steps - 1):
        clean = variance.sqrt() * torch.randn(20, 3, 4, 4000)
        times = torch.full((20,), time)
        noisy = process.noisy(clean, torch.randn(clean.shape), times)
        estimate, _ = process.split(process.prediction(torch.zeros(clean.shape), noisy, times, variance), noisy, time)
        data, noise = process.factors(time)
        power = variance * data**2 + noise**2
        torch.testing.assert_close((estimate - clean).square().mean(dim=(0, 3)), (variance * noise**2 / power)[..., 0], rtol=0.05, atol=0)
        network_input = process.network_input(noisy, times, variance)
        torch.testing.assert_close(network_input.square().mean(dim=(0, 3)), torch.ones(3, 4), rtol=0.05, atol=0)


@pytest.mark.parametrize("time", (0, 50, 500, 999))
@pytest.mark.parametrize("objective", RESIDUAL)
def test_the_network_can_say_all_that_the_linear_estimate_lacks(objective: str, time: int) -> None:
    """What it must say has variance 1 whatever the time."""
    process, variance = diffusion_process(replace(TINY, objective=objective)), torch.tensor([3.0, 0.2]).view(2, 1, 1)
    clean, noise = variance.sqrt() * torch.randn(1, 2, 25, 20), torch.randn(1, 2, 25, 20)
    times = torch.tensor([time])
    noisy, target = process.noisy(clean, noise, times), process.target(clean, noise, times)
    silent, unit = (process.prediction(torch.full(clean.shape, said), noisy, times, variance) for said in (0.0, 1.0))
    rest = (target - silent) / (unit - silent)
    assert rest.square().mean() < 1.3
    torch.testing.assert_close(process.prediction(rest, noisy, times, variance), target, atol=1e-4, rtol=1e-4)


# --- the model ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", (1, 2))
def test_folding_comes_back_and_normalises(fold: int) -> None:
    space = tiny_model(fold=fold).space
    space.take(Moments(torch.tensor([3.0, -1.0]), torch.tensor([2.0, 0.5])))
    latent = torch.tensor([3.0, -1.0]).view(1, 2, 1, 1, 1) + torch.tensor([2.0, 0.5]).view(1, 2, 1, 1, 1) * torch.randn(1, 2, 8, 12, 8)
    seen = space.seen(latent)
    assert seen.shape == (1, *space.config.seen_shape) and abs(seen.mean()) < 0.1 and abs(seen.std() - 1) < 0.1
    torch.testing.assert_close(space.latent(seen), latent)


def test_components_tell_a_latent_about_the_mean_head() -> None:
    """What lies along the kept axes comes back, what does not is lost, and nothing known is the mean head."""
    space = tiny_model(components=3).space
    axes = torch.linalg.qr(torch.randn(16, 16))[0][:, :3]
    centre, spread, variance = torch.randn(3, 4, 6, 4), torch.tensor(2.0), torch.rand(3, 4, 6, 4)
    space.take(Moments(torch.tensor([3.0, -1.0]), torch.tensor([2.0, 0.5]), axes, centre, spread, variance))
    seen = torch.randn(1, 3, 4, 6, 4)
    latent = space.latent(seen)
    assert latent.shape == (1, 2, 8, 12, 8)
    torch.testing.assert_close(space.seen(latent), seen)
    torch.testing.assert_close(space.latent(space.seen(latent)), latent)
    other = space.latent(space.seen(latent + torch.randn(latent.shape)))
    assert (other - latent).abs().mean() > 0.1
    torch.testing.assert_close(space.seen(space.latent(torch.zeros(1, 3, 4, 6, 4))), torch.zeros(1, 3, 4, 6, 4))
    with torch.autocast("cpu", torch.bfloat16):  # the mean head is large beside what is to be told
        assert torch.equal(space.seen(latent), space.seen(latent).float())
        torch.testing.assert_close(space.seen(latent), seen)
        torch.testing.assert_close(space.latent(seen), latent)


def test_the_unet_is_told_where_it_is_and_what_the_mean_head_has_there() -> None:
    """Of the same mixture everywhere it says another thing at every place, and other things about another mean head."""
    model = tiny_model(components=3, positions=True)
    noisy, times, free = torch.ones(1, *model.config.seen_shape), torch.tensor([500.0]), torch.full((1, 3), torch.nan)
    here = model.predict(noisy, times, free)
    nowhere = torch.zeros(1, 3, *model.config.seen_shape[1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffusion_module, "positions", lambda volume: nowhere)
        assert (model.predict(noisy, times, free) - here).abs().max() > 1e-3
    model.space.centre.copy_(torch.randn(3, 4, 6, 4))
    assert (model.predict(noisy, times, free) - here).abs().max() > 1e-3
    assert tiny_model(positions=True).predict(torch.ones(1, *TINY.seen_shape), times, free).shape == (1, *TINY.seen_shape)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_learning_lowers_the_loss(objective: str) -> None:
    model = tiny_model(objective=objective, fold=1).train().requires_grad_(True)
    latent, condition = torch.randn(2, 2, 8, 12, 8) * 0.1, torch.full((2, 3), torch.nan)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for number in range(30):
        torch.manual_seed(number)
        loss = model(latent, condition)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.75 * np.mean(losses[:5])


@pytest.mark.parametrize("dims", (2, 3))
def test_errors_that_neighbours_share_count_more(dims: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (16, 16, 16)[:dims]
    model = tiny_model(spatial_dims=dims, shape=tuple(8 * side for side in shape))
    monkeypatch.setattr(model.process, "target", lambda clean, noise, times: torch.zeros(clean.shape))
    latent, free = torch.zeros(1, 2, *(2 * side for side in shape)), torch.full((1, 3), torch.nan)
    losses = {}
    for name, error in (("shared", torch.ones(1, 2 * 2**dims, *shape)), ("random", torch.randn(1, 2 * 2**dims, *shape))):
        monkeypatch.setattr(model, "predict", lambda noisy, times, told, error=error: error)
        for scales in ((), (2, 4)):
            losses[name, scales] = float(model(latent, free, scales))
    assert losses["shared", ()] == 1 and losses["random", ()] == pytest.approx(1.0, abs=0.1)
    assert losses["shared", (2, 4)] == pytest.approx(1.0 + 2 ** (dims / 2) + 4 ** (dims / 2))
    assert losses["random", (2, 4)] == pytest.approx(1.0 + 2 ** (-dims / 2) + 4 ** (-dims / 2), abs=0.2)


def test_what_is_known_of_a_head_matters_and_what_is_not_does_not() -> None:
    model = tiny_model()
    noisy, times = torch.randn(1, *TINY.seen_shape), torch.tensor([500.0])
    model.condition_mean.copy_(torch.tensor([7.0, 1.0, 0.0]))
    free = model.predict(noisy, times, torch.full((1, 3), torch.nan))
    assert torch.isfinite(free).all()
    told = model.predict(noisy, times, torch.tensor([[7.5, torch.nan, torch.nan]]))
    average = model.predict(noisy, times, torch.tensor([[7.0, torch.nan, torch.nan]]))
    assert (told - free).abs().max() > 1e-4 and (average - free).abs().max() > 1e-4 and (told - average).abs().max() > 1e-4
    later = model.predict(noisy, torch.tensor([20.0]), torch.full((1, 3), torch.nan))
    assert (later - free).abs().max() > 1e-4


@pytest.mark.parametrize("renewal", (0.0, 1.0))
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_seed_is_a_head(objective: str, renewal: float) -> None:
    model = tiny_model(objective=objective)
    told: list[float] = []
    one = model.sample(3, 7, progress=told.append, renewal=renewal)
    torch.manual_seed(99)
    assert one.shape == (1, TINY.latent_channels, *TINY.latent_shape)
    assert torch.equal(one, model.sample(3, 7, renewal=renewal))
    assert (one - model.sample(3, 7, renewal=0.5)).abs().max() > 0.1 and (one - model.sample(3, 8, renewal=renewal)).abs().max() > 0.1
    assert told == pytest.approx([1 / 3, 2 / 3, 1])
    assert (one - model.sample(3, 7, torch.tensor([8.0, 0.0, 2.0]))).abs().max() > 1e-4
    assert (one - model.sample(9, 7)).abs().max() > 1e-5


def test_guidance_exaggerates_what_a_condition_changes() -> None:
    model, told = tiny_model(), torch.tensor([8.0, 0.0, 2.0])
    free, plain, strict = model.sample(1, 7), model.sample(1, 7, told), model.sample(1, 7, told, guidance=3.0)
    torch.testing.assert_close(strict - free, 3.0 * (plain - free), atol=1e-3, rtol=1e-3)
    assert torch.equal(model.sample(1, 7, guidance=3.0), free)


def test_a_model_without_conditions_and_of_slices() -> None:
    model = tiny_model(spatial_dims=2, shape=(48, 32), condition=(), objective="epsilon")
    assert model.sample(2, 0).shape == (1, 2, 12, 8)
    assert torch.isfinite(model(torch.randn(2, 2, 12, 8), torch.zeros(2, 0)))


def test_decoding_in_tiles_is_decoding_whole(tmp_path: Path) -> None:
    """Away from the tiles' faces; group normalisation would see the tile, so this network normalises by voxel."""
    save_weights(tiny_vae(), {}, tmp_path / "vae.safetensors")
    weights = load_weights(tmp_path / "vae.safetensors")
    latent = np.random.default_rng(0).standard_normal((2, 24, 12, 8)).astype(np.float32)
    whole = decode(weights, latent, CPU, "32-true")
    assert whole.shape == (13, 96, 48, 32)
    np.testing.assert_allclose(whole.sum(axis=0), 1.0, atol=1e-5)
    told: list[float] = []
    tiled = decode(weights, latent, CPU, "32-true", told.append, tiles=(64,))
    assert len(told) > 1 and told[-1] == 1
    for far in (slice(0, 20), slice(-20, None)):
        np.testing.assert_allclose(tiled[:, far], whole[:, far], atol=1e-4)
    np.testing.assert_allclose(tiled.sum(axis=0), 1.0, atol=1e-5)


# --- configurations and conditions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(SAMPLER_CONFIGURATIONS.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_configurations_fit_the_network_of_their_name(path: Path) -> None:
    config = DiffusionConfig.from_mapping(read_configuration(path.stem, SAMPLER_CONFIGURATIONS)["network"])
    name = path.stem.removesuffix("_people")
    vae = read_configuration(name)["network"]
    told: DiffusionConfig | CondenserConfig = config
    if (CONDENSER_CONFIGURATIONS / f"{name}.json").exists():
        told = CondenserConfig.from_mapping(read_configuration(name, CONDENSER_CONFIGURATIONS)["network"])
        assert (config.latent_channels, config.factor, config.shape) == (told.codes, told.code_factor, told.shape)
        assert CondenserConfig.from_mapping(json.loads(json.dumps(told.mapping()))) == told
    assert (told.latent_channels, told.spatial_dims) == (vae["latent_channels"], vae["spatial_dims"])
    assert told.factor == vae["stem"] * 2 ** len(vae["down_widths"])
    assert DiffusionConfig.from_mapping(json.loads(json.dumps(config.mapping()))) == config
    if path.stem == "paper_2d":
        assert config.objective == "epsilon" and not config.condition


def test_encoder_and_texture_are_trained_into_the_same_condenser() -> None:
    stages = ("head_3d_encoder", "head_3d", "head_3d_texture")
    encoder, plain, texture = (read_configuration(name, CONDENSER_CONFIGURATIONS) for name in stages)
    assert encoder["network"] == plain["network"] == texture["network"]
    assert CondenserTrainingConfig.from_mapping(encoder["training"]).decoder_fixed
    assert CondenserTrainingConfig.from_mapping(texture["training"]).codes_fixed


@pytest.mark.parametrize(
    ("change", "message"),
    (
        ({"objective": "noise"}, "objective"),
        ({"shape": [30, 48, 32]}, "multiples of 16"),
        ({"shape": [32, 48]}, "3 multiples"),
        ({"attention": [True]}, "as many attention"),
        ({"condition": ["height"]}, "conditions of"),
        ({"widths": [8, 12], "head_channels": 8}, "head_channels divides"),
        ({"fold": 0}, "whole numbers"),
        ({"beta_end": 0.001}, "beta_start"),
        ({"shift": 0.5}, "shift"),
        ({"schedule": "linear"}, "schedule"),
        ({"colour": 1}, "Unknown field"),
        ({"components": 17}, "0 to 16 components"),
        ({"spatial_dims": 2, "shape": (48, 32), "components": 2}, "in 2D 0"),
        ({"widths": 8}, "incomplete or of wrong types"),
    ),
    ids=str,
)
def test_an_impossible_shape_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(PhysMRISynthError, match=message):
        DiffusionConfig.from_mapping({**TINY.mapping(), **change})


def test_conditions_are_told_as_numbers() -> None:
    told = condition_vector(("brain_volume", "ventricle_share", "lesion_load"), {"brain_volume": 1200.0, "lesion_load": 0.0})
    assert told[0] == pytest.approx(np.log(1200)) and np.isnan(told[1]) and told[2] == 0
    assert np.isfinite(condition_vector(tuple(CONDITIONS), {"ventricle_share": 0.0})[1])
    with pytest.raises(PhysMRISynthError, match="no condition age: it knows brain_volume"):
        condition_vector(("brain_volume",), {"age": 3.0})
    with pytest.raises(PhysMRISynthError, match="from 500 to 2500 ml, not 12"):
        condition_vector(("brain_volume",), {"brain_volume": 12.0})


def test_a_model_knows_the_range_of_its_training_heads(tmp_path: Path) -> None:
    model, moments = tiny_model(), Moments(torch.zeros(2), torch.ones(2))
    model.take(moments, torch.zeros(3), torch.ones(3), torch.tensor([[801.0, 1.0, 0.0], [1420.0, 8.0, 30.0]]))
    save_sampler(model, "", {}, tmp_path / "sampler.safetensors")
    trained = load_sampler(tmp_path / "sampler.safetensors").model.trained
    assert trained == {"brain_volume": (801.0, 1420.0), "ventricle_share": (1.0, 8.0), "lesion_load": (0.0, 30.0)}
    with pytest.raises(PhysMRISynthError, match=r"from 801 to 1420 ml \(the training heads' range\), not 1500"):
        condition_vector(TINY.condition, {"brain_volume": 1500.0}, trained)


def test_weights_that_do_not_tell_a_range_have_the_bounds() -> None:
    state = tiny_model().state_dict()
    del state["condition_range"]
    model = tiny_model(1)
    model.load_state_dict(state)
    assert model.trained["brain_volume"] == (500.0, 2500.0)


# --- weights --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    manifest = installed(tmp_path)
    monkeypatch.setattr("PhysMRISynthLib.network.manifest.MANIFEST", manifest)
    return tmp_path


def test_weights_come_back_and_belong_to_their_network(shipped: Path) -> None:
    sampler, vae = sampling_weights()
    assert sampler.config == TINY and vae.config == VAE and sampler.card == {"steps": 5} and not sampler.model.training
    assert (sampler.sha256, sampler.vae_sha256) == (file_sha256(shipped / "sampler.safetensors"), vae.sha256)
    drawn, before = sampler.model.sample(2, 1), tiny_model().sample(2, 1)
    assert float((drawn - before).abs().max()) < 0.05  # half precision
    assert shipped_weights() == (shipped / "vae.safetensors", vae.sha256)
    model = tiny_model(components=3, positions=True, objective="flow_residual")
    centre, variance = 9 * torch.randn(3, 4, 6, 4), torch.rand(3, 4, 6, 4)
    model.space.take(Moments(torch.randn(2), torch.rand(2), torch.randn(16, 3), centre, torch.tensor(0.3), variance))
    save_sampler(model, vae.sha256, {}, shipped / "components.safetensors")
    found = load_sampler(shipped / "components.safetensors").model
    assert all(torch.equal(one, other) for one, other in zip(model.space.buffers(), found.space.buffers(), strict=True))
    again, _ = sampling_weights(shipped / "sampler.safetensors", shipped / "vae.safetensors")
    assert again.sha256 == sampler.sha256


def test_a_sampler_of_another_network_is_refused(shipped: Path) -> None:
    save_weights(tiny_vae(5), {}, shipped / "vae.safetensors")
    write_manifest(shipped / "vae.safetensors", shipped / "weights.json")
    with pytest.raises(WeightsError, match="trained for another network"):
        sampling_weights()


def test_without_a_sampler_the_reason_is_said(shipped: Path) -> None:
    (shipped / "weights.json").unlink()
    with pytest.raises(WeightsError, match=r"No weights for sampling are installed.*train ldm"):
        sampling_weights()
    write_manifest(shipped / "vae.safetensors", shipped / "weights.json")
    with pytest.raises(WeightsError, match="No weights for sampling are installed"):
        sampling_weights()
    assert shipped_weights("sampler") is None and shipped_weights() is not None


def test_damaged_and_foreign_samplers_are_refused(shipped: Path) -> None:
    path = shipped / "sampler.safetensors"
    with pytest.raises(WeightsError, match="other weights than this version's sampling model"):
        load_sampler(shipped / "vae.safetensors")
    with pytest.raises(WeightsError, match="no network weights"):
        load_sampler(shipped / "none.safetensors")
    with safe_open(path, framework="pt") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    for changes, message in (
        ({"config": json.dumps({**TINY.mapping(), "widths": [16, 16]})}, "do not fit their own description"),
        ({"config": "{}"}, "description .* is damaged"),
        ({"card": "{"}, "description .* is damaged"),
    ):
        save_file(tensors, shipped / "changed.safetensors", metadata={**told, **changes})
        with pytest.raises(WeightsError, match=message):
            load_sampler(shipped / "changed.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not the shipped ones"):
        sampling_weights()


def test_weights_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    model = tiny_model()
    next(model.unet.parameters()).fill_(torch.nan)
    with pytest.raises(WeightsError, match="are not numbers"):
        save_sampler(model, "0" * 64, {}, tmp_path / "sampler.safetensors")
    assert not list(tmp_path.iterdir())
