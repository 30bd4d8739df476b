"""Numbers that are a function of a key."""

import hashlib


def hash_key(*key: object) -> int:
    """128 bits from a key, whose parts may have any type; their ``str`` counts."""
    text = "/".join(map(str, key))
    return int.from_bytes(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), "little"
    )
