"""The numbers that src/evaluate and src/aggregate.ts are held against, by other people's software and by brute force.

    pip install -r scripts/metrics/requirements.txt
    python scripts/metrics/oracle.py

Reads ../shared/data, writes fixtures/metrics/*.json and fixtures/aggregates.json. Every file holds `source`, the inputs
and, under `expected`, what was computed. Nothing here is translated from src: subsets are enumerated, and scipy and
scikit-learn have their say wherever they can.
"""

import json
from pathlib import Path

import aggregates
import golden
import recorded
import synthetic

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    fixtures = ROOT / "fixtures"
    write(fixtures / "aggregates.json", aggregates.build())
    write(fixtures / "metrics" / "golden.json", golden.build())
    write(fixtures / "metrics" / "synthetic.json", synthetic.build())
    write(fixtures / "metrics" / "gsm8k.json", recorded.gsm8k(DATA))
    write(fixtures / "metrics" / "math-rm.json", recorded.math_rm(DATA))
    write(fixtures / "metrics" / "processbench.json", recorded.processbench(DATA))
