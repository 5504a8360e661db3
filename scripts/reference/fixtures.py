"""Writes the checkpoints, the token ids and the copy of stories260K below fixtures/."""

import json
import shutil
from pathlib import Path

import tokenizers
import torch
import transformers

from . import checkpoints, families, oracle, qwen_ids

STORIES = ["LICENSE", "golden_greedy.json", "hf/config.json", "hf/model.safetensors", "hf/tokenizer.json"]


def write(fixtures: Path, data: Path) -> None:
    """Replaces the folders and files named in scripts/reference.py; `data` is ../shared/data."""
    source = {
        "script": "scripts/reference.py",
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }
    template = json.loads((data / qwen_ids.FOLDER / "tokenizer_config.json").read_text())["chat_template"]
    for spec in checkpoints.SPECS:
        folder = fixtures / spec.name
        shutil.rmtree(folder, ignore_errors=True)
        checkpoints.write(spec, folder)
        write_json(folder / "expected.json", oracle.expected(spec, folder, template, source))
        print(folder.name, flush=True)
    write_families(fixtures / "families", source)
    write_json(fixtures / "qwen2_5-tokenizer.json", qwen_ids.expected(data, source))
    for name in STORIES:
        target = fixtures / "stories260k" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / "models" / "stories260k" / name, target)


def write_families(folder: Path, source: dict) -> None:
    """Replaces fixtures/families/."""
    shutil.rmtree(folder, ignore_errors=True)
    for family in families.FAMILIES:
        families.write(family, folder / family.name)
        write_json(folder / family.name / "expected.json", families.expected(family, folder / family.name, source))
        print(f"families/{family.name}", flush=True)


def write_json(path: Path, content: dict) -> None:
    """Top-level keys on lines of their own, and so the elements of top-level lists: a diff shows what changed."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            rows = ",\n".join(_compact(row) for row in value)
            lines.append(f"{json.dumps(key)}: [\n{rows}\n]")
        else:
            lines.append(f"{json.dumps(key)}: {_compact(value)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _compact(value: object) -> str:
    # Escapes keep combining accents, direction marks and line separators visible and safe from editors.
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
