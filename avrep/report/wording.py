"""Numbers and untrusted text as a person reads them in the report."""

import html
import math

_TEXT_LIMIT = 2000
_MINUS = "-"


def escape(text: object, limit: int = _TEXT_LIMIT) -> str:
    """Text that is safe inside an element or a quoted attribute, cut off at `limit` characters.

    Control characters and lone surrogates, which a file may hold and a page may not, become the
    replacement character.
    """
    whole = str(text)
    cut = whole if len(whole) <= limit else whole[: limit - 1] + "\u2026"
    return html.escape("".join(c if _printable(c) else "\ufffd" for c in cut), quote=True)


def shortened(text: str, limit: int) -> str:
    """Text that is cut in its middle: a long path's beginning and end say which one it is."""
    if len(text) <= limit:
        return text
    return f"{text[: limit // 3]}\u2026{text[limit // 3 + 1 - limit :]}"


def number(value: float | None) -> str:
    """Four significant digits at least, never fewer digits than the whole part has."""
    if value is None:
        return "\u2013"
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else f"{_MINUS if value < 0 else ''}infinite"
    size = abs(value)
    if value == int(value) and size < 1e15:
        return f"{int(value):,}"
    if size >= 1000:
        return f"{value:,.0f}"
    if size < 1e-3:
        return _scientific(value)
    return f"{value:.{3 if size < 10 else 4 - len(str(int(size)))}f}"


def duration(seconds: float) -> str:
    """Seconds as a clock would say them: `48 s`, `12 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    for unit_s, unit, part_s, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if seconds >= unit_s:
            whole, rest = divmod(round(seconds / part_s), unit_s // part_s)
            return f"{whole:,} {unit} {rest} {part}" if rest else f"{whole:,} {unit}"
    whole, rest = divmod(round(seconds), 60)
    return f"{whole} min {rest} s" if rest else f"{whole} min"


def _printable(c: str) -> bool:
    return c in "\n\t" or (
        ord(c) >= 32 and not 0x7F <= ord(c) <= 0x9F and not 0xD800 <= ord(c) <= 0xDFFF
    )


def _scientific(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
