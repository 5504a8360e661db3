"""Writes FOLDER/prompts.json: 32 prompts of exactly 64 tokens of SmolLM2, for us and our rivals to go on from.

    pip install -r scripts/requirements-reference.txt -r scripts/gguf/requirements.txt
    scripts/gguf/smollm2.sh FOLDER && python benches/smollm2_gguf.py FOLDER
    python benches/generate/prompts.py FOLDER

[{text, ids}]: stories of the demo with the beginning of a solution. No BOS; the text alone encodes to the same ids.
"""

import gzip
import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent.parent
PROMPTS, TOKENS = 32, 64


def main() -> None:
    folder = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="bf16.gguf")
    prompts = []
    with gzip.open(ROOT / "demo" / "tiny.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            text = f"{row['problem']}\n{row['candidates'][0]['solution']}\n"
            ids = tokenizer(text, add_special_tokens=False)["input_ids"][:TOKENS]
            text = tokenizer.decode(ids)
            if len(ids) == TOKENS and tokenizer(text, add_special_tokens=False)["input_ids"] == ids:
                prompts.append({"text": text, "ids": ids})
            if len(prompts) == PROMPTS:
                break
    if len(prompts) < PROMPTS:
        raise SystemExit(f"only {len(prompts)} prompts of {TOKENS} tokens")
    (folder / "prompts.json").write_text(json.dumps(prompts) + "\n")


if __name__ == "__main__":
    main()
