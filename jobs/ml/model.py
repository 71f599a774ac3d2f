"""A base model with a LoRA adapter, as the trainer uses it: loss of some rows, sample answers, weights in and out.

Rows are laid end to end, so no layer computes padding; only attention looks at them one by one. The output head, the
largest matrix of a small model, runs on the tokens that carry loss and nowhere else. Weights compute in bf16; the
optimizer steps fp32 masters of them. It does not know about optimizers, steps, files of a run or what the rows mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import peft
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface, AutoModelForCausalLM

from jobs.ml import memory
from jobs.ml.config import TARGETS, LoraConfig
from jobs.ml.data import Example
from jobs.ml.failures import Refused

HEAD_CHUNK = 512  # tokens whose logits exist at the same time


def pick_device(local_rank: int = 0) -> torch.device:
    return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")


def pick_dtype(device: torch.device) -> torch.dtype:
    """bf16 wherever the hardware computes it; older GPUs would emulate it, so they stay in fp32."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return torch.float32
    return torch.bfloat16


class CompilerMissing(RuntimeError):
    """torch.compile builds C++ while it runs, and could not. The model goes on uncompiled."""


@dataclass(frozen=True)
class Rows:
    """Some examples laid end to end as one row of T tokens. `spread` (rows x longest) says where each row's tokens lie,
    the last one repeated as filling; `gather` picks the T real places back out of it."""

    ids: Tensor
    positions: Tensor
    spread: Tensor
    gather: Tensor
    predicting: Tensor  # places whose next token carries loss
    targets: Tensor  # those next tokens


def lay_out(examples: Sequence[Example], device: torch.device, *, at_least: int = 1) -> Rows:
    """`at_least` 2 repeats a lone row in `spread`: compiled code would be built anew for a size of one."""
    lengths = torch.tensor([len(example.ids) for example in examples])
    starts = lengths.cumsum(0) - lengths
    within = torch.arange(int(lengths.max()))
    ids = torch.tensor([token for example in examples for token in example.ids])
    # A row's first token is predicted by nothing; above all not by the row before it.
    carries_loss = torch.tensor([carries for example in examples for carries in (False, *example.mask[1:])])
    following = carries_loss.nonzero().squeeze(1)
    rows = Rows(
        ids=ids[None],
        positions=torch.cat([torch.arange(len(example.ids)) for example in examples])[None],
        spread=(starts[:, None] + torch.minimum(within, lengths[:, None] - 1)).repeat(-(-at_least // len(lengths)), 1),
        gather=(within < lengths[:, None]).flatten().nonzero().squeeze(1),
        predicting=following - 1,
        targets=ids[following],
    )
    return Rows(*(getattr(rows, name).to(device) for name in Rows.__dataclass_fields__))


def _attend_by_row(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    spread: Tensor | None = None,
    gather: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention inside each row of a `Rows` layout; a transformers attention implementation."""
    assert spread is not None and gather is not None  # noqa: S101 - only `Model.hidden` runs with this implementation

    def by_row(states: Tensor) -> Tensor:
        heads, width = states.shape[1], states.shape[3]
        return states[0].index_select(1, spread.flatten()).view(heads, *spread.shape, width).transpose(0, 1)

    attended = functional.scaled_dot_product_attention(
        by_row(query), by_row(key), by_row(value), is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=True
    )
    return attended.transpose(1, 2).flatten(0, 1).index_select(0, gather)[None], None


AttentionInterface.register("by_row", _attend_by_row)
AttentionMaskInterface.register("by_row", lambda *args, **kwargs: None)


class HeadLoss(torch.autograd.Function):
    """Summed cross-entropy of a frozen output head, a chunk of tokens at a time.

    The head has no gradient of its own, so the gradient of the hidden states is computed along with the loss and the
    logits (tokens x vocabulary, far the largest tensor of a small model) never exist as a whole.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        gradient = torch.empty_like(hidden)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(targets), HEAD_CHUNK):
            part = slice(start, start + HEAD_CHUNK)
            index = targets[part, None]
            logits = (hidden[part] @ head.T).float()
            normaliser = logits.logsumexp(-1, keepdim=True)
            total += (normaliser - logits.gather(1, index)).sum()
            probabilities = logits.sub_(normaliser).exp_()
            probabilities.scatter_add_(1, index, torch.full_like(index, -1, dtype=torch.float32))
            gradient[part] = probabilities.to(hidden.dtype) @ head
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0], None, None


class Model:
    """The base and its adapter. `masters`, the adapter's fp32 weights by PEFT name, are what is optimised and saved."""

    def __init__(
        self,
        base_dir: Path,
        lora: LoraConfig,
        *,
        seed: int,
        device: torch.device,
        dtype: torch.dtype | None = None,
        base_name: str = "",
        gradient_checkpointing: bool = False,
    ) -> None:
        self.device, self.compiled = device, False
        loader: Any = AutoModelForCausalLM  # its types describe too little to be of help here
        base = loader.from_pretrained(base_dir, dtype=dtype or pick_dtype(device), local_files_only=True)
        base.to(device)
        if gradient_checkpointing:
            base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        torch.manual_seed(seed)
        self.config: Any = peft.LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(TARGETS[lora.target_modules]),
            task_type="CAUSAL_LM",
        )
        self.network = cast(Any, peft.get_peft_model(base, self.config, autocast_adapter_dtype=False))
        self.config.base_model_name_or_path = base_name or base_dir.name  # PEFT puts the folder's path there
        self.base = self.network.get_base_model()
        self.decoder = self.base.get_decoder()
        self.head: Tensor = self.base.get_output_embeddings().weight
        self.weights = {
            name.replace(".default.", "."): weight
            for name, weight in self.network.named_parameters()
            if weight.requires_grad
        }
        self.masters = {name: weight.detach().float().clone() for name, weight in self.weights.items()}
        self._refuse_unusual_heads()
        self.base.set_attn_implementation("by_row")
        self.network.train()

    @property
    def trainable(self) -> int:
        return sum(weight.numel() for weight in self.masters.values())

    def _refuse_unusual_heads(self) -> None:
        """Some families cap or scale logits after the head; a loss computed without that would be silently wrong."""
        ids = torch.tensor([[1, 2, 3]], device=self.device)
        with torch.no_grad():
            expected = self.base(input_ids=ids, use_cache=False).logits
            found = self.decoder(input_ids=ids, use_cache=False).last_hidden_state @ self.head.T
        if not torch.allclose(found.float(), expected.float(), rtol=0.05, atol=0.05):
            raise Refused("This model family changes its logits after the output head, so it cannot be trained here.")

    def memory_used(self) -> int:
        """Bytes that matter on this device: the GPU's, or this process's own."""
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else memory.used()

    def memory_peak(self) -> int:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else memory.peak()

    def adapter_config(self) -> dict[str, Any]:
        """PEFT's `adapter_config.json`."""
        content = {
            key: sorted(value) if isinstance(value, set) else value for key, value in self.config.to_dict().items()
        }
        return {**content, "inference_mode": True}

    def hidden(self, rows: Rows) -> Tensor:
        output = self.decoder(
            input_ids=rows.ids, position_ids=rows.positions, use_cache=False, spread=rows.spread, gather=rows.gather
        )
        return cast(Tensor, output.last_hidden_state)

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Summed (not mean) loss over the tokens of `examples` that carry it."""
        rows = lay_out(examples, self.device, at_least=2 if self.compiled else 1)
        hidden = self.hidden(rows)[0].index_select(0, rows.predicting)
        return cast(Tensor, HeadLoss.apply(hidden, self.head, rows.targets))  # type: ignore[no-untyped-call]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, `loss` is a plain number: no gradient, no dropout, no compiled code."""
        self.network.eval()
        with torch.no_grad(), torch.compiler.set_stance("force_eager"):
            yield
        self.network.train()

    def collect_gradients(self) -> None:
        """Add the gradients of the last backward pass to the masters' own, in fp32."""
        for name, weight in self.weights.items():
            if weight.grad is not None:
                master = self.masters[name]
                master.grad = weight.grad.float() if master.grad is None else master.grad.add_(weight.grad)
                weight.grad = None

    def gradients(self) -> list[Tensor]:
        """One gradient for each master, in a fixed order; zero where this process computed none."""
        for master in self.masters.values():
            master.grad = torch.zeros_like(master) if master.grad is None else master.grad
        return [master.grad for master in self.masters.values() if master.grad is not None]

    def publish(self) -> None:
        """Make the model compute with the masters' present values."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(self.masters[name])

    def load(self, adapter: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(adapter[name])
        self.publish()

    def compile(self, batch: Sequence[Example]) -> None:
        """Compile the decoder layers, and trigger it on `batch`.

        The batch that triggers it shapes the code, so it has to be the same after a resume.
        """
        self.compiled = True
        self.base.enable_input_require_grads()  # or the first layer, which has no gradient to pass on, compiles apart
        for layer in self.decoder.layers:
            layer.compile(dynamic=True)
        try:
            self.loss(batch).backward()  # type: ignore[no-untyped-call]
        except torch._dynamo.exc.TorchDynamoException as error:
            self.compiled = False
            torch.compiler.set_stance("force_eager")
            raise CompilerMissing from error
        for weight in self.weights.values():
            weight.grad = None

    def answer(
        self, prompts: Sequence[list[int]], *, eos_id: int, max_tokens: int, stop: Callable[[], bool]
    ) -> list[list[int]]:
        """Greedy continuations of all prompts at once. `stop` turning true ends them early."""
        from transformers import StoppingCriteriaList

        width = max(map(len, prompts))
        ids = torch.tensor([[eos_id] * (width - len(prompt)) + prompt for prompt in prompts], device=self.device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self.device)

        def stopping(generated: Tensor, scores: Any, **kwargs: Any) -> Tensor:
            return torch.full((len(generated),), stop(), device=generated.device)

        with self.evaluating():
            self.base.set_attn_implementation("sdpa")
            made = self.network.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max_tokens,
                do_sample=False,
                eos_token_id=eos_id,
                pad_token_id=eos_id,
                stopping_criteria=StoppingCriteriaList([stopping]),
            )
            self.base.set_attn_implementation("by_row")
        return [row[width:] for row in made.tolist()]
