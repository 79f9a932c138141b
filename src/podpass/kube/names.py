"""What names, label keys and label values may look like; each function says what is wrong, or nothing.

The texts are the API server's. Contract: Kubernetes API surface, section 2.2.
"""

import re

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_QUALIFIED})?"

_label = re.compile(_LABEL).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_label_1035 = re.compile(_LABEL_1035).fullmatch
_qualified = re.compile(_QUALIFIED).fullmatch
_value = re.compile(_VALUE).fullmatch
_data_key = re.compile("[-._a-zA-Z0-9]+").fullmatch

MAX_SUBDOMAIN, MAX_LABEL = 253, 63


def subdomain_fault(text: str) -> str:
    """What keeps *text* from being a DNS subdomain; empty when it is one."""
    if len(text) > MAX_SUBDOMAIN:
        return f"must be no more than {MAX_SUBDOMAIN} characters"
    if not _subdomain(text):
        return (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
            " start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
            r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
        )
    return ""


def label_fault(text: str) -> str:
    """What keeps *text* from being a DNS label."""
    if len(text) > MAX_LABEL:
        return f"must be no more than {MAX_LABEL} characters"
    if not _label(text):
        return (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and"
            " end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
            " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
        )
    return ""


def label_1035_fault(text: str) -> str:
    """What keeps *text* from being a DNS label as Services need it: starting with a letter."""
    if len(text) > MAX_LABEL:
        return f"must be no more than {MAX_LABEL} characters"
    if not _label_1035(text):
        return (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
            " character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for"
            " validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
        )
    return ""


def path_segment_fault(text: str) -> str:
    """What keeps *text* from being a name of an RBAC object."""
    if text in (".", ".."):
        return f"may not be '{text}'"
    for part in ("/", "%"):
        if part in text:
            return f"may not contain '{part}'"
    return ""


def qualified_name_fault(text: str) -> str:
    """What keeps *text* from being a label key, an annotation key or a finalizer: `[prefix/]name`."""
    prefix, slash, name = text.rpartition("/")
    if slash:
        if not prefix:
            return "prefix part must be non-empty"
        if "/" in prefix:
            return (
                "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end"
                " with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for"
                " validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix"
                " and '/' (e.g. 'example.com/MyName')"
            )
        if fault := subdomain_fault(prefix):
            return f"prefix part {fault}"
    if not name:
        return "name part must be non-empty"
    if len(name) > MAX_LABEL:
        return f"name part must be no more than {MAX_LABEL} characters"
    if not _qualified(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
            " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
            " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        )
    return ""


label_key_fault = qualified_name_fault


def label_value_fault(text: str) -> str:
    """What keeps *text* from being a label's value."""
    if len(text) > MAX_LABEL:
        return f"must be no more than {MAX_LABEL} characters"
    if not _value(text):
        return (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must"
            " start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used"
            " for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
        )
    return ""


def data_key_fault(text: str) -> str:
    """What keeps *text* from being a key of a Secret or a ConfigMap."""
    if len(text) > MAX_SUBDOMAIN:
        return f"must be no more than {MAX_SUBDOMAIN} characters"
    if not _data_key(text):
        return (
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or"
            " 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )
    if text == ".":
        return "must not be '.'"
    if text.startswith(".."):
        return "must not be '..'" if text == ".." else "must not start with '..'"
    return ""
