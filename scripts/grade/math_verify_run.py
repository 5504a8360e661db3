"""Math-Verify's verdict and time on every pair: python math_verify_run.py < pairs.jsonl > math_verify.jsonl

Needs `pip install math-verify` (0.9.0 was measured) in an environment of its own.
"""

import json
import logging
import sys
import time

from math_verify import parse, verify

logging.disable(logging.CRITICAL)

for line in sys.stdin:
    pair = json.loads(line)
    start = time.perf_counter()
    try:
        equal = bool(verify(parse(pair["gold"]), parse(pair["answer"])))
    except Exception:
        equal = False
    print(json.dumps({"equal": equal, "ms": (time.perf_counter() - start) * 1000}))
