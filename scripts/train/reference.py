"""Writes fixtures/train/: what torch computes of a training update, for crates/train to be held against.

    pip install -r scripts/train/requirements.txt
    python scripts/train/reference.py

Each case is one family, one method and one objective on a tiny checkpoint of fixtures/. The model is that of transformers
in f32 with eager attention, each sequence passed alone (no padding anywhere); the optimizer is torch's AdamW, with the
groups, the schedule and the clipping that `settings` says. No test runs this script.

fixtures/train/<case>.json:

    source      versions
    base        folder of the checkpoint, below fixtures/
    head        null, or a safetensors file beside this one with the head to start from
    adapter     seed of the LoRA matrices (see `noise`), or null
    settings    as crates/train reads them
    examples    [{id, ids, targets: {steps: [[position, label]]} | {textFrom: position}}] one update's batch
    losses      before each of three updates
    norms       of all gradients together, before clipping
    rates       factors on the learning rates
    gradients   before the first update, {name: sketch}
    weights     after three updates, {name: sketch} of the difference to those before

A sketch of a tensor is its norm and its products with four vectors of signs (`signs`), divided by the root of its length:
an element that is wrong by a part of the norm shows in them. Names are those of the checkpoint's tensors.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parent.parent.parent
FIXTURES = ROOT / "fixtures"
OUT = FIXTURES / "train"
MASK = (1 << 64) - 1

FAMILIES = {
    "qwen2": "qwen2-linear2",
    "qwen3": "families/trl",
    "llama": "llama-linear2",
    # Biases on every projection.
    "llama-bias": "llama-vhead",
    # bf16, a window of 48 positions, no head: one is brought along.
    "mistral": "families/math-shepherd",
    # bf16, tied embeddings.
    "qwen3-tied": "families/qwen3-reranker",
}


def mixed(x: np.ndarray) -> np.ndarray:
    """SplitMix64's step, on uint64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def signs(length: int, which: int) -> np.ndarray:
    """±1 by the lowest bit of mixed(4 · index + which)."""
    with np.errstate(over="ignore"):
        bits = mixed(np.arange(length, dtype=np.uint64) * np.uint64(4) + np.uint64(which)) & np.uint64(1)
    return bits.astype(np.float64) * 2 - 1


def sketch(tensor: torch.Tensor) -> list[float]:
    flat = tensor.detach().double().flatten().numpy()
    root = math.sqrt(len(flat))
    return [float(np.linalg.norm(flat))] + [float(signs(len(flat), which) @ flat) / root for which in range(4)]


def noise(shape: tuple[int, ...], seed: int, size: float) -> torch.Tensor:
    """Uniform within ±size, in f32: the upper 24 bits of mixed(seed · 2³² + index)."""
    length = math.prod(shape)
    with np.errstate(over="ignore"):
        bits = mixed(np.arange(length, dtype=np.uint64) + np.uint64((seed << 32) & MASK)) >> np.uint64(40)
    values = (bits.astype(np.float64) / 2**23 - 1) * size
    return torch.tensor(values.astype(np.float32).reshape(shape))


class Lora(torch.nn.Module):
    def __init__(self, base: torch.nn.Linear, rank: int, alpha: float, seed: int):
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.lora_A = torch.nn.Parameter(noise((rank, base.in_features), seed, 0.3))
        # Not zero, as PEFT has it: gradients of both halves must be seen.
        self.lora_B = torch.nn.Parameter(noise((base.out_features, rank), seed + 1, 0.3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.scale * (x @ self.lora_A.T) @ self.lora_B.T


def examples(objective: str, vocabulary: int) -> list[dict]:
    """Ragged: from a few tokens to more than two blocks of 128 rows."""
    rng = np.random.default_rng(7)
    result = []
    for index, length in enumerate([5, 70, 131, 300, 17]):
        ids = [int(x) for x in rng.integers(3, vocabulary, length)]
        if objective == "nextToken":
            targets = {"textFrom": [1, 20, 1, 250, 9][index]}
        else:
            reads = sorted({int(x) for x in rng.integers(1, length, 1 + length // 20)} | {length - 1})
            soft = [1.0, 0.0, 0.25, 0.875]
            labels = [[at, soft[int(rng.integers(0, 4))]] for at in reads]
            targets = {"steps": labels}
        result.append({"id": f"example {index}", "ids": ids, "targets": targets})
    return result


def settings(objective: str, method: dict, **others) -> dict:
    return {
        "objective": objective,
        "method": method,
        "epochs": 3,
        "batch": {"examples": 5},
        "learningRate": 1e-3,
        "headLearningRate": 5e-3,
        "schedule": "cosine",
        "warmup": 0.0,
        "weightDecay": 0.1,
        "betas": [0.9, 0.95],
        "epsilon": 1e-8,
        "clip": 1.0,
        "mean": "steps",
        "classWeights": [1.0, 1.0],
        **others,
    }


HEAD = {"kind": "head"}
FULL = {"kind": "full"}
LORA = {"kind": "lora", "rank": 4, "alpha": 8.0, "targets": []}
SOME = {"kind": "lora", "rank": 2, "alpha": 3.0, "targets": ["q_proj", "v_proj", "down_proj"]}

CASES = {
    **{
        f"{family}-{method['kind']}-bce": (family, settings("bce", method))
        for family in ["qwen2", "qwen3", "llama", "mistral"]
        for method in [HEAD, LORA, FULL]
    },
    **{f"{family}-full-crossEntropy": (family, settings("crossEntropy", FULL)) for family in ["qwen2", "mistral"]},
    "qwen2-head-crossEntropy": ("qwen2", settings("crossEntropy", HEAD)),
    "llama-lora-crossEntropy": ("llama", settings("crossEntropy", SOME)),
    # Weighed classes, the mean of means, a warm-up whose first rate is 0, no clipping.
    "llama-bias-full-weighed": (
        "llama-bias",
        settings(
            "bce", FULL, classWeights=[3.0, 0.5], mean="examples", clip=None, warmup=0.5, schedule="linear"
        ),
    ),
    "qwen3-full-constant": ("qwen3", settings("bce", FULL, schedule="constant", clip=0.01)),
    **{f"{family}-full-nextToken": (family, settings("nextToken", FULL)) for family in ["mistral", "qwen3-tied"]},
    "llama-bias-lora-nextToken": ("llama-bias", settings("nextToken", LORA)),
    "qwen3-tied-lora-nextToken": ("qwen3-tied", settings("nextToken", LORA)),
}


def factor(chosen: dict, update: int, updates: int) -> float:
    """transformers.get_scheduler."""
    steps = math.ceil(chosen["warmup"] * updates)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    name = {"constant": "constant_with_warmup"}.get(chosen["schedule"], chosen["schedule"])
    scheduler = transformers.get_scheduler(name, optimizer, num_warmup_steps=steps, num_training_steps=updates)
    for _ in range(update):
        optimizer.step()
        scheduler.step()
    return scheduler.get_last_lr()[0]


class Model:
    def __init__(self, family: str, chosen: dict, seed: int):
        folder = FIXTURES / FAMILIES[family]
        self.chosen = chosen
        self.lm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        self.lm.eval()
        self.body = self.lm.model
        self.head_file = None
        method, objective = chosen["method"], chosen["objective"]
        self.parameters: dict[str, torch.nn.Parameter] = {}
        if method["kind"] == "full":
            for name, parameter in self.body.named_parameters():
                self.parameters[f"model.{name}"] = parameter
        if method["kind"] == "lora":
            every = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
            targets = method["targets"] or every
            linear = [(name, module) for name, module in self.body.named_modules() if name.split(".")[-1] in targets]
            for index, (name, module) in enumerate(linear):
                lora = Lora(module, method["rank"], method["alpha"], seed + 2 * index)
                parent = self.body.get_submodule(name.rpartition(".")[0])
                setattr(parent, name.rpartition(".")[2], lora)
                self.parameters[f"model.{name}.lora_A.weight"] = lora.lora_A
                self.parameters[f"model.{name}.lora_B.weight"] = lora.lora_B
        if objective == "nextToken":
            if method["kind"] == "full" and not self.lm.config.tie_word_embeddings:
                self.parameters["lm_head.weight"] = self.lm.lm_head.weight
            return
        weights = load_file(folder / "model.safetensors")
        if "score.weight" in weights:
            weight, bias = weights["score.weight"].float(), weights["score.bias"].float()
        else:
            self.head_file = f"head-{family}.safetensors"
            weight = noise((2, self.lm.config.hidden_size), 99, 0.2)
            bias = torch.tensor([0.125, -0.25])
            save_file({"score.weight": weight, "score.bias": bias}, OUT / self.head_file)
        if objective == "bce":
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
        self.weight, self.bias = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())
        self.parameters |= {"score.weight": self.weight, "score.bias": self.bias}

    def loss(self, batch: list[dict]) -> torch.Tensor:
        """The plain definitions: every target's loss, then the mean that is asked for."""
        wrong, right = self.chosen["classWeights"]
        means, losses, weights = [], [], []
        for example in batch:
            hidden = self.body(torch.tensor([example["ids"]])).last_hidden_state[0]
            targets = example["targets"]
            if "textFrom" in targets:
                start = targets["textFrom"]
                logits = self.lm.lm_head(hidden[start - 1 : -1])
                loss = torch.nn.functional.cross_entropy(logits, torch.tensor(example["ids"][start:]), reduction="none")
                weight = torch.ones_like(loss)
            else:
                reads, labels = zip(*targets["steps"])
                y = torch.tensor(labels)
                logits = hidden[list(reads)] @ self.weight.T + self.bias
                # What a label weighs stands in the loss already.
                if logits.shape[1] == 1:
                    p = torch.nn.functional.logsigmoid
                    loss = -(right * y * p(logits[:, 0]) + wrong * (1 - y) * p(-logits[:, 0]))
                else:
                    both = torch.stack([wrong * (1 - y), right * y], dim=1)
                    loss = -(both * torch.log_softmax(logits, dim=1)).sum(dim=1)
                weight = right * y + wrong * (1 - y)
            losses.append(loss)
            weights.append(weight)
            if weight.sum() > 0:
                means.append(loss.sum() / weight.sum())
        if self.chosen["mean"] == "examples":
            return torch.stack(means).mean()
        return torch.cat(losses).sum() / torch.cat(weights).sum()


def run(name: str, family: str, chosen: dict) -> None:
    seed = 1000
    model = Model(family, chosen, seed)
    everything = list(model.lm.parameters()) + list(model.parameters.values())
    for parameter in everything:
        parameter.requires_grad_(False)
    for parameter in model.parameters.values():
        parameter.requires_grad_(True)
    before = {key: parameter.detach().clone() for key, parameter in model.parameters.items()}
    batch = examples(chosen["objective"], model.lm.config.vocab_size)
    rates = {"score.weight": "headLearningRate", "score.bias": "headLearningRate"}
    groups = [
        {
            "params": [parameter],
            "lr": chosen[rates.get(key, "learningRate")],
            "weight_decay": chosen["weightDecay"] if parameter.dim() > 1 else 0.0,
        }
        for key, parameter in model.parameters.items()
    ]
    peak = [group["lr"] for group in groups]
    optimizer = torch.optim.AdamW(groups, betas=tuple(chosen["betas"]), eps=chosen["epsilon"], foreach=False)
    losses, norms, factors, gradients = [], [], [], {}
    for update in range(3):
        loss = model.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        if update == 0:
            gradients = {key: sketch(parameter.grad) for key, parameter in model.parameters.items()}
        clip = chosen["clip"] or math.inf
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters.values(), clip).item())
        factors.append(factor(chosen, update, 3))
        for group, rate in zip(optimizer.param_groups, peak):
            group["lr"] = rate * factors[-1]
        optimizer.step()
    fixture = {
        "source": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "base": FAMILIES[family],
        "head": model.head_file,
        "adapter": seed if chosen["method"]["kind"] == "lora" else None,
        "settings": chosen,
        "examples": batch,
        "losses": losses,
        "norms": norms,
        "rates": factors,
        "gradients": gradients,
        "weights": {key: sketch(parameter - before[key]) for key, parameter in model.parameters.items()},
    }
    (OUT / f"{name}.json").write_text(json.dumps(fixture) + "\n")
    print(name, losses)


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    OUT.mkdir(exist_ok=True)
    for path in OUT.iterdir():
        path.unlink()
    for name, (family, chosen) in CASES.items():
        run(name, family, chosen)


main()
