"""How requests of kinds are made that the generator does not know by itself."""

import schemathesis
from hypothesis import strategies as st

# The header of a component, so that some of the garbage comes past the first look.
HEADER = b"\0asm\x0d\0\x01\0"

schemathesis.openapi.media_type(
    "application/wasm", st.one_of(st.binary(max_size=256), st.binary(max_size=256).map(lambda rest: HEADER + rest)))


@schemathesis.serializer("application/wasm")
def wasm(ctx, value):
    return value if isinstance(value, bytes) else str(value).encode()
