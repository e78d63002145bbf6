"""Draws ratios as bars on a logarithmic scale, as SVG text. What is measured is compare.py's question."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

LEFT, WIDTH, ROW, TOP, BOTTOM = 130, 560, 24, 34, 26
SMALLEST, LARGEST = 0.001, 1.0


@dataclass(frozen=True)
class Bar:
    """One case: its ratio to the reference, and the one that must be reached."""

    name: str
    ratio: float
    must: float


def place(ratio: float) -> float:
    """Where a ratio stands, from left to right."""
    share = math.log(max(ratio, SMALLEST) / SMALLEST) / math.log(LARGEST / SMALLEST)
    return LEFT + WIDTH * min(share, 1.0)


def drawn(bars: list[Bar]) -> str:
    """The whole picture. A bar ends at the ratio, a stroke stands where it must end at the latest."""
    height = TOP + ROW * len(bars) + BOTTOM
    total = LEFT + WIDTH + 70
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{total}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="16">Processor time, launchdarkly-server-sdk 9.20 = 1 (stroke: must be reached)</text>',
    ]
    for mark in (0.001, 0.01, 0.1, 1.0):
        x = place(mark)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - BOTTOM}" stroke="#ccc"/>')
        parts.append(f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle" fill="#555">{mark:g}</text>')
    for number, bar in enumerate(bars):
        y, end, must = TOP + ROW * number, place(bar.ratio), place(bar.must)
        colour = "#2a7f62" if bar.ratio <= bar.must else "#b5523b"
        parts.append(f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(bar.name)}</text>')
        parts.append(f'<rect x="{LEFT}" y="{y + 2}" width="{end - LEFT:.1f}" height="15" fill="{colour}"/>')
        parts.append(f'<line x1="{must:.1f}" y1="{y}" x2="{must:.1f}" y2="{y + 19}" stroke="#222" stroke-width="2"/>')
        parts.append(f'<text x="{max(end, must) + 6:.1f}" y="{y + 14}" fill="#222">{bar.ratio:.4f}</text>')
    return "\n".join([*parts, "</svg>", ""])
