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


@schemathesis.check
def no_fault_of_the_server(ctx, response, case):
    """No 5xx, but for the one that a client can ask for: 500 with the status of an instance that has failed."""
    if response.status_code < 500:
        return
    asked = str((case.query or {}).get("returnInternalServerErrorOnFailure")).lower() == "true"
    if asked and case.operation.path.endswith("/instances/{id}") and response.status_code == 500:
        if response.json().get("runtimeStatus") == "Failed":
            return
    raise AssertionError(f"{response.status_code}: {response.text}")
