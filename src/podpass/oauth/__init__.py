"""OAuth 2.0 vocabulary: forms, grant and assertion types, token responses, errors as values.

No I/O and no vendor's codes. RFC 6749 (token endpoint), RFC 7521 and RFC 7523 (client assertions).
"""
