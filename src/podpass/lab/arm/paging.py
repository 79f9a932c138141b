"""Lists in pages: `$top` and `$skiptoken` in, `value` and `nextLink` out.

A token says how far a list has been shown: by the last key where members have keys, so that nothing is missed or shown
twice when others come or go between two pages, or else by their number.
Contract: Azure HTTP surface, section 1.3.
"""

import base64
import binascii
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from podpass.lab.arm import errors
from podpass.lab.arm.model import Keyed
from podpass.serving.asgi import Request

PAGE_SIZE = 1_000


def page(request: Request, items: tuple[Mapping[str, Any], ...] | Keyed, origin: str) -> dict[str, Any]:
    """The part of *items* that the request asks for, with a link to the next one. Raises ArmError."""
    top, shown = request.query.get("$top", ""), _shown(request.query.get("$skiptoken", ""))
    size = min(int(top), PAGE_SIZE) if top.isascii() and top.isdigit() and 0 < len(top) < 6 and int(top) else PAGE_SIZE
    if isinstance(items, Keyed):
        if shown and not shown.startswith("/"):
            raise _invalid_token()
        start = bisect_right(items.keys, shown)
        keys = items.keys[start : start + size]
        value = [one for key in keys if (one := items.show(key)) is not None]
        last = keys[-1] if keys else ""
    else:
        start = _number(shown)
        value = list(items[start : start + size])
        last = str(start + size)
    page: dict[str, Any] = {"value": value}
    if start + size < len(items):
        token = base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")
        kept = [(name, value) for name, value in request.query_list if name.lower() != "$skiptoken"]
        query = urlencode([*kept, ("$skiptoken", token)], quote_via=quote, safe="$")
        page["nextLink"] = f"{origin}{request.raw_path}?{query}"
    return page


def _shown(token: str) -> str:
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise _invalid_token() from error


def _number(text: str) -> int:
    if not ((text or "0").isascii() and (text or "0").isdigit() and len(text) < 12):
        raise _invalid_token()
    return int(text or "0")


def _invalid_token() -> errors.ArmError:
    return errors.invalid_request("The $skiptoken is invalid.", "InvalidSkipToken")
