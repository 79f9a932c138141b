"""What tests were seen to prove of the Azure side; tests/azure_calls.py writes and checks it."""

import json
from pathlib import Path
from typing import Any

PROOFS = Path(__file__).parents[1] / "tests" / "azure_proofs.json"
PLAIN_CLIENT = "plain requests"
"""Tests that speak HTTP themselves: they prove what is answered, and no client."""


def proofs() -> dict[str, dict[str, dict[str, Any]]]:
    """By service and call: the clients, each with the test and the API versions that it was seen to send."""
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(PROOFS.read_text()) if PROOFS.exists() else {}
    return found
