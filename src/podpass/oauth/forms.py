"""Forms as token endpoints read them: bounded, and each parameter at most once.

RFC 6749, section 3.2: parameters are not repeated; one sent without a value counts as not sent.
"""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MEDIA_TYPE = "application/x-www-form-urlencoded"

MAX_FORM_BYTES = 64 * 1024
MAX_MEMBERS = 64
MAX_NAME_BYTES = 256


@dataclass(frozen=True, slots=True)
class BadForm:
    """Why a form was not read. *parameter* names the one at fault, where it is one."""

    reason: str
    parameter: str = ""


def parse_form(body: bytes) -> dict[str, str] | BadForm:
    """The form's parameters, those without a value left out.

    Refused: more than MAX_FORM_BYTES or MAX_MEMBERS, a repeated parameter, text that is not UTF-8, a zero byte.
    """
    if len(body) > MAX_FORM_BYTES:
        return BadForm(f"the form is larger than {MAX_FORM_BYTES} bytes")
    if body.count(b"&") >= MAX_MEMBERS:
        return BadForm(f"the form has more than {MAX_MEMBERS} parameters")
    seen: set[str] = set()
    members: dict[str, str] = {}
    for pair in body.split(b"&"):
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition(b"=")
        if len(raw_name) > MAX_NAME_BYTES:
            return BadForm("a parameter's name is too long")
        try:
            if b"%" in pair or b"+" in pair:
                raw_name, raw_value = _unescaped(raw_name), _unescaped(raw_value)
            name, value = raw_name.decode(), raw_value.decode()
        except UnicodeDecodeError:
            return BadForm("the form is not UTF-8")
        if "\0" in name or "\0" in value:
            return BadForm("the form holds a zero byte")
        if name in seen:
            return BadForm(f"the parameter '{name}' is given twice", name)
        seen.add(name)
        if value:
            members[name] = value
    return members


def _unescaped(raw: bytes) -> bytes:
    return unquote_to_bytes(raw.replace(b"+", b" "))
