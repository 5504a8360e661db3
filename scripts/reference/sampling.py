"""Writes fixtures/sampling/: which tokens transformers' logits processors leave to draw from, and its greedy texts.

sets.json

    source      versions
    order       the processors' classes as GenerationMixin._get_logits_processor builds them; each run went through
                the list that this method itself returned
    cases       [{name, logits, input_ids, argmax, runs}]
                logits      f32, null for -inf
                input_ids   what the repetition penalty looks at; an id may occur several times and counts once
                argmax      the greedy choice: the lowest id of the largest logits
                runs        [{set, kept, probabilities, entropy, border?}]
                    set     of temperature, top_k, top_p, min_p, repetition_penalty, bans: what is not named is off
                    kept    [[first, last]] runs of ids that are not excluded, both ends included. A kept token may
                            have probability 0. [] where all are banned: transformers draws from NaN there
                    probabilities  [[id, p]] of all kept tokens, or of the 16 likeliest and at most 8 others: f64
                            softmax of the f32 logits that the processors gave
                    entropy of all of them, in nats: one number that every probability is in
                    border  {among, keep, also}: the choice hangs on an unstable sort or on rounding. `kept` holds
                            `keep` of the ids in `among` (runs); any other `keep` of them are as right, and so are as
                            many as one number in `also`, where the probabilities differ. All other ids are certain.
    chi_square  {level, critical}: critical[df - 1] is exceeded by chance in 1 - level of all tests, df 1 to 200

The order (transformers 5.23.0, generation/utils.py): repetition penalty, bad words, temperature, top-k, top-p, min-p.
What to know of it:

- All of it is f32. Temperature is a true division by f32(temperature); distinct logits can become equal by it.
- The repetition penalty divides positive logits and multiplies negative ones, before the temperature.
- Top-k excludes what is less than the k-th largest: ties with the k-th stay, and so more than k can.
- Top-p renormalises over what top-k left. It sorts ascending and excludes where cumsum(softmax) <= f32(1 - top_p), so
  it keeps a token when those above it have less than top_p. The sort is not stable: of equal tokens at the border it
  keeps any. generate leaves top_p = 1 out; the warper alone, given 1, excludes what f32 rounds to probability 0.
- Min-p compares f32 probabilities, after top-p: logits that f32 softmax cannot tell apart are ties for min_p = 1.
- min_tokens_to_keep is 1 without beams: the likeliest token always stays.
- Without a given top_k, generate samples with top_k = 50. Bad words that equal the end of text are not banned by it
  (none here does: the processors were built without one).

greedy.json

    source      versions
    policy      {model, max_new_tokens, cases}
                cases   [{problem, repetition_penalty, prompt_ids, ids, ended, text, logprobs, gaps}]
                    prompt_ids  ids(problem) + ids("\\n")
                    ids         by generate: f32, eager attention, one prompt at a time; the end of text is the last of
                                them where `ended` is "answer", which else is "length"
                    text        without the end of text
                    logprobs    of each id under the model, without the penalty
                    gaps        between the two largest logits each id was chosen by, with the penalty
    stories     {model, prompt_ids, ids, logprobs, gaps}: the 256 golden ids of stories260K but the first, BOS
"""

import gzip
import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, GenerationConfig, LogitsProcessorList
from transformers.generation import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from .fixtures import write_json
from .oracle import short

ORDER = [
    "RepetitionPenaltyLogitsProcessor",
    "NoBadWordsLogitsProcessor",
    "TemperatureLogitsWarper",
    "TopKLogitsWarper",
    "TopPLogitsWarper",
    "MinPLogitsWarper",
]
INFINITY = float("inf")
# How far f32 may be from f64: of a sum of probabilities, and of a ratio of two.
SUM, RATIO = 2e-6, 1e-5

MAX_NEW_TOKENS = 200
PROBLEMS = range(0, 200, 10)
PENALISED = range(0, 200, 40)
PENALTY = 1.2


def write(root: Path) -> None:
    """Replaces fixtures/sampling/ below the repository's root."""
    folder = root / "fixtures" / "sampling"
    folder.mkdir(exist_ok=True)
    policy = _load(root / "models" / "tiny-policy")
    stories = _load(root / "fixtures" / "stories260k" / "hf")
    stories.generation_config.eos_token_id = None
    tokenizer = Tokenizer.from_file(str(root / "models" / "tiny-policy" / "tokenizer.json"))
    with gzip.open(root / "demo" / "tiny.jsonl.gz", "rt", encoding="utf-8") as lines:
        demo = [json.loads(line) for line in lines]
    golden = json.loads((root / "fixtures" / "stories260k" / "golden_greedy.json").read_text())["greedy_ids"]
    source = {
        "script": "scripts/reference/sampling.py",
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
    }
    cases = [*_real(policy, stories, tokenizer, demo, golden), *_made()]
    sets = {
        "source": source,
        "order": ORDER,
        "cases": [_case(policy, *case) for case in cases],
        "chi_square": {"level": 0.999, "critical": [_critical(df, 0.999) for df in range(1, 201)]},
    }
    write_json(folder / "sets.json", sets)
    greedy = {
        "source": source,
        "policy": {
            "model": "models/tiny-policy",
            "max_new_tokens": MAX_NEW_TOKENS,
            "cases": [
                _greedy_case(policy, tokenizer, demo[at]["problem"], penalty)
                for penalty, chosen in ((1.0, PROBLEMS), (PENALTY, PENALISED))
                for at in chosen
            ],
        },
        "stories": _stories(stories, golden),
    }
    write_json(folder / "greedy.json", greedy)


def _load(folder: Path) -> torch.nn.Module:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


# Cases: (name, logits, input ids).


@torch.no_grad()
def _real(policy, stories, tokenizer, demo, golden) -> list[tuple]:
    texts = {
        "policy: after a problem": demo[3]["problem"] + "\n",
        "policy: inside a step": demo[4]["problem"] + "\n" + demo[4]["candidates"][0]["solution"][:17],
        "policy: after a step": demo[5]["problem"] + "\n" + demo[5]["candidates"][0]["solution"].split("\n")[0] + "\n",
        "policy: text it never saw": "Sing, o Muse, of the rage of ",
    }
    prompts = [(name, policy, tokenizer.encode(text, add_special_tokens=False).ids) for name, text in texts.items()]
    prompts += [(f"stories: {length} ids", stories, golden[:length]) for length in (1, 23, 130)]
    return [(name, model(torch.tensor([ids])).logits[0, -1], ids) for name, model, ids in prompts]


def _made() -> list[tuple]:
    random = torch.Generator().manual_seed(8)
    ties = torch.tensor([2, 0, 3, 1, 2, 3, 0, 2, 3, 1, 2, 0.0])
    holes = torch.tensor([-INFINITY, 1.5, -INFINITY, 0.5, 1.5, -INFINITY, -2, 0.25, -INFINITY, 3])
    one = torch.full((6,), -INFINITY)
    one[4] = -7.5
    huge = torch.randn(24, generator=random)
    huge[5] = 1e4
    step = torch.tensor([10.0])
    neighbours = [step := torch.nextafter(step, torch.tensor([11.0])) for _ in range(6)]
    return [
        ("one token", torch.tensor([0.7]), [0, 0]),
        ("two tokens", torch.tensor([1.5, -0.5]), [0]),
        ("three tokens", torch.tensor([0.1, 2, -3]), [1, 2, 1]),
        ("ten equal tokens", torch.full((10,), 0.25), [3, 9]),
        ("zeros of both signs", torch.tensor([0.0, -0.0, 0.0, -0.0, 0.0, 0.0, -0.0, -0.0]), [0, 1]),
        ("ties at every border", ties, [2, 0, 2, 4]),
        ("each half as likely as the one before", -torch.arange(12) * torch.tensor(2.0).log(), [1]),
        ("entries of -inf", holes, [0, 9, 6]),
        ("all but one -inf", one, [4, 1]),
        ("one huge logit", huge, [5, 7]),
        ("logits of 1e4 and -1e4", torch.tensor([-1e4, 1e4, 0, 9999, 1e4, 9998.5, -9999, 1]), [1, 6]),
        ("neighbours in f32", torch.cat(neighbours), [0, 5]),
        ("so steep that f32 underflows", -6.5 * torch.arange(32).float(), [0, 31]),
        ("a flat tail", torch.cat([torch.tensor([2.0, 1.0]), torch.randn(94, generator=random) * 0.01 - 2]), [1, 50]),
    ]


def _settings(logits: torch.Tensor) -> list[dict]:
    likeliest = int(logits.argmax())
    others = sorted({likeliest, 0, logits.numel() // 2})
    return [
        *({"temperature": value} for value in (0.3, 0.7, 1.0, 2.0)),
        *({"top_k": value} for value in (1, 5, 40, logits.numel() + 7)),
        *({"top_p": value} for value in (0.1, 0.5, 0.9, 0.95, 1.0)),
        *({"min_p": value} for value in (0.02, 0.1, 0.5, 1.0)),
        *({"repetition_penalty": value} for value in (1.1, 1.3, 0.8)),
        {"bans": others},
        {"bans": [likeliest], "top_k": 1},
        {"temperature": 2.0, "min_p": 0.1},
        {"temperature": 0.7, "top_p": 0.9},
        {"top_k": 5, "top_p": 0.5},
        {"temperature": 0.7, "top_k": 40, "top_p": 0.95},
        {"temperature": 2.0, "top_p": 0.95, "min_p": 0.02},
        {"repetition_penalty": 1.3, "temperature": 0.3, "top_k": 5},
        {"repetition_penalty": 0.8, "bans": others, "top_p": 0.5},
        {
            "repetition_penalty": 1.1,
            "bans": [likeliest],
            "temperature": 0.7,
            "top_k": 40,
            "top_p": 0.9,
            "min_p": 0.02,
        },
    ]


def _case(policy, name: str, logits: torch.Tensor, input_ids: list[int]) -> dict:
    return {
        "name": name,
        "logits": [None if value == -INFINITY else value for value in short(logits)],
        "input_ids": input_ids,
        "argmax": int(logits.argmax()),
        "runs": [_run(policy, name, logits[None], input_ids, settings) for settings in _settings(logits)],
    }


def _run(policy, name: str, logits: torch.Tensor, input_ids: list[int], settings: dict) -> dict:
    ids = torch.tensor([input_ids])
    scores, exact, border = logits, logits.double(), None
    for processor in _processors(policy, settings):
        before, scores = scores, processor(ids, scores)
        if bool((scores == -INFINITY).all()):
            return {"set": settings, "kept": [], "probabilities": [], "entropy": 0.0}
        found = _border(processor, ids, before, scores, exact)
        if found and border:
            raise SystemExit(f"{name}, {settings}: two borders")
        border = border or found
        # In f64 from what f32 left, so that each processor is compared by itself.
        exact = processor(ids, exact).masked_fill(scores == -INFINITY, -INFINITY)
        exact = torch.where((exact == -INFINITY) & (scores > -INFINITY), scores.double(), exact)
    kept = (scores[0] > -INFINITY).nonzero().flatten()
    logprobs = scores[0, kept].double().log_softmax(-1)
    order = logprobs.sort(descending=True, stable=True).indices.tolist()
    listed = order if len(order) <= 24 else order[:16] + order[16 :: -(-(len(order) - 16) // 8)]
    probabilities = logprobs.exp()
    run = {
        "set": settings,
        "kept": _ranges(kept.tolist()),
        "probabilities": [[int(kept[at]), _digits(float(probabilities[at]))] for at in listed],
        "entropy": _digits(max(0.0, float(-torch.special.xlogy(probabilities, probabilities).sum()))),
    }
    if border:
        left = len(set(border["among"]) & set(kept.tolist()))
        if left:
            if left != border["keep"]:
                raise SystemExit(f"{name}, {settings}: a later processor cuts through a border")
            run["border"] = {**border, "among": _ranges(sorted(border["among"]))}
    return run


def _processors(policy, settings: dict) -> LogitsProcessorList:
    options = {key: value for key, value in settings.items() if key != "bans"}
    if "bans" in settings:
        options["bad_words_ids"] = [[token] for token in settings["bans"]]
    config = GenerationConfig(do_sample=True, **options)
    config._eos_token_tensor = None
    processors = policy._get_logits_processor(config, input_ids_seq_length=1)
    names = [type(processor).__name__ for processor in processors]
    if names != [name for name in ORDER if name in names]:
        raise SystemExit(f"transformers builds another order: {names}")
    return processors


def _border(processor, ids, before: torch.Tensor, after: torch.Tensor, exact: torch.Tensor) -> dict | None:
    """The ids of which it is not certain whether the processor keeps them."""
    if isinstance(processor, TopPLogitsWarper):
        bounds = (max(0.0, processor.top_p - SUM), min(1.0, processor.top_p + SUM))
        others = [TopPLogitsWarper(bound) for bound in bounds]
    elif isinstance(processor, MinPLogitsWarper):
        bounds = (processor.min_p * (1 - RATIO), min(1.0, processor.min_p * (1 + RATIO)))
        others = [MinPLogitsWarper(bound) for bound in bounds]
    elif isinstance(processor, TopKLogitsWarper):
        others = [processor]
    else:
        return None
    count = int((after > -INFINITY).sum())
    counts = [count, *(int((other(ids, exact) > -INFINITY).sum()) for other in others)]
    values, order = before[0].sort(descending=True, stable=True)
    low, high = min(counts), max(counts)
    # Tokens as likely as one at the border are at it too.
    if 0 < low < len(values) and values[low - 1] == values[low]:
        low = int((values > values[low]).sum())
    if high < len(values) and values[high - 1] == values[high]:
        high = int((values >= values[high]).sum())
    if low == high:
        return None
    also = sorted({other - low for other in range(min(counts), max(counts) + 1)} - {count - low})
    return {"among": order[low:high].tolist(), "keep": count - low, "also": also}


def _ranges(ids: list[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for token in ids:
        if runs and runs[-1][1] == token - 1:
            runs[-1][1] = token
        else:
            runs.append([token, token])
    return runs


def _digits(value: float) -> float:
    return float(f"{value:.12g}")


def _critical(df: int, level: float) -> float:
    """The quantile of the chi-square distribution, by bisection of its distribution function in f64."""
    low, high = 0.0, 10.0 * df + 100
    half = torch.tensor(df / 2, dtype=torch.float64)
    for _ in range(100):
        middle = (low + high) / 2
        if float(torch.special.gammainc(half, torch.tensor(middle / 2, dtype=torch.float64))) < level:
            low = middle
        else:
            high = middle
    return round(high, 6)


# Greedy texts.


def _greedy_case(policy, tokenizer, problem: str, penalty: float) -> dict:
    prompt_ids = [token for text in (problem, "\n") for token in tokenizer.encode(text, add_special_tokens=False).ids]
    end = policy.generation_config.eos_token_id
    ids, logprobs, gaps = _greedy(policy, prompt_ids, MAX_NEW_TOKENS, repetition_penalty=penalty)
    return {
        "problem": problem,
        "repetition_penalty": penalty,
        "prompt_ids": prompt_ids,
        "ids": ids,
        "ended": "answer" if ids[-1] == end else "length",
        "text": tokenizer.decode(ids[:-1] if ids[-1] == end else ids, skip_special_tokens=False),
        "logprobs": logprobs,
        "gaps": gaps,
    }


def _stories(model, golden: list[int]) -> dict:
    ids, logprobs, gaps = _greedy(model, golden[:1], len(golden) - 1)
    if ids != golden[1:]:
        raise SystemExit("stories260K: transformers' greedy ids are not the golden ones")
    return {
        "model": "fixtures/stories260k/hf",
        "prompt_ids": golden[:1],
        "ids": ids,
        "logprobs": logprobs,
        "gaps": gaps,
    }


@torch.no_grad()
def _greedy(model, prompt_ids: list[int], tokens: int, **options) -> tuple[list[int], list[float], list[float]]:
    output = model.generate(
        torch.tensor([prompt_ids]),
        attention_mask=torch.ones(1, len(prompt_ids), dtype=torch.long),
        do_sample=False,
        max_new_tokens=tokens,
        output_logits=True,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )
    ids = output.sequences[0, len(prompt_ids) :].tolist()
    logprobs = torch.cat(output.logits).double().log_softmax(-1)[torch.arange(len(ids)), ids]
    best = torch.cat(output.scores).topk(2).values
    return ids, short(logprobs.float()), short(best[:, 0] - best[:, 1])
