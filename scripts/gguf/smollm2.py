"""What transformers computes from FOLDER/model.gguf in f32: greedy text after 20 prompts, the gap between the best and the
second logit at each of its tokens, and the hidden state at the end of each prompt. Writes FOLDER/expected.json."""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TOKENS = 24
PROMPTS = [
    "The capital of France is",
    "Once upon a time",
    "2 + 2 = 4, 3 + 3 = 6, 12345 +",
    "def fibonacci(n):\n    ",
    "Water boils at",
    "Question: What is the largest planet?\nAnswer:",
    "To be, or not to be,",
    "The derivative of x^2 is",
    "  Two leading blanks and",
    "Ein Satz auf Deutsch: Ich",
    "日本の首都は",
    "A list:\n- apples\n- pears\n-",
    "Photosynthesis is the process by which",
    "In 1969, Neil Armstrong",
    "SELECT name FROM users WHERE",
    "It's a dog's life, isn't it? I'll",
    "If a train travels 60 miles in 2 hours, its speed is",
    "🦀 Crabs are",
    "\\boxed{",
    "Step 1: Add the numbers.\n\nStep 2:",
]


@torch.no_grad()
def main() -> None:
    folder = Path(sys.argv[1])
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
    model = AutoModelForCausalLM.from_pretrained(
        folder, gguf_file="model.gguf", dtype=torch.float32, attn_implementation="eager"
    ).eval()
    cases = []
    for prompt in PROMPTS:
        prompt_ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids, past, greedy, gaps, hidden = torch.tensor([prompt_ids]), None, [], [], None
        for _ in range(TOKENS):
            outputs = model.model(ids, past_key_values=past, use_cache=True)
            past = outputs.past_key_values
            state = outputs.last_hidden_state[0, -1]
            hidden = state if hidden is None else hidden
            best = model.lm_head(state).topk(2)
            greedy.append(int(best.indices[0]))
            gaps.append(float(best.values[0] - best.values[1]))
            ids = best.indices[None, :1]
        cases.append(
            {
                "prompt": prompt,
                "prompt_ids": prompt_ids,
                "greedy_ids": greedy,
                "greedy": tokenizer.decode(greedy),
                "gaps": gaps,
                "hidden": hidden.tolist(),
            }
        )
    (folder / "expected.json").write_text(json.dumps({"source": "transformers, gguf_file=, f32", "cases": cases}))


if __name__ == "__main__":
    main()
