"""Defines what a field of a record may hold: bounded text, finite numbers and shallow JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_serializer,
)

from benchmarks.records.text import CONTROL

_PART = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
_NAME, _NAME_LENGTH = rf"{_PART}(/{_PART})?", 120
_DEPTH, _ITEMS = 5, 200
NAME_RULE = f"ASCII letters, digits, '.', '_', '+' and '-', with one '/' at most, up to {_NAME_LENGTH}"


def _plain(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("control characters are not allowed in a record")
    return text


def _shallow(value: Any) -> Any:
    """Raises ValueError for JSON that is too deep or too wide, before anything walks it recursively."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEPTH or len(level) > _ITEMS:
            raise ValueError(f"at most {_DEPTH} levels of at most {_ITEMS} values are allowed")
        level = [v for node in level for v in _children(node)]
    return value


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    if isinstance(node, list | tuple):
        return list(node)
    return [] if _is_leaf(node) else _refuse(node)


def _is_leaf(node: Any) -> bool:
    if isinstance(node, str):
        return len(node) <= 1_000 and not CONTROL.search(node)
    if isinstance(node, int):  # bool included
        return -(2**63) <= node < 2**63
    return node is None or (isinstance(node, float) and node - node == 0.0)


def _refuse(node: Any) -> list[Any]:
    raise ValueError(f"not a bounded JSON value: {type(node).__name__} {str(node)[:40]!r}")


def is_name(text: str) -> bool:
    """Returns whether a record can hold `text` as the name of a problem or a solver: see NAME_RULE."""
    return len(text) <= _NAME_LENGTH and re.fullmatch(_NAME, text) is not None


Text = Annotated[str, AfterValidator(_plain)]
Label = Annotated[Text, Field(min_length=1, max_length=200)]
Line = Annotated[Text, Field(max_length=4_000)]
Log = Annotated[Text, Field(max_length=16_000)]
Name = Annotated[str, Field(max_length=_NAME_LENGTH, pattern=rf"^{_NAME}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, ge=0)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Hyperparameters = Annotated[dict[Label, JsonValue], BeforeValidator(_shallow), Field(max_length=64)]


class Data(BaseModel):
    """A frozen value whose fields are checked: unknown ones are an error, and types are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a field beside its type, given in the annotation of the field.

    A field is `younger` if it was added after the first records were kept. It is then left out of the stored form where it
    has its default, so that every older record keeps its bytes, and with them its digest.
    """

    younger: bool = False


class GrowingData(Data):
    """Data to which fields may be added, each annotated as younger, without changing the digests of the records that are kept."""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: Any) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if not self._is_silent(name)}

    def _is_silent(self, name: str) -> bool:
        """Returns whether a field is younger and has its default value."""
        field = type(self).model_fields[name]
        younger = any(isinstance(about, About) and about.younger for about in field.metadata)
        return younger and getattr(self, name) == field.get_default(call_default_factory=True)
