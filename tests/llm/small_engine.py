"""What vLLM is given for the small model, the same on every machine."""

from __future__ import annotations

from typing import Any

# A cache of fixed size: a share of the memory is too little for a prompt on a small machine.
SMALL: dict[str, Any] = {"max_model_len": 2048, "enforce_eager": True, "kv_cache_memory_bytes": 2**29}
