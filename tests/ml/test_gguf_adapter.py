"""The exported GGUF adapter means in llama.cpp what the PEFT adapter means in transformers."""

import json
import shutil

import numpy as np
import pytest
import torch

from jobs.ml import gguf_adapter
from jobs.ml.config import TARGETS
from tests.toy import TOKENIZER_FILES

IDS = [1, 4093, 198, 19556, 28, 638, 359, 346, 47, 2, 198]
HEADS, KEY_HEADS = 4, 2


@pytest.fixture(scope="module")
def base(base_dir, tmp_path_factory):
    """A two-layer llama in fp32, as safetensors and as GGUF, with weights large enough for attention to matter."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "pair"
    vocabulary = json.loads((base_dir / "config.json").read_text())["vocab_size"]
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=256,
        tie_word_embeddings=True,
    )
    torch.manual_seed(3)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.normal_(std=0.25)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(base_dir / name, folder / name)
    write_base_gguf(model, base_dir / "model.gguf", folder / "model.gguf")
    return folder


def write_base_gguf(model, pattern, target):
    """The model as llama.cpp stores it; tokenizer and the rest of the metadata are those of the real base."""
    from gguf import GGUFReader, GGUFWriter

    config = model.config
    own = {
        "llama.block_count": config.num_hidden_layers,
        "llama.context_length": config.max_position_embeddings,
        "llama.embedding_length": config.hidden_size,
        "llama.feed_forward_length": config.intermediate_size,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KEY_HEADS,
        "llama.rope.dimension_count": config.hidden_size // HEADS,
        "llama.rope.freq_base": config.rope_parameters["rope_theta"],
        "llama.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "general.file_type": 0,
    }
    writer = GGUFWriter(target, "llama")
    for name, field in GGUFReader(pattern).fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kinds = [*field.types, None][:2]
            writer.add_key_value(name, own.get(name, field.contents()), *kinds)
    tensors = {name: weight.detach().float().numpy() for name, weight in model.named_parameters()}
    writer.add_tensor("token_embd.weight", tensors["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", tensors["model.norm.weight"])
    for layer in range(config.num_hidden_layers):
        ours = f"model.layers.{layer}."
        for name, theirs in gguf_adapter.TENSORS.items():
            weight = tensors[f"{ours}{name}.weight"]
            heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(theirs)
            weight = gguf_adapter.permute(weight, heads) if heads else weight
            writer.add_tensor(f"blk.{layer}.{theirs}.weight", np.ascontiguousarray(weight))
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", tensors[ours + "input_layernorm.weight"])
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", tensors[ours + "post_attention_layernorm.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    """An adapter with a strong effect, and what the reference says with it and without it."""
    import peft
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=list(TARGETS["all"]), task_type="CAUSAL_LM")
    torch.manual_seed(7)
    model = peft.get_peft_model(model, config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.2)
    model.save_pretrained(folder)
    with torch.no_grad():
        adapted = model(input_ids=torch.tensor([IDS])).logits[0, -1].log_softmax(-1)
        with model.disable_adapter():
            bare = model(input_ids=torch.tensor([IDS])).logits[0, -1].log_softmax(-1)
    return folder, adapted, bare


def test_permuted_rows_are_neighbouring_pairs():
    rows = np.arange(8, dtype=np.float32).reshape(8, 1)
    assert gguf_adapter.permute(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_llama_cpp_with_the_gguf_adapter_computes_what_the_reference_does(adapter, base):
    folder, adapted, bare = adapter
    assert distance(likeliest(base, None), bare) < 0.02

    gguf_adapter.export(folder, base, folder / "adapter.gguf")
    ours = likeliest(base, folder / "adapter.gguf")

    assert distance(ours, adapted) < 0.02
    assert distance(ours, bare) > 0.5
    assert max(ours, key=ours.get) == int(adapted.argmax())


def test_without_the_permutation_it_would_compute_something_else(adapter, base, monkeypatch):
    folder, adapted, _ = adapter
    monkeypatch.setattr(gguf_adapter, "permute", lambda rows, heads: rows)
    gguf_adapter.export(folder, base, folder / "unpermuted.gguf")

    assert distance(likeliest(base, folder / "unpermuted.gguf"), adapted) > 0.2


def likeliest(base, adapter_file):
    """llama.cpp's log-probabilities of the 20 likeliest next tokens."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(base / "model.gguf")
    params.n_ctx, params.n_parallel, params.warmup = 256, 1, False
    params.cpuparams.n_threads = 1
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    if adapter_file:
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = str(adapter_file), 1.0
        params.lora_adapters = [lora]
    answers = []
    request = {"prompt": IDS, "n_predict": 1, "temperature": 0, "n_probs": 20, "cache_prompt": False}
    xllamacpp.Server(params).handle_completions(json.dumps(request), lambda answer: answers.append(answer))
    answer = answers[-1] if not isinstance(answers[-1], str) else json.loads(answers[-1])
    found = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    return {entry["id"]: entry["logprob"] for entry in found}


def distance(ours, reference):
    """Mean distance of the log-probabilities of the tokens that llama.cpp finds likeliest."""
    return float(np.mean([abs(logprob - float(reference[token])) for token, logprob in ours.items()]))


@pytest.mark.parametrize("name", ["use_dora", "use_rslora"])
def test_what_llama_cpp_cannot_express_is_refused(adapter, base, tmp_path, name):
    config = json.loads((adapter[0] / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, name: True}))
    with pytest.raises(gguf_adapter.NotExportable, match=name):
        gguf_adapter.export(tmp_path, base, tmp_path / "adapter.gguf")
