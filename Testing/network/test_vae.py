"""The autoencoder: experts that are multiplied, outputs of the shapes promised, descriptions that are refused with a reason."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from physmrisynth_training.learning.vae_config import VaeTrainingConfig
from PhysMRISynthLib.errors import PhysMRISynthError, ProtocolError
from PhysMRISynthLib.network.condition import CONDITION_SIZE, EVIDENCE, NETWORK_SEQUENCES, protocol_condition
from PhysMRISynthLib.network.config import CONFIGURATIONS, NetworkConfig, read_configuration
from PhysMRISynthLib.network.device import fastest_precision
from PhysMRISynthLib.network.vae import CLASSES, Posterior, TissueEvidence, TissuePrediction, TissueVAE, product_of_experts
from PhysMRISynthLib.physics.presets import load_presets
from PhysMRISynthLib.physics.protocol import Protocol, parse_protocol
from PhysMRISynthLib.physics.tissues import tissue_table

TINY: dict[str, Any] = {
    "spatial_dims": 3, "stem": 4, "down_widths": [], "trunk_widths": [8, 8], "trunk_blocks": [1, 1], "latent_channels": 2,
    "up_widths": [8], "tail": 2,
}  # fmt: skip
PAPER: dict[str, Any] = {
    **TINY, "spatial_dims": 2, "stem": 1, "down_widths": [4, 6], "up_widths": [6, 4], "tail": 1, "head": "exp", "norm": "group",
}  # fmt: skip


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(**changed: Any) -> TissueVAE:
    """A small network whose weights are all random, those that start at zero too."""
    torch.manual_seed(0)
    made = TissueVAE(NetworkConfig.from_mapping({**TINY, **changed}))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return made.eval()


# --- product of experts ---------------------------------------------------------------------------------------------------------


def experts(count: int = 3) -> tuple[Tensor, Tensor]:
    return some(2, count, 4, 5, 6), some(2, count, 4, 5, 6, seed=1)


def close(one: Posterior, other: Posterior) -> None:
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_experts_are_multiplied_as_the_formula_says() -> None:
    mean, log_variance = experts()
    present = torch.tensor([[True, True, True], [False, True, True]])
    found = product_of_experts(mean, log_variance, present)
    for b in range(2):
        given = present[b].numpy()
        m, precision = mean[b].double().numpy()[given], np.exp(-log_variance[b].double().numpy()[given])
        np.testing.assert_allclose(found.log_variance[b], -np.log(precision.sum(axis=0)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.mean[b], (m * precision).sum(axis=0) / precision.sum(axis=0), rtol=1e-4, atol=1e-5)


def test_the_order_of_experts_does_not_matter() -> None:
    mean, log_variance = experts()
    present = torch.tensor([[True, True, False], [True, False, True]])
    order = [2, 0, 1]
    expected = product_of_experts(mean, log_variance, present)
    close(product_of_experts(mean[:, order], log_variance[:, order], present[:, order]), expected)


@pytest.mark.parametrize("value", [-30.0, 0.0, 30.0])
def test_absent_experts_are_ignored_whatever_finite_values_they_have(value: float) -> None:
    mean, log_variance = experts()
    present = torch.tensor([[True, False, True]] * 2)
    expected = product_of_experts(mean[:, [0, 2]], log_variance[:, [0, 2]], torch.ones(2, 2, dtype=torch.bool))
    mean[:, 1] = value
    log_variance[:, 1] = -value
    close(product_of_experts(mean, log_variance, present), expected)


def test_a_single_expert_is_believed() -> None:
    mean, log_variance = experts()
    present = torch.tensor([[False, True, False]] * 2)
    close(product_of_experts(mean, log_variance, present), Posterior(mean[:, 1], log_variance[:, 1]))


def test_agreement_makes_surer() -> None:
    mean, log_variance = experts(1)
    twice = product_of_experts(mean.repeat(1, 2, 1, 1, 1), log_variance.repeat(1, 2, 1, 1, 1), torch.ones(2, 2, dtype=torch.bool))
    close(twice, Posterior(mean[:, 0], log_variance[:, 0] - math.log(2.0)))


# --- posterior ------------------------------------------------------------------------------------------------------------------


def test_draws_have_the_posteriors_mean_and_sd() -> None:
    torch.manual_seed(1)
    drawn = Posterior(torch.full((200_000,), 3.0), torch.full((200_000,), math.log(0.25))).sample()
    assert float(drawn.mean()) == pytest.approx(3.0, abs=0.01) and float(drawn.std()) == pytest.approx(0.5, abs=0.01)


def test_divergence_is_torchs() -> None:
    mean, log_variance = experts(1)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, (0.5 * log_variance).exp()), normal(0.0, 1.0)).mean()
    assert float(Posterior(mean, log_variance).divergence()) == pytest.approx(float(expected), rel=1e-5)
    assert float(Posterior(torch.zeros(4), torch.zeros(4)).divergence()) == 0.0


# --- encoder --------------------------------------------------------------------------------------------------------------------

SUBSETS = [[True, False, False], [False, True, True], [True, False, True], [True, True, True]]


@pytest.mark.parametrize("kind", [{"adaptive": True}, {"adaptive": False}, {"evidence": True}], ids=str)
@pytest.mark.parametrize("subset", SUBSETS, ids=str)
def test_a_subset_is_encoded_as_if_the_others_did_not_exist(subset: list[bool], kind: dict[str, bool]) -> None:
    net, present = network(**kind), torch.tensor([subset])
    images, conditions = some(1, 3, 16, 8, 24), some(1, 3, CONDITION_SIZE, seed=1)
    images[~present], conditions[~present] = torch.nan, torch.nan
    alone = net.encode(images[:, subset], conditions[:, subset], torch.ones(1, sum(subset), dtype=torch.bool))
    assert alone.mean.shape == (1, 2, 4, 2, 6) and bool(alone.mean.isfinite().all())
    close(net.encode(images, conditions, present), alone)


@pytest.mark.parametrize("kind", [{}, {"evidence": True}, {"evidence": True, "norm": "group"}], ids=str)
def test_an_encoder_finds_the_same_where_gradients_are_not_kept(kind: dict[str, Any]) -> None:
    net, given = network(**kind), (some(1, 2, 16, 8, 24), some(1, 2, CONDITION_SIZE, seed=1), torch.ones(1, 2, dtype=torch.bool))
    with torch.no_grad():
        plain = net.encode(*given)
    assert net.encode(*given).mean.requires_grad and not plain.mean.requires_grad
    close(Posterior(*(part.detach() for part in net.encode(*given))), plain)


@torch.no_grad()
def test_every_sample_of_a_batch_has_its_own_inputs() -> None:
    net, present = network(), torch.tensor(SUBSETS)
    images, conditions = some(4, 3, 8, 16, 8), some(4, 3, CONDITION_SIZE, seed=1)
    together = net.encode(images, conditions, present)
    for i in range(4):
        close(Posterior(*(t[i : i + 1] for t in together)), net.encode(*(t[i : i + 1] for t in (images, conditions, present))))


@torch.no_grad()
def test_conditions_matter_to_an_adaptive_encoder_only() -> None:
    images, conditions = some(1, 2, 8, 8, 8), some(1, 2, CONDITION_SIZE, seed=1)
    for adaptive in (True, False):
        net = network(adaptive=adaptive)
        one, other = (net.encode(images, c, torch.ones(1, 2, dtype=torch.bool)).mean for c in (conditions, conditions.flip(1)))
        assert torch.allclose(one, other) != adaptive


def test_evidence_is_the_image_and_how_near_it_is_to_what_the_protocol_expects() -> None:
    evidence, table = TissueEvidence(), tissue_table(3.0)
    protocol = Protocol.of("flair")
    signals = np.array([protocol.signal(*np.exp(tissue.theta)) for tissue in table])
    brightest = max(signal for signal, tissue in zip(signals, table, strict=True) if tissue.region == "brain")
    expected = np.array([signals[CLASSES.index(name)] for name in EVIDENCE]) / brightest
    features, image = some(1, 128), torch.from_numpy(expected).float()[None, None].repeat(1, 1, 2).view(1, 1, -1, 2)
    with torch.no_grad():
        scale = float(evidence.log_scale(features).exp())
        evidence.log_width += 0.1 * torch.arange(len(EVIDENCE))
        shown = evidence(image / scale, torch.from_numpy(protocol_condition(protocol, 3.0))[None], features)
    assert torch.equal(shown[:, :1], image / scale) and shown.shape[1] == TissueEvidence.channels
    for k in range(len(EVIDENCE)):
        width = math.exp(float(evidence.log_width[k].detach()))
        found = np.exp(-0.5 * ((image[0, 0].numpy() - expected[k]) / width) ** 2)
        np.testing.assert_allclose(shown[0, 1 + k], found, atol=1e-4)
        assert found.max() == pytest.approx(1.0)


# --- decoder --------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_decoder_in_3d_tells_classes_and_their_deviation() -> None:
    prediction = network().decode(some(2, 2, 2, 4, 6))
    assert isinstance(prediction, TissuePrediction)
    assert prediction.logits.shape == (2, len(CLASSES), 8, 16, 24)
    assert prediction.offset.shape == (2, 3, 2, 4, 6) and prediction.scale.shape == (2, 6, 2, 4, 6)
    assert prediction.scale[:, [0, 2, 5]].min() > 0 and prediction.scale.abs().max() <= 1.0


@torch.no_grad()
def test_a_decoder_in_2d_tells_pd_t1_and_t2() -> None:
    net = network(**PAPER)
    theta = net.decode(some(2, 2, 4, 6))
    assert isinstance(theta, Tensor) and theta.shape == (2, 3, 16, 24)
    posterior, _ = net(some(2, 3, 16, 24), some(2, 3, CONDITION_SIZE), torch.ones(2, 3, dtype=torch.bool))
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 2, 4, 6)


@torch.no_grad()
def test_an_untrained_network_expects_what_the_literature_says() -> None:
    torch.manual_seed(0)
    prediction = TissueVAE(NetworkConfig.from_mapping(TINY)).decode(some(1, 2, 2, 2, 2))
    assert isinstance(prediction, TissuePrediction)
    assert (prediction.offset == 0).all() and (prediction.scale[:, [1, 3, 4]] == 0).all()
    theta = TissueVAE(NetworkConfig.from_mapping(PAPER)).decode(torch.zeros(1, 2, 4, 4))
    assert isinstance(theta, Tensor)
    np.testing.assert_allclose(theta.mean(dim=(0, 2, 3)), np.log([0.75, 1000.0, 100.0]), atol=1.0)


@torch.no_grad()
def test_a_latent_is_drawn_in_training_only() -> None:
    net, inputs = network(), (some(1, 3, 8, 8, 8), some(1, 3, CONDITION_SIZE), torch.ones(1, 3, dtype=torch.bool))
    assert torch.equal(net(*inputs)[1].logits, net(*inputs)[1].logits)
    net.train()
    assert not torch.equal(net(*inputs)[1].logits, net(*inputs)[1].logits)


def test_uncertainty_does_not_train_the_features() -> None:
    net = network()
    prediction = net.decode(some(1, 2, 2, 2, 2))
    assert isinstance(prediction, TissuePrediction)
    prediction.scale.sum().backward()
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.grad is not None} == {"spread"}


# --- configuration --------------------------------------------------------------------------------------------------------------


def test_a_description_is_read_and_written() -> None:
    config = NetworkConfig.from_mapping(TINY)
    assert (config.factor, config.multiple) == (4, 8)
    assert config.trunk_widths == (8, 8)
    assert NetworkConfig.from_mapping(json.loads(json.dumps(config.mapping()))) == config
    assert NetworkConfig.from_mapping(PAPER).factor == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tail": 4}, r"stem, down_widths.*tail, up_widths"),
        ({"up_widths": [8, 8]}, "one factor"),
        ({"down_widths": [8]}, "one factor"),
        ({"evidence": True, "adaptive": False}, "adaptive"),
        ({"spatial_dims": 4}, "spatial_dims 2 or 3.*not 4"),
        ({"head": "classses"}, "not 3, 'classses'"),
        ({"norm": "batch"}, "norm 'voxel' or 'group'.*'batch'"),
        ({"trunk_blocks": [1]}, "as many trunk_blocks as trunk_widths"),
        ({"trunk_widths": [], "trunk_blocks": []}, "at least one"),
        ({"trunk_width": [8], "depth": 2}, r"depth, trunk_width\..*trunk_widths"),
    ],
)
def test_an_impossible_network_is_refused_with_the_reason(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(PhysMRISynthError, match=message):
        NetworkConfig.from_mapping({**TINY, **changed})


@pytest.mark.parametrize("missing", ["stem", "latent_channels", "tail"])
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(PhysMRISynthError, match=f"incomplete.*{missing}"):
        NetworkConfig.from_mapping({name: value for name, value in TINY.items() if name != missing})


@pytest.mark.parametrize("path", sorted(CONFIGURATIONS.glob("*.json")), ids=lambda path: path.stem)
def test_shipped_configurations_make_sense(path: Path) -> None:
    found = read_configuration(path.stem)
    assert found == read_configuration(path)
    config = NetworkConfig.from_mapping(found["network"])
    for crop in VaeTrainingConfig.from_mapping(found["training"]).crops:
        assert all(side % config.multiple == 0 for side in crop[-config.spatial_dims :])


def test_an_unknown_configuration_lists_those_there_are(tmp_path: Path) -> None:
    for name in ("head_4d", tmp_path / "absent.json"):
        with pytest.raises(PhysMRISynthError, match="head_3d") as caught:
            read_configuration(name)
        assert str(name) in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("{", "cannot be read"), ("[]", "network"), ('{"network": 3}', "no section 'network'")])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PhysMRISynthError, match=message):
        read_configuration(path)


# --- what is told of a protocol -------------------------------------------------------------------------------------------------


def test_every_protocol_has_a_condition_and_no_two_the_same() -> None:
    protocols = {name: (preset.protocol, preset.field_strength or 3.0) for name, preset in load_presets().items()}
    protocols |= {f"{name} at {strength} T": (Protocol.of(name), strength) for name in NETWORK_SEQUENCES for strength in (1.5, 3.0)}
    conditions: dict[tuple[str, float], np.ndarray] = {}
    for name, (protocol, strength) in protocols.items():
        condition = protocol_condition(protocol, strength)
        assert condition.shape == (CONDITION_SIZE,) and condition.dtype == np.float32
        assert np.isfinite(condition).all() and np.abs(condition).max() < 10, name
        conditions[protocol.spec, strength] = condition
    values = np.stack(list(conditions.values()))
    distance = np.abs(values[:, None] - values[None]).max(axis=-1) + np.eye(len(values))
    assert len(values) > 30 and distance.min() > 5e-4  # a preset may differ from its sequence by 1 ms


@pytest.mark.parametrize("changed", ["TR=2600", "TI=900", "FA=9", "TE=4"])
def test_a_changed_value_changes_the_condition(changed: str) -> None:
    usual, other = (protocol_condition(parse_protocol(text), 3.0) for text in ("mprage", f"mprage,{changed}"))
    assert np.abs(usual - other).max() > 1e-3


def test_a_condition_needs_a_field_strength_of_the_table() -> None:
    with pytest.raises(ProtocolError, match="field strength"):
        protocol_condition(Protocol.of("se"), 7.0)


# --- arithmetic -----------------------------------------------------------------------------------------------------------------


def test_precision_is_one_that_the_device_has() -> None:
    assert fastest_precision("mps") == "32-true"
    assert fastest_precision("cpu") in ("32-true", "bf16-mixed")
