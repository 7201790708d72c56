"""The page's style sheet: system fonts, two colour schemes, figures on cards, print."""

from __future__ import annotations

from vitladder.report.style import DARK

_CSS = """
:root {
  color-scheme: light dark;
  --ground: #f6f7f9; --card: #ffffff; --ink: #1c2430; --muted: #5c6774; --line: #dfe3e8;
  --accent: #1f5f9e; --code: #eef1f4; --stripe: #f9fafb; --tip: #ffffff;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #14181d; --card: #1c2128; --ink: #e6e9ed; --muted: #9aa5b1; --line: #313943;
    --accent: #8cc0ee; --code: #232a32; --stripe: #20262d; --tip: #2a323b;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif;
}
main { max-width: 76rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
h1 { margin: 0; font-size: 2.3rem; line-height: 1.15; letter-spacing: -0.018em; }
h1, h2, h3, p, dd { overflow-wrap: anywhere; }
h2 { margin: 3.5rem 0 1rem; font-size: 1.4rem; letter-spacing: -0.008em; }
h3 { margin: 0 0 0.75rem; font-size: 1rem; }
a { color: var(--accent); }
.kind { margin: 0 0 0.3rem; color: var(--muted); font-size: 0.9rem; }
#answer { max-width: 54rem; margin: 1.4rem 0 2.5rem; font-size: 1.12rem; }
#answer p { margin: 0 0 0.75rem; }
.figures {
  display: grid; gap: 1.25rem; grid-template-columns: repeat(2, minmax(0, 1fr));
  align-items: stretch; margin: 0 0 1.5rem;
}
figure {
  margin: 0; padding: 1.1rem 1.25rem; min-width: 0; border: 1px solid var(--line);
  border-radius: 10px; background: var(--card);
}
.figures > .note { align-self: start; }
.figures > figure:only-child { grid-column: 1 / -1; max-width: 54rem; }
.plot { overflow-x: auto; overflow-y: hidden; }
.plot svg { display: block; }
.plot > svg { width: 100%; height: auto; }
.plot.alive > svg { display: none; }
.plot .live { display: block; line-height: 0; overflow: hidden; }
.controls {
  display: flex; flex-wrap: wrap; align-items: center; gap: 0.4rem 0.6rem; margin: 0.5rem 0 0;
  color: var(--muted); font-size: 0.8rem;
}
button, input {
  font: inherit; color: var(--ink); background: var(--code); border: 1px solid var(--line);
  border-radius: 6px;
}
button { cursor: pointer; }
.controls button { padding: 0.1rem 0.6rem; overflow-wrap: anywhere; }
.controls [aria-pressed] {
  margin: 0 -0.25rem; padding: 0 0.3rem; border-color: transparent; background: none;
  color: inherit; text-decoration: underline dotted; text-underline-offset: 0.2em;
}
.controls [aria-pressed="true"] { border-color: var(--accent); color: var(--accent); }
.unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap;
}
button:focus-visible, input:focus-visible, a:focus-visible, summary:focus-visible,
.scroll:focus-visible, pre:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
/* HTML has the caption last; the eye wants it under its picture. */
.figures > figure { display: flex; flex-direction: column; }
figure > details { order: 1; }
figcaption, .empty, .files, details {
  margin: 0.7rem 0 0; color: var(--muted); font-size: 0.9rem; line-height: 1.5;
}
.empty { margin: 0; }
summary { cursor: pointer; width: max-content; }
details .scroll { max-height: 22rem; overflow: auto; margin: 0.6rem 0 0; color: var(--ink); }
.scroll {
  overflow: auto; max-height: 46rem; margin: 0 0 1.5rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px;
}
table {
  width: 100%; border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums;
}
caption {
  position: sticky; left: 0; max-width: calc(100vw - 3rem); padding: 0.9rem 1rem 0.5rem;
  text-align: left; font-weight: 600; font-size: 0.95rem;
}
th, td { padding: 0.42rem 1rem; text-align: left; white-space: nowrap; }
thead th {
  position: sticky; top: 0; color: var(--muted); font-weight: 500; background: var(--card);
  box-shadow: inset 0 -1px var(--line);
}
tbody th { font-weight: 500; }
tbody tr:nth-child(even) { background: var(--stripe); }
figure table { font-size: 0.8rem; }
figure th, figure td { padding: 0.25rem 0.6rem; }
figure caption { font-size: 0.85rem; padding: 0.5rem 0.6rem; }
.filter { display: flex; flex-wrap: wrap; align-items: center; gap: 0.6rem; margin: 0 0 0.8rem; }
.filter input { padding: 0.3rem 0.6rem; min-width: 18rem; background: var(--card); }
.filter output { color: var(--muted); font-size: 0.9rem; }
#runs table { font-size: 0.82rem; }
#runs th, #runs td { padding: 0.38rem 0.55rem; }
#runs th:first-child { padding-left: 1rem; }
#runs tbody th, #trouble tbody th {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace;
}
thead button { padding: 0; border: 0; background: none; color: inherit; text-align: left; }
thead button:hover { color: var(--ink); text-decoration: underline; }
[aria-sort="ascending"] button::after { content: " ↑"; }
[aria-sort="descending"] button::after { content: " ↓"; }
#trouble td:last-child { min-width: 18rem; white-space: normal; }
pre {
  overflow-x: auto; margin: 0 0 1.25rem; padding: 0.9rem 1.1rem; border-radius: 10px;
  background: var(--code); font: 0.88rem/1.6 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
}
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.3rem 1.5rem; }
dt { color: var(--muted); }
dd { margin: 0; }
#made p, .reason { max-width: 54rem; color: var(--muted); font-size: 0.93rem; }
#tip {
  position: fixed; z-index: 9; display: grid; grid-template-columns: auto auto;
  gap: 0 0.8rem; max-width: 24rem; padding: 0.45rem 0.7rem; border: 1px solid var(--line);
  border-radius: 8px; background: var(--tip); color: var(--ink); font-size: 0.8rem;
  line-height: 1.5; box-shadow: 0 4px 18px rgb(0 0 0 / 18%); pointer-events: none;
  font-variant-numeric: tabular-nums;
}
#tip span { color: var(--muted); }
#tip b { font-weight: 500; overflow-wrap: anywhere; }
@media (max-width: 56rem) {
  main { padding: 2rem 1rem 4rem; }
  .figures { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 34rem) {
  h1 { font-size: 1.7rem; }
  #answer { font-size: 1.02rem; }
  main { padding: 1.5rem 0.75rem 3rem; }
  figure { padding: 0.75rem 0.6rem; }
  .plot > svg { min-width: 24rem; }
  th, td { padding: 0.42rem 0.6rem; }
  caption { padding: 0.8rem 0.6rem 0.5rem; }
  .filter input { min-width: 0; flex: 1; }
}
@media print {
  :root { color-scheme: light; }
  body { background: #ffffff; font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  h2 { margin-top: 1.6rem; break-after: avoid; }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  figure, tr { break-inside: avoid; }
  .plot.alive > svg { display: block; }
  .live, .controls, .filter, #tip, details { display: none !important; }
  .scroll { overflow: visible; max-height: none; }
  #runs tbody tr[hidden] { display: table-row !important; }
  #runs table { font-size: 6.5pt; }
  #runs th, #runs td { padding: 0.15rem 0.25rem; white-space: normal; }
}
"""


def style_sheet() -> str:
    """The whole style sheet: in the dark, a static figure's colours are their dark twins."""
    rules = "\n".join(
        f'  .plot > svg [{paint}="{light}"] {{ {paint}: {dark}; }}'
        for light, dark in DARK.items()
        for paint in ("fill", "stroke")
    )
    return f"{_CSS}@media screen and (prefers-color-scheme: dark) {{\n{rules}\n}}\n"
