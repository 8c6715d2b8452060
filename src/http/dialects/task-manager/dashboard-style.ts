import { createHash } from 'node:crypto';

export const dashboardStyle = `
:root {
  color-scheme: light dark;
  --ground: #f4f5f8; --card: #fff; --line: #e2e5eb; --text: #1b1f27; --faint: #667085;
  --good: #16794a; --busy: #1d5fd1; --warn: #a15c07; --bad: #b42318;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #11141a; --card: #1a1e26; --line: #2b303b; --text: #e7e9ee; --faint: #98a1b2;
    --good: #4ccb8e; --busy: #7aa7ff; --warn: #f0a94a; --bad: #ff8378;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 76rem; padding: 1.5rem 1.25rem 3rem;
  background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; }
header p { margin: 0; color: var(--faint); }
h1 { margin: 0; font-size: 1.5rem; }
h2 { margin: 2rem 0 .6rem; font-size: 1.05rem; }
a { color: var(--busy); }
code, .path { font: .86em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin-top: 1.25rem; }
.card, .sheet { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.card { padding: .7rem 1rem; }
.card b { display: block; font-size: 1.7rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.card span { color: var(--faint); }
.sheet { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .5rem 1rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--faint); font-size: .82rem; font-weight: 600; white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.share { white-space: nowrap; }
.faint { color: var(--faint); }
td.none { color: var(--faint); text-align: center; padding: 1.1rem; }
.badge { font-weight: 600; white-space: nowrap; }
.badge::before { content: "\\25CF\\00A0"; }
.good { color: var(--good); } .busy { color: var(--busy); } .warn { color: var(--warn); } .bad { color: var(--bad); }
meter { width: 6rem; height: .8rem; margin-right: .5rem; vertical-align: middle; }
`;

/** A style that a policy names by its digest may stand in the page; nothing else in it is let through. */
export const styleDigest = `sha256-${createHash('sha256').update(dashboardStyle).digest('base64')}`;
