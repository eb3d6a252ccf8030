"""A card for notebooks: a title, facts, and a strip of pictures, as HTML that stands for itself."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from html import escape

_LINE = "1px solid rgba(128,128,128,.35)"
"""Half-transparent gray is a fine line on white and on black; all else inherits the notebook's colors."""


@dataclass(frozen=True)
class Thumbnail:
    """A small picture.

    Attributes:
        png: the file.
        caption: what it shows, for people who point at it or cannot see it.
    """

    png: bytes
    caption: str


@dataclass(frozen=True)
class HtmlCard:
    """What a card shows. Any text may come from outside: it is escaped.

    Attributes:
        title: the first line.
        facts: name and value of each row of the table.
        thumbnails: the strip below.
        notes: lines at the end, about what could not be shown.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    thumbnails: tuple[Thumbnail, ...] = ()
    notes: tuple[str, ...] = ()

    def to_html(self) -> str:
        """Return one ``div`` with its styles inline: nothing is fetched, nothing else on the page changes."""
        return (
            f'<div style="border:{_LINE};border-radius:6px;padding:.7em 1em;max-width:52em;color:inherit;'
            'font-family:system-ui,sans-serif;font-size:13px;line-height:1.4">'
            f'<div style="font-weight:600;overflow-wrap:anywhere">{escape(self.title)}</div>'
            f"{self._table()}{self._strip()}{self._notes()}</div>"
        )

    def _table(self) -> str:
        cell = f"text-align:left;vertical-align:top;background:none;border:0;border-top:{_LINE};padding:.25em"
        rows = "".join(
            f'<tr style="background:none"><th scope="row" style="{cell} 1.5em .25em 0;font-weight:400;width:1%;'
            f'white-space:nowrap"><span style="opacity:.7">{escape(name)}</span></th>'
            f'<td style="{cell} 0;overflow-wrap:anywhere;white-space:pre-line">{escape(value)}</td></tr>'
            for name, value in self.facts
        )
        return f'<table style="border-collapse:collapse;border:0;margin:.5em 0;width:100%">{rows}</table>'

    def _strip(self) -> str:
        images = "".join(
            f'<img src="data:image/png;base64,{base64.b64encode(thumbnail.png).decode()}" '
            f'alt="{escape(thumbnail.caption)}" title="{escape(thumbnail.caption)}" '
            'style="width:96px;height:96px;object-fit:contain;margin:0;image-rendering:auto">'
            for thumbnail in self.thumbnails
        )
        return f'<div style="display:flex;flex-wrap:wrap;gap:6px">{images}</div>' if images else ""

    def _notes(self) -> str:
        return "".join(f'<div style="opacity:.7;margin-top:.5em">{escape(note)}</div>' for note in self.notes)
