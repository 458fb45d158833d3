from ..shared.words import greeting


def main(name: str) -> str:
    return greeting(name)
