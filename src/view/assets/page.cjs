// Draws the report's charts with uPlot from the JSON in #data. Everything it shows is also in the page's tables.
(() => {
  const { runs } = JSON.parse(document.getElementById('data').textContent);
  const RUN_COLORS = 6;
  const HEIGHT = 230;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = matchMedia('(prefers-color-scheme: dark)');

  /** Lines [[x, y], …] as uPlot's aligned columns; of several points at one x the last stays, gaps (null) are kept. */
  const aligned = (lines) =>
    uPlot.join(
      lines.map((line) => {
        const byX = new Map();
        for (const [x, y] of line) byX.set(x, y);
        const sorted = [...byX].sort((a, b) => a[0] - b[0]);
        return [sorted.map((p) => p[0]), sorted.map((p) => p[1])];
      }),
      lines.map(() => [1, 2]),
    );

  const unit = (value, digits) =>
    value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(Math.min(1, digits)) : value.toPrecision(2);
  const showMib = (v) => (v >= 1024 ? `${unit(v / 1024, 1)} GiB` : v >= 1 ? `${unit(v, 1)} MiB` : `${unit(v * 1024, 1)} KiB`);
  const showMs = (v) => (v >= 1000 ? `${unit(v / 1000, 1)} s` : `${unit(v, 1)} ms`);
  const showRate = (v) => `${showMib(v)}/s`;
  const showPercent = (v) => `${v.toFixed(0)} %`;
  const showTime = (v) => (v >= 120 ? `${Math.floor(v / 60)} min ${Math.round(v % 60)} s` : `${unit(v, 2)} s`);

  const FONT = '12px system-ui, sans-serif';
  const axis = (more) => ({
    stroke: css('--faint'),
    font: FONT,
    grid: { stroke: css('--grid'), width: 1 },
    ticks: { stroke: css('--grid'), width: 1 },
    ...more,
  });
  const line = (color, more) => ({ stroke: css(color), width: 2, points: { show: false }, ...more });
  const stepped = uPlot.paths.stepped({ align: 1 });
  /** Places of a log axis: powers of `base`, thinned or filled (1, 2, 5) so that a handful of them is in sight. */
  const logSplits = (base) => (_u, _axis, min, max) => {
    const [from, to] = [Math.ceil(Math.log(min) / Math.log(base) - 1e-9), Math.floor(Math.log(max) / Math.log(base) + 1e-9)];
    const step = Math.max(1, Math.ceil((to - from + 1) / 7));
    const splits = [];
    const fill = base === 10 && to - from < 3 ? [1, 2, 5] : [1];
    for (let e = from - 1; e <= to; e += step) for (const f of fill) splits.push(f * base ** e);
    return splits.filter((v) => v >= min && v <= max);
  };
  const logAxis = (base, show) =>
    axis({ scale: 'y', size: 72, splits: logSplits(base), values: (_u, splits) => splits.map(show), filter: (_u, splits) => splits });
  /** The scale spans the lines that matter; others may leave it at the foot. */
  const logScale = (lines) => {
    const values = lines.flat().flatMap(([, y]) => (y > 0 ? [y] : []));
    const low = values.length === 0 ? 1 : Math.min(...values) / 1.8;
    const high = values.length === 0 ? 10 : Math.max(...values) * 1.4;
    return { distr: 3, range: [low, Math.max(high, low * 4)] };
  };

  /** Behind the lines: the switch-over shaded, rounds as hairlines; changes of the cap as ticks at the foot. */
  const background = (run) => ({
    hooks: {
      drawClear: (u) => {
        const { ctx } = u;
        const { left, top, width, height } = u.bbox;
        const at = (x) => Math.round(u.valToPos(x, 'x', true));
        ctx.save();
        ctx.beginPath();
        ctx.rect(left, top, width, height);
        ctx.clip();
        if (run.switchOver !== null) {
          ctx.fillStyle = css('--shade');
          const from = at(run.switchOver[0]);
          ctx.fillRect(from, top, Math.max(2, at(run.switchOver[1]) - from), height);
        }
        ctx.fillStyle = css('--round');
        for (const x of run.rounds.slice(1, 200)) ctx.fillRect(at(x), top, 1, height);
        ctx.fillStyle = css('--c-cap');
        for (const x of run.changes.slice(0, 500))
          ctx.fillRect(at(x) - 1, top + height - 7 * devicePixelRatio, 2 * devicePixelRatio, 7 * devicePixelRatio);
        ctx.restore();
      },
    },
  });

  const KINDS = {
    dirty: (run) => ({
      lines: [run.dirty, run.dirtyAtEnd, run.fits],
      names: ['dirty set', 'round', 'fits'],
      show: [showMib, showMib, showMib],
      series: [
        line('--c-dirty', { spanGaps: false }),
        line('--c-dirty', {
          width: run.dirty.length > run.rounds.length * 2 ? 0 : 1,
          dash: [4, 4],
          spanGaps: true,
          points: { show: true, size: 8, width: 2, fill: css('--card') },
        }),
        line('--c-target', { dash: [8, 5], paths: stepped, spanGaps: true }),
      ],
      scales: { y: logScale([run.dirtyAtEnd, run.fits, run.dirty.filter(([, y]) => y !== null).slice(-1)]) },
      axes: [logAxis(2, showMib)],
    }),
    downtime: (run) => {
      const [x0] = [run.predicted[0]?.[0] ?? 0];
      return {
        lines: [
          run.predictedHigh,
          run.predictedLow,
          run.predicted,
          [
            [x0, run.target],
            [run.endSeconds, run.target],
          ],
          run.observed,
        ],
        names: ['at most', 'at least', 'predicted', 'target', 'observed'],
        show: [showMs, showMs, showMs, showMs, showMs],
        series: [
          line('--c-predicted', { width: 0.6, spanGaps: true }),
          line('--c-predicted', { width: 0.6, spanGaps: true }),
          line('--c-predicted', { spanGaps: true }),
          line('--c-target', { dash: [8, 5], spanGaps: true }),
          line('--c-observed', { width: 0, points: { show: true, size: 11, width: 2, fill: css('--c-observed') } }),
        ],
        bands: [{ series: [1, 2], fill: css('--band') }],
        scales: { y: logScale([run.predicted, run.observed, [[0, run.target]]]) },
        axes: [logAxis(10, showMs)],
      };
    },
    cap: (run) => ({
      lines: [
        run.cap,
        [
          [0, run.floor],
          [run.endSeconds, run.floor],
        ],
        run.stall,
      ],
      names: ['cap', 'floor', 'stall'],
      show: [showPercent, showPercent, showMs],
      series: [
        line('--c-cap', { paths: stepped, spanGaps: true, fill: css('--cap-fill') }),
        line('--c-bad', { dash: [3, 4], width: 1.5, spanGaps: true }),
        line('--c-stall', { scale: 'ms', paths: stepped, spanGaps: true }),
      ],
      scales: { y: { range: [0, run.ceiling * 1.05] }, ms: { range: (_, __, max) => [0, Math.max(10, (max ?? 0) * 1.15)] } },
      axes: [
        axis({ scale: 'y', size: 72, values: (_, v) => v.map(showPercent) }),
        axis({ scale: 'ms', side: 1, size: 70, grid: { show: false }, values: (_, v) => v.map(showMs) }),
      ],
    }),
    rates: (run) => ({
      lines: [run.dirtyRate, run.transferRate],
      names: ['dirtied', 'sent'],
      show: [showRate, showRate],
      series: [line('--c-dirty', { paths: stepped, spanGaps: true }), line('--c-rate', { spanGaps: true })],
      scales: { y: { range: (_, __, max) => [0, (max ?? 1) * 1.1] } },
      axes: [axis({ scale: 'y', size: 80, values: (_, v) => v.map(showRate) })],
    }),
  };

  const compareSpec = () => ({
    lines: runs.map((run) => run.dirtyAtEnd),
    names: runs.map((_, i) => `${i + 1}`),
    show: runs.map(() => showMib),
    series: runs.map((_, i) => line(`--r${i % RUN_COLORS}`, { spanGaps: true, points: { show: true, size: 7 } })),
    scales: { y: logScale(runs.map((run) => run.dirtyAtEnd)) },
    axes: [logAxis(2, showMib)],
  });

  /** All of the run unless somebody zoomed in, so that the charts of a run stand under each other. */
  const xRange = (u, min, max, end) => {
    const xs = u.data[0];
    return min === null || (min <= xs[0] && max >= xs[xs.length - 1]) ? [0, end] : [Math.max(0, min), Math.max(max, min + 0.001)];
  };

  const drawn = new Map();
  const widthOf = (plot) => Math.max(200, Math.floor(plot.getBoundingClientRect().width));

  const draw = (figure) => {
    const { chart, run: index } = figure.dataset;
    const run = index === undefined ? undefined : runs[Number(index)];
    const spec = run === undefined ? compareSpec() : KINDS[chart](run);
    const plot = figure.querySelector('.plot');
    const readout = figure.querySelector('.readout');
    drawn.get(figure)?.destroy();
    plot.textContent = '';
    if (spec.lines.every((points) => points.length === 0)) {
      plot.textContent = 'Nothing was recorded for this chart.';
      plot.classList.add('empty');
      return;
    }
    const end = run === undefined ? Math.max(...runs.map((r) => r.endSeconds)) : run.endSeconds;
    const setCursor = (u) => {
      if (readout === null) return;
      const { idx } = u.cursor;
      const x = idx === null || idx === undefined ? undefined : u.data[0][idx];
      readout.textContent =
        x === undefined
          ? ''
          : `${showTime(x)}: ${spec.names.flatMap((name, i) => (u.data[i + 1][idx] == null ? [] : [`${name} ${spec.show[i](u.data[i + 1][idx])}`])).join(', ')}`;
    };
    drawn.set(
      figure,
      new uPlot(
        {
          width: widthOf(plot),
          height: HEIGHT,
          legend: { show: false },
          cursor: { sync: { key: `run-${index ?? 'all'}` }, points: { size: 7 }, drag: { x: true, y: false } },
          scales: {
            x: { time: false, range: (u, min, max) => xRange(u, min, max, end) },
            ...spec.scales,
          },
          series: [{}, ...spec.series],
          ...(spec.bands === undefined ? {} : { bands: spec.bands }),
          axes: [axis({ values: (_, v) => v.map((x) => `${+x.toFixed(3)} s`), space: 70, size: 36 }), ...spec.axes],
          hooks: { setCursor: [setCursor] },
          plugins: run === undefined ? [] : [background(run)],
        },
        aligned(spec.lines),
        plot,
      ),
    );
  };

  const figures = [...document.querySelectorAll('figure.chart')];
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting || drawn.has(target)) continue;
        seen.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: '600px' },
  );
  for (const figure of figures) seen.observe(figure);
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) drawn.get(target)?.setSize({ width: widthOf(target.querySelector('.plot')), height: HEIGHT });
  });
  for (const figure of figures) resized.observe(figure);
  dark.addEventListener('change', () => [...drawn.keys()].forEach(draw));
  addEventListener('beforeprint', () => figures.filter((figure) => !drawn.has(figure)).forEach(draw));
})();
