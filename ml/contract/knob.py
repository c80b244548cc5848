"""How a field of the recipe is declared. Called by the config modules of the contract."""

from typing import Any

from pydantic import Field


def knob(default: Any, en: str, zh: str, help: str, *, unit: str = "", **bounds: Any) -> Any:
    """A field of the recipe with its English and Chinese title, help text, unit and bounds.

    Pydantic's `ge`, `gt`, `le`, `lt`, `max_length` and `pattern` are the bounds; pages and API docs read them
    from the JSON schema.
    """
    extra: dict[str, Any] = {"title_zh": zh}
    if unit:
        extra["unit"] = unit
    return Field(default, title=en, description=help, json_schema_extra=extra, **bounds)
