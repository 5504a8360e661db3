"""Greedy texts of SmolLM2 135M by transformers in f32, and how far ours are the same.

    pip install -r scripts/requirements-reference.txt -r scripts/gguf/requirements.txt
    scripts/gguf/smollm2.sh FOLDER && python benches/smollm2_gguf.py FOLDER
    python scripts/gguf/smollm2_greedy.py write FOLDER/bf16.gguf EXPECTED.json
    python scripts/gguf/smollm2_greedy.py compare EXPECTED.json OURS.json

EXPECTED.json    {source, file, tokens, cases: [{prompt, prompt_ids, ids, text, gaps}]}
                 prompt_ids    the prompt's alone: no BOS is added
                 ids           `tokens` of them, past an end of text too
                 gaps          between the two largest logits each id was chosen by
OURS.json        [[id]]: what we write after prompt_ids, in order of the cases; a text may end with the end of text

Equal means equal up to the first id whose gap is below 1e-3: from there on two right programs may differ. Exits with 1
where a case is not.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS = 64
NEAR = 1e-3
# <|endoftext|> and <|im_end|>.
END = (0, 2)
LONG = "The lighthouse keeper wrote down the weather every evening. "
PROMPTS = [
    "The recipe for a good apple pie begins with",
    "def is_prime(n: int) -> bool:\n    if n < 2:\n        return False\n",
    "#include <stdio.h>\n\nint main(void) {\n    for (int i = 0; i < 10; i++) {\n",
    "const total = items.reduce((sum, item) =>",
    "<!DOCTYPE html>\n<html>\n<head>\n  <title>",
    '{"name": "Ada", "born": 1815, "fields": [',
    "Problem: A shop sells pens at 3 dollars each. Tom buys 7 pens and pays with 50 dollars.\nSolution: First,",
    "Let $f(x) = x^3 - 3x + 1$. Then $f'(x) =",
    "17 * 23 = 391\n18 * 23 = 414\n19 * 23 =",
    "Theorem. There are infinitely many primes.\nProof. Suppose",
    "La capitale de l'Italie est",
    "Am nächsten Morgen öffnete der Bäcker die Tür und",
    "Жили-были старик со старухой",
    "昔々、ある所に",
    "كان يا ما كان",
    "🙂🙃 means",
    "   \n\n\t  indented and",
    "A",
    LONG * 24 + "On the last evening he wrote:",
    "\n".join(f"{number}: {number * number}" for number in range(1, 61)) + "\n61:",
]


@torch.no_grad()
def write(file: Path, out: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    cases = []
    for prompt in PROMPTS:
        prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        output = model.generate(
            torch.tensor([prompt_ids]),
            attention_mask=torch.ones(1, len(prompt_ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=TOKENS,
            output_logits=True,
            return_dict_in_generate=True,
        )
        ids = output.sequences[0, len(prompt_ids) :].tolist()
        best = torch.cat(output.logits).topk(2).values
        gaps = (best[:, 0] - best[:, 1]).tolist()
        cases.append(
            {"prompt": prompt, "prompt_ids": prompt_ids, "ids": ids, "text": tokenizer.decode(ids), "gaps": gaps}
        )
    source = "transformers, gguf_file=, f32, eager"
    out.write_text(json.dumps({"source": source, "file": file.name, "tokens": TOKENS, "cases": cases}) + "\n")


def compare(expected: Path, ours: Path) -> bool:
    cases, texts = json.loads(expected.read_text())["cases"], json.loads(ours.read_text())
    if len(cases) != len(texts):
        raise SystemExit(f"{len(texts)} lists of ids for {len(cases)} prompts")
    equal = 0
    for case, ids in zip(cases, texts, strict=True):
        near = next((at for at, gap in enumerate(case["gaps"]) if gap < NEAR), TOKENS)
        length = len(ids) if ids and ids[-1] in END else TOKENS
        same = next((at for at in range(length) if ids[at : at + 1] != case["ids"][at : at + 1]), length)
        right = same >= min(near, length)
        equal += right
        print(
            f"{'equal' if right else 'DIFFERS'}: {same} of {length} ids the same, first near-tie at "
            f"{near if near < TOKENS else 'none'}, smallest gap {min(case['gaps']):.2g}: {case['prompt'][:40]!r}"
        )
        if same < length:
            print(f"    at {same}: {ids[same : same + 1]}, not {case['ids'][same]}, gap {case['gaps'][same]:.2g}")
    print(f"{equal} of {len(cases)} equal up to the first gap below {NEAR}")
    return equal == len(cases)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("write", help="what transformers writes")
    writing.add_argument("file", type=Path)
    writing.add_argument("out", type=Path)
    comparing = commands.add_parser("compare", help="what we wrote beside it")
    comparing.add_argument("expected", type=Path)
    comparing.add_argument("ours", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "write":
        write(arguments.file, arguments.out)
    else:
        sys.exit(0 if compare(arguments.expected, arguments.ours) else 1)


if __name__ == "__main__":
    main()
