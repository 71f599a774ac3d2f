"""A fine-tune, in this process, on a toy base: it learns, it can be interrupted anywhere, and it ends up the same."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from jobs.ml import checkpoint, failures, trainer
from jobs.ml.base_model import ModelMissing
from jobs.ml.config import RunConfig
from jobs.ml.data import BadData
from jobs.ml.failures import Diverged, Refused
from jobs.ml.state import State
from jobs.ml.stop import Stop
from tests.ml.conftest import ROWS, Events, conversation


def train(run_dir, *, attempt=1, resume=None, interrupt=None, events=None, threads=1):
    """Run one attempt. `interrupt(event, stop)` sees every event and may ask the run to stop."""
    events = Events() if events is None else events
    stop = Stop()

    def emit(kind, **values):
        events(kind, **values)
        if interrupt:
            interrupt(events[-1], stop)

    run = trainer.Run(run_dir, attempt, emit, stop, threads=threads)
    run.train(checkpoint.candidates(run_dir, attempt, resume))
    return events


def pause_at(step):
    def interrupt(event, stop):
        stop.pause |= event["type"] == "step" and event["step"] == step

    return interrupt


def adapter_bytes(run_dir, attempt=1):
    return (run_dir / f"attempt-{attempt}" / "adapter" / "adapter_model.safetensors").read_bytes()


def test_a_run_learns_and_leaves_an_adapter(make_run):
    run_dir = make_run(epochs=4, evals=2, probes=[[{"role": "user", "content": "What comes after 3?"}]])

    events = train(run_dir)

    steps = events.of("step")
    assert [event["step"] for event in steps] == list(range(1, 21))
    assert steps[-1]["loss"] < steps[0]["loss"] - 0.5
    assert [event["step"] for event in events.of("eval")] == [0, 10, 20]
    assert [event["step"] for event in events.of("sample")] == [0, 10, 20]
    done = events[-1]
    assert done["type"] == "done" and not done["stopped_early"]
    assert done["metrics"]["eval_loss"] == min(event["loss"] for event in events.of("eval"))
    assert done["metrics"]["trained_tokens"] == steps[-1]["tokens"]
    checkpoint.verify(run_dir / done["path"])
    names = {path.name for path in (run_dir / done["path"]).iterdir()}
    assert names >= {
        "adapter_config.json",
        "adapter_model.safetensors",
        "adapter.gguf",
        "README.md",
        "tokenizer.json",
        "chat_template.jinja",
        "manifest.json",
    }


def test_the_adapter_loads_in_peft_and_says_what_training_measured(make_run, toy_base):
    import peft
    from transformers import AutoModelForCausalLM

    from jobs.ml.data import encode_rows
    from jobs.ml.template import ChatTemplate

    run_dir = make_run(epochs=2, evals=1)
    done = train(run_dir)[-1]

    base = AutoModelForCausalLM.from_pretrained(toy_base, dtype=torch.bfloat16)
    model = peft.PeftModel.from_pretrained(base, run_dir / done["path"], autocast_adapter_dtype=False).eval()
    config = RunConfig.load(run_dir)
    total = tokens = 0
    for example in encode_rows(
        [row["messages"] for row in ROWS[:4]], ChatTemplate(toy_base), config.train_config
    ).examples:
        labels = [token if carries else -100 for token, carries in zip(example.ids, example.mask, strict=True)]
        loss = model(input_ids=torch.tensor([example.ids]), labels=torch.tensor([labels])).loss
        total, tokens = total + float(loss) * example.targets, tokens + example.targets
    assert total / tokens == pytest.approx(done["metrics"]["eval_loss"], abs=0.01)


def test_rows_share_a_pass_without_seeing_each_other(toy_base):
    from jobs.ml.config import LoraConfig
    from jobs.ml.data import Example
    from jobs.ml.model import Model

    model = Model(toy_base, LoraConfig(), seed=1, device=torch.device("cpu"), dtype=torch.float32)
    rows = [Example(list(range(5, 5 + n)), [True] * n) for n in (3, 9, 6)]

    together, alone = model.loss(rows), sum(model.loss([row]) for row in rows)

    assert float(together) == pytest.approx(float(alone), rel=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("pause", [3, 5, 9])
def test_an_interrupted_run_ends_up_bit_for_bit_the_same(make_run, dropout, pause):
    options = {"epochs": 2, "evals": 2, "lora": {"dropout": dropout}}
    whole, broken = make_run(name="whole", **options), make_run(name="broken", **options)
    expected = train(whole)

    first = train(broken, interrupt=pause_at(pause))
    assert first[-1] == {"type": "stopped", "step": pause}
    second = train(broken, attempt=2, resume=broken / first.of("checkpoint")[-1]["path"])

    assert second.of("start")[0]["resumed_from"] == pause
    assert {**first.losses, **second.losses} == expected.losses
    assert adapter_bytes(broken, attempt=2) == adapter_bytes(whole)
    evaluations = {event["step"]: event["loss"] for event in [*first.of("eval"), *second.of("eval")]}
    assert evaluations == {event["step"]: event["loss"] for event in expected.of("eval")}


def test_a_pause_in_the_middle_of_a_step_leaves_no_trace_of_it(make_run, monkeypatch):
    monkeypatch.setattr("jobs.ml.passes.budget", lambda *args, **kwargs: 80)  # two passes a step
    options = {"epochs": 1, "evals": 1, "lora": {"dropout": 0.1}}
    whole, broken = make_run(name="whole", **options), make_run(name="broken", **options)
    expected = train(whole)
    first, stop = Events(), Stop()
    run = trainer.Run(broken, 1, first, stop, threads=1)
    add = run.model.add_gradients

    def pause_after_the_first_pass(found):
        add(found)
        stop.pause |= run.state.step == 2

    monkeypatch.setattr(run.model, "add_gradients", pause_after_the_first_pass)
    run.train()
    assert first[-1] == {"type": "stopped", "step": 2}

    second = train(broken, attempt=2, resume=checkpoint.newest_first(broken)[0])

    assert {**first.losses, **second.losses} == expected.losses
    assert adapter_bytes(broken, attempt=2) == adapter_bytes(whole)


@pytest.mark.parametrize("options", [{}, {"gradient_checkpointing": True}])
def test_two_lanes_reach_the_weights_of_one_bit_for_bit(make_run, monkeypatch, options):
    monkeypatch.setattr("jobs.ml.passes.LEAST", 20)  # two passes a step
    one, two = (make_run(name=name, epochs=2, evals=2, **options) for name in ("one", "two"))

    expected, found = train(one), train(two, threads=2)

    assert found.losses == expected.losses
    assert [event["loss"] for event in found.of("eval")] == [event["loss"] for event in expected.of("eval")]
    assert adapter_bytes(two) == adapter_bytes(one)


def test_a_run_goes_on_with_more_lanes_bit_for_bit(make_run, monkeypatch):
    monkeypatch.setattr("jobs.ml.passes.LEAST", 20)
    whole, broken = make_run(name="whole", epochs=2, evals=2), make_run(name="broken", epochs=2, evals=2)
    expected = train(whole, threads=2)
    first = train(broken, interrupt=pause_at(5), threads=2)
    second = train(broken, attempt=2, resume=broken / first.of("checkpoint")[-1]["path"], threads=1)

    assert {**first.losses, **second.losses} == expected.losses
    assert adapter_bytes(broken, attempt=2) == adapter_bytes(whole)


def test_finish_now_keeps_the_best_so_far(make_run):
    def finish(event, stop):
        stop.finish |= event["type"] == "step" and event["step"] == 3

    run_dir = make_run(epochs=4, evals=2)
    events = train(run_dir, interrupt=finish)

    done = events[-1]
    assert done["type"] == "done" and done["stopped_early"] and done["step"] == 3
    assert [event["step"] for event in events.of("eval")] == [0, 3]


def test_the_best_checkpoint_becomes_the_adapter(make_run, monkeypatch):
    losses = iter([9.0, 3.0, 2.0, 4.0, 5.0])
    monkeypatch.setattr("jobs.ml.evaluation.validation_loss", lambda *args: next(losses))
    run_dir = make_run(epochs=4, evals=4, early_stop_patience=0)

    events = train(run_dir)

    assert [event["best"] for event in events.of("eval")] == [False, True, True, False, False]
    best = events.of("checkpoint")[1]
    assert best["best"] and events[-1]["metrics"]["best_step"] == best["step"] == 10
    saved = load_file(run_dir / best["path"] / "adapter_model.safetensors")
    final = load_file(run_dir / events[-1]["path"] / "adapter_model.safetensors")
    assert all(torch.equal(saved[name], final[name]) for name in saved)


def test_it_stops_when_the_validation_loss_no_longer_falls(make_run, monkeypatch):
    losses = iter([9.0, 3.0, 4.0, 5.0])
    monkeypatch.setattr("jobs.ml.evaluation.validation_loss", lambda *args: next(losses))

    done = train(make_run(epochs=4, evals=10, early_stop_patience=2))[-1]

    assert done["stopped_early"] and done["step"] == 6 and done["metrics"]["best_step"] == 2


def test_only_the_last_two_checkpoints_and_the_best_are_kept(make_run, monkeypatch):
    losses = iter([9.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    monkeypatch.setattr("jobs.ml.evaluation.validation_loss", lambda *args: next(losses))
    run_dir = make_run(epochs=4, evals=5, early_stop_patience=0)

    train(run_dir)

    kept = sorted(path.name for path in (run_dir / "attempt-1" / "checkpoints").iterdir())
    assert kept == ["step-000004", "step-000016", "step-000020"]


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "manifest"])
def test_a_damaged_checkpoint_is_passed_over_for_an_older_one(make_run, damage):
    run_dir = make_run(epochs=2, evals=5)
    whole = make_run(name="whole", epochs=2, evals=5)
    first = train(run_dir, interrupt=pause_at(6))
    newest = run_dir / first.of("checkpoint")[-1]["path"]
    victim = newest / ("manifest.json" if damage == "manifest" else "optimizer.safetensors")
    content = victim.read_bytes()
    match damage:
        case "flip":
            victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "truncate" | "manifest":
            victim.write_bytes(content[: len(content) // 2])
        case "delete":
            victim.unlink()

    second = train(run_dir, attempt=2, resume=newest)

    assert second.of("start")[0]["resumed_from"] == 4
    assert any("cannot be used" in event["message"] for event in second.of("status"))
    train(whole)
    assert adapter_bytes(run_dir, attempt=2) == adapter_bytes(whole)


def test_a_checkpoint_of_other_data_is_refused(make_run):
    run_dir = make_run(epochs=2, evals=2)
    train(run_dir, interrupt=pause_at(6))
    (run_dir / "data" / "train.jsonl").write_text("\n".join(json.dumps(row) for row in reversed(ROWS)))

    events = train(run_dir, attempt=2, resume=checkpoint.newest_first(run_dir)[0])

    assert events.of("start")[0]["resumed_from"] is None
    assert "data_sha256 differs" in events.of("status")[1]["message"]


def test_an_attempt_continues_the_newest_checkpoint_by_itself(make_run):
    run_dir = make_run(epochs=2, evals=2)
    train(run_dir, interrupt=pause_at(6))

    assert [path.name for path in checkpoint.candidates(run_dir, 0, None)][0] == "step-000006"
    assert checkpoint.candidates(run_dir, 2, None) == []


def test_rows_are_counted_when_cut_dropped_or_left_out(make_run):
    long = conversation("Count.", " ".join(str(n) for n in range(60)))
    silent = conversation("word " * 80, "Never seen.")
    metrics = train(make_run([*ROWS, long, silent], epochs=0.2, evals=0))[-1]["metrics"]
    assert (metrics["truncated_rows"], metrics["skipped_rows"]) == (1, 1)

    metrics = train(make_run([*ROWS, long, silent], name="drop", overlong="drop", epochs=0.2, evals=0))[-1]["metrics"]
    assert (metrics["truncated_rows"], metrics["skipped_rows"]) == (0, 2)


def test_rows_without_a_single_token_to_learn_are_refused(make_run):
    with pytest.raises(BadData, match="None of the 3 training rows"):
        train(make_run([conversation("word " * 80, "Never seen.")] * 3))


@pytest.mark.parametrize("line", ["{not json", '{"prompt": "no messages"}', '{"messages": [{"role": "user"}]}'])
def test_a_line_that_is_no_conversation_is_named(make_run, line):
    with pytest.raises(BadData, match=r"Line 2 of train.jsonl") as caught:
        train(make_run([ROWS[0], line]))
    assert failures.explain(caught.value)[0] == "bad_data"


def test_a_missing_base_and_a_changed_template_are_refused(make_run, toy_base, tmp_path):
    run_dir = make_run()
    values = json.loads((run_dir / "config.json").read_text())
    (run_dir / "config.json").write_text(json.dumps({**values, "base_model_dir": str(tmp_path / "gone")}))
    with pytest.raises(ModelMissing) as caught:
        train(run_dir)
    assert failures.explain(caught.value)[0] == "model_missing"

    (run_dir / "config.json").write_text(json.dumps({**values, "template_hash": "0" * 64}))
    with pytest.raises(Refused, match="planned with"):
        train(run_dir)


def test_a_run_that_diverges_says_so():
    state = State(first_losses=[2.0, 2.0, 2.0])
    with pytest.raises(Diverged, match="stopped being a number"):
        state.watch(math.nan, 1.0)
    with pytest.raises(Diverged, match=r"rose from 2.00 to 9.00"):
        for _ in range(3):
            state.watch(9.0, 1.0)
    assert failures.explain(Diverged("x")) == ("error", "x")


def test_gradient_checkpointing_changes_no_number(make_run):
    plain = train(make_run(epochs=1, evals=0))
    saving = train(make_run(name="saving", epochs=1, evals=0, gradient_checkpointing=True))
    assert saving.losses == plain.losses
