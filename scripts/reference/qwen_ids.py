"""Token ids of real mathematics by transformers with the real Qwen2.5 tokenizer."""

import json
import random
import tempfile
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from . import prompts
from .texts import TRACES, Trace

FOLDER = "models/tokenizer-qwen2_5"
GSM8K = "problems/gsm8k/train.jsonl"
MATH = "problems/math/train_problems_answers.json"
REPLACED = {"old": "<|quad_end|>", "new": prompts.EXTRA, "id": 151651}


def expected(data: Path, source: dict) -> dict:
    """200 lines and 20 prompts, drawn with seed 1."""
    tokenizer = _tokenizer(data / FOLDER)
    encoder = prompts.Encoder(tokenizer)
    if encoder.special(REPLACED["new"]) != REPLACED["id"]:
        raise SystemExit(f"{REPLACED['new']} is not {REPLACED['id']}")
    gsm8k = [json.loads(line) for line in (data / GSM8K).read_text(encoding="utf-8").split("\n") if line]
    mathematics = json.loads((data / MATH).read_text(encoding="utf-8"))
    draw = random.Random(1)
    beyond_ascii = [at for at, row in enumerate(gsm8k) if not (row["question"] + row["answer"]).isascii()]
    rare = [
        at for at in beyond_ascii if set(gsm8k[at]["question"] + gsm8k[at]["answer"]) & set("\u2028\u200b\u00a0√½А")
    ]
    plain = draw.sample(range(len(gsm8k)), 35)
    marked = sorted({*rare[:12], *draw.sample(beyond_ascii, 25)})[:25]
    lines = []
    for row in sorted({*plain, *marked}):
        for field in ("question", "answer"):
            text = gsm8k[row][field]
            lines.append({"file": GSM8K, "row": row, "field": field, "text": text, "ids": encoder.text(text)})
    ours = [text for trace in TRACES if not trace.name.startswith("fifty") for text in (trace.problem, *trace.steps)]
    ours = [text for text in ours if not text.isascii() or "<" in text or "\n" in text]
    lines += [{"file": None, "row": None, "field": None, "text": text, "ids": encoder.text(text)} for text in ours]
    for row in sorted(draw.sample(range(len(mathematics)), 200 - len(lines))):
        ids = encoder.text(mathematics[row]["problem"])
        lines.append({"file": MATH, "row": row, "field": "problem", "ids": ids})
    rows = sorted(draw.sample(range(len(gsm8k)), 20))
    return {
        "source": {**source, "seed": 1, "licence": "GSM8K: MIT, openai/grade-school-math"},
        "tokenizer": f"{FOLDER}/tokenizer.json",
        "replaced": REPLACED,
        "lines": lines,
        "prompts": [_prompt(row, gsm8k[row], encoder) for row in rows],
    }


def _prompt(row: int, problem: dict, encoder: prompts.Encoder) -> dict:
    trace = Trace("", problem["question"], problem["answer"].split("\n"))
    ids, reads = prompts.mlp2(encoder, trace)
    by_template = prompts.by_chat_template(encoder.tokenizer, trace)
    if ids != by_template or reads != [at for at, token in enumerate(by_template) if token == REPLACED["id"]]:
        raise SystemExit(f"{GSM8K} {row}: apply_chat_template disagrees")
    return {"file": GSM8K, "row": row, "problem": trace.problem, "steps": trace.steps, "ids": ids, "reads": reads}


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer as the PRMs have it. Both of transformers' ways to load it must agree."""
    with tempfile.TemporaryDirectory() as renamed:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            text = (folder / name).read_text(encoding="utf-8")
            (Path(renamed) / name).write_text(text.replace(REPLACED["old"], REPLACED["new"]), encoding="utf-8")
        by_file = PreTrainedTokenizerFast.from_pretrained(renamed)
        by_class = AutoTokenizer.from_pretrained(renamed)
    for text in (text for trace in TRACES for text in (trace.problem, *trace.steps)):
        if by_file.encode(text) != by_class.encode(text):
            raise SystemExit(f"PreTrainedTokenizerFast and {type(by_class).__name__} differ on {text!r}")
    return by_file
