"""One tiny checkpoint for each public family of ../shared/reference/checkpoints.md C.1, and what its reference computes.

Backbones and output layers are those of transformers; prompts, read positions and heads follow the model cards and the
code that each family names in `source`, in a few lines of their own.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForCausalLM

from . import checkpoints, oracle, prompts, vocabulary
from .texts import TRACES, Trace

TAG = "ки"
SIGNS = ["+ - + - + - + -"] * 8
LLAMA_TOKENS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
# Written for this project, with the habits of Llama 3.1's: BOS in the text, trimmed contents, a system block with dates.
LLAMA_TEMPLATE = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
# ChatML that brings a system message of its own where the conversation has none, as Qwen2.5's does.
DEFAULT_SYSTEM_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' %}{{- '<|im_start|>system\\nYou are a careful teacher.<|im_end|>\\n' }}"
    "{%- endif %}\n" + vocabulary.CHAT_TEMPLATE
)
CHAT = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "bos_token": None}
SENTENCE = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
LLAMA = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "chat_template": LLAMA_TEMPLATE}


@dataclass(frozen=True)
class Family:
    """`encode` gives ids, read positions and where each sequence begins; `scores` the scores of head outputs."""

    name: str
    source: str
    backbone: str
    seed: int
    head: str
    encode: Callable
    scores: Callable
    config: dict = field(default_factory=dict)
    extra_config: dict = field(default_factory=dict)
    architecture: str | None = None
    tokenizer: str = "bytes"
    tokens: dict = field(default_factory=lambda: CHAT)
    candidates: tuple[str, str] | None = None
    bias: bool = True
    outcome: bool = False
    dtype: torch.dtype = torch.bfloat16


def positive(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(-1)[:, 1]


def sigmoid(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, 0].sigmoid()


def raw(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, 0]


def difference(logits: torch.Tensor) -> torch.Tensor:
    probabilities = logits.softmax(-1)
    return probabilities[:, 1] - probabilities[:, 0]


def validity(logits: torch.Tensor) -> torch.Tensor:
    probabilities = logits.softmax(-1)
    return probabilities[:, 1] + probabilities[:, 2]


def find(ids: list[int], pattern: list[int], begin: int = 0) -> list[int]:
    """Where `pattern` begins, without overlaps."""
    found, at = [], begin
    while at + len(pattern) <= len(ids):
        if ids[at : at + len(pattern)] == pattern:
            found.append(at)
            at += len(pattern)
        else:
            at += 1
    return found


def bos(encoder: prompts.Encoder) -> list[int]:
    return [encoder.special(encoder.tokenizer.bos_token)]


def rendered(encoder: prompts.Encoder, messages: list[dict], generation_prompt: bool = False) -> str:
    return encoder.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation_prompt)


def with_specials(encoder: prompts.Encoder, text: str) -> list[int]:
    return encoder.tokenizer.encode(text, add_special_tokens=False)


def chat_steps(encoder, trace):
    """ReasonFlux-PRM-7B: user and assistant, `<extra_0>` after every step."""
    content = prompts.EXTRA.join(trace.steps) + prompts.EXTRA
    messages = [{"role": "user", "content": trace.problem}, {"role": "assistant", "content": content}]
    ids = with_specials(encoder, rendered(encoder, messages))
    return ids, [at for at, id_ in enumerate(ids) if id_ == encoder.special(prompts.EXTRA)]


def pure(encoder, trace):
    """PURE: problem and steps tokenised alone, one "\\n" after each step."""
    return prompts._steps(encoder, encoder.text(trace.problem), trace.steps, encoder.text("\n"))


def math_shepherd(encoder, trace):
    numbered = [step.strip() for step in trace.steps]
    numbered = [
        step if step.startswith(("Step", "step")) else f"Step {index}: {step}" for index, step in enumerate(numbered, 1)
    ]
    text = f"{trace.problem} " + "\n".join(f"{step} {TAG}" for step in numbered)
    ids = bos(encoder) + encoder.text(text)
    tag = encoder.text(TAG)[-1]
    return ids, [at for at, id_ in enumerate(ids) if id_ == tag]


def rlhflow(encoder, trace):
    """Read before the "+" of each assistant turn."""
    messages = []
    for index, step in enumerate(trace.steps):
        content = step.strip() if index else f"{trace.problem} {step.strip()}"
        messages += [{"role": "user", "content": content}, {"role": "assistant", "content": "+"}]
    ids = with_specials(encoder, rendered(encoder, messages))
    header = [encoder.special("<|start_header_id|>"), *encoder.text("assistant"), encoder.special("<|end_header_id|>")]
    pattern = [*header, *encoder.text("\n\n"), *encoder.text("+"), encoder.special("<|eot_id|>")]
    return ids, [at + len(pattern) - 3 for at in find(ids, pattern)]


def tagged(opening: str, tag: str, with_bos: bool):
    def encode(encoder, trace):
        text = trace.problem + opening + "".join(step.strip() + tag for step in trace.steps)
        ids = (bos(encoder) if with_bos else []) + encoder.text(text)
        pattern = encoder.text(tag)
        return ids, [at + len(pattern) - 1 for at in find(ids, pattern)]

    return encode


def reasoneval(seven: bool):
    """Question and steps tokenised apart; the 7B's code reads one token early, having put BOS back unshifted."""

    def encode(encoder, trace):
        ids = encoder.text(f"Question:\n{trace.problem}\nAnswer:\nLet's think step by step.\n")
        reads = []
        for step in trace.steps:
            ids = ids + encoder.text(step)
            reads.append(len(ids) - 1)
        return (bos(encoder) + ids if seven else ids), reads

    return encode


def llemma(encoder, trace):
    """Our choice where a step holds a blank line: it becomes one line break."""
    steps = [re.sub("\n+", "\n", step).strip() for step in trace.steps]
    text = f"# Question\n\n{trace.problem}\n\n# Solution\n\n" + "".join(f"{step}\n\n" for step in steps)
    ids = bos(encoder) + encoder.text(text)
    begin = find(ids, encoder.text("\n\n# Solution")[1:])[-1]
    return ids, find(ids, encoder.text("\n\n")[1:], begin)[2:]


def outcome(system: str):
    def encode(encoder, trace):
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": trace.problem},
            {"role": "assistant", "content": trace.steps[0]},
        ]
        ids = with_specials(encoder, rendered(encoder, messages))
        return ids, [len(ids) - 1]

    return encode


def universal(encoder, trace):
    """One sequence for each prefix of the steps."""
    user = trace.problem + (
        "\n\n###\n\nThe reference answer is: There is no reference answer for this question."
    )
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": user}]
    head = with_specials(encoder, rendered(encoder, messages, generation_prompt=True))
    assert head[-len(encoder.text("assistant\n")) :] == encoder.text("assistant\n")
    head = head[: -len(encoder.text("assistant\n"))]
    ids, reads, starts = [], [], []
    for end in range(1, len(trace.steps) + 1):
        starts.append(len(ids))
        text = "assistant\n" + "".join(f"{step}\n\n" for step in trace.steps[:end])
        ids = ids + head + encoder.text(text) + [encoder.special(encoder.tokenizer.eos_token)]
        reads.append(len(ids) - 1)
    return ids, reads, starts


def reranker(encoder, trace):
    """QwenLM/Qwen3-Embedding: prefix, body and suffix are tokenised apart."""
    judge = (
        "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".'
    )
    instruct = "Given a web search query, retrieve relevant passages that answer the query"
    prefix = f"<|im_start|>system\n{judge}<|im_end|>\n<|im_start|>user\n"
    suffix = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    body = f"<Instruct>: {instruct}\n<Query>: {trace.problem}\n<Document>: {trace.steps[0]}"
    ids = with_specials(encoder, prefix) + encoder.text(body) + with_specials(encoder, suffix)
    return ids, [len(ids) - 1]


QWEN_SYSTEM = prompts.QWEN_SYSTEM
ACE_SYSTEM = r"Please reason step by step, and check your final answer within \boxed{}."
TEMPLATED = {**CHAT, "chat_template": vocabulary.CHAT_TEMPLATE}

FAMILIES = [
    Family("reasonflux", "Gen-Verse/ReasonFlux", "qwen2", 31, "mlp2", chat_steps, positive,
           tokens={**CHAT, "chat_template": DEFAULT_SYSTEM_TEMPLATE}),
    Family("pure", "CJReinforce/PURE", "qwen2", 32, "linear2", pure, difference,
           architecture="Qwen2ForTokenClassification"),
    Family("math-shepherd", "model card of peiyi9979/math-shepherd-mistral-7b-prm", "mistral", 33, "lm-candidates",
           math_shepherd, positive, config={"sliding_window": 48}, tokenizer="pieces", tokens=SENTENCE,
           candidates=("+", "-")),
    Family("rlhflow-deepseek", "RLHFlow/RLHF-Reward-Modeling", "llama", 34, "lm-candidates", rlhflow, positive,
           config={"rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0,
                                       "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                       "original_max_position_embeddings": 64}},
           tokenizer="llama", tokens=LLAMA, candidates=("+", "-")),
    Family("math-psa", "openreasoner/openr", "qwen2", 35, "lm-candidates", tagged(" ", " \n\n\n\n\n", False), positive,
           config={"tie_word_embeddings": True}, candidates=(" +", " -")),
    Family("versaprm", "UW-Madison-Lee-Lab/VersaPRM", "llama", 36, "lm-candidates",
           tagged(" \n\n", " \n\n\n\n", True), positive,
           config={"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
           tokenizer="llama", tokens=LLAMA, candidates=("+", "-")),
    Family("reasoneval-7b", "GAIR-NLP/ReasonEval", "mistral", 37, "linear3", reasoneval(True), validity,
           config={"sliding_window": None}, extra_config={"score_dimension": 3, "use_bias": True},
           architecture="ReasonEval_7B", tokenizer="pieces", tokens=SENTENCE),
    Family("reasoneval-34b", "GAIR-NLP/ReasonEval", "llama", 38, "linear3", reasoneval(False), validity,
           config={"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                                       "original_max_position_embeddings": 128}},
           extra_config={"score_dim": 3, "bias": False}, architecture="ReasonEval_34B", tokenizer="pieces",
           tokens=SENTENCE, bias=False),
    Family("llemma", "model card of ScalableMath/llemma-7b-prm-prm800k-level-1to3-hf", "llama", 39, "lm-mean", llemma,
           sigmoid, tokenizer="pieces", tokens=SENTENCE),
    Family("acemath", "model card of nvidia/AceMath-7B-RM", "qwen2", 40, "linear1", outcome(ACE_SYSTEM), raw,
           architecture="Qwen2ForSequenceClassification", tokens=TEMPLATED, bias=False, outcome=True),
    Family("qwen-rm", "model card of Qwen/Qwen2.5-Math-RM-72B", "qwen2", 41, "mlp1", outcome(QWEN_SYSTEM), raw,
           config={"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1},
           architecture="Qwen2ForRewardModel", tokens=TEMPLATED, outcome=True),
    Family("qwen3-reranker", "QwenLM/Qwen3-Embedding", "qwen3", 42, "lm-candidates", reranker, positive,
           config={"tie_word_embeddings": True, "head_dim": 16}, candidates=("yes", "no"), outcome=True),
    Family("universal-prm", "model card of infly/Universal-PRM-7B", "qwen2", 43, "linear1", universal, sigmoid,
           architecture="Qwen2ForSequenceClassification", tokens=TEMPLATED, bias=False),
    Family("trl", "PRMTrainer of TRL 1.13.0", "qwen3", 44, "linear2",
           lambda encoder, trace: prompts.linear2(encoder, trace, "\n"), positive,
           config={"head_dim": 12, "attention_bias": True}, architecture="Qwen3ForTokenClassification",
           dtype=torch.float32),
]  # fmt: skip
HEADS = {
    "mlp2": [("score.0", None), ("score.2", 2)],
    "mlp1": [("score.0", None), ("score.2", 1)],
    "linear2": [("score", 2)],
    "linear1": [("score", 1)],
    "linear3": [("score_head", 3)],
}


def write(family: Family, folder: Path) -> None:
    """config.json, weights, tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True)
    config = AutoConfig.for_model(
        family.backbone,
        **{
            "vocab_size": checkpoints.VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 4096,
            "bos_token_id": None, "eos_token_id": None, "dtype": family.dtype, **family.config,
        },
    )  # fmt: skip
    torch.manual_seed(family.seed)
    model = AutoModelForCausalLM.from_config(config)
    for name, outputs in HEADS.get(family.head, []):
        model.add_module(name.replace(".", "/"), torch.nn.Linear(32, outputs or 32, bias=family.bias))
    checkpoints.fill(model, family.seed)
    if family.head == "lm-mean":
        # The mean over random rows says nothing; a direction that all share does.
        generator = torch.Generator().manual_seed(family.seed)
        model.lm_head.weight.data.add_(torch.randn(32, generator=generator) / 8)
    if config.tie_word_embeddings:
        # Wide enough that the same rows tell candidates apart.
        model.model.embed_tokens.weight.data.mul_(25)
    tensors = {name.replace("/", "."): tensor.to(family.dtype) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings or family.head in HEADS:
        tensors.pop("lm_head.weight")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    config.architectures = [family.architecture or type(model).__name__]
    config.update(family.extra_config)
    config.save_pretrained(folder)
    if family.tokenizer == "pieces":
        tokenizer = vocabulary.sentence_piece(checkpoints.VOCABULARY, SIGNS + [f"{TAG} {TAG}"] * 8)
    else:
        tokens = LLAMA_TOKENS if family.tokenizer == "llama" else vocabulary.CHAT_TOKENS
        more = SIGNS + ["yes\nno\n" * 8] * 8
        if family.backbone == "qwen3" and family.head == "lm-candidates":
            tokenizer = vocabulary.byte_level(checkpoints.VOCABULARY - 2, tokens, more)
            tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ("<think>", "</think>")])
        else:
            tokenizer = vocabulary.byte_level(checkpoints.VOCABULARY, tokens, more)
    vocabulary.save(tokenizer, family.tokens, folder)


def expected(family: Family, folder: Path, source: dict) -> dict:
    """The content of expected.json."""
    encoder = prompts.Encoder(vocabulary.load(folder))
    model = oracle.load_partly(AutoModelForCausalLM, folder)
    cases, left_out = [], []
    for trace in TRACES:
        if family.outcome:
            trace = Trace(trace.name, trace.problem, ["\n\n".join(trace.steps)])
        if prompts.holds_special(encoder, trace):
            left_out.append(trace.name)
            continue
        cases.append(_case(family, trace, encoder, model, with_hidden=len(cases) < 2))
    scores = torch.tensor([score for case in cases for score in case["scores"]])
    if scores.std() < 0.002:
        raise SystemExit(f"{family.name}: the scores say too little; change the seed")
    return {
        "source": {**source, "seed": family.seed, "recipe": family.source, "left_out": left_out},
        "profile": family.name,
        "head": family.head,
        "family": family.backbone,
        "cases": cases,
    }


@torch.no_grad()
def _case(family: Family, trace: Trace, encoder: prompts.Encoder, model: torch.nn.Module, with_hidden: bool) -> dict:
    ids, reads, *starts = family.encode(encoder, trace)
    if len(reads) != len(trace.steps):
        raise SystemExit(f"{family.name}, {trace.name}: {len(reads)} read positions for {len(trace.steps)} steps")
    starts = starts[0] if starts else [0]
    ends = [*starts[1:], len(ids)]
    sequences = [ids[start:end] for start, end in zip(starts, ends, strict=True)]
    states = torch.cat([model.model(torch.tensor([sequence])).last_hidden_state[0] for sequence in sequences])
    hidden = states[reads]
    logits = _head(family, encoder, model, hidden)
    scores = family.scores(logits)
    return {
        "name": trace.name,
        "problem": trace.problem,
        "steps": trace.steps,
        "ids": ids,
        "reads": reads,
        **({"starts": starts} if len(starts) > 1 else {}),
        **({"hidden": oracle.short(hidden)} if with_hidden else {}),
        "logits": oracle.short(logits),
        "scores": oracle.short(scores),
    }


def _head(family: Family, encoder: prompts.Encoder, model: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    if family.head == "lm-mean":
        return model.lm_head(hidden).mean(-1, keepdim=True)
    if family.candidates:
        (good,), (bad,) = (encoder.text(text) for text in family.candidates)
        return model.lm_head(hidden)[:, [bad, good]]
    weights = model.loose
    for index, (name, _) in enumerate(HEADS[family.head]):
        hidden = torch.relu(hidden) if index else hidden
        hidden = torch.nn.functional.linear(hidden, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
    return hidden

