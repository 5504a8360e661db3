"""Two small tokenizers of the two kinds that the model families use, trained on a little text."""

import json
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from .texts import CORPUS

# How Qwen2.5's tokenizer.json cuts text before merging: words, single digits, punctuation with its line breaks, blanks.
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"]
SENTENCE_TOKENS = ["<unk>", "<s>", "</s>"]
# ChatML for a list of plain messages.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_level(size: int = 512, tokens: list[str] = CHAT_TOKENS, more: list[str] | None = None) -> Tokenizer:
    """BPE over bytes as Qwen2's: the special tokens stand after the vocabulary. `more` text is learned from too."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS + (more or []), trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in tokens])
    return _finished(tokenizer, size)


def sentence_piece(size: int = 512, more: list[str] | None = None) -> Tokenizer:
    """BPE with byte fallback over text whose blanks became U+2581, as Llama 2's: bytes are tokens 3 to 258."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=SENTENCE_TOKENS + [f"<0x{byte:02X}>" for byte in range(256)],
        show_progress=False,
    )
    # Without a pre-tokenizer a merge may cross words; whole lines would become tokens, so it learns from single words.
    words = [word for text in CORPUS if text.isascii() for word in text.split()]
    words += [word for text in more or [] for word in text.split()]
    tokenizer.train_from_iterator(words, trainer)
    # The trainer registers the bytes as special; in the files of real models they are plain entries of the vocabulary.
    described = json.loads(tokenizer.to_str())
    described["added_tokens"] = [token for token in described["added_tokens"] if token["content"] in SENTENCE_TOKENS]
    tokenizer = Tokenizer.from_str(json.dumps(described))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return _finished(tokenizer, size)


def _finished(tokenizer: Tokenizer, size: int) -> Tokenizer:
    if tokenizer.get_vocab_size() != size:
        raise SystemExit(f"the corpus gave {tokenizer.get_vocab_size()} tokens, not {size}: give it more text")
    return tokenizer


def save(tokenizer: Tokenizer, config: dict, folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json."""
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def load(folder: Path) -> PreTrainedTokenizerFast:
    """The folder's tokenizer as tokenizer.json has it (transformers' LlamaTokenizer would drop its Prepend)."""
    return PreTrainedTokenizerFast.from_pretrained(folder)
