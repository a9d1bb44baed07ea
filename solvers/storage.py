"""A header and arrays in one file: a NumPy archive of numbers only, read without evaluating or unpickling anything."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

FORMAT = 1


def write(header: dict[str, Any], leaves: list[Array]) -> bytes:
    """Returns the content of a file with a JSON header and arrays. Random keys are written as their words."""
    keys = {str(n): str(jax.random.key_impl(a)) for n, a in enumerate(leaves) if _is_key(a)}
    text = json.dumps({"format": FORMAT, "keys": keys, "leaves": len(leaves)} | header)
    arrays: dict[str, Any] = {"header": np.frombuffer(text.encode(), np.uint8)}
    for n, leaf in enumerate(leaves):
        arrays[str(n)] = np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read(content: bytes, what: str) -> tuple[dict[str, Any], list[Array]]:
    """Returns the header and the arrays of a file's content.

    Raises ValueError for content that `write` did not make; the message calls it `what`.
    """
    file = io.BytesIO(content)
    if not zipfile.is_zipfile(file):
        raise ValueError(f"{what} is not a saved result, or is damaged")
    try:
        with np.load(file, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            leaves = [jnp.asarray(archive[str(n)]) for n in range(header["leaves"])]
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile):
        raise ValueError(f"{what} is not a saved result, or is damaged") from None
    if header.get("format") != FORMAT:
        raise ValueError(f"{what} has format {header.get('format')}, and {FORMAT} is what can be read")
    for number, kind in header["keys"].items():
        leaves[int(number)] = jax.random.wrap_key_data(leaves[int(number)], impl=kind)
    return header, leaves


def _is_key(leaf: Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
