"""The page's style sheet: system fonts, two colour schemes, figures on white cards."""

from __future__ import annotations

CSS = """
:root {
  color-scheme: light dark;
  --ground: #f7f8fa; --card: #ffffff; --ink: #1c2430; --muted: #5c6774; --line: #dfe3e8;
  --accent: #31688e; --code: #eef1f4; --stripe: #fafbfc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14181d; --card: #1c2128; --ink: #e6e9ed; --muted: #9aa5b1; --line: #313943;
    --accent: #7fb4d6; --code: #232a32; --stripe: #20262d;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif;
}
main { max-width: 74rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
h1 { margin: 0; font-size: 2.2rem; line-height: 1.15; letter-spacing: -0.015em; }
h1, h2, h3, p, dd { overflow-wrap: anywhere; }
h2 { margin: 3.5rem 0 1rem; font-size: 1.35rem; letter-spacing: -0.005em; }
h3 { margin: 0 0 0.75rem; font-size: 1rem; }
.kind { margin: 0 0 0.3rem; color: var(--muted); font-size: 0.9rem; }
#answer { max-width: 52rem; margin: 1.4rem 0 2.5rem; font-size: 1.1rem; }
#answer p { margin: 0 0 0.7rem; }
.figures {
  display: grid; gap: 1.25rem; grid-template-columns: repeat(2, minmax(0, 1fr));
  align-items: stretch;
}
figure {
  margin: 0; padding: 1.1rem 1.25rem; min-width: 0; border: 1px solid var(--line);
  border-radius: 10px; background: var(--card);
}
.plot { overflow-x: auto; border-radius: 6px; background: #ffffff; }
.plot svg { display: block; width: 100%; height: auto; }
figcaption, .empty { margin: 0.8rem 0 0; color: var(--muted); font-size: 0.9rem; line-height: 1.5; }
.empty { margin: 0; }
.scroll {
  overflow-x: auto; margin: 0 0 1.5rem; border: 1px solid var(--line); border-radius: 10px;
  background: var(--card);
}
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table {
  width: 100%; border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums;
}
caption {
  position: sticky; left: 0; max-width: calc(100vw - 3rem); padding: 0.9rem 1rem 0.5rem;
  text-align: left; font-weight: 600; font-size: 0.95rem;
}
th, td { padding: 0.42rem 1rem; text-align: left; white-space: nowrap; }
thead th { color: var(--muted); font-weight: 500; border-bottom: 1px solid var(--line); }
tbody th { font-weight: 500; }
tbody tr:nth-child(even) { background: var(--stripe); }
#runs table { font-size: 0.82rem; }
#runs th, #runs td { padding: 0.38rem 0.55rem; }
#runs th:first-child { padding-left: 1rem; }
#runs tbody th { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
#runs .scroll + .scroll td:last-child { min-width: 18rem; white-space: normal; }
pre {
  overflow-x: auto; margin: 0 0 1.25rem; padding: 0.9rem 1.1rem; border-radius: 10px;
  background: var(--code); font: 0.88rem/1.6 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
}
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.3rem 1.5rem; }
dt { color: var(--muted); }
dd { margin: 0; }
#made p, .reason { max-width: 52rem; color: var(--muted); font-size: 0.93rem; }
@media (max-width: 56rem) {
  main { padding: 2rem 1rem 4rem; }
  .figures { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 34rem) {
  h1 { font-size: 1.7rem; }
  #answer { font-size: 1.02rem; }
  main { padding: 1.5rem 0.75rem 3rem; }
  figure { padding: 0.75rem 0.6rem; }
  .plot svg { min-width: 19rem; }
  th, td { padding: 0.42rem 0.6rem; }
  caption { padding: 0.8rem 0.6rem 0.5rem; }
}
@media print {
  body { background: #ffffff; }
  figure, .scroll { break-inside: avoid; }
}
"""
