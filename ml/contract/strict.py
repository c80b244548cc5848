"""The one pydantic base of the contract: frozen, unknown fields refused, NaN and infinity refused."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A value of the contract. A misspelt field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="strings")
