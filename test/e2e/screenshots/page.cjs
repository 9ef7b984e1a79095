// Draws the panels of a dashboard from what Prometheus answered: Grafana's layout and units, uPlot's drawing.
(() => {
  const { title, panels } = JSON.parse(document.getElementById('data').textContent);
  const COLORS = ['#73bf69', '#f2cc0c', '#5794f2', '#ff9830', '#b877d9', '#8ab8ff', '#ff7383', '#96d98d'];
  const NAMED = { green: '#73bf69', yellow: '#f2cc0c', orange: '#ff9830', red: '#f2495c', blue: '#5794f2', text: '#d8d9da' };
  const ROW = 32;
  const main = document.querySelector('main');
  const column = (main.clientWidth - 28) / 24;
  const el = (name, parent, more = {}) => parent.appendChild(Object.assign(document.createElement(name), more));

  const digits = (v, d) => (d === undefined ? Number(v.toPrecision(3)).toString() : v.toFixed(d));
  const scaled = (v, units, base, d) => {
    let i = 0;
    let value = v;
    while (Math.abs(value) >= base && i < units.length - 1) {
      value /= base;
      i += 1;
    }
    return `${digits(value, d)} ${units[i]}`;
  };
  const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const shown = {
    bytes: (v, d) => scaled(v, BYTES, 1024, d),
    Bps: (v, d) => `${scaled(v, BYTES, 1024, d)}/s`,
    binBps: (v, d) => `${scaled(v, BYTES, 1024, d)}/s`,
    s: (v, d) =>
      v === 0 ? '0 s' : v < 1 ? `${digits(v * 1000, v < 0.1 ? 1 : 0)} ms` : v < 120 ? `${digits(v, d)} s` : `${digits(v / 60, d)} min`,
    percentunit: (v, d) => `${digits(v * 100, d ?? 0)}%`,
    ops: (v, d) => `${digits(v, d)} /s`,
    none: (v, d) => digits(v, d),
  };
  const show = (unit, value, d) =>
    unit?.startsWith('dateTime') ? new Date(value).toISOString().slice(11, 19) : (shown[unit] ?? shown.none)(value, d);

  const colorOf = (steps, value) => {
    let color = 'text';
    for (const step of steps) if (step.value === null || value >= step.value) color = step.color;
    return NAMED[color] ?? color;
  };

  function stat(box, { panel, series }) {
    const { unit, decimals, thresholds } = panel.fieldConfig.defaults;
    const value = series[0]?.points.at(-1)?.[1];
    const text = el('div', box, { className: 'stat', textContent: value === undefined ? '–' : show(unit, value, decimals) });
    if (value !== undefined && panel.options?.colorMode === 'value') text.style.color = colorOf(thresholds?.steps ?? [], value);
  }

  function table(box, { table: { columns, units, rows } }) {
    const target = el('table', box);
    const head = el('tr', target);
    for (const name of columns) el('th', head, { textContent: name });
    for (const row of rows) {
      const line = el('tr', target);
      row.forEach((cell, i) => {
        el('td', line, { textContent: cell === null ? '–' : typeof cell === 'number' ? show(units[i], cell) : cell });
      });
    }
  }

  const axes = (unit) => [
    {
      stroke: '#9fa7b3',
      font: '11px system-ui',
      grid: { stroke: '#24272c' },
      ticks: { show: false },
      size: 24,
      values: (_, s) => s.map((v) => `${v} s`),
    },
    {
      stroke: '#9fa7b3',
      font: '11px system-ui',
      size: 66,
      ...(/^(bytes|.*Bps)$/.test(unit) ? { incrs: Array.from({ length: 50 }, (_, i) => 2 ** i) } : {}),
      grid: { stroke: '#24272c' },
      ticks: { show: false },
      values: (_, s) => s.map((v) => show(unit, v)),
    },
  ];

  function timeseries(box, { panel, series, start, end }) {
    const { unit, custom = {} } = panel.fieldConfig.defaults;
    const bars = custom.drawStyle === 'bars';
    const stepped = custom.lineInterpolation === 'stepAfter';
    const seen = series.filter(({ points }) => points.length > 0 && (series.length <= 4 || points.some(([, v]) => v !== 0)));
    const colors = seen.map(({ bound, legend }, i) =>
      bound && /target|floor|allowed/.test(legend) ? '#f2495c' : COLORS[i % COLORS.length],
    );
    const lines = seen.map(({ points }) => [points.map((p) => p[0] - start), points.map((p) => p[1])]);
    // A sample that is missing is a gap.
    const data = uPlot.join(lines.map(([x, y]) => [x, y]));
    const paths = stepped ? { paths: uPlot.paths.stepped({ align: 1 }) } : {};
    const top = Math.max(...lines.flatMap(([, y]) => y)) || 1;
    new uPlot(
      {
        width: box.clientWidth - 16,
        height: box.clientHeight - 48,
        cursor: { show: false },
        scales: { x: { time: false, range: () => [0, end - start] }, y: { range: () => [0, top * 1.08] } },
        axes: axes(unit),
        series: [
          {},
          ...seen.map(({ bound }, i) => ({
            stroke: colors[i],
            width: bars ? 1 : 1.6,
            dash: bound ? [8, 6] : undefined,
            fill: bars ? `${colors[i]}aa` : bound ? undefined : `${colors[i]}18`,
            points: { show: lines[i][0].length < 3 },
            ...paths,
          })),
        ],
      },
      data,
      box,
    );
    const legend = el('p', box, { className: 'legend' });
    seen.forEach(({ legend: text }, i) => {
      const item = el('span', legend);
      el('b', item).style.background = colors[i];
      item.append(text);
    });
  }

  /** Buckets over time; each bucket without those below it. */
  function heatmap(box, { panel, series, start, end }) {
    const { unit } = panel.fieldConfig.defaults;
    const buckets = series
      .map(({ labels, points }) => ({ le: labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le), points }))
      .sort((a, b) => a.le - b.le);
    const canvas = el('canvas', box, { width: box.clientWidth - 16, height: box.clientHeight - 30 });
    const g = canvas.getContext('2d');
    const [left, bottom] = [60, canvas.height - 18];
    const high = bottom / buckets.length;
    g.font = '11px system-ui';
    buckets.forEach(({ le, points }, i) => {
      const y = bottom - (i + 1) * high;
      const below = new Map(buckets[i - 1]?.points ?? []);
      g.fillStyle = '#9fa7b3';
      if (i % 3 === 0) g.fillText(Number.isFinite(le) ? `≤ ${show(unit, le)}` : 'more', 4, y + high);
      for (const [at, count] of points) {
        const own = count - (below.get(at) ?? 0);
        if (own < 0.01) continue;
        g.fillStyle = `rgb(255 152 48 / ${Math.min(1, 0.35 + own / 2)})`;
        g.fillRect(left + ((at - start) / (end - start)) * (canvas.width - left), y, 3, high - 1);
      }
    });
    g.strokeStyle = '#2c3235';
    g.strokeRect(left, 0, canvas.width - left, bottom);
  }

  const kinds = { stat, table, timeseries, heatmap };
  el('h1', main, { textContent: title });
  const grid = el('div', main, { className: 'grid' });
  for (const item of panels) {
    const { type, title: name, gridPos } = item.panel;
    const box = el('section', grid, { className: type });
    const gap = 6;
    Object.assign(box.style, {
      left: `${gridPos.x * column}px`,
      top: `${gridPos.y * ROW}px`,
      width: `${gridPos.w * column - gap}px`,
      height: `${gridPos.h * ROW - gap}px`,
    });
    if (type === 'row') {
      box.textContent = name;
      continue;
    }
    el('h2', box, { textContent: name });
    const empty = type === 'table' ? item.table.rows.length === 0 : item.series.every(({ points }) => points.length === 0);
    if (empty && type !== 'stat') el('p', box, { className: 'none', textContent: 'no data' });
    else kinds[type](box, item);
  }
  grid.style.height = `${Math.max(...panels.map(({ panel: { gridPos } }) => gridPos.y + gridPos.h)) * ROW}px`;
  main.dataset.drawn = 'yes';
})();
