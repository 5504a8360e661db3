"""Trains the tiny models from the files that data.ts writes. See make.sh for the order of the commands.

  train.py policy  DIR OUT   worked.jsonl -> OUT/tiny-policy
  train.py sample  DIR OUT   problems.SPLIT.jsonl -> samples.SPLIT.jsonl (8 a problem for training, else 16), greedy.test.jsonl
  train.py prm     DIR OUT   judged.prm.jsonl -> OUT/tiny-prm
  train.py score   DIR OUT   judged.test.jsonl -> scores.test.jsonl, one list of step scores a line
"""

import json
import math
import shutil
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2ForTokenClassification
from transformers.cache_utils import Cache, DynamicLayer

SEED = 7
END, STEP_BREAK = "<|endoftext|>", "\n"
VOCABULARY = 512
BATCH = 64
POLICY_STEPS, PRM_STEPS = 700, 700
SHAPE = dict(
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=2048,
    rope_theta=10000.0,
    rms_norm_eps=1e-6,
)


def read_lines(path):
    with open(path, encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


def write_lines(path, rows):
    with open(path, "w", encoding="utf8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


# Tokenizer: byte-level BPE with the pieces of Qwen2 (every digit alone), as transformers rebuilds them for any Qwen2
# checkpoint whatever its tokenizer.json says. It learns from single lines, so that no token holds a line break and a
# text has the same ids whether its lines are encoded together or alone.

QWEN2_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(rows, folder):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = (line for row in rows for line in [row["problem"], *row["solution"].split(STEP_BREAK)])
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = dict(
        tokenizer_class="Qwen2Tokenizer",
        eos_token=END,
        pad_token=END,
        clean_up_tokenization_spaces=False,
        model_max_length=SHAPE["max_position_embeddings"],
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return tokenizer


class Encoder:
    """Encodes pieces alone, each text once."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.end = self.tokenizer.token_to_id(END)
        self.known = {}

    def __call__(self, text):
        if text not in self.known:
            self.known[text] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return self.known[text]

    @property
    def size(self):
        return self.tokenizer.get_vocab_size()


# Training: Muon on the matrices of the layers, AdamW on all else.


class Muon(torch.optim.Optimizer):
    """Momentum made orthogonal by five Newton-Schulz iterations (Jordan et al. 2024), in f32."""

    def __init__(self, parameters, lr):
        super().__init__(parameters, dict(lr=lr))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 0.05)
                update = weight.grad.lerp(momentum, 0.95)
                rows, columns = update.shape
                x = update if rows <= columns else update.T
                x = x / (x.norm() + 1e-7)
                for _ in range(5):
                    gram = x @ x.T
                    x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
                x = x if rows <= columns else x.T
                weight.add_(x, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def train(model, batches, loss_of, steps, matrix_rate, rate):
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "layers." in n]
    others = [p for n, p in model.named_parameters() if not (p.ndim == 2 and "layers." in n)]
    optimizers = [Muon(matrices, matrix_rate), torch.optim.AdamW(others, rate, betas=(0.9, 0.95), weight_decay=0.0)]
    peaks = [matrix_rate, rate]
    model.train()
    started, running = time.time(), None
    for step, batch in zip(range(steps), batches):
        factor = min(1, (step + 1) / 20) * min(1, (steps - step) / (0.5 * steps))
        for optimizer, peak in zip(optimizers, peaks):
            optimizer.param_groups[0]["lr"] = peak * factor
        loss = loss_of(model, batch)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        running = loss.item() if running is None else 0.95 * running + 0.05 * loss.item()
        if step % 50 == 49:
            print(f"step {step + 1}/{steps}  loss {running:.4f}  {time.time() - started:.0f} s", flush=True)
    model.eval()


def length_sorted_batches(examples, generator):
    """Endless shuffled batches of like length: chunks of 32 batches are sorted inside."""
    while True:
        order = torch.randperm(len(examples), generator=generator).tolist()
        batches = []
        for at in range(0, len(order), BATCH * 32):
            chunk = sorted(order[at : at + BATCH * 32], key=lambda i: len(examples[i][0]))
            batches += [chunk[b : b + BATCH] for b in range(0, len(chunk), BATCH)]
        for b in torch.randperm(len(batches), generator=generator).tolist():
            if len(batches[b]) == BATCH:
                yield pad([examples[i] for i in batches[b]])


def pad(examples):
    """Pads (ids, targets) on the right. A causal model does not see the padding, so no mask is needed."""
    longest = max(len(ids) for ids, _ in examples)
    ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in examples])
    targets = torch.tensor([targets + [-100] * (longest - len(targets)) for _, targets in examples])
    return ids, targets


def save(model, folder):
    """Writes the weights in bf16, and the config."""
    folder.mkdir(parents=True, exist_ok=True)
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    tensors = {n: p.to(torch.bfloat16).contiguous() for n, p in model.state_dict().items() if n not in tied}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    config = model.config.to_diff_dict() | dict(
        architectures=[type(model).__name__], dtype="bfloat16", rope_theta=SHAPE["rope_theta"]
    )
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    count = sum(p.numel() for p in tensors.values())
    print(f"{folder.name}: {count} parameters, {(folder / 'model.safetensors').stat().st_size} bytes")


def config_for(encode, **more):
    return Qwen2Config(vocab_size=encode.size, eos_token_id=encode.end, pad_token_id=encode.end, bos_token_id=None, **SHAPE, **more)


def make_policy(data, out):
    rows = read_lines(data / "worked.jsonl")
    folder = out / "tiny-policy"
    train_tokenizer(rows, folder)
    encode = Encoder(folder)
    examples = []
    for row in rows:
        prompt = encode(row["problem"]) + encode(STEP_BREAK)
        solution = [i for line in row["solution"].split("\n") for i in encode(line) + encode(STEP_BREAK)][:-1]
        ids = prompt + solution + [encode.end]
        examples.append((ids, [-100] * len(prompt) + ids[len(prompt) :]))
    lengths = [len(ids) for ids, _ in examples]
    print(f"{len(lengths)} solutions of {min(lengths)} to {max(lengths)} tokens, {sum(lengths)} in all")
    torch.manual_seed(SEED)
    model = Qwen2ForCausalLM(config_for(encode, tie_word_embeddings=True))

    def loss_of(model, batch):
        ids, targets = batch
        hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
        kept = targets[:, 1:] != -100
        return F.cross_entropy(model.lm_head(hidden[kept]), targets[:, 1:][kept])

    generator = torch.Generator().manual_seed(SEED)
    train(model, length_sorted_batches(examples, generator), loss_of, POLICY_STEPS, 0.02, 4e-3)
    save(model, folder)


@torch.no_grad()
def sample(data, out):
    folder = out / "tiny-policy"
    encode = Encoder(folder)
    model = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for split, count, greedy in [("prm", 8, False), ("test", 1, True), ("test", 16, False), ("demo", 16, False)]:
        problems = read_lines(data / f"problems.{split}.jsonl")
        generator = torch.Generator().manual_seed(SEED)
        by_length = {}
        for problem in problems:
            ids = encode(problem["problem"]) + encode(STEP_BREAK)
            by_length.setdefault(len(ids), []).append((problem["id"], ids))
        found = {problem["id"]: [] for problem in problems}
        for _, group in sorted(by_length.items()):
            for at in range(0, len(group), 64):
                part = group[at : at + 64]
                prompts = torch.tensor([ids for _, ids in part])
                solutions = continue_all(model, prompts, count, encode.end, None if greedy else generator)
                for place, ids in enumerate(solutions):
                    text = encode.tokenizer.decode(ids, skip_special_tokens=False)
                    found[part[place // count][0]].append(text)
        rows = [{"id": i, "solution": text} for i, texts in found.items() for text in texts]
        write_lines(data / (f"greedy.{split}.jsonl" if greedy else f"samples.{split}.jsonl"), rows)


class RoomyLayer(DynamicLayer):
    """A cache layer with room for 64 more positions, so that a new one seldom copies those before it."""

    def update(self, key_states, value_states, *_, **__):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.room = {}
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        for name, new in (("keys", key_states), ("values", value_states)):
            room = self.room.get(name)
            if room is None or room.shape[0] != new.shape[0] or room.shape[2] < end:
                self.room[name] = room = new.new_empty(*new.shape[:2], end + 64, new.shape[3])
                if start:
                    room[:, :, :start] = getattr(self, name)
            room[:, :, start:end] = new
            setattr(self, name, room[:, :, :end])
        return self.keys, self.values


def continue_all(model, prompts, count, end, generator, longest=140):
    """`count` continuations a prompt at temperature 1 (or the likeliest, without a generator), cut before the end token."""
    rows = list(range(len(prompts) * count))
    texts = [[] for _ in rows]
    cache = Cache(layers=[RoomyLayer() for _ in range(model.config.num_hidden_layers)])
    output = model(input_ids=prompts, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(count)
    logits = output.logits[:, -1].repeat_interleave(count, 0)
    for _ in range(longest):
        if generator is None:
            chosen = logits.argmax(-1)
        else:
            rising = logits.softmax(-1).cumsum(-1)
            point = torch.rand(len(rows), 1, generator=generator) * rising[:, -1:]
            chosen = (rising <= point).sum(-1)
        alive = (chosen != end).nonzero()[:, 0]
        for place in alive.tolist():
            texts[rows[place]].append(chosen[place].item())
        if len(alive) == 0:
            break
        if len(alive) < len(rows):
            rows = [rows[i] for i in alive.tolist()]
            cache.batch_select_indices(alive)
            chosen = chosen[alive]
        logits = model(input_ids=chosen[:, None], past_key_values=cache, use_cache=True).logits[:, -1]
    return texts


def prm_ids(encode, problem, steps):
    """TRL's PRM format: the ids of the problem, then of every step, each encoded alone and closed by a line break."""
    ids, places = list(encode(problem)), []
    for step in steps:
        ids += encode(step) + encode(STEP_BREAK)
        places.append(len(ids) - 1)
    return ids, places


def make_prm(data, out):
    encode = Encoder(out / "tiny-policy")
    folder = out / "tiny-prm"
    examples = []
    for row in read_lines(data / "judged.prm.jsonl"):
        if not row["steps"]:
            continue
        ids, places = prm_ids(encode, row["problem"], row["steps"])
        targets, start = [-100] * len(ids), len(encode(row["problem"]))
        for place, label in zip(places, row["labels"]):
            targets[start : place + 1] = [int(label)] * (place + 1 - start)
            start = place + 1
        examples.append((ids, targets))
    lengths = [len(ids) for ids, _ in examples]
    print(f"{len(lengths)} solutions of {min(lengths)} to {max(lengths)} tokens, {sum(lengths)} in all")
    torch.manual_seed(SEED)
    config = config_for(encode, num_labels=2, id2label={0: "LABEL_0", 1: "LABEL_1"}, tie_word_embeddings=False)
    model = Qwen2ForTokenClassification(config)
    policy = Qwen2ForCausalLM.from_pretrained(out / "tiny-policy", dtype=torch.float32)
    model.model.load_state_dict(policy.model.state_dict())

    (step_break,) = encode(STEP_BREAK)

    def loss_of(model, batch):
        """The labels where they are read; to learn from little, also at every token of the step, and the language
        of right steps with the embedding as the head, as the policy has it."""
        ids, targets = batch
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        inside, right = targets != -100, targets[:, 1:] == 1
        read = inside & (ids == step_break)
        labels = F.cross_entropy(model.score(hidden[read]), targets[read])
        early = F.cross_entropy(model.score(hidden[inside]), targets[inside])
        language = F.cross_entropy(F.linear(hidden[:, :-1][right], model.model.embed_tokens.weight), ids[:, 1:][right])
        return labels + 0.5 * early + 0.5 * language

    generator = torch.Generator().manual_seed(SEED)
    train(model, length_sorted_batches(examples, generator), loss_of, PRM_STEPS, 0.02, 2e-3)
    save(model, folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(out / "tiny-policy" / name, folder / name)


@torch.no_grad()
def score(data, out):
    encode = Encoder(out / "tiny-prm")
    model = Qwen2ForTokenClassification.from_pretrained(out / "tiny-prm", dtype=torch.float32).eval()
    rows = [prm_ids(encode, row["problem"], row["steps"]) for row in read_lines(data / "judged.test.jsonl")]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    scores = [[] for _ in rows]
    for at in range(0, len(order), 128):
        part = order[at : at + 128]
        ids, _ = pad([(rows[i][0], []) for i in part])
        right = model(input_ids=ids, use_cache=False).logits.softmax(-1)[:, :, 1]
        for place, i in enumerate(part):
            scores[i] = [round(right[place, j].item(), 6) for j in rows[i][1]]
    write_lines(data / "scores.test.jsonl", scores)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else 1)
    command = dict(policy=make_policy, sample=sample, prm=make_prm, score=score)[sys.argv[1]]
    started = time.time()
    command(Path(sys.argv[2]), Path(sys.argv[3]))
    print(f"{sys.argv[1]}: {time.time() - started:.0f} s", flush=True)
