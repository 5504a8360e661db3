"""Writes fixtures/lora-*: adapters over checkpoints of fixtures/families as PEFT saves them, and what PEFT computes with
them.

    pip install -r scripts/requirements-reference.txt -r scripts/gguf/requirements.txt
    python scripts/gguf/lora.py

expected.json: at the ids and reads of the base's own cases, the hidden states after the last norm, the outputs of the
head, and for a language model the logits of [negative, positive].
"""

import json
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from write import shortest

FIXTURES = Path(__file__).resolve().parent.parent.parent / "fixtures"

ADAPTERS = {
    # Ranks and alphas by module, scaled by the root of the rank.
    "rlhflow-deepseek": (
        AutoModelForCausalLM,
        dict(
            task_type="CAUSAL_LM",
            r=4,
            lora_alpha=6,
            use_rslora=True,
            target_modules=["q_proj", "k_proj", "down_proj", "lm_head"],
            rank_pattern={"layers.0.self_attn.q_proj": 3, "down_proj": 2, r"layers\.1\..*k_proj": 5},
            alpha_pattern={"down_proj": 1, "lm_head": 3.5},
        ),
    ),
    # Modules by a pattern, and a head that was trained whole.
    "pure": (
        AutoModelForTokenClassification,
        dict(
            task_type="TOKEN_CLS",
            r=3,
            lora_alpha=8,
            target_modules=r".*layers\.1\.(self_attn\.(q|v)_proj|mlp\.gate_proj)",
            modules_to_save=["score"],
        ),
    ),
}


@torch.no_grad()
def main() -> None:
    for family, (kind, settings) in ADAPTERS.items():
        base = FIXTURES / "families" / family
        folder = FIXTURES / f"lora-{family}"
        model = kind.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        model = get_peft_model(model, LoraConfig(**settings)).eval()
        random = torch.Generator().manual_seed(21)
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.2)
        model.peft_config["default"].base_model_name_or_path = f"../families/{family}"
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        expected = json.loads((base / "expected.json").read_text())
        cases = []
        for case in expected["cases"][:4]:
            outputs = model(torch.tensor([case["ids"]]), output_hidden_states=True)
            logits = outputs.logits[0, case["reads"]]
            hidden = outputs.hidden_states[-1][0, case["reads"]]
            if kind is AutoModelForCausalLM:
                tokens = json.loads((base / "tokenizer.json").read_text())["model"]["vocab"]
                logits = logits[:, [tokens["-"], tokens["+"]]]
            cases.append(
                {
                    "name": case["name"],
                    "problem": case["problem"],
                    "steps": case["steps"],
                    "ids": case["ids"],
                    "reads": case["reads"],
                    "hidden": shortest(hidden),
                    "logits": shortest(logits),
                }
            )
        content = {"source": "peft 0.21.2 on transformers 5.23.0, f32", "family": family, "cases": cases}
        (folder / "expected.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
