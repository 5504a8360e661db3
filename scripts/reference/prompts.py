"""Traces → token ids and read positions, by the rules of the model cards; and the same by other people's code."""

import os
import re

from transformers import PreTrainedTokenizerFast

from .texts import Trace

# A raw string: "\b" would be a backspace.
QWEN_SYSTEM = r"Please reason step by step, and put your final answer within \boxed{}."
EXTRA = "<extra_0>"


class Encoder:
    """Text → ids where user text never becomes a special token."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.tokenizer = tokenizer
        self.backend = tokenizer.backend_tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        self.backend.encode_special_tokens = True

    def text(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids

    def special(self, token: str) -> int:
        return self.backend.token_to_id(token)


def mlp2(encoder: Encoder, trace: Trace) -> tuple[list[int], list[int]]:
    """Qwen2.5-Math-PRM: ChatML, `<extra_0>` after every step."""
    start, end, extra = (encoder.special(token) for token in ("<|im_start|>", "<|im_end|>", EXTRA))
    ids = []
    for role, content in (("system", QWEN_SYSTEM), ("user", trace.problem)):
        ids += [start, *encoder.text(f"{role}\n{content}"), end, *encoder.text("\n")]
    ids += [start, *encoder.text("assistant\n" + trace.steps[0]), extra]
    reads = [len(ids) - 1]
    for step in trace.steps[1:]:
        ids += [*encoder.text(step), extra]
        reads.append(len(ids) - 1)
    return [*ids, end, *encoder.text("\n")], reads


def linear2(encoder: Encoder, trace: Trace, separator: str) -> tuple[list[int], list[int]]:
    """TRL's PRMTrainer: BOS if there is one, then problem, steps and separators, each tokenised alone."""
    bos = encoder.tokenizer.bos_token_id
    ids = ([] if bos is None else [bos]) + encoder.text(trace.problem)
    return _steps(encoder, ids, trace.steps, encoder.text(separator))


def vhead(encoder: Encoder, trace: Trace) -> tuple[list[int], list[int]]:
    """Skywork-o1-Open-PRM: BOS, the problem's line, then each step and the line break's last token.

    A line break inside a step becomes one blank, so that a step has one flag.
    """
    ids = [encoder.special(encoder.tokenizer.bos_token), *encoder.text(trace.problem + "\n")]
    steps = [re.sub(r"\r\n|\n", " ", step) for step in trace.steps]
    return _steps(encoder, ids, steps, encoder.text("\n")[-1:])


def _steps(encoder: Encoder, ids: list[int], steps: list[str], separator: list[int]) -> tuple[list[int], list[int]]:
    reads = []
    for step in steps:
        ids = ids + encoder.text(step) + separator
        reads.append(len(ids) - 1)
    return ids, reads


def holds_special(encoder: Encoder, trace: Trace) -> bool:
    """Whether a special token is spelled out in the trace."""
    tokens = [str(token) for token in encoder.tokenizer.added_tokens_decoder.values() if token.special]
    return any(token in text for text in (trace.problem, *trace.steps) for token in tokens)


def by_chat_template(tokenizer: PreTrainedTokenizerFast, trace: Trace) -> list[int]:
    """The ids of mlp2 by apply_chat_template, as the model card has it: special tokens in user text become such."""
    messages = [
        {"role": "system", "content": QWEN_SYSTEM},
        {"role": "user", "content": trace.problem},
        {"role": "assistant", "content": EXTRA.join(trace.steps) + EXTRA},
    ]
    return tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=False, return_dict=False)


def by_trl(tokenizer: PreTrainedTokenizerFast, trace: Trace, separator: str) -> tuple[list[int], list[int]]:
    """The ids of linear2 by TRL itself; the reads are where it puts the labels."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from trl.experimental.prm import PRMTrainer

    row = PRMTrainer.tokenize_row(
        {"prompt": trace.problem, "completions": trace.steps, "labels": [True] * len(trace.steps)},
        tokenizer,
        separator,
        max_length=None,
        max_completion_length=None,
        train_on_last_step_only=False,
        is_eval=False,
    )
    return row["input_ids"], [at for at, label in enumerate(row["labels"]) if label != -100]
