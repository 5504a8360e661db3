"""Writes the weights of FOLDER/model.gguf, as scripts/gguf/smollm2.sh leaves it, in types that llama.cpp and surefoot both
read unquantised, and a seeded linear2 head beside them.

    pip install -r scripts/requirements-reference.txt -r scripts/gguf/requirements.txt
    scripts/gguf/smollm2.sh FOLDER
    python benches/smollm2_gguf.py FOLDER

bf16.gguf, f16.gguf and f32.gguf hold the same numbers: every matrix is rounded to bf16 first. Norms stay f32.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, quants
from safetensors.torch import save_file

FILES = {
    "bf16": (Type.BF16, LlamaFileType.MOSTLY_BF16),
    "f16": (Type.F16, LlamaFileType.MOSTLY_F16),
    "f32": (Type.F32, LlamaFileType.ALL_F32),
}


def main() -> None:
    folder = Path(sys.argv[1])
    reader = GGUFReader(folder / "model.gguf")
    for name, (kind, file_type) in FILES.items():
        write(reader, folder / f"{name}.gguf", kind, file_type)
    hidden = int(reader.fields["llama.embedding_length"].contents())
    weight = torch.randn(2, hidden, generator=torch.Generator().manual_seed(21)) / hidden**0.5
    save_file({"score.weight": weight, "score.bias": torch.zeros(2)}, folder / "head.safetensors")


def write(reader: GGUFReader, path: Path, kind: Type, file_type: LlamaFileType) -> None:
    writer = GGUFWriter(path, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        element = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    writer.add_file_type(file_type)
    for tensor in reader.tensors:
        values = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        stored = Type.F32 if values.ndim == 1 else kind
        if values.ndim > 1:
            values = quants.dequantize(quants.quantize(values, Type.BF16), Type.BF16)
        writer.add_tensor(tensor.name, quants.quantize(np.ascontiguousarray(values), stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
