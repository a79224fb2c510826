"""Relevance by FoXAI's rules."""

import copy

import pytest
import torch
from captum.attr._utils.custom_modules import Addition_Module
from captum.attr._utils.lrp_rules import EpsilonRule, GammaRule, IdentityRule
from foxai_network import INPUTS, TARGET, model
from rrrbench.benchmark.compat.foxai import LayerLRPCVExplainer, LRPCVExplainer
from torch import nn
from torch.nn import functional as F

EXPLAIN = LRPCVExplainer().calculate_features


def two_convolutions(*between):
    """Four layers and the model itself are N = 5 modules; each layer between is there twice."""
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, 4, 3), *between, nn.Conv2d(4, 3, 3), *copy.deepcopy(between), nn.Flatten(), nn.Linear(24, 3)]
    return nn.Sequential(*layers).double()


def by_hand(network, inputs, target):
    """The relevance of each layer's input, from the last layer to the first, by the formula of FoXAI's two rules."""
    activations = [inputs]
    for layer in network:
        activations.append(layer(activations[-1]).detach())
    relevance = torch.zeros_like(activations[-1])
    relevance[range(len(inputs)), target] = activations[-1][range(len(inputs)), target]
    half = (len(network) + 1) // 2
    for index in reversed(range(len(network))):
        layer, entered = copy.deepcopy(network[index]), activations[index].clone().requires_grad_()
        if isinstance(layer, nn.ReLU):
            continue
        if index + 1 <= half and hasattr(layer, "weight"):  # the model itself is number 0
            layer.weight.data += 0.25 * layer.weight.data.clamp(min=0)
        left = layer(entered)
        stable = left + 1e-9 * torch.where(left < 0, -1, 1)
        (gradient,) = torch.autograd.grad(left, entered, (relevance / stable).detach())
        relevance = (entered * gradient).detach()
    return relevance


@pytest.mark.parametrize(
    "between",
    [(), (nn.ReLU(),), (nn.Sigmoid(),), (nn.GELU(),), (nn.SiLU(),), (nn.LeakyReLU(),), (nn.ELU(), nn.ReLU())],
    ids=str,
)
def test_agrees_with_the_rules_by_hand(between):
    network = two_convolutions(*between)
    found = EXPLAIN(network, INPUTS, TARGET)
    torch.testing.assert_close(found, by_hand(network, INPUTS, TARGET))
    assert (found.abs().amax((1, 2, 3)) > 0).all()


def test_gamma_comes_before_epsilon():
    """N = 7 modules: the model is number 0, its layers are 1 to 6; gamma up to number 3."""
    ruled = LRPCVExplainer().add_rules(two_convolutions(nn.Sigmoid()))
    rules = [type(getattr(module, "rule", None)) for module in ruled]
    assert rules == [GammaRule] * 3 + [EpsilonRule] * 3
    assert ruled[0].rule.gamma == 0.25


def test_the_gamma_rule_is_not_the_epsilon_rule():
    network = two_convolutions(nn.ReLU())
    found = EXPLAIN(network, INPUTS, TARGET)
    for layer in (network[0], network[2]):
        layer.rule = EpsilonRule()
    epsilon = EXPLAIN(network, INPUTS, TARGET)
    assert (found - epsilon).abs().max() > 0.1 * epsilon.abs().max()
    assert isinstance(network[0].rule, EpsilonRule)


def test_relevance_is_conserved_without_biases():
    """Gamma and epsilon both, through a flattening, pooling and ReLUs: what enters is the logit."""
    network = nn.Sequential(
        *(nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(18, 3, bias=False))
    ).double()
    logits = network(INPUTS).detach()[:, 1]
    torch.testing.assert_close(EXPLAIN(network, INPUTS, 1).sum((1, 2, 3)), logits, rtol=1e-5, atol=1e-6)


def test_tanh_passes_relevance_on():
    network = nn.Sequential(nn.Conv2d(1, 3, 3, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3, bias=False))
    network = network.double()
    logits = network(INPUTS).detach()[:, 1]
    torch.testing.assert_close(EXPLAIN(network, INPUTS, 1).sum((1, 2, 3)), logits, rtol=1e-5, atol=1e-6)


def test_a_layer_s_relevance():
    network = two_convolutions(nn.GELU())
    explain = LayerLRPCVExplainer().calculate_features
    torch.testing.assert_close(
        explain(network, INPUTS, TARGET, layer="0", attribute_to_layer_input=True), EXPLAIN(network, INPUTS, TARGET)
    )
    out, into = (
        explain(network, INPUTS, TARGET, layer=layer, attribute_to_layer_input=entering)
        for layer, entering in [("0", False), ("1", True)]
    )
    torch.testing.assert_close(out, into)
    several = explain(network, INPUTS, TARGET, layer=["0", network[2]])
    assert isinstance(several, list)
    assert torch.equal(several[0], out)


def test_a_zero_logit_has_no_relevance_and_is_not_nan():
    network = two_convolutions(nn.ReLU())
    with torch.no_grad():
        network[-1].weight.zero_()
        network[-1].bias.zero_()
    assert torch.equal(EXPLAIN(network, INPUTS, TARGET), torch.zeros_like(INPUTS))


def test_a_network_of_one_layer():
    dense = nn.Linear(6, 3).double()
    with torch.no_grad():
        dense.bias.zero_()
    found = EXPLAIN(dense, INPUTS[:, 0, 0], TARGET)
    torch.testing.assert_close(found.sum(1), dense(INPUTS[:, 0, 0]).detach()[range(3), TARGET])


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm([6, 4]), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.Softmax(1), nn.Softmax2d()], ids=str
)
@pytest.mark.parametrize("explainer", [LRPCVExplainer(), LayerLRPCVExplainer()])
def test_a_layer_without_a_rule_is_named_and_may_be_given_one(layer, explainer):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), layer, nn.Flatten(), nn.Linear(96, 3)).double()
    message = rf"has no rule for layer '1', a {type(layer).__name__}: give it one, for example layer\.rule = IdentityR"
    with pytest.raises(TypeError, match=message):
        explainer.calculate_features(network, INPUTS, TARGET)
    layer.rule = IdentityRule()
    assert explainer.calculate_features(network, INPUTS, TARGET).abs().max() > 0
    del layer.rule


def test_attention_is_refused():
    encoder = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    with pytest.raises(TypeError, match=r"no rule for layer '0\.self_attn', a MultiheadAttention"):
        EXPLAIN(nn.Sequential(encoder, nn.Flatten(), nn.Linear(48, 3)).double(), INPUTS[:, 0], TARGET)


def test_a_layer_that_keeps_no_relevance_is_named():
    with pytest.raises(ValueError, match="layer '1', a ReLU, keeps no relevance of its own: name one of 0, 2"):
        LayerLRPCVExplainer().calculate_features(model(), INPUTS, TARGET, layer="1")


class Residual(nn.Module):
    def __init__(self, addition):
        super().__init__()
        self.dense, self.head, self.addition = nn.Linear(6, 6, bias=False), nn.Linear(6, 3, bias=False), addition

    def forward(self, inputs):
        return self.head(self.addition(self.dense(inputs), inputs))


def test_sums_outside_of_modules_are_warned_of_and_modules_are_right():
    inputs = INPUTS[:, 0, 0]
    with pytest.warns(UserWarning, match=r"adds or multiplies activations 1 times outside of modules \(x \+ y\)"):
        EXPLAIN(Residual(torch.add).double(), inputs, TARGET)
    network = Residual(Addition_Module()).double()
    network.addition.rule = EpsilonRule()
    logits = network(inputs).detach()[range(3), TARGET]
    torch.testing.assert_close(EXPLAIN(network, inputs, TARGET).sum(1), logits)


def test_a_reused_module_is_as_several_modules():
    shared, torch_layers = nn.GELU(), two_convolutions(nn.GELU())
    reused = nn.Sequential(*(shared if isinstance(layer, nn.GELU) else layer for layer in torch_layers))
    for layer in torch_layers:  # rules that do not depend on how many modules there are
        layer.rule = EpsilonRule()
    found = EXPLAIN(torch_layers, INPUTS, TARGET)
    shared.rule = EpsilonRule()
    torch.testing.assert_close(EXPLAIN(reused, INPUTS, TARGET), found)


def test_a_parametrised_layer_is_the_layer_with_that_weight():
    network = two_convolutions(nn.ReLU())
    wanted = EXPLAIN(network, INPUTS, TARGET)
    nn.utils.parametrizations.weight_norm(network[0])
    torch.testing.assert_close(EXPLAIN(network, INPUTS, TARGET), wanted)
    assert nn.utils.parametrize.is_parametrized(network[0])


class Bent(nn.Module):
    """A nonlinearity between two dense layers."""

    def __init__(self, nonlinearity):
        super().__init__()
        self.dense, self.head, self.nonlinearity = nn.Linear(6, 6), nn.Linear(6, 3), nonlinearity

    def forward(self, inputs):
        return self.head(self.nonlinearity(self.dense(inputs)))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        *((F.gelu, "gelu"), (F.silu, "silu"), (torch.tanh, "tanh"), (F.leaky_relu, "leaky_relu"), (F.elu, "elu")),
        *((torch.abs, "abs"), (torch.square, "pow"), (lambda h: h * 2, "mul"), (lambda h: h / 2, "div")),
        *((lambda h: h + 1, "add"), (lambda h: h.clamp(0, 1), "clamp"), (lambda h: h @ torch.eye(6).to(h), "mm")),
        *((lambda h: F.linear(h, torch.eye(6).to(h)), "mm"), (lambda h: F.layer_norm(h, (6,)), "native_layer_norm")),
        (lambda h: F.avg_pool1d(h[:, None], 3, 1, 1)[:, 0], "avg_pool2d"),
        (lambda h: h.mean(1, keepdim=True).expand(-1, 6), "mean"),
    ],
)
def test_operations_outside_of_modules_are_warned_of(function, name):
    with pytest.warns(
        UserWarning,
        match=rf"computes (\w+, )*{name}(, \w+)* outside of modules.* gradient .* use modules, such as nn.GELU",
    ):
        EXPLAIN(Bent(function).double(), INPUTS[:, 0, 0], TARGET)


@pytest.mark.parametrize(
    "nonlinearity",
    [
        *(
            nn.GELU(),
            nn.Tanh(),
            nn.LeakyReLU(),
            nn.ReLU(),
            F.relu,
            lambda h: h.view(-1, 2, 3).transpose(1, 2).flatten(1),
        ),
        *(lambda h: F.dropout(h, 0.5, training=False), lambda h: torch.cat([h[:, 3:], h[:, :3]], 1)),
    ],
)
def test_modules_and_rectifiers_need_no_warning(nonlinearity):
    EXPLAIN(Bent(nonlinearity).double(), INPUTS[:, 0, 0], TARGET)  # any warning is an error
