// The rest of the drawing: texts, the time's gutter, lane names, the map of the
// whole run, and the panel's words.

function taken(x0, y0, x1, y1) {
  for (const p of placed) if (x0 < p[2] && x1 > p[0] && y0 < p[3] && y1 > p[1]) return true;
  placed.push([x0, y0, x1, y1]);
  return false;
}

const RANK = {overlap: 0, hold: 1, span: 2, mark: 2, message: 3};

function drawLabels(top, crowded) {
  const from = lowest(L.labels, top - 40), seen = [];
  for (let i = from; i < L.labels.length && L.labels[i].y < top + H; i++) seen.push(L.labels[i]);
  seen.sort((a, b) => RANK[a.item.type] - RANK[b.item.type]);
  ctx.textBaseline = 'middle';
  ctx.lineJoin = 'round';
  for (const l of seen) {
    if (crowded && !lit(l.item) && l.item.type !== 'overlap' && !(l.color === 'fault' && RANK[l.item.type] === 2)) continue;
    const lane = L.lanes[l.gap], next = L.lanes[l.gap + 1];
    const width = Math.max(...l.lines.map(t => textWidth(t, l.font)));
    const x = l.right ? next.left - 6 - l.inset : lane.x1 + 6 + (l.indent || 0) + (l.inset || 0);
    const x0 = l.right ? x - width : x - (l.indent || 0), height = ROW * l.lines.length;
    if (!l.lines[0] || taken(x0, l.y + 1, l.right ? x : x + width, l.y + height - 1)) continue;
    if (lit(l.item)) {
      ctx.fillStyle = colors.select;
      ctx.globalAlpha = 0.55;
      ctx.fillRect(x0 - 3, l.y, (l.right ? x : x + width) - x0 + 6, height);
      ctx.globalAlpha = 1;
    }
    ctx.font = l.font;
    ctx.textAlign = l.right ? 'right' : 'left';
    ctx.strokeStyle = colors.bg;
    ctx.lineWidth = 4;
    l.lines.forEach((text, i) => {
      if (!lit(l.item)) ctx.strokeText(text, x, l.y + 8 + i * ROW);
      ctx.fillStyle = colors[lit(l.item) ? 'fg' : l.color];
      ctx.fillText(text, x, l.y + 8 + i * ROW);
    });
    if (l.glyph) glyph(ctx, l.glyph, x - 9, l.y + 8, colors[l.color]);
    hits.push({x: x0 - 3, y: l.y, w: width + 6 + (l.indent || 0), h: height, item: l.item, first: true});
  }
}

function lowest(labels, y) {
  let lo = 0, hi = labels.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1;
    if (labels[mid].y < y) lo = mid + 1; else hi = mid;
  }
  return lo;
}

function glyph(g, kind, x, y, color) {
  g.fillStyle = g.strokeStyle = color;
  g.lineWidth = 1.6;
  g.beginPath();
  if (kind === 'view') { g.moveTo(x, y - 5.5); g.lineTo(x + 5.5, y); g.lineTo(x, y + 5.5); g.lineTo(x - 5.5, y); g.fill(); }
  else if (kind === 'fault' || kind === 'alarm') { g.moveTo(x, y - 6); g.lineTo(x + 6, y + 5); g.lineTo(x - 6, y + 5); g.fill(); }
  else if (kind === 'call') { g.moveTo(x + 5, y); g.lineTo(x - 1, y - 5); g.lineTo(x - 1, y + 5); g.fill(); g.fillRect(x - 5, y - 1.2, 5, 2.4); }
  else if (kind === 'hold') { g.fillRect(x - 4, y - 1, 8, 6); g.arc(x, y - 1.5, 2.7, Math.PI, 0); g.stroke(); }
  else if (kind === 'end') { g.fillRect(x - 4, y - 1, 8, 6); g.arc(x - 2.5, y - 2.5, 2.7, Math.PI, 0); g.stroke(); }
  else if (kind === 'pause') { g.fillRect(x - 4, y - 5, 3, 10); g.fillRect(x + 1, y - 5, 3, 10); }
  else if (kind === 'crash') { g.moveTo(x - 4, y - 4); g.lineTo(x + 4, y + 4); g.moveTo(x + 4, y - 4); g.lineTo(x - 4, y + 4); g.lineWidth = 2.6; g.stroke(); }
  else if (kind === 'go') { g.moveTo(x - 4, y - 5); g.lineTo(x + 5, y); g.lineTo(x - 4, y + 5); g.fill(); }
  else if (kind === 'strip') g.fillRect(x - 2, y - 6, 4, 12);
  else { g.arc(x, y, 3, 0, 7); g.fill(); }
}

function drawChips(top) {
  for (const c of L.chips.slice().sort((a, b) => !!b.failure - !!a.failure)) {
    const height = c.lines.length * CHIP;
    if (c.y + height < top || c.y > top + H) continue;
    const mid = c.y + CHIP / 2 + 2, x = GUTTER + 40 + scroller.scrollLeft, color = colors[c.color];
    ctx.strokeStyle = color;
    ctx.lineWidth = c.failure ? 3 : 1.5;
    ctx.setLineDash(c.failure ? [] : [7, 5]);
    ctx.beginPath(); ctx.moveTo(0, mid); ctx.lineTo(L.width, mid); ctx.stroke();
    ctx.setLineDash([]);
    const width = Math.max(...c.lines.map(t => textWidth(t, BOLD))) + 18;
    hits.push({x: GUTTER, y: c.y, w: L.width, h: height + 4, item: c.item, first: true});
    if (taken(x, c.y, x + width, c.y + height + 4)) continue;
    ctx.fillStyle = c.failure ? colors.bad : lit(c.item) ? colors.select : colors.bg;
    ctx.beginPath(); ctx.roundRect(x, c.y, width, height + 4, 5); ctx.fill();
    if (!c.failure || lit(c.item)) { ctx.strokeStyle = lit(c.item) ? colors.select : color; ctx.stroke(); }
    ctx.fillStyle = c.failure ? colors.bg : color;
    ctx.font = BOLD;
    ctx.textAlign = 'left';
    ctx.textBaseline = 'middle';
    c.lines.forEach((text, i) => ctx.fillText(text, x + 9, c.y + 2.5 + CHIP * (i + 0.5)));
  }
}

// drawGutter writes the times, in window coordinates.
function drawGutter(top) {
  ctx.fillStyle = colors.panel;
  ctx.fillRect(0, 0, GUTTER - 6, H);
  ctx.textAlign = 'right';
  ctx.textBaseline = 'middle';
  for (const t of L.events ? L.ticks : linearTicks(top)) {
    const y = t.y - top;
    if (y < HEAD + 8 || y > H + 10) continue;
    ctx.font = t.bold ? BOLD : FONT;
    ctx.fillStyle = t.bold ? colors.fg : colors.dim;
    ctx.fillText(t.text, GUTTER - 14, y);
    ctx.fillRect(GUTTER - 11, y - 0.5, 5, 1);
  }
  ctx.textAlign = 'center';
  for (const b of L.breaks) {
    const y = (b.y0 + b.y1) / 2 - top;
    if (y < 0 || y > H) continue;
    ctx.font = BOLD;
    ctx.fillStyle = colors.break;
    ctx.fillRect(0, b.y0 - top, GUTTER - 6, b.y1 - b.y0);
    ctx.fillStyle = colors.dim;
    ctx.fillText('…' + duration(b.dt) + '…', (GUTTER - 6) / 2, y);
  }
  if (ui.mouse === null || ui.mouse < HEAD) return;
  ctx.strokeStyle = colors.dim;
  ctx.lineWidth = 1;
  ctx.setLineDash([2, 4]);
  ctx.beginPath(); ctx.moveTo(GUTTER - 6, ui.mouse + 0.5); ctx.lineTo(W, ui.mouse + 0.5); ctx.stroke();
  ctx.setLineDash([]);
  ctx.fillStyle = colors.fg;
  ctx.fillRect(0, ui.mouse - 9, GUTTER - 6, 18);
  ctx.fillStyle = colors.bg;
  ctx.font = BOLD;
  ctx.fillText(seconds(L.t(ui.mouse + top)), (GUTTER - 6) / 2, ui.mouse);
}

function linearTicks(top) {
  let step = 1;
  while (step * ui.scale < 60) step *= String(step)[0] === '2' ? 2.5 : 2;
  const out = [];
  for (let t = Math.max(0, Math.floor(L.t(top) / step) * step); t <= END && TOP + t * ui.scale < top + H; t += step) {
    out.push({y: TOP + t * ui.scale, text: step >= 1e3 ? seconds(t) : (t / SEC).toFixed(9), bold: step < 1e8 || t % SEC === 0});
  }
  return out;
}

function drawHead(left, top) {
  ctx.fillStyle = colors.panel;
  ctx.fillRect(0, 0, W, HEAD);
  ctx.fillStyle = colors.line;
  ctx.fillRect(0, HEAD - 1, W, 1);
  ctx.textBaseline = 'middle';
  ctx.save();
  ctx.beginPath(); ctx.rect(GUTTER - 6, 0, W, HEAD); ctx.clip();
  const t = L.t(top + HEAD + 1);
  for (const l of L.lanes) {
    const x = l.x0 - left, width = l.tube + L.gap - 12;
    ctx.textAlign = 'left';
    ctx.font = '700 15px system-ui, "DejaVu Sans", sans-serif';
    ctx.fillStyle = colors.fg;
    ctx.fillText(fit(l.lane.name, width, ctx.font), x, 15);
    const down = spans.find(s => s.lane === l.i && fillsLane(s) && s.t <= t && s.t1 > t);
    ctx.font = FONT;
    ctx.fillStyle = down ? colors.fault : colors.dim;
    ctx.fillText(fit(down ? down.data.kind : l.lane.sub || '', width, FONT), x, 33);
  }
  ctx.restore();
  ctx.textAlign = 'center';
  ctx.font = FONT;
  ctx.fillStyle = colors.dim;
  ctx.fillText('true time', (GUTTER - 6) / 2, 15);
  ctx.font = BOLD;
  ctx.fillStyle = colors.fg;
  ctx.fillText(seconds(t), (GUTTER - 6) / 2, 33);
}

// The map: how many messages, where the violation is, where the window is.
const map = document.getElementById('map'), mapCtx = map.getContext('2d');
function drawMap() {
  const w = 45, h = H;
  sized(map, mapCtx, w, h);
  const at = y => y / L.height * h;
  mapCtx.fillStyle = colors.panel;
  mapCtx.fillRect(0, 0, w, h);
  if (L.density === undefined || L.density.length !== Math.ceil(h)) {
    L.density = new Array(Math.ceil(h)).fill(0);
    for (const m of L.all) if (m.type === 'message') L.density[Math.min(Math.ceil(h) - 1, Math.floor(at(m.y0)))]++;
    L.densest = Math.max(1, ...L.density);
  }
  mapCtx.fillStyle = colors.laneline;
  L.density.forEach((n, y) => { if (n) mapCtx.fillRect(w - 3 - (w - 8) * Math.sqrt(n / L.densest), y, (w - 8) * Math.sqrt(n / L.densest), 1); });
  for (const i of L.all) {
    const long = Math.max(2, at(i.y1) - at(i.y0));
    if (i.type === 'overlap') { mapCtx.fillStyle = colors.bad; mapCtx.fillRect(2, at(i.y0), 12, long); }
    else if (i.type === 'span' && fillsLane(i) && i.data.kind !== 'absent') { mapCtx.fillStyle = colors.fault; mapCtx.fillRect(16, at(i.y0), 3, long); }
    else if (i.type === 'mark' && i.data.kind === 'failure') { mapCtx.fillStyle = colors.bad; mapCtx.fillRect(0, at(i.y0) - 1, w, 3); }
    else if (i.type === 'mark' && i.lane < 0 && i.data.kind === 'view') { mapCtx.fillStyle = colors.views; mapCtx.fillRect(22, at(i.y0), w - 22, 1.5); }
  }
  mapCtx.strokeStyle = colors.fg;
  mapCtx.lineWidth = 2;
  mapCtx.strokeRect(1, at(scroller.scrollTop) + 1, w - 2, Math.max(8, at(H) - 2));
}

// The panel.
function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) e.textContent = text;
  if (className) e.className = className;
  return e;
}

function table(rows) {
  const t = element('table');
  for (const [k, v, cls] of rows) {
    const tr = element('tr');
    tr.append(element('th', k), element('td', v, cls));
    t.append(tr);
  }
  return t;
}

function showDetail(item) {
  const box = document.getElementById('detail');
  box.replaceChildren();
  if (!item) { box.append(element('h2', 'Point at anything'), element('div', 'Its full text stands here. Click to keep it; j and k walk from event to event.', 'dim')); return; }
  box.append(element('h2', name(item), item.bad || item.type === 'overlap' || item.data.kind === 'failure' ? 'bad' : ''), table(about(item)));
  const full = item.data.detail || item.data.text;
  if (full && full !== name(item)) box.append(element('pre', full));
}

// What every node was and held at a time, and what happened around an item.
function showMoment(t, item) {
  const box = document.getElementById('moment');
  box.replaceChildren(element('h3', 'At ' + seconds(t) + ' s'));
  box.append(table(L.lanes.map(l => {
    const on = x => x.lane === l.i && x.t <= t && (x.t1 > t || x.t1 === END || x === item);
    const states = spans.filter(on).map(spanName);
    const held = holds.filter(on);
    const others = held.some(h => overlaps.some(o => (o.a === h || o.b === h) && o.t <= t && o.t1 > t));
    const text = states.concat(held.map(h => 'holds ' + withToken(h.data))).join(', ');
    return [l.lane.name, text || 'runs, holds nothing', others ? 'bad' : text ? '' : 'dim'];
  })));
  if (!item) return;
  const near = order(), i = near.indexOf(item), ol = element('ol');
  if (i < 0) return;
  box.append(element('h3', 'Before and after'));
  near.slice(Math.max(0, i - 5), i + 6).forEach(n => {
    const li = element('li', undefined, n === item ? 'here' : '');
    li.append(element('span', seconds(n.t), 'time dim'), element('span', name(n)));
    li.title = name(n);
    li.onclick = () => select(n, true);
    ol.append(li);
  });
  box.append(ol);
}

// order is everything that is shown, as it happened.
function order() {
  if (!L.order) L.order = L.all.slice().sort((a, b) => a.t - b.t || a.id - b.id);
  return L.order;
}
