// Where things are. Lanes have an x, times have a y. A lane is a tube with the
// bars of its holds inside; texts stand in the gap to its right, gap i for lane i.

const HEAD = 46, GUTTER = 92, ROW = 15, SLOT = 18, STRIP = 6, TOP = HEAD + 22, CHIP = 17;
const QUIET = 100 * MS, TEAR = 20; // how long nothing must happen for a break, how high that is
const FONT = '12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif', BOLD = '600 ' + FONT;
let L = null; // the layout that is drawn

const measuring = document.createElement('canvas').getContext('2d');
const widths = new Map();
function textWidth(text, font) {
  const key = font + text;
  let w = widths.get(key);
  if (w === undefined) {
    measuring.font = font;
    widths.set(key, w = measuring.measureText(text).width);
  }
  return w;
}

// fit shortens a text to a width, with an ellipsis.
function fit(text, width, font) {
  if (textWidth(text, font) <= width) return text;
  const chars = [...text];
  let lo = 0, hi = chars.length;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (textWidth(chars.slice(0, mid).join('') + '…', font) <= width) lo = mid; else hi = mid - 1;
  }
  return lo < 1 ? '' : chars.slice(0, lo).join('') + '…';
}

function wrap(text, width, most, font) {
  const words = text.split(/[ \t\r\n]+/), lines = [];
  for (let i = 0; i < words.length;) {
    let line = words[i++];
    if (lines.length === most - 1) line = [line].concat(words.slice(i)).join(' '), i = words.length;
    while (i < words.length && textWidth(line + ' ' + words[i], font) <= width) line += ' ' + words[i++];
    lines.push(fit(line, width, font));
  }
  return lines;
}

// Each interval gets the first slot that is free; returns how many there are.
function slots(all) {
  const free = [];
  for (const item of all.sort((a, b) => a.t - b.t || a.id - b.id)) {
    let i = free.findIndex(until => until <= item.t);
    if (i < 0) i = free.length;
    free[i] = item.t1;
    item.slot = i;
  }
  return free.length;
}

const fillsLane = span => ['crashed', 'paused', 'absent'].includes(span.data.kind);

function layLanes(width) {
  const lanes = [], at = new Map(), slot = ui.nodes.filter(on => on).length > 6 ? 14 : SLOT;
  LANES.forEach((lane, i) => {
    if (!ui.nodes[i]) return;
    const n = slots(holds.filter(h => h.lane === i && shown(h)));
    const strips = Math.min(4, slots(spans.filter(s => s.lane === i && !fillsLane(s) && shown(s))));
    const slotWidth = n ? Math.max(4, Math.min(slot, 64 / n)) : 0;
    at.set(i, lanes.length);
    lanes.push({i, lane, strips, slotWidth, tube: Math.max(16, n * slotWidth + 4)});
  });
  const fixed = lanes.reduce((sum, l) => sum + l.tube + l.strips * STRIP, GUTTER + 10);
  const gap = lanes.length ? Math.min(460, Math.max(88, (width - fixed - 4) / lanes.length)) : 0;
  let x = GUTTER + 10;
  for (const l of lanes) {
    l.left = x;
    l.x0 = x + l.strips * STRIP;
    l.x1 = l.x0 + l.tube;
    x = l.x1 + gap;
  }
  return {lanes, at, gap, width: Math.max(width, Math.ceil(x))};
}

// Labels of one moment: of arrivals at the message's head, of everything else
// beside the lane; above the moment's line unless a message comes in there.
function collect(lay) {
  const moments = new Map();
  const moment = t => {
    let m = moments.get(t);
    if (!m) moments.set(t, m = {t, arrivals: [], beside: [], world: [], fromRight: new Set()});
    return m;
  };
  const half = lay.gap >= 250;
  const leftWidth = (half ? lay.gap * 0.62 : lay.gap) - 10, rightWidth = (half ? lay.gap * 0.38 : lay.gap) - 10;
  const beside = (t, item, text, style) => {
    const lane = lay.at.get(item.lane), font = style.bold ? BOLD : FONT;
    const indent = style.glyph ? 14 : 0;
    moment(t).beside.push(Object.assign({item, gap: lane, half: 0, lines: wrap(text, leftWidth - indent, 2, font), font, indent}, style));
  };
  const world = (t, item, text, style) => moment(t).world.push(Object.assign({item, lines: wrap(text, lay.width - GUTTER - 70, 3, BOLD), font: BOLD}, style));
  const all = items.filter(shown);
  for (const item of all) {
    const d = item.data;
    if (item.type === 'message') {
      const from = lay.at.get(item.lane), to = lay.at.get(item.to), left = to > from;
      moment(item.t);
      const m = moment(item.t1);
      if (item.underway && stubs) continue;
      if (!left) m.fromRight.add(to);
      const why = d.lost ? ' (' + (d.why || 'lost') + ')' : '', width = rightWidth - (d.lost ? 14 : 0);
      const text = [d.kind + (d.key ? ' ' + d.key : '') + why, d.kind + why].find(s => textWidth(s, FONT) <= width) || d.kind;
      m.arrivals.push({item, gap: left ? to - 1 : to, half: left && half ? 1 : 0, right: left, inset: d.lost ? 14 : 0, font: FONT, color: item.family,
        lines: [fit(text, width, FONT)]});
    } else if (item.type === 'hold') {
      beside(item.t, item, withToken(d), {bold: true, color: item.bad ? 'bad' : 'holdline', glyph: 'hold'});
      if (d.end && d.end !== 'unlock') beside(item.t1, item, (ENDS[d.end] || d.end) + ': ' + d.key, {color: item.bad ? 'bad' : 'fault', glyph: 'end'});
      else moment(item.t1);
    } else if (item.type === 'overlap') {
      beside(item.t, item, name(item), {bold: true, color: 'bad', glyph: 'alarm'});
      moment(item.t1);
    } else if (item.type === 'span') {
      const absent = d.kind === 'absent';
      const text = spanName(item) + ' ' + (item.t1 >= END ? 'to the end' : duration(item.t1 - item.t));
      if (item.lane < 0) world(item.t, item, text + (d.text ? ': ' + d.text : ''), {color: 'fault'});
      else if (!absent) beside(item.t, item, text, {color: 'fault', glyph: d.kind === 'crashed' ? 'crash' : d.kind === 'paused' ? 'pause' : 'strip'});
      if (item.t1 >= END) moment(item.t1);
      else if (item.lane >= 0) beside(item.t1, item, SPAN_ENDS[d.kind] || d.kind + ' ends', {color: absent ? 'fg' : 'dim', glyph: 'go'});
    } else if (d.kind === 'failure') {
      world(item.t, item, 'FAILURE  ' + name(item), {color: 'bad', failure: true});
    } else if (item.lane < 0) {
      world(item.t, item, d.text, {color: d.kind === 'view' ? 'views' : d.kind === 'fault' ? 'fault' : 'dim', rule: d.kind});
    } else {
      beside(item.t, item, d.text, {color: d.kind === 'view' ? 'views' : d.kind === 'fault' ? 'fault' : 'fg', bold: d.kind === 'fault', glyph: d.kind});
    }
  }
  return {all, moments: [...moments.values()].sort((a, b) => a.t - b.t)};
}

// layout places everything that is shown, in a window of this size.
function layout(width, height) {
  const lay = layLanes(width);
  const {all, moments} = collect(lay);
  const events = ui.mode === 'events', z = ui.spacing, row = ROW * (events ? Math.min(1, Math.max(z, 0.3)) : 1);
  Object.assign(lay, {all, T: [], Y: [], labels: [], chips: [], breaks: [], ticks: [], events});
  const bottom = new Array(lay.lanes.length * 2).fill(TOP - 6);
  if (moments.length === 0 || moments[0].t > 0) moments.unshift({t: 0, arrivals: [], beside: [], world: [], fromRight: new Set()});
  const waits = moments.slice(1).map((m, i) => m.t - moments[i].t).sort((a, b) => a - b);
  const quiet = Math.max(QUIET, 4 * (waits[waits.length >> 1] || 0)); // a slow network is not quiet
  let last = null, anchor = null, tickY = -100;
  for (const m of moments) {
    const heights = new Map(); // column → [above, below]
    const column = l => {
      const c = l.gap * 2 + l.half;
      if (!heights.has(c)) heights.set(c, [0, 0]);
      return heights.get(c);
    };
    const worldHeight = m.world.reduce((sum, l) => sum + l.lines.length * CHIP + 7, 0);
    for (const l of m.arrivals) { const h = column(l); l.dy = worldHeight + 1 + h[1]; h[1] += row; }
    for (const l of m.beside) {
      if (!m.fromRight.has(l.gap)) continue;
      const h = column(l);
      l.dy = worldHeight + 1 + h[1];
      h[1] += row * l.lines.length;
    }
    for (const l of m.beside.slice().reverse()) { // what is above is stacked from below, and read from above
      if (!m.fromRight.has(l.gap)) l.up = column(l)[0] += row * l.lines.length;
    }
    const chipUp = worldHeight ? CHIP / 2 + 4 : 0;
    let y = TOP + m.t * ui.scale;
    if (events) {
      y = TOP;
      if (last) {
        const dt = m.t - last.t;
        y = last.y + z * (4 + 3 * Math.log10(1 + dt / 1e3));
        for (const l of m.arrivals) y = Math.max(y, lay.y(l.item.t) + (l.item.t < m.t ? 13 * z : 0));
        if (dt >= quiet) {
          const from = Math.max(last.y + 6, ...bottom);
          const above = Math.max(chipUp, ...[...heights.values()].map(h => h[0]));
          y = Math.max(y, from + TEAR + 4 + Math.max(9, above));
          lay.breaks.push({y0: from + 3, y1: from + 3 + TEAR, dt});
          anchor = null;
        }
      }
      for (const [c, h] of heights) y = Math.max(y, bottom[c] + h[0] + 1 + (worldHeight ? chipUp : 0));
      if (worldHeight) y = Math.max(y, Math.max(...bottom) + chipUp);
    }
    for (const l of m.beside) if (l.up) l.dy = -l.up - (worldHeight ? chipUp : 0);
    for (const l of m.arrivals.concat(m.beside)) { l.y = y + l.dy; lay.labels.push(l); }
    let chipY = y - chipUp;
    for (const l of m.world) { l.at = y; l.y = chipY; chipY += l.lines.length * CHIP + 7; lay.chips.push(l); }
    for (const [c, h] of heights) bottom[c] = Math.max(bottom[c], y + worldHeight + h[1] + 1);
    if (worldHeight) for (let c = 0; c < bottom.length; c++) bottom[c] = Math.max(bottom[c], chipY);
    lay.T.push(m.t);
    lay.Y.push(y);
    lay.y = timeToY(lay);
    last = {t: m.t, y};
    if (events && y - tickY >= ROW) { // absolute now and then, and how much later in between
      if (!anchor || y - anchor.y > 300) { anchor = {t: m.t, y}; lay.ticks.push({y, text: seconds(m.t), bold: true}); }
      else lay.ticks.push({y, text: '+' + duration(m.t - anchor.t)});
      tickY = y;
    }
  }
  lay.t = yToTime(lay);
  if (!events && END > last.t) { lay.T.push(END); lay.Y.push(TOP + END * ui.scale); }
  lay.labels.sort((a, b) => a.y - b.y);
  lay.height = Math.max(height, Math.max(lay.Y[lay.Y.length - 1], ...bottom) + 60);
  for (const item of all) { item.y0 = lay.y(item.t); item.y1 = lay.y(item.t1); }
  return lay;
}

function below(sorted, x) { // index of the last element ≤ x
  let lo = 0, hi = sorted.length - 1;
  while (lo < hi) {
    const mid = (lo + hi + 1) >> 1;
    if (sorted[mid] <= x) lo = mid; else hi = mid - 1;
  }
  return lo;
}

function between(from, to, x) {
  const i = below(from, x);
  if (i >= from.length - 1 || x <= from[i]) return to[i];
  return to[i] + (to[i + 1] - to[i]) * (x - from[i]) / (from[i + 1] - from[i]);
}

const timeToY = lay => t => between(lay.T, lay.Y, t);
const yToTime = lay => y => Math.round(between(lay.Y, lay.T, y));
