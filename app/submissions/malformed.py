"""What is wrong with a prediction file that somebody sent: one exception, and a name for each kind of fault."""

from app.errors import FieldError, Refused

#: every kind, for programs that read `detail.kind`; a test sends a file of each
KINDS = (
    *("empty", "too_large", "utf16", "not_utf8", "nul", "lone_returns", "long_line"),
    *("zip_expected", "zip_unexpected", "other_archive", "zip_damaged", "zip_crc", "zip_empty", "zip_several"),
    *("zip_climbs", "zip_absolute", "zip_folder", "zip_name", "zip_encrypted", "zip_bomb", "zip_method"),
    *("header_missing", "header_other", "header_unexpected", "separator", "too_few_columns", "too_many_columns"),
    *("blank_line", "too_few_rows", "too_many_rows", "no_value", "not_a_number", "comma_decimal", "percent", "quotes"),
    *("nan", "infinite", "out_of_range", "label_text", "label_number"),
    *("id_text", "id_unknown", "id_twice", "id_missing", "sentence"),
)


class Malformed(Refused):
    """A prediction file that can't be read as the contest wants it. `kind` is one of KINDS."""

    def __init__(self, kind: str, message: str, value: str = "") -> None:
        super().__init__(message, [FieldError("file", message, value[:100])], {"kind": kind})
        self.kind = kind
