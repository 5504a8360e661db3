"""The parts of scripts/reference.py: texts → tokenizers → checkpoints → prompts → oracle → files."""
