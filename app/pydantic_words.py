"""What pydantic finds wrong, in the reader's language. Called by config_errors and by the handler of refused requests.

In English its own message stands as it is. For others each of its documented error types has its template here, word
for word with {name} as %(name)s, so that the catalogue shows what is translated; a type that is missing stays English.
"""

from collections.abc import Mapping
from typing import Any

from app.language import N_, current, lookup
from app.language import gettext as _

#: (see https://docs.pydantic.dev/latest/errors/validation_errors/)
MESSAGES: dict[str, str] = {
    "assertion_error": N_("Assertion failed, %(error)s"),
    "bool_parsing": N_("Input should be a valid boolean, unable to interpret input"),
    "bool_type": N_("Input should be a valid boolean"),
    "bytes_type": N_("Input should be a valid bytes"),
    "date_from_datetime_parsing": N_("Input should be a valid date or datetime, %(error)s"),
    "date_parsing": N_("Input should be a valid date in the format YYYY-MM-DD, %(error)s"),
    "date_type": N_("Input should be a valid date"),
    "datetime_from_date_parsing": N_("Input should be a valid datetime or date, %(error)s"),
    "datetime_parsing": N_("Input should be a valid datetime, %(error)s"),
    "datetime_type": N_("Input should be a valid datetime"),
    "dict_type": N_("Input should be a valid dictionary"),
    "enum": N_("Input should be %(expected)s"),
    "extra_forbidden": N_("Extra inputs are not permitted"),
    "finite_number": N_("Input should be a finite number"),
    "float_parsing": N_("Input should be a valid number, unable to parse string as a number"),
    "float_type": N_("Input should be a valid number"),
    "frozen_field": N_("Field is frozen"),
    "frozen_instance": N_("Instance is frozen"),
    "greater_than": N_("Input should be greater than %(gt)s"),
    "greater_than_equal": N_("Input should be greater than or equal to %(ge)s"),
    "int_from_float": N_("Input should be a valid integer, got a number with a fractional part"),
    "int_parsing": N_("Input should be a valid integer, unable to parse string as an integer"),
    "int_parsing_size": N_("Unable to parse input string as an integer, exceeded maximum size"),
    "int_type": N_("Input should be a valid integer"),
    "invalid_key": N_("Keys should be strings"),
    "json_invalid": N_("Invalid JSON: %(error)s"),
    "json_type": N_("JSON input should be string, bytes or bytearray"),
    "less_than": N_("Input should be less than %(lt)s"),
    "less_than_equal": N_("Input should be less than or equal to %(le)s"),
    "list_type": N_("Input should be a valid list"),
    "literal_error": N_("Input should be %(expected)s"),
    "missing": N_("Field required"),
    "model_attributes_type": N_("Input should be a valid dictionary or object to extract fields from"),
    "model_type": N_("Input should be a valid dictionary or instance of %(class_name)s"),
    "multiple_of": N_("Input should be a multiple of %(multiple_of)s"),
    "none_required": N_("Input should be None"),
    "set_type": N_("Input should be a valid set"),
    "string_pattern_mismatch": N_("String should match pattern '%(pattern)s'"),
    "string_too_long": N_("String should have at most %(max_length)s character%(expected_plural)s"),
    "string_too_short": N_("String should have at least %(min_length)s character%(expected_plural)s"),
    "string_type": N_("Input should be a valid string"),
    "string_unicode": N_("Input should be a valid string, unable to parse raw data as a unicode string"),
    "too_long": N_(
        "%(field_type)s should have at most %(max_length)s item%(expected_plural)s after validation, not "
        "%(actual_length)s"
    ),
    "too_short": N_(
        "%(field_type)s should have at least %(min_length)s item%(expected_plural)s after validation, not "
        "%(actual_length)s"
    ),
    "tuple_type": N_("Input should be a valid tuple"),
    "union_tag_invalid": N_(
        "Input tag '%(tag)s' found using %(discriminator)s does not match any of the expected tags: %(expected_tags)s"
    ),
    "union_tag_not_found": N_("Unable to extract tag using discriminator %(discriminator)s"),
    "value_error": N_("Value error, %(error)s"),
}


def said(error: Mapping[str, Any]) -> str:
    """The message of one of `ValidationError.errors()`, context included."""
    message = MESSAGES.get(error["type"])
    if current() == "en" or message is None:
        return str(error["msg"])
    values = dict(error.get("ctx") or {})
    if "expected" in values:
        some, or_, last = str(values["expected"]).rpartition(" or ")
        values["expected"] = _("%(some)s or %(last)s", some=some, last=last) if or_ else last
    return lookup(message) % values
