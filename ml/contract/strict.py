"""The one pydantic base of the contract: frozen, unknown fields refused, NaN and infinity refused."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

#: of whole numbers that every reader can hold: JSON knows larger ones, a column and an array do not
MOST = 2**63 - 1
#: one without bounds of its own. A field that has them says `le=MOST` beside: its `ge` would not narrow this one's
Whole = Annotated[int, Field(ge=-MOST, le=MOST)]


class Strict(BaseModel):
    """A value of the contract. A misspelt field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="strings")
