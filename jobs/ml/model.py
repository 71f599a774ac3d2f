"""A base model with a LoRA adapter, as the trainer uses it: loss of some rows, sample answers, weights in and out.

Rows are laid end to end (jobs.ml.rows), and what the base has of the parts that jobs.ml.fused knows is replaced. The output
head, the largest matrix of a small model, runs on the tokens that carry loss and nowhere else. Weights compute in bf16; the
optimizer steps fp32 masters of them. It does not know about optimizers, steps, files of a run or what the rows mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import peft
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from jobs.ml import memory
from jobs.ml.config import TARGETS, LoraConfig
from jobs.ml.data import Example
from jobs.ml.failures import Refused
from jobs.ml.fused import Projections, fuse, fused_whole
from jobs.ml.fused.head import HeadLoss
from jobs.ml.fused.row_attention import exact_products
from jobs.ml.rows import Rows, lay_out


def pick_device(local_rank: int = 0) -> torch.device:
    return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")


def pick_dtype(device: torch.device) -> torch.dtype:
    """bf16 wherever the hardware computes it; older GPUs would emulate it, so they stay in fp32."""
    if device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0):
        return torch.float32
    return torch.bfloat16


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
        fused: bool = True,
    ) -> None:
        self.device = device
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
        self.attention = "by_row" if fused else "spread"
        self.base.set_attn_implementation(self.attention)
        self.network.train()
        self.projections: list[Projections] = fuse(self.decoder, self._try_out) if fused else []
        self.lanes_may_share = device.type == "cpu" and fused_whole(self.decoder, self.projections)

    def exact_products(self) -> AbstractContextManager[None]:
        """What `lanes_may_share` needs around all passes that run at the same time."""
        return exact_products(self.head.dtype)

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

    def _try_out(self) -> None:
        self.hidden(lay_out([Example(list(range(1, 8)), [True] * 7), Example([9, 8, 7], [True] * 3)], self.device))

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
        window = getattr(self.base.config.get_text_config(), "sliding_window", None)
        if window and any(end - start > window for start, end in rows.bounds):
            raise Refused(
                f"This model looks back at most {window} tokens in some layers. Set the maximum length to {window} or less."
            )
        output = self.decoder(input_ids=rows.ids, position_ids=rows.positions, use_cache=False, rows=rows)
        return cast(Tensor, output.last_hidden_state)

    def loss(self, examples: Sequence[Example]) -> Tensor:
        """Summed (not mean) loss over the tokens of `examples` that carry it."""
        rows = lay_out(examples, self.device)
        hidden = self.hidden(rows)[0].index_select(0, rows.predicting)
        return cast(Tensor, HeadLoss.apply(hidden, self.head, rows.targets))  # type: ignore[no-untyped-call]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Inside, `loss` is a plain number: no gradient, no dropout."""
        self.network.eval()
        with torch.no_grad():
            yield
        self.network.train()

    def gradients_of(self, loss: Tensor) -> Sequence[Tensor]:
        """One for each of the adapter's weights, in the order of `masters`; zero where the loss does not depend on it."""
        return torch.autograd.grad(loss, list(self.weights.values()), materialize_grads=True)

    def add_gradients(self, found: Iterable[Tensor]) -> None:
        """Add what `gradients_of` gave to the masters' own, in fp32."""
        for master, gradient in zip(self.masters.values(), found, strict=True):
            master.grad = gradient.float() if master.grad is None else master.grad.add_(gradient)

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
        for group in self.projections:
            group.refresh()

    def load(self, adapter: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(adapter[name])
        self.publish()

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
            self.base.set_attn_implementation(self.attention)
        return [row[width:] for row in made.tolist()]
