"""The fused parts compute what the modules they stand for compute, and only those are replaced."""

import pytest
import torch
from torch.nn import functional

from jobs.ml.config import LoraConfig
from jobs.ml.data import Example
from jobs.ml.failures import Refused
from jobs.ml.fused.head import HeadLoss
from jobs.ml.fused.norm import RMSNorm
from jobs.ml.fused.row_attention import RowAttention
from jobs.ml.model import Model
from jobs.ml.rows import lay_out

ROWS = [Example([7 * n + k for k in range(n)], [k > n // 4 for k in range(n)]) for n in (3, 40, 9, 21)]
FAMILIES = {
    "llama": ("Llama", {}),
    "llama, biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("Mistral", {}),
    "qwen2, biases": ("Qwen2", {}),
    "qwen3, norms between": ("Qwen3", {"head_dim": 16}),
    "gemma, another norm and activation": ("Gemma", {"head_dim": 16}),
    "phi3, fused projections of its own": ("Phi3", {"pad_token_id": 0}),
    "smollm3, layers without rotation": ("SmolLM3", {"no_rope_layers": [1, 0], "pad_token_id": 0}),
    "cohere, interleaved rotation": ("Cohere", {"logit_scale": 1.0}),
}


@pytest.fixture
def family(tmp_path):
    """A small base of any family: `family(name)`."""

    def make(name):
        import transformers

        kind, options = FAMILIES[name]
        config = getattr(transformers, f"{kind}Config")(
            vocab_size=400,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            **options,
        )
        torch.manual_seed(0)
        network = getattr(transformers, f"{kind}ForCausalLM")(config)
        with torch.no_grad():
            for weight in network.parameters():  # no weight may be as neutral as ones and zeros are
                weight.add_(torch.randn_like(weight) * 0.1)
        network.save_pretrained(tmp_path / kind)
        return tmp_path / kind

    return make


def opened(base, *, fused, **options):
    lora = LoraConfig(r=4, **options)
    model = Model(base, lora, seed=1, device=torch.device("cpu"), dtype=torch.float32, fused=fused)
    draw = torch.Generator().manual_seed(2)
    adapter = {name: torch.randn(weight.shape, generator=draw) * 0.1 for name, weight in model.masters.items()}
    model.load(adapter)
    return model


def loss_and_gradients(model):
    loss = model.loss(ROWS)
    return float(loss.detach()), dict(zip(model.masters, model.gradients_of(loss), strict=True))


def replaced(model):
    return {
        type(module).__name__.removeprefix("Llama") for module in model.decoder.modules() if "forward" in vars(module)
    }


def targets_of(name):
    return "attention" if name.startswith("phi3") else "all"


@pytest.mark.parametrize("name", FAMILIES)
def test_any_family_has_the_loss_and_the_gradients_of_its_own_modules(family, name, monkeypatch):
    if name.startswith("phi3"):
        monkeypatch.setattr("jobs.ml.model.TARGETS", {"all": ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")})
    base = family(name)

    loss, gradients = loss_and_gradients(opened(base, fused=True))
    expected_loss, expected = loss_and_gradients(opened(base, fused=False))

    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for weight, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, expected[weight], rtol=1e-3, atol=1e-4 * float(expected[weight].abs().max())
        )


def test_a_llama_is_replaced_and_what_is_not_llama_keeps_its_own_code(family):
    assert replaced(opened(family("llama"), fused=True)) == {"Attention", "MLP", "RMSNorm"}
    assert opened(family("llama"), fused=True).lanes_may_share
    assert opened(family("llama"), fused=True, target_modules="attention").lanes_may_share
    assert replaced(opened(family("llama"), fused=False)) == set()
    assert not opened(family("llama"), fused=False).lanes_may_share
    assert not opened(family("gemma, another norm and activation"), fused=True).lanes_may_share
    assert not {"GemmaMLP", "GemmaRMSNorm"} & replaced(opened(family("gemma, another norm and activation"), fused=True))
    assert "Qwen3Attention" not in replaced(opened(family("qwen3, norms between"), fused=True))


def test_with_dropout_each_layer_drops_inputs_of_its_own(family):
    model = opened(family("llama"), fused=True, dropout=0.1)
    assert replaced(model) == {"RMSNorm"}
    assert not model.lanes_may_share  # all draw from the one generator that torch has
    assert loss_and_gradients(model)[0] != loss_and_gradients(model)[0]


def test_only_attention_may_carry_the_adapter(family):
    base = family("llama")
    fused = loss_and_gradients(opened(base, fused=True, target_modules="attention"))
    expected = loss_and_gradients(opened(base, fused=False, target_modules="attention"))

    assert fused[0] == pytest.approx(expected[0], rel=1e-5)
    for weight, gradient in fused[1].items():
        torch.testing.assert_close(gradient, expected[1][weight], rtol=1e-3, atol=1e-4)


def test_a_loaded_adapter_is_what_the_joined_matrices_hold(family):
    model = opened(family("llama"), fused=True)
    before = float(model.loss(ROWS).detach())
    model.load({name: torch.zeros_like(weight) for name, weight in model.masters.items()})
    assert float(model.loss(ROWS).detach()) != before


@pytest.mark.parametrize("bounds", [[(0, 5)], [(0, 1), (1, 40), (40, 340)], [(0, 30), (30, 700)]])
def test_rows_attend_as_torch_attends(bounds):
    torch.manual_seed(0)
    tokens = bounds[-1][1]
    states = [torch.randn(tokens, heads, 16, requires_grad=True) for heads in (6, 2, 2)]
    upstream = torch.randn(tokens, 6, 16)

    found = RowAttention.apply(*states, bounds, 0.3)
    rows = [[tensor[start:end].transpose(0, 1) for tensor in states] for start, end in bounds]
    expected = torch.cat(
        [
            functional.scaled_dot_product_attention(*row, is_causal=True, scale=0.3, enable_gqa=True).transpose(0, 1)
            for row in rows
        ]
    )

    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found, states, upstream)
    torch.testing.assert_close(gradients, torch.autograd.grad(expected, states, upstream), rtol=1e-4, atol=1e-4)


def test_scores_of_bf16_states_are_not_rounded_to_bf16():
    torch.manual_seed(0)
    states = [(torch.randn(300, heads, 64) * 2).bfloat16() for heads in (3, 1, 1)]
    found = RowAttention.apply(*states, [(0, 300)], 1.0)
    query, key, value = (tensor.float().transpose(0, 1) for tensor in states)
    exact = functional.scaled_dot_product_attention(query, key, value, is_causal=True, scale=1.0, enable_gqa=True)
    rounded = functional.scaled_dot_product_attention(
        *(tensor.transpose(0, 1) for tensor in states), is_causal=True, scale=1.0, enable_gqa=True
    )
    error = (found.float() - exact.transpose(0, 1)).norm()
    assert error < 1.5 * (rounded.float() - exact).norm()
    assert torch.backends.mkldnn.matmul.fp32_precision != "bf16"


def test_the_way_gpus_go_gives_the_same(family, monkeypatch):
    """torch's own kernels over a padded batch, which a CPU can run too."""
    expected = loss_and_gradients(opened(family("llama"), fused=True))
    monkeypatch.setattr("jobs.ml.fused.attention.has_own_kernels", lambda states: True)
    found = loss_and_gradients(opened(family("llama"), fused=True))

    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    for weight, gradient in found[1].items():
        torch.testing.assert_close(gradient, expected[1][weight], rtol=1e-3, atol=1e-4)


def test_padding_is_never_attended_to():
    rows = lay_out(ROWS, torch.device("cpu"))
    assert rows.spread.shape == (4, 40) and rows.gather.tolist()[:3] == [0, 1, 2]
    assert rows.spread.flatten()[rows.gather].tolist() == list(range(sum(len(row.ids) for row in ROWS)))


def test_the_loss_of_the_head_is_cross_entropy():
    torch.manual_seed(0)
    hidden, head, targets = torch.randn(700, 16, requires_grad=True), torch.randn(5000, 16), torch.randint(5000, (700,))
    found, expected = (
        HeadLoss.apply(hidden, head, targets),
        functional.cross_entropy(hidden @ head.T, targets, reduction="sum"),
    )
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, hidden), torch.autograd.grad(expected, hidden))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_norm_is_rms_norm(dtype):
    torch.manual_seed(0)
    states, weight = torch.randn(9, 32, dtype=dtype, requires_grad=True), torch.randn(32, dtype=dtype)
    upstream = torch.randn(9, 32, dtype=dtype)
    found, expected = RMSNorm.apply(states, weight, 1e-6), functional.rms_norm(states, (32,), weight, 1e-6)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(made, states, upstream)[0] for made in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=0.02, atol=1e-5 if dtype == torch.float32 else 5e-3)


def test_rows_that_a_sliding_window_would_cut_are_refused(family):
    model = opened(family("mistral"), fused=True)
    model.base.config.sliding_window = 40
    model.loss(ROWS)
    model.base.config.sliding_window = 39
    with pytest.raises(Refused, match="looks back at most 39 tokens"):
        model.loss(ROWS)
