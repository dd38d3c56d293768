// Drawing. Only what is in the window is drawn; what can be pointed at is noted
// in hits as it is drawn.

const canvas = document.getElementById('canvas'), scroller = document.getElementById('scroll');
const ctx = canvas.getContext('2d');
let colors = {}, patterns = {}, hits = [], placed = [], W = 0, H = 0;
const MANY = 1500; // messages in the window: from here on only lines

function readColors() {
  const style = getComputedStyle(document.documentElement);
  for (const c of ['bg', 'panel', 'fg', 'dim', 'line', 'lane', 'laneline', 'views', 'membership', 'group', 'locks', 'other', 'bad', 'badbg', 'fault', 'amber',
    'crash', 'break', 'hold', 'holdline', 'select']) colors[c] = style.getPropertyValue('--' + c).trim();
  patterns = {crash: hatch(colors.crash, 6, 1.5), pause: dots(colors.fault)};
}

function tile(size, paint) {
  const c = document.createElement('canvas');
  c.width = c.height = size * 2;
  const g = c.getContext('2d');
  g.scale(2, 2);
  paint(g);
  const p = ctx.createPattern(c, 'repeat');
  p.setTransform(new DOMMatrix().scale(0.5));
  return p;
}
const hatch = (color, size, width) => tile(size, g => {
  g.strokeStyle = color;
  g.lineWidth = width;
  for (const o of [-size, 0, size]) { g.beginPath(); g.moveTo(o - 1, size + 1); g.lineTo(o + size + 1, -1); g.stroke(); }
});
const dots = color => tile(6, g => { g.fillStyle = color; g.fillRect(2, 2, 1.6, 1.6); });

function sized(c, g, w, h) {
  const dpr = window.devicePixelRatio || 1;
  if (c.width !== Math.round(w * dpr) || c.height !== Math.round(h * dpr)) {
    c.width = Math.round(w * dpr);
    c.height = Math.round(h * dpr);
    c.style.width = w + 'px';
    c.style.height = h + 'px';
  }
  g.setTransform(dpr, 0, 0, dpr, 0, 0);
}

const lit = item => item === ui.hover || item === ui.selected || (ui.find && matches(item, ui.find));

function draw() {
  sized(canvas, ctx, W, H);
  hits = [];
  placed = [];
  const top = scroller.scrollTop, left = scroller.scrollLeft;
  const seen = L.all.filter(i => i.y1 >= top - 40 && i.y0 <= top + H + 40);
  const of = type => seen.filter(i => i.type === type);
  ctx.fillStyle = colors.bg;
  ctx.fillRect(0, 0, W, H);
  ctx.save();
  ctx.translate(-left, -top);
  drawBreaks(top);
  of('overlap').forEach(drawOverlap);
  const msgs = of('message');
  drawMessages(msgs);
  for (const lane of L.lanes) drawTube(lane, top);
  of('span').forEach(drawSpan);
  of('hold').forEach(drawHold);
  drawTears(top, seen);
  drawEnds(msgs);
  drawChips(top);
  drawLabels(top, msgs.length > MANY);
  ctx.restore();
  drawGutter(top);
  drawHead(left, top);
}

function hit(x, y, w, h, item) { hits.push({x, y, w, h, item}); }

function drawBreaks(top) {
  for (const b of L.breaks) {
    if (b.y1 < top || b.y0 > top + H) continue;
    ctx.fillStyle = colors.break;
    ctx.fillRect(GUTTER, b.y0, L.width, b.y1 - b.y0);
  }
}

// A tear goes over what lasts longer than a break, to show that it does.
function drawTears(top, seen) {
  const lasting = seen.filter(i => i.lane >= 0 && (i.type === 'hold' || i.type === 'span' && fillsLane(i) && i.data.kind !== 'absent'));
  for (const b of L.breaks) {
    if (b.y1 < top || b.y0 > top + H) continue;
    const mid = (b.y0 + b.y1) / 2;
    for (const lane of new Set(lasting.filter(i => i.y0 < mid && i.y1 > mid).map(i => i.lane))) {
      const l = L.lanes[L.at.get(lane)];
      for (const [dy, width, color] of [[0, 7, colors.break], [-3, 1, colors.dim], [3, 1, colors.dim]]) {
        ctx.beginPath();
        for (let x = l.x0 - 7, i = 0; x <= l.x1 + 7; x += 4, i++) ctx[i ? 'lineTo' : 'moveTo'](x, mid + dy + (i % 2 ? -2.5 : 2.5));
        ctx.strokeStyle = color;
        ctx.lineWidth = width;
        ctx.stroke();
      }
    }
  }
}

function drawOverlap(o) {
  const a = L.lanes[L.at.get(o.a.lane)], b = L.lanes[L.at.get(o.b.lane)];
  const [x0, x1] = a.x0 < b.x0 ? [a.x1, b.left] : [b.x1, a.left];
  if (a === b) return;
  ctx.fillStyle = colors.badbg;
  ctx.globalAlpha = 0.75;
  ctx.fillRect(x0, o.y0, x1 - x0, o.y1 - o.y0);
  ctx.globalAlpha = 1;
  ctx.strokeStyle = colors.bad;
  ctx.lineWidth = lit(o) ? 3 : 1.5;
  for (const y of [o.y0, o.y1]) { ctx.beginPath(); ctx.moveTo(x0, y); ctx.lineTo(x1, y); ctx.stroke(); }
  hit(x0, o.y0, x1 - x0, o.y1 - o.y0, o);
}

// ends are the points of a message's line.
function ends(m) {
  const from = L.lanes[L.at.get(m.lane)], to = L.lanes[L.at.get(m.to)];
  const right = to.left > from.left;
  let x0 = right ? from.x1 : from.left, x1 = right ? to.left : to.x1, y1 = m.y1;
  if (from === to) { x0 = from.x1; x1 = from.x1 + 24; }
  if (m.underway && stubs) x1 = x0 + (right ? 26 : -26);
  if (m.data.lost) x1 += right ? -14 : 14;
  return [x0, m.y0, x1, y1];
}

function drawMessages(msgs) {
  const many = msgs.length > MANY;
  const paths = new Map();
  for (const m of msgs) {
    const e = ends(m), [x0, y0, x1, y1] = e, style = m.family + (m.data.copy ? ' copy' : '');
    m.ends = e;
    let p = paths.get(style);
    if (!p) paths.set(style, p = new Path2D());
    p.moveTo(x0, y0);
    p.lineTo(x1, y1);
    if (lit(m)) {
      ctx.strokeStyle = colors.select;
      ctx.lineWidth = 6;
      ctx.beginPath(); ctx.moveTo(x0, y0); ctx.lineTo(x1, y1); ctx.stroke();
    }
    hits.push({line: e, item: m});
  }
  for (const [style, p] of paths) {
    const [family, copy] = style.split(' ');
    ctx.strokeStyle = colors[family];
    ctx.globalAlpha = many ? 0.3 : 1;
    ctx.lineWidth = many ? 0.7 : 1.4;
    ctx.setLineDash(copy ? [5, 4] : []);
    ctx.stroke(p);
  }
  ctx.setLineDash([]);
  ctx.globalAlpha = 1;
}

// What is at the ends goes over the lanes; tails stand inside, where they do not
// hide the head of what has just come in.
function drawEnds(msgs) {
  if (msgs.length > MANY) return;
  for (const m of msgs) {
    const [x0, y0, x1, y1] = m.ends;
    ctx.fillStyle = ctx.strokeStyle = colors[m.family];
    tail(ctx, m.family, x0 + (x1 > x0 ? -3.5 : 3.5), y0);
    if (m.data.lost) cross(ctx, x1, y1, 5);
    else if (!m.underway) arrowhead(ctx, x0, y0, x1, y1);
  }
}

function arrowhead(g, x0, y0, x1, y1) {
  const a = Math.atan2(y1 - y0, x1 - x0), s = 9;
  g.beginPath();
  g.moveTo(x1, y1);
  g.lineTo(x1 - s * Math.cos(a - 0.38), y1 - s * Math.sin(a - 0.38));
  g.lineTo(x1 - s * Math.cos(a + 0.38), y1 - s * Math.sin(a + 0.38));
  g.fill();
}

function cross(g, x, y, r) {
  g.lineWidth = 2.4;
  g.beginPath();
  g.moveTo(x - r, y - r); g.lineTo(x + r, y + r); g.moveTo(x + r, y - r); g.lineTo(x - r, y + r);
  g.stroke();
}

function tail(g, family, x, y) {
  const r = 3.4;
  g.beginPath();
  if (family === 'views') { g.moveTo(x, y - r - 1); g.lineTo(x + r + 1, y); g.lineTo(x, y + r + 1); g.lineTo(x - r - 1, y); }
  else if (family === 'group') g.rect(x - r, y - r, 2 * r, 2 * r);
  else if (family === 'other') { g.moveTo(x, y - r - 1); g.lineTo(x + r + 1, y + r); g.lineTo(x - r - 1, y + r); }
  else g.arc(x, y, r, 0, 7);
  g.closePath();
  if (family !== 'membership') { g.fill(); return; }
  const stroke = g.strokeStyle;
  g.fillStyle = colors.bg;
  g.lineWidth = 1.4;
  g.fill();
  g.strokeStyle = stroke;
  g.stroke();
  g.fillStyle = stroke;
}

function drawTube(l, top) {
  let y0 = top;
  for (const b of L.breaks.filter(b => b.y1 > top && b.y0 < top + H).concat({y0: top + H, y1: top + H})) {
    ctx.fillStyle = colors.lane;
    ctx.fillRect(l.x0, y0, l.tube, b.y0 - y0);
    ctx.fillStyle = colors.laneline;
    for (const x of [l.x0, l.x1 - 1]) ctx.fillRect(x, y0, 1, b.y0 - y0);
    y0 = b.y1;
  }
}

function drawSpan(s) {
  if (s.lane < 0) {
    ctx.fillStyle = colors.fault;
    ctx.fillRect(GUTTER + 1, s.y0, 4, s.y1 - s.y0);
    return hit(GUTTER - 2, s.y0, 10, s.y1 - s.y0, s);
  }
  const l = L.lanes[L.at.get(s.lane)], h = Math.max(2, s.y1 - s.y0);
  if (!fillsLane(s)) {
    const x = l.left + (s.slot % 4) * STRIP;
    ctx.fillStyle = lit(s) ? colors.select : s.data.kind === 'cut' ? colors.bad : colors.fault;
    if (s.data.kind === 'cut') for (let y = s.y0; y < s.y1; y += 9) ctx.fillRect(x, y, STRIP - 2, Math.min(6, s.y1 - y));
    else ctx.fillRect(x, s.y0, STRIP - 2, h);
    return hit(x - 2, s.y0, STRIP + 2, h, s);
  }
  if (s.data.kind === 'absent') {
    ctx.fillStyle = colors.bg;
    ctx.fillRect(l.x0, s.y0, l.tube, h);
    return;
  }
  const crashed = s.data.kind === 'crashed', x = l.x0 - 5, w = l.tube + 10;
  ctx.fillStyle = crashed ? colors.bg : colors.amber;
  ctx.fillRect(x, s.y0, w, h);
  ctx.fillStyle = crashed ? patterns.crash : patterns.pause;
  ctx.fillRect(x, s.y0, w, h);
  ctx.strokeStyle = lit(s) ? colors.select : crashed ? colors.crash : colors.fault;
  ctx.lineWidth = lit(s) ? 3 : 1.2;
  ctx.strokeRect(x, s.y0, w, h);
  hit(x, s.y0, w, h, s);
}

function drawHold(hold) {
  const l = L.lanes[L.at.get(hold.lane)], w = l.slotWidth - 2, x = l.x0 + 4 + hold.slot * l.slotWidth, h = Math.max(3, hold.y1 - hold.y0);
  ctx.fillStyle = hold.bad ? colors.bad : colors.hold;
  ctx.globalAlpha = hold.data.mode && !hold.bad ? 0.4 : 1;
  ctx.fillRect(x, hold.y0, w, h);
  ctx.globalAlpha = 1;
  ctx.strokeStyle = lit(hold) ? colors.select : hold.bad ? colors.bad : colors.holdline;
  ctx.lineWidth = lit(hold) ? 4 : hold.bad ? 2 : 1.2;
  ctx.strokeRect(x, hold.y0, w, h);
  hit(x, hold.y0, w, h, hold);
  if (w < 11) return;
  const text = fit(withToken(hold.data), 240, hold.bad ? BOLD : FONT), need = textWidth(text, hold.bad ? BOLD : FONT) + 10;
  ctx.font = hold.bad ? BOLD : FONT;
  ctx.fillStyle = hold.bad ? colors.bg : colors.fg;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'middle';
  const top = scroller.scrollTop;
  let b = L.breaks.findIndex(b => b.y1 > hold.y0);
  if (b < 0) b = L.breaks.length;
  for (let y = hold.y0 + 4; y + need <= Math.min(hold.y1, top + H + 300);) {
    while (b < L.breaks.length && L.breaks[b].y1 <= y) b++;
    if (b < L.breaks.length && L.breaks[b].y0 < y + need) { y = L.breaks[b++].y1; continue; } // not under a tear
    if (y + need > top) {
      ctx.save();
      ctx.translate(x + w / 2, y + 4);
      ctx.rotate(Math.PI / 2);
      ctx.fillText(text, 0, 0.5);
      ctx.restore();
    }
    y += Math.max(need + 60, 300);
  }
}
