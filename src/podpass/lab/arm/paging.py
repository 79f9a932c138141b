"""Lists in pages: `$top` and `$skiptoken` in, `value` and `nextLink` out.

Contract: Azure HTTP surface, section 1.3.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from podpass.lab.arm import errors
from podpass.serving.asgi import Request

PAGE_SIZE = 1_000


def page(request: Request, items: tuple[Mapping[str, Any], ...], origin: str) -> dict[str, Any]:
    """The part of *items* that the request asks for, with a link to the next one. Raises ArmError."""
    top, start = request.query.get("$top", ""), _skipped(request.query.get("$skiptoken", ""))
    size = min(int(top), PAGE_SIZE) if top.isascii() and top.isdigit() and 0 < len(top) < 6 and int(top) else PAGE_SIZE
    page: dict[str, Any] = {"value": items[start : start + size]}
    if start + size < len(items):
        token = base64.urlsafe_b64encode(str(start + size).encode()).decode().rstrip("=")
        kept = [(name, value) for name, value in request.query_list if name.lower() != "$skiptoken"]
        query = urlencode([*kept, ("$skiptoken", token)], quote_via=quote, safe="$")
        page["nextLink"] = f"{origin}{request.raw_path}?{query}"
    return page


def _skipped(token: str) -> int:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode() if token else "0"
    except (binascii.Error, ValueError) as error:
        raise errors.invalid_request("The $skiptoken is invalid.", "InvalidSkipToken") from error
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise errors.invalid_request("The $skiptoken is invalid.", "InvalidSkipToken")
    return int(text)
