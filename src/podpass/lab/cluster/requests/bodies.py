"""Request bodies into objects, and the forms an answer can take.

Contract: Kubernetes API surface, section 1.4.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from podpass.kube.objects import Obj
from podpass.kube.status import StatusError
from podpass.lab.cluster.extension import ProtobufDecoder

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"
ACCEPTED = (JSON, YAML, PROTOBUF)
_WATCHED = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
_SUMMARY_BYTES = 30
_ENVELOPE = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
MAX_BODY_BYTES = 3 * 1024 * 1024
MAX_DEPTH = 200
MAX_YAML_EVENTS = 60_000
"""Values, and the beginnings and ends of collections: about a second of work. JSON has no such need."""

_decode = msgspec.json.Decoder().decode


class Malformed(ValueError):
    """A body that can't be read; the text is what the API server's decoder says of it."""


def decode_json(body: bytes) -> Any:
    """The JSON value in *body*. Raises Malformed for anything else, and for nesting without bounds.

    Bytes that are not UTF-8 become replacement characters, as in the API server.
    """
    try:
        try:
            value = _decode(body)
        except UnicodeDecodeError:
            value = _decode(body.decode("utf-8", "replace"))
    except msgspec.MsgspecError as error:
        raise Malformed(_go_fault(body)) from error
    except RecursionError as error:
        raise Malformed(_TOO_DEEP) from error
    # Fewer opening brackets than levels: no need to look.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH:
        check_depth(value)
    return value


_TOO_DEEP = "invalid character '{' exceeded max depth"
_FAULTS = {
    "Expecting value": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Illegal trailing comma before end of array": "looking for beginning of value",
    "Extra data": "after top-level value",
    "Invalid control character at": "in string literal",
    "Invalid \\escape": "in string escape code",
    "Invalid \\uXXXX escape": "in \\u hexadecimal character escape",
}


def _go_fault(body: bytes) -> str:
    """What Go's decoder says of a body that is no JSON."""
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        at = error.pos
        if error.msg.startswith("Invalid \\"):
            at += 1
        if error.msg.startswith("Illegal trailing comma"):
            at = next((index for index in range(at + 1, len(text)) if not text[index].isspace()), len(text))
        if at >= len(text) or error.msg.startswith("Unterminated"):
            return "unexpected end of JSON input"
        what = _FAULTS.get(error.msg)
        if error.msg == "Expecting ',' delimiter":
            what = "after array element" if _inside_array(text[:at]) else "after object key:value pair"
        return f"invalid character {_quoted(text[at])} {what or 'looking for beginning of value'}"
    except _Constant as error:
        return f"invalid character {_quoted(str(error)[0])} looking for beginning of value"
    except RecursionError:
        return _TOO_DEEP
    except ValueError:
        return "the JSON holds a number that is too long"
    return "invalid character in JSON"


class _Constant(Exception):
    """NaN or an infinity, which Python would take."""


def _no_constant(text: str) -> Any:
    raise _Constant(text)


def _inside_array(text: str) -> bool:
    depth, inside, escaped = [""], False, False
    for character in text:
        if inside:
            inside, escaped = escaped or character != '"', character == "\\" and not escaped
        elif character == '"':
            inside = True
        elif character in "[{":
            depth.append(character)
        elif character in "]}" and len(depth) > 1:
            depth.pop()
    return depth[-1] == "["


def _quoted(character: str) -> str:
    shown = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "'": "\\'", '"': '"'}.get(character)
    return f"'{shown or (character if character.isprintable() else ascii(character)[1:-1])}'"


def decode_yaml(body: bytes) -> Any:
    """The value of a YAML document. Raises Malformed.

    Refused before anything is built: aliases, which multiply a small body, and nesting and numbers of values that
    would keep the parser busy for seconds.
    """
    import yaml

    class Loader(yaml.CSafeLoader):
        # Times stay text, as in JSON.
        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
        }

    try:
        depth = 0
        for number, event in enumerate(yaml.parse(body, Loader)):
            if isinstance(event, yaml.AliasEvent):
                raise Malformed("yaml: aliases are not supported")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise Malformed(_TOO_DEEP)
            if number > MAX_YAML_EVENTS:
                raise Malformed("yaml: the document holds too many values")
        value = yaml.load(body, Loader)  # noqa: S506 a safe loader
        # Keys that JSON does not have, such as numbers, become text here or are refused.
        value = _decode(msgspec.json.encode(value))
    except Malformed:
        raise
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark is not None else 0
        raise Malformed(f"yaml: line {max(line, 1)}: {error.problem}") from error
    except (yaml.YAMLError, ValueError, TypeError, msgspec.MsgspecError, UnicodeError) as error:
        raise Malformed(f"yaml: {error}") from error
    except RecursionError as error:
        raise Malformed(_TOO_DEEP) from error
    check_depth(value)
    return value


def check_depth(value: Any) -> None:
    """Raises Malformed for nesting deeper than MAX_DEPTH."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise Malformed(_TOO_DEEP)
        level = [
            each
            for node in level
            for each in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(each, dict | list)
        ]


def decode_object(media_type: str, body: bytes, protobuf: ProtobufDecoder | None, *, kind: str = "") -> Obj:
    """The object in a body. Without a media type it is JSON. Raises StatusError (400, 415).

    *kind* is what the body must be of, for the message; empty for bodies whose kind nobody expects.
    """
    try:
        match media_type:
            case "" | "application/json":
                value = decode_json(body)
            case "application/yaml":
                value = decode_yaml(body)
            case "application/vnd.kubernetes.protobuf" if protobuf is not None:
                value = protobuf(body)
            case _:
                raise StatusError.unsupported_media_type(ACCEPTED)
        return envelope(value)
    except Malformed as error:
        why = str(error)
        if not why.startswith("yaml: "):
            why = f"couldn't get version/kind; json parse error: {why}"
        raise unrecognized(kind, why, body) from error


def envelope(value: Any) -> Obj:
    """The object that *value* is. Raises Malformed for what has no apiVersion and kind to look for."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"json: cannot unmarshal {json_type(value)} into Go value of type {_ENVELOPE}")
    for member in ("kind", "apiVersion"):
        if not isinstance(value.get(member), str | None):
            found = json_type(value[member])
            raise Malformed(f"json: cannot unmarshal {found} into Go struct field .{member} of type string")
    return value


def unrecognized(kind: str, why: str, body: bytes) -> StatusError:
    if not kind:
        return StatusError.bad_request(why)
    return StatusError.bad_request(
        f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(body)})"
    )


def _summary(body: bytes) -> str:
    if not body:
        return "<empty>"
    cut, more = body[:_SUMMARY_BYTES], " ..." if len(body) > _SUMMARY_BYTES else ""
    return (cut.decode("utf-8", "replace") if body[:1] == b"{" else cut.hex()) + more


def json_type(value: Any) -> str:
    """The value's type as Go's decoder calls it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


@dataclass(frozen=True, slots=True)
class Form:
    """How the client wants objects."""

    shape: Literal["object", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"] = "object"
    yaml: bool = False
    version: str = "meta.k8s.io/v1"
    """The apiVersion of a shape that is not the object's own."""


PLAIN = Form()
_SHAPES = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


def form_of(accept: str, *, listed: bool = False) -> Form:
    """The first alternative that can be served, by the client's preference. Raises StatusError 406.

    *listed*: it is a collection that is asked for, which can be watched too.
    """
    if not accept or accept == JSON:
        return PLAIN
    known = False
    for media_type, parameters in _alternatives(accept):
        if media_type not in (JSON, YAML, "*/*"):
            continue
        known = True
        shape = parameters.get("as", "")
        if not shape:
            return Form(yaml=True) if media_type == YAML else PLAIN
        version = parameters.get("v")
        if shape in _SHAPES and version in ("v1", "v1beta1") and parameters.get("g") == "meta.k8s.io":
            return Form(shape, media_type == YAML, f"meta.k8s.io/{version}")  # type: ignore[arg-type]
    if known:
        raise StatusError.not_acceptable(f"only the following media types are accepted: {', '.join(ACCEPTED)}")
    served = ", ".join((*ACCEPTED, *(_WATCHED if listed else ())))
    raise StatusError.not_acceptable(f"406: Not Acceptable\n\nAvailable representations: {served}", {})


def _alternatives(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Media types with their parameters, the most wanted first."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for alternative in accept.split(","):
        media_type, *rest = (part.strip() for part in alternative.split(";"))
        parameters = dict(parameter.partition("=")[::2] for parameter in rest)
        try:
            weight = float(parameters.pop("q", "1"))
        except ValueError:
            weight = 1.0
        found.append((-weight, media_type.lower(), parameters))
    return [(media_type, parameters) for _, media_type, parameters in sorted(found, key=lambda each: each[0])]
