"""The vocabulary that app, worker and ml share. Only pydantic and the standard library live here."""
