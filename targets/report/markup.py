"""Elements of a page. What goes in as text comes out as text: names are escaped when written."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from nexus.printable import printable

Child = Element | str | None


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Element:
    """An element. `class_` is `class`, other underscores are hyphens; None leaves out."""
    element = Element(name)
    for key, value in attributes.items():
        if value is not None:
            text = value if isinstance(value, str) else number(value)
            element.set(_attribute(key), printable(text))
    for child in children:
        add(element, child)
    return element


def add(parent: Element, child: Child) -> None:
    """Append a child: an element, or text."""
    if child is None:
        return
    if isinstance(child, Element):
        parent.append(child)
    elif len(parent):
        parent[-1].tail = (parent[-1].tail or "") + printable(child)
    else:
        parent.text = (parent.text or "") + printable(child)


def table(heads: list[str], rows: list[list[Child]], class_: str = "") -> Element:
    """A table in a box of its own, which scrolls where the screen is narrow."""
    head = tag("tr", *(tag("th", each, scope="col") for each in heads))
    body = [tag("tr", *(tag("td", each) for each in row)) for row in rows]
    inner = tag("table", tag("thead", head), tag("tbody", *body), class_=class_ or None)
    return tag("div", inner, class_="scroll", tabindex="0")


def number(value: float) -> str:
    """A coordinate: to a hundredth, without zeros that say nothing."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
