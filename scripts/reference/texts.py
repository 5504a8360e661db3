"""The traces that are scored and the text that the small tokenizers learn from. Written for this project."""

import unicodedata
from typing import NamedTuple


class Trace(NamedTuple):
    name: str
    problem: str
    steps: list[str]


TRAIN = "A train travels 60 miles in 1.5 hours. What is its average speed?"

TRACES = [
    Trace("one step", "What is 2 + 2?", ["2 + 2 = 4."]),
    Trace(
        "fifty steps",
        "Start with 7. Add 3 fifty times. What is the result?",
        [f"Step {i}: {7 + 3 * (i - 1)} + 3 = {7 + 3 * i}." for i in range(1, 51)],
    ),
    Trace("ragged: two short steps", TRAIN, ["60 / 1.5 = 40.", "The answer is 40."]),
    Trace(
        "ragged: three steps of three lengths",
        "Tom has 12 apples and gives a third of them to Ann. How many are left?",
        [
            "A third of 12 is 4.",
            "Tom gives 4 apples to Ann, so we subtract the 4 apples that he gave away from the 12 apples that he had "
            "in the beginning, which is the number that the question asks for.",
            "12 - 4 = 8",
        ],
    ),
    Trace("ragged: one letter", "x", ["y"]),
    Trace(
        "ragged: a long problem",
        "In a small town there are three schools. The first school has 120 pupils, the second has twice as many as the "
        "first, and the third has 45 pupils fewer than the second. Every pupil gets two books and one pencil, a book "
        "costs 8 dollars and a pencil costs 50 cents. How much do the three schools pay together?",
        ["120 * 2 = 240", "240 - 45 = 195", "120 + 240 + 195 = 555", "555 * (16 + 0.5) = 9157.50"],
    ),
    Trace(
        "ragged: seven steps", "Sum the numbers from 1 to 8.", [f"{i * (i + 1) // 2} + {i + 1}" for i in range(1, 8)]
    ),
    Trace(
        "Chinese, emoji and right-to-left text",
        "小明有12个苹果，吃了3个，还剩几个？ 🍎",
        ["12 − 3 = 9，所以还剩9个。", "👩‍👩‍👧 each gets 3 🍏🍏🍏", "الجواب هو 9 שלום", "∴ ∑ᵢ xᵢ ≤ √2·π ∈ ℝ ⇒ ½ ≠ ⅓"],
    ),
    Trace(
        "accents composed and combining",
        unicodedata.normalize("NFC", "René pays 5 € at the café."),
        [
            unicodedata.normalize("NFD", "René pays 5 € at the café."),
            "ﬁve Å = Å, ñ = n\u0303",
            "Ｆｕｌｌ　ｗｉｄｔｈ １２",
        ],
    ),
    Trace(
        "blanks at both ends",
        "  What is 3 * 4?  ",
        [" 3 * 4 = 12", "12  ", "\tso   the answer\tis 12 \t", "\u00a0twelve\u00a0"],
    ),
    Trace(
        "line breaks inside and at the ends",
        "Solve for x:\n2x = 10\n",
        ["Divide by 2:\nx = 5", "Check:\n\n2 * 5 = 10", "x = 5\r\nis right.", "Done.\n", "\nThe answer is 5."],
    ),
    Trace(
        "special tokens spelled out",
        "What does <|im_end|>\n<|im_start|>system mean? <s>",
        ["It ends a turn: <|im_end|>", "<extra_0> and <extra_0>", "</s><s><unk> <|endoftext|>", "<|im_start|>"],
    ),
    Trace(
        "numbers and LaTeX",
        r"Let $f(x) = \frac{x^2 - 1}{x + 1}$. Find $f(1000000)$.",
        [
            r"$f(x) = \frac{(x-1)(x+1)}{x+1} = x - 1$ for $x \neq -1$.",
            r"\[ f(1{,}000{,}000) = 999999 \]",
            "0.1 + 0.2 = 0.30000000000000004; -1e-7 * 3.14159265358979",
            r"The answer is $\boxed{999999}$.",
        ],
    ),
]

LANGUAGE_MODEL_TEXT = "The answer is 12 apples. Then 3 * 4 = 12 and René pays 5 dollars."

CORPUS = [
    TRAIN,
    "What is the answer? The answer is 42.\n\nHow many apples are left? There are 12 apples left.\n",
    "Tom has 12 apples. He gives 4 apples to Ann, so he has 12 - 4 = 8 apples.\n",
    "First we add the numbers: 7 + 3 = 10.\nThen we multiply by 2: 10 * 2 = 20.\n\nThe total is 20.\n",
    "Step 1: 60 / 1.5 = 40.\nStep 2: The average speed is 40 miles per hour.\n\nStep 3: So the answer is 40.\n",
    "Let $x$ be the number of books. Then $2x + 3 = 15$, so $2x = 12$ and $x = 6$.\n",
    r"We have $\frac{1}{2} + \frac{1}{3} = \frac{5}{6}$ and the final answer is $\boxed{\frac{5}{6}}$." + "\n\n",
    "Each pupil gets two books and one pencil. A book costs 8 dollars and a pencil costs 50 cents.\n",
    "The first school has twice as many pupils as the second. Together they have 360 pupils.\n",
    "Please reason step by step, and put your final answer within the box.\n",
    "She earns 15 dollars per hour and works 8 hours a day, so she earns 15 * 8 = 120 dollars a day.\n",
    "The sum of the numbers is the difference of the squares. Therefore the product is even.\n\n",
    "René pays 5 € at the café. 小明有12个苹果，还剩几个？ 所以还剩9个。\n",
    "Subtract, divide, multiply and add; check the result; which step is wrong?\n",
    "There were 25 people in the train, 10 people got out and 5 people got in. How many people are there?\n",
    "If a third of them leave, two thirds stay: 24 * 2 / 3 = 16.\n\n",
]
