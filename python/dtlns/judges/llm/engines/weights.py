"""Which model it is: a name with its revision, or what a local folder holds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

WHOLE = 16 * 2**20  # bytes up to which a file is read whole
BLOCKS, BLOCK = 256, 4096  # of a larger one: so many blocks of so many bytes
KINDS = {".json", ".jinja", ".model", ".txt", ".safetensors", ".bin", ".gguf", ".py"}


def model_identity(model: str, revision: str | None, commit: str | None) -> dict[str, Any]:
    """Name a model so that another one has another name.

    Args:
        model: A local folder or a name.
        revision: What was asked for, of a name.
        commit: What the name and revision stood for, where the library tells.

    Returns:
        Plain values: the digest of a folder, wherever it lies, else name and commit.
    """
    if Path(model).is_dir():
        return {"folder": folder_digest(Path(model))}
    return {"name": model, "revision": commit or revision}


def folder_digest(folder: Path) -> str:
    """Return a digest of a model's files: small ones whole, of large ones the size and blocks all over.

    Weights that were trained further differ nearly everywhere, so blocks tell, and a hundred gigabytes take
    no minutes.
    """
    digest = hashlib.sha256()
    for path in sorted(one for one in folder.iterdir() if one.is_file() and one.suffix in KINDS):
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= WHOLE:
                digest.update(file.read())
                continue
            for block in range(BLOCKS):
                file.seek(block * (size - BLOCK) // (BLOCKS - 1))
                digest.update(file.read(BLOCK))
    return digest.hexdigest()
