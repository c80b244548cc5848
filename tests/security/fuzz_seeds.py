"""Good values of the contract's models, drawn by hypothesis from their fields: what the rooms of fuzz begin with."""

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pydantic import BaseModel

Strategy = st.SearchStrategy[Any]
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_MOST = 1e12


def corpus(strategy: Strategy, tries: int, takes: Callable[[Any], bool]) -> list[Any]:
    """Those of so many values of the strategy that are taken; always the same."""
    found: list[Any] = []

    @seed(2021)
    @settings(
        max_examples=tries,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def gather(value: Any) -> None:
        if takes(value):
            found.append(value)

    gather()
    return found


def of_model(model: type[BaseModel]) -> Strategy:
    """Plain JSON of a model: what has a default may be left out."""
    needed, free = {}, {}
    for name, info in model.model_fields.items():
        value = _of(info.annotation, info.metadata)
        (needed if info.is_required() or name == "type" else free)[name] = value
    return st.fixed_dictionaries(needed, optional=free)


def _of(annotation: Any, bounds: Any = ()) -> Strategy:
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _of(inside[0], [*inside[1:], *bounds])
    if origin is Literal:
        return st.sampled_from(inside)
    if origin in {Union, UnionType}:
        return st.one_of([_of(item, bounds) for item in inside])
    if origin is tuple and inside[-1] is not Ellipsis:
        return st.tuples(*(_of(item) for item in inside)).map(list)
    if origin in {tuple, list}:
        return st.lists(_of(inside[0]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return of_model(annotation)
    return _plain(annotation, bounds)


def _plain(annotation: Any, bounds: Any) -> Strategy:
    low = max((item.ge for item in bounds if isinstance(item, annotated_types.Ge)), default=None)
    high = min((item.le for item in bounds if isinstance(item, annotated_types.Le)), default=None)
    pattern = next((item.pattern for item in bounds if getattr(item, "pattern", None)), None)
    if annotation is NoneType:
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return st.integers(-int(_MOST) if low is None else int(low), int(_MOST) if high is None else int(high))
    if annotation is float:
        bound = {"min_value": -_MOST if low is None else low, "max_value": _MOST if high is None else high}
        return st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False, **bound)
    assert annotation is str, annotation
    return st.from_regex(pattern, fullmatch=True) if pattern else _TEXT
