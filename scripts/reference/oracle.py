"""What transformers computes from a checkpoint folder: hidden states, logits and scores at the read positions."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForTokenClassification

from . import prompts, vocabulary
from .checkpoints import Spec
from .texts import LANGUAGE_MODEL_TEXT, TRACES, Trace

ACTIVATIONS = {"mlp2": "softmax", "linear2": "softmax", "vhead": "sigmoid"}
SEPARATORS = {"mlp2": prompts.EXTRA, "linear2": "\n", "vhead": "\n"}
CLOSEST_GAP = 1e-3


def expected(spec: Spec, folder: Path, qwen_template: str, source: dict) -> dict:
    """The content of expected.json for one folder."""
    encoder = prompts.Encoder(vocabulary.load(folder))
    scorer = Scorer(spec.head, folder)
    agreements = Agreements(encoder, qwen_template)
    cases = [_case(trace, spec.head, None, encoder, scorer, agreements) for trace in TRACES]
    if spec.head == "linear2":
        cases += [_case(trace, spec.head, "\n\n", encoder, scorer, agreements) for trace in TRACES]
    return {
        "source": {**source, "seed": spec.seed, "model": scorer.described, "same_ids_by": agreements.counts},
        "family": spec.family,
        "head": spec.head,
        "separator": SEPARATORS[spec.head],
        "activation": ACTIVATIONS[spec.head],
        "cases": cases,
        **({"causal_lm": causal_lm(encoder, folder)} if spec.head == "vhead" else {}),
    }


class Scorer:
    """The backbone of transformers with the head of the folder."""

    def __init__(self, head: str, folder: Path):
        self.head = head
        if head == "linear2":
            self.model = _load(AutoModelForTokenClassification, folder)
            self.backbone = self.model.model
            self.described = f"{type(self.model).__name__} of transformers"
            return
        self.backbone = _load(AutoModel, folder) if head == "mlp2" else _load(AutoModelForCausalLM, folder).model
        self.described = f"{type(self.backbone).__name__} of transformers, head in torch"
        self.weights = {
            name: tensor.float()
            for file in sorted(folder.glob("*.safetensors"))
            for name, tensor in load_file(file).items()
        }

    @torch.no_grad()
    def __call__(self, ids: list[int], reads: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Hidden states, head outputs and scores, one row a read."""
        batch = torch.tensor([ids])
        hidden = self.backbone(batch).last_hidden_state[0, reads]
        if self.head == "linear2":
            logits = self.model(batch).logits[0, reads]
        elif self.head == "mlp2":
            logits = self._linear("score.2", torch.relu(self._linear("score.0", hidden)))
        else:
            logits = self._linear("v_head.summary", hidden)
        scores = logits.sigmoid()[:, 0] if self.head == "vhead" else logits.softmax(-1)[:, 1]
        return hidden, logits, scores

    def _linear(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(rows, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])


def _load(auto_class: type, folder: Path) -> torch.nn.Module:
    model, info = auto_class.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True
    )
    if info["missing_keys"]:
        raise SystemExit(f"{folder}: {sorted(info['missing_keys'])} are missing")
    return model.eval()


def load_partly(auto_class: type, folder: Path) -> torch.nn.Module:
    """A language model whose folder has a score head in place of lm_head; `loose` holds the tensors by name."""
    model = auto_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    model.loose = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    return model


def _case(
    trace: Trace,
    head: str,
    separator: str | None,
    encoder: prompts.Encoder,
    scorer: Scorer,
    agreements: "Agreements",
) -> dict:
    if head == "mlp2":
        ids, reads = prompts.mlp2(encoder, trace)
        agreements.with_chat_template(trace, ids)
    elif head == "linear2":
        ids, reads = prompts.linear2(encoder, trace, separator or SEPARATORS[head])
        agreements.with_trl(trace, separator or SEPARATORS[head], ids, reads)
    else:
        ids, reads = prompts.vhead(encoder, trace)
    hidden, logits, scores = scorer(ids, reads)
    if scores.min() < 1e-3 or scores.max() > 1 - 1e-3 or (len(reads) > 3 and scores.std() < 0.02):
        raise SystemExit(f"{trace.name}: the scores {scores.tolist()} say too little; change the seed or the widths")
    return {
        "name": trace.name if separator is None else f"{trace.name}, steps end in a blank line",
        **({} if separator is None else {"separator": separator}),
        "problem": trace.problem,
        "steps": trace.steps,
        "ids": ids,
        "reads": reads,
        "hidden": short(hidden),
        "logits": short(logits),
        "scores": short(scores),
    }


class Agreements:
    """Counts the sequences that other people's code encodes to the same ids, and refuses any that differ."""

    def __init__(self, encoder: prompts.Encoder, qwen_template: str):
        self.encoder = encoder
        self.qwen_template = qwen_template
        self.counts: dict[str, int] = {}

    def with_chat_template(self, trace: Trace, ids: list[int]) -> None:
        if prompts.holds_special(self.encoder, trace):
            return
        tokenizer = self.encoder.tokenizer
        self._same("apply_chat_template with the folder's template", ids, prompts.by_chat_template(tokenizer, trace))
        own, tokenizer.chat_template = tokenizer.chat_template, self.qwen_template
        self._same("apply_chat_template with Qwen2.5's template", ids, prompts.by_chat_template(tokenizer, trace))
        tokenizer.chat_template = own

    def with_trl(self, trace: Trace, separator: str, ids: list[int], reads: list[int]) -> None:
        tokenizer = self.encoder.tokenizer
        name = "TRL 1.13.0 PRMTrainer.tokenize_row"
        if prompts.holds_special(self.encoder, trace):
            # As is, TRL would turn user text into special tokens.
            name += " with split_special_tokens"
            tokenizer.split_special_tokens = True
        self._same(name, (ids, reads), prompts.by_trl(tokenizer, trace, separator))
        tokenizer.split_special_tokens = False

    def _same(self, name: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            raise SystemExit(f"{name} disagrees:\n{ours}\n{theirs}")
        self.counts[name] = self.counts.get(name, 0) + 1


@torch.no_grad()
def causal_lm(encoder: prompts.Encoder, folder: Path) -> dict:
    """Next-token logits: the language model's own head, tied or not."""
    ids = encoder.text(LANGUAGE_MODEL_TEXT)
    logits = _load(AutoModelForCausalLM, folder)(torch.tensor([ids])).logits[0]
    two = logits.topk(2).values
    if (two[:, 0] - two[:, 1]).min() < CLOSEST_GAP:
        raise SystemExit(f"{folder}: two next tokens are nearly as likely; change the text")
    values, top = logits[-1].topk(16)
    return {
        "text": LANGUAGE_MODEL_TEXT,
        "ids": ids,
        "greedy": logits.argmax(-1).tolist(),
        "top": [[index, value] for index, value in zip(top.tolist(), short(values), strict=True)],
    }


def short(tensor: torch.Tensor) -> list:
    """f32 numbers in the shortest decimal form that reads back to the same f32."""
    if tensor.dim() > 1:
        return [short(row) for row in tensor]
    return [float(str(value)) for value in tensor.float().numpy()]
