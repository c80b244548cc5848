"""The app's log: lines for people, or one JSON object a line for programs that collect them."""

from pythonjsonlogger.json import JsonFormatter

from app.settings import Settings
from ml.contract import logs


def configure(settings: Settings) -> None:
    """Called once by a process that serves."""
    names = {"levelname": "level", "name": "logger"}
    as_json = JsonFormatter([*names, "message"], rename_fields=names, timestamp="time", static_fields={"who": "web"})
    logs.configure(settings.log_level, as_json if settings.log_format == "json" else logs.TextFormatter("web"))
