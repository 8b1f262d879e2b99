# SPDX-License-Identifier: GPL-2.0-only
"""The figures of tools/bench/run as a table and as a page."""
import html

NO_EXIT = 50            # instructions: less than any exit takes


def figure(results, host, modules, name):
    got = results[host].get(modules, {}).get(name)
    return got[0] if got else None


def ratio(results, host, name):
    """Ours by theirs; None where one is missing or the instruction does not leave the guest."""
    ours, distro = (figure(results, host, m, name) for m in ('ours', 'distro'))
    if ours is None or distro is None or max(ours, distro) < NO_EXIT:
        return None
    return ours / max(distro, 1)


def dearer(results):
    """What costs more than on the distribution's modules, a percent's difference aside."""
    names = {n for host in results.values() for m in host.values() for n in m}
    return sorted((h, n) for h in results for n in names if (ratio(results, h, n) or 0) > 1.01)


def linear(results, host, name):
    """False: the second difference is more than half a percent, an average of unequal rounds."""
    return all(m[name][1] <= 0.005 * max(m[name][0], 1) for m in results[host].values() if name in m)


def number(value):
    if value is None:
        return '-'
    return f'{value / 1e6:,.1f} M' if value >= 1e7 else f'{value:,.0f}'


def cells(results, host, name):
    ours, distro = (figure(results, host, m, name) for m in ('ours', 'distro'))
    if ours is not None and distro is not None and max(ours, distro) < NO_EXIT:
        return 'no exit', 'no exit', ''
    r = ratio(results, host, name)
    return number(distro), number(ours), '' if r is None else f'{r:.2f}' + ('' if linear(results, host, name) else '~')


def table(titles, texts, results, problems, about):
    width = max(len(n) for n in texts)
    lines = [f'Host instructions per round trip ({about})', '',
             ' ' * width + ''.join(f'  {t:^31}' for t in titles.values()),
             ' ' * width + f'  {"distro":>12} {"ours":>11} {"ratio":>6}' * len(titles)]
    for name in texts:
        row = [cells(results, h, name) for h in titles]
        if all(c[:2] == ('-', '-') for c in row):
            continue
        lines.append(f'{name:{width}}' + ''.join(f'  {d:>12} {o:>11} {r:>6}' for d, o, r in row))
    lines += ['', 'The instructions of the guest (2 to 6 a round) are included. ~: rounds differ, the figure is an average.']
    lines += [f'{n:{width}}  {t}' for n, t in texts.items()]
    lines += [''] + ['problem: ' + p for p in problems] if problems else []
    return '\n'.join(line.rstrip() for line in lines) + '\n'


STYLE = '''
:root { --distro: #b4b4ac; --ours: #1f6f8b; --line: #d8d8d0; --text: #1c1c1a; --soft: #66665f; --back: #fdfdfb; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --distro: #6d6d66; --ours: #5fb3cf; --line: #3a3a36; --text: #ecece6;
 --soft: #a3a39b; --back: #1a1a18; --bad: #ff8a80; } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 68rem; margin: 2rem auto;
 padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
p, .key { color: var(--soft); }
table { border-collapse: collapse; width: 100%; } td { padding: 3px 8px; border-bottom: 1px solid var(--line); vertical-align: middle; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } td.name { white-space: nowrap; }
td.bad { color: var(--bad); font-weight: 600; } td.bars { width: 45%; } svg { display: block; width: 100%; height: 20px; }
.distro { fill: var(--distro); } .ours { fill: var(--ours); } .half { stroke: var(--text); stroke-dasharray: 2 2; opacity: .6; }
.key i { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; } .what { color: var(--soft); font-size: .85em; }
'''


def bars(distro, ours, longest):
    """Two bars, each with a mark at half of the distribution's."""
    scale = 100 / longest
    return ('<svg viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label="%s and %s">'
            '<rect class="distro" x="0" y="1" width="%.3f" height="8"/><rect class="ours" x="0" y="11" width="%.3f" height="8"/>'
            '<line class="half" x1="%.3f" x2="%.3f" y1="0" y2="20" vector-effect="non-scaling-stroke"/></svg>'
            % (number(distro), number(ours), distro * scale, ours * scale, distro * scale / 2, distro * scale / 2))


def section(title, host, texts, results):
    rows = []
    values = [(n, figure(results, host, 'distro', n), figure(results, host, 'ours', n)) for n in texts]
    known = [max(d, o) for _, d, o in values if d is not None and o is not None and max(d, o) < 1e6]
    for name, d, o in values:
        if d is None and o is None:
            continue
        a, b, r = cells(results, host, name)
        plot = bars(d, o, max(d, o) if max(d, o) >= 1e6 else max(known)) if d is not None and o is not None else ''
        bad = ' bad' if (ratio(results, host, name) or 0) > 1.01 else ''
        rows.append(f'<tr><td class="name">{html.escape(name)}<div class="what">{html.escape(texts[name])}</div></td>'
                    f'<td class="n">{a}</td><td class="n">{b}</td><td class="n{bad}">{r}</td><td class="bars">{plot}</td></tr>')
    return (f'<h2>{html.escape(title)}</h2><table><tr><td></td><td class="n">distribution</td><td class="n">ours</td>'
            f'<td class="n">ratio</td><td></td></tr>{"".join(rows)}</table>')


def page(titles, texts, results, problems, about):
    body = ''.join(section(titles[h], h, texts, results) for h in titles)
    notes = ''.join(f'<p class="bad">{html.escape(p)}</p>' for p in problems)
    return ('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f'<title>Host instructions per exit</title><style>{STYLE}</style><h1>Host instructions per exit</h1>'
            f'<p>{html.escape(about)}. Counted by the emulators, so exact. The instructions of the guest (2 to 6 a round) are '
            'included; ~ marks an average of unequal rounds.</p><p class="key"><i style="background:var(--distro)"></i>'
            'distribution\'s modules <i style="background:var(--ours)"></i>ours; the dashed line is half of the distribution\'s.</p>'
            f'{notes}{body}</html>\n')
