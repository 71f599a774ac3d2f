"""Numbers as people paste them: 2e-4, 1,000, 0,001, 5 %."""

from __future__ import annotations

import math
import re

THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}([, \u00a0\u202f'’_]\d{3})+(\.\d+)?")


def parse_number(text: str) -> float:
    """Raises ValueError for what is not one finite number. A comma groups thousands where it can, else it is the decimal mark."""
    cleaned = text.strip().replace("−", "-").replace("×10^", "e").replace("·10^", "e")
    share = cleaned.endswith("%")
    cleaned = cleaned.removesuffix("%").strip()
    if THOUSANDS.fullmatch(cleaned):
        cleaned = re.sub(r"[, \u00a0\u202f'’_]", "", cleaned)
    elif cleaned.count(",") == 1 and "." not in cleaned:
        cleaned = cleaned.replace(",", ".")
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", cleaned, re.IGNORECASE):
        raise ValueError(f"{text!r} is not a number.")
    number = float(cleaned) / (100 if share else 1)
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is too large.")
    return number


def show_number(value: float) -> str:
    """Short and exact, in a form that `parse_number` reads: 0.0002 as 2e-4, 512 as 512."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    if abs(value) < 0.01:
        digits, _, power = f"{value:e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    return f"{value:g}"
