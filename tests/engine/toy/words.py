"""A module that works reach through an import."""


def joined(texts: list[str]) -> str:
    return "\n".join(texts)
