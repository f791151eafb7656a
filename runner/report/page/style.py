"""The style sheet of report.html: `STYLE`, written into the page, which loads nothing."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5b616b; --ground: #ffffff; --card: #f5f6f8;
  --line: #d9dce1; --link: #0b57b0; --mark: #fff3c4; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --soft: #a3aab5; --ground: #15171a; --card: #202329;
  --line: #3a3f48; --link: #83b9ff; --mark: #4a3f14; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .4rem 0 1rem; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 2.6rem 0 .8rem; padding-top: .7rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.08rem; margin: 1.8rem 0 .5rem; }
h1, h2, h3, p, li, figcaption, dd { overflow-wrap: anywhere; }
p, ul { max-width: 48rem; }
ul { padding-left: 1.25rem; }
li { margin: .3rem 0; }
a { color: var(--link); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; max-width: none; }
.lead { font-size: 1.12rem; }
.verdicts { max-width: 48rem; padding: .7rem 1rem .7rem 1.6rem; background: var(--card);
  border-left: 4px solid var(--link); }
.partial { background: var(--mark); padding: .6rem 1rem; max-width: 48rem; }
.box { overflow-x: auto; margin: 1rem 0 1.4rem; border: 1px solid var(--line); border-radius: 6px; }
.box:focus-visible { outline: 2px solid var(--link); }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .55rem .75rem; background: var(--card); }
th, td { padding: .4rem .6rem; text-align: left; vertical-align: top; white-space: nowrap;
  border-top: 1px solid var(--line); }
thead th { vertical-align: bottom; white-space: normal; min-width: 5.5rem; font-weight: 600; }
thead th.wide { min-width: 9rem; }
tbody th { font-weight: 600; }
tr > th:first-child { position: sticky; left: 0; background: var(--ground); max-width: 16rem; }
details { margin: .8rem 0; }
details tr > th:first-child { white-space: nowrap; max-width: none; }
summary { cursor: pointer; font-weight: 600; }
.number { text-align: right; }
.long { white-space: normal; min-width: 15rem; overflow-wrap: anywhere; text-align: left; }
figure { margin: 1.4rem 0 2rem; }
figure a { display: block; background: #ffffff; border: 1px solid var(--line); border-radius: 6px; padding: .6rem; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { margin-top: .45rem; font-size: .9rem; color: var(--soft); }
pre { margin: .6rem 0; padding: .7rem .9rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; }
code, pre { font: .86em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
footer { margin-top: 3rem; font-size: .88rem; color: var(--soft); }
@media (max-width: 40rem) { main { padding: 1rem .85rem 3rem; } h1 { font-size: 1.5rem; }
  h2 { font-size: 1.2rem; } .lead { font-size: 1.03rem; } th, td { padding: .35rem .5rem; }
  tr > th:first-child { min-width: 6.5rem; max-width: 10rem;
  white-space: normal; overflow-wrap: break-word; } .long { min-width: 10.5rem; }
  details .long { min-width: 8rem; }
  figure a { padding: .25rem; } }
@media print { :root { --ink: #000; --soft: #333; --ground: #fff; --card: #f3f3f3; --line: #bbb; --link: #000;
  --mark: #eee; } body { font-size: 10.5pt; } nav { display: none; } main { max-width: none; padding: 0; }
  .box { overflow: visible; } table { font-size: 7.5pt; } th, td { white-space: normal; padding: .2rem .3rem; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  .long, thead th { min-width: 0; } figure, tr, pre { break-inside: avoid; } h2, h3 { break-after: avoid; } }
"""
