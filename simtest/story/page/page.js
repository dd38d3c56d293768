// What the reader can do.

const byId = id => document.getElementById(id);
let drawing = false;

function paint() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => { drawing = false; draw(); drawMap(); });
}

// relayout keeps the time that is in the middle of the window, or another.
function relayout(keep, share = 0.5) {
  if (keep === undefined && L) keep = L.t(scroller.scrollTop + H * share);
  W = scroller.clientWidth;
  H = scroller.clientHeight;
  if (!ui.scale) ui.scale = 20 * H / Math.max(END, 1);
  ui.scale = Math.min(12e6, Math.max(H - TOP - 30, ui.scale * END)) / Math.max(END, 1);
  L = layout(W, H);
  sized(canvas, ctx, W, H);
  const space = byId('space');
  space.style.width = L.width + 'px';
  space.style.height = Math.max(0, L.height - H) + 'px';
  if (keep !== undefined) scroller.scrollTop = L.y(keep) - H * share;
  if (ui.selected && !shown(ui.selected)) select(null);
  paint();
}

function select(item, go) {
  ui.selected = item;
  if (item && go) {
    const y = L.y(item.t);
    if (y < scroller.scrollTop + HEAD + 40 || y > scroller.scrollTop + H - 60) scroller.scrollTop = y - H * 0.4;
  }
  tell();
  paint();
}

function tell() {
  const item = ui.selected || ui.hover;
  showDetail(item);
  showMoment(item ? item.t : L.t(ui.mouse === null ? scroller.scrollTop + HEAD + 1 : scroller.scrollTop + ui.mouse), item);
}

function under(x, y) {
  let best = null, near = 7;
  for (const h of hits) {
    if (h.line) {
      const d = distance(x, y, h.line);
      if (d < near) { near = d; best = h.item; }
    }
  }
  const boxes = hits.filter(h => !h.line && x >= h.x && x <= h.x + h.w && y >= h.y && y <= h.y + h.h);
  const text = boxes.filter(h => h.first).pop();
  return text ? text.item : best || (boxes.pop() || {item: null}).item;
}

function distance(x, y, [x0, y0, x1, y1]) {
  const dx = x1 - x0, dy = y1 - y0;
  const s = Math.max(0, Math.min(1, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - x0 - s * dx, y - y0 - s * dy);
}

canvas.addEventListener('mousemove', e => {
  const r = canvas.getBoundingClientRect(), x = e.clientX - r.left, y = e.clientY - r.top;
  ui.mouse = y;
  ui.hover = y < HEAD ? null : under(x + scroller.scrollLeft, y + scroller.scrollTop);
  canvas.style.cursor = ui.hover ? 'pointer' : 'default';
  if (!ui.selected) tell();
  paint();
});
canvas.addEventListener('mouseleave', () => { ui.mouse = ui.hover = null; if (!ui.selected) tell(); paint(); });
canvas.addEventListener('click', () => select(ui.hover === ui.selected ? null : ui.hover));
scroller.addEventListener('scroll', paint);
let turned = 1; // by the wheel, since the last frame
scroller.addEventListener('wheel', e => {
  if (!e.ctrlKey) return;
  e.preventDefault();
  if (turned === 1) requestAnimationFrame(() => { const by = turned; turned = 1; zoom(by, ui.mouse === null ? 0.5 : ui.mouse / H); });
  turned *= e.deltaY < 0 ? 1.15 : 1 / 1.16;
}, {passive: false});

function goOnMap(e) {
  if (e.buttons & 1) scroller.scrollTop = (e.clientY - map.getBoundingClientRect().top) / H * L.height - H / 2;
}
map.addEventListener('mousedown', goOnMap);
map.addEventListener('mousemove', goOnMap);

function zoom(by, share) {
  if (ui.mode === 'events') ui.spacing = Math.min(6, Math.max(0.15, ui.spacing * by));
  else ui.scale *= by * by;
  relayout(undefined, share);
}

function setMode(mode) {
  ui.mode = mode;
  byId('events').setAttribute('aria-checked', mode === 'events');
  byId('linear').setAttribute('aria-checked', mode === 'linear');
  relayout(L ? L.t(scroller.scrollTop + H / 2) : undefined);
}

// Where a reader should look first: the failure, else what overlaps, by turns.
const alarms = failures.concat(overlaps).sort((a, b) => (a.type === 'overlap') - (b.type === 'overlap') || a.t - b.t);
let alarm = -1;
function nextAlarm() {
  const all = alarms.filter(shown);
  if (!all.length) return;
  alarm = (alarm + 1) % all.length;
  const item = all[alarm];
  scroller.scrollTop = L.y(item.t) - H * (item.type === 'overlap' ? 0.4 : 0.72);
  select(item);
}

function step(by) {
  const all = order();
  let i = all.indexOf(ui.selected);
  if (i < 0) {
    const t = L.t(scroller.scrollTop + HEAD + 10);
    i = all.findIndex(x => x.t >= t) - (by > 0 ? 1 : 0);
  }
  const item = all[Math.max(0, Math.min(all.length - 1, i + by))];
  if (item) select(item, true);
}

const find = byId('find');
let foundAt = -1;
function search(next) {
  ui.find = find.value.trim().toLowerCase();
  const all = ui.find ? order().filter(i => matches(i, ui.find)) : [];
  const hidden = ui.find ? items.filter(i => !shown(i) && matches(i, ui.find)).length : 0;
  foundAt = next && all.length ? (foundAt + 1) % all.length : -1;
  byId('found').textContent = ui.find ? (foundAt >= 0 ? (foundAt + 1) + ' of ' : '') + all.length + (hidden ? ', and ' + hidden + ' hidden' : '') : '';
  if (foundAt >= 0) select(all[foundAt], true); else paint();
}
find.addEventListener('input', () => search(false));
find.addEventListener('keydown', e => {
  if (e.key === 'Enter') search(true);
  if (e.key === 'Escape') { find.value = ''; search(false); scroller.focus(); }
  e.stopPropagation();
});

const actions = {
  j: () => step(1), k: () => step(-1), f: nextAlarm, l: () => setMode(ui.mode === 'events' ? 'linear' : 'events'),
  '+': () => zoom(1.3), '=': () => zoom(1.3), '-': () => zoom(1 / 1.3), r: () => { ui.routine = !ui.routine; controls(); relayout(); },
  '/': () => find.focus(), '?': () => byId('help').showModal(), Escape: () => select(null),
};
document.addEventListener('keydown', e => {
  if (e.ctrlKey || e.metaKey || e.altKey || !actions[e.key] || byId('help').open) return;
  e.preventDefault();
  actions[e.key]();
});
byId('in').onclick = actions['+'];
byId('out').onclick = actions['-'];
byId('events').onclick = () => setMode('events');
byId('linear').onclick = () => setMode('linear');
byId('keys').onclick = actions['?'];
byId('first').onclick = () => { scroller.scrollTop = 0; };
byId('jump').onclick = nextAlarm;
if (alarms.length) { byId('jump').className = 'bad'; byId('jump').textContent = failures.length ? 'failure' : 'overlap'; } else byId('jump').remove();
const copy = byId('copy');
if (copy) copy.onclick = () => {
  const range = document.createRange();
  range.selectNodeContents(byId('replay'));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  document.execCommand('copy'); // works in a file: page, too
  copy.textContent = 'copied';
};

// Checkboxes and the legend.
function picture(w, h, paintIt) {
  const c = element('canvas'), g = c.getContext('2d');
  sized(c, g, w, h);
  paintIt(g);
  return c;
}
const sample = (family, dashed, lost) => picture(44, 16, g => {
  g.strokeStyle = g.fillStyle = colors[family];
  g.lineWidth = 1.6;
  g.setLineDash(dashed ? [5, 4] : []);
  g.beginPath(); g.moveTo(4, 4); g.lineTo(lost ? 34 : 40, 12); g.stroke();
  g.setLineDash([]);
  tail(g, family, 5, 4);
  if (lost) cross(g, 35, 11, 4); else arrowhead(g, 4, 4, 42, 12);
});

function check(text, on, change, pic) {
  const label = element('label', undefined, 'check'), box = element('input');
  box.type = 'checkbox';
  box.checked = on;
  box.onchange = () => { change(box.checked); relayout(); tell(); counts(); };
  label.append(box);
  if (pic) label.append(pic);
  label.append(text);
  return label;
}

function controls() {
  const families = byId('families');
  families.replaceChildren();
  for (const f of FAMILIES) {
    const n = messages.filter(m => m.family === f).length;
    if (n) families.append(check(f, ui.families[f], on => { ui.families[f] = on; }, sample(f)));
  }
  if (routineCount) families.append(check('routine (' + routineCount + ')', ui.routine, on => { ui.routine = on; }));
  choices('nodes', LANES.map((l, i) => [l.name, i]), ui.nodes);
  choices('locks', keys.map(k => [k, k]), ui.keys);
  counts();
}

// counts says how many nodes and keys are shown, if it is not all of them.
function counts() {
  for (const [id, name, all] of [['nodes', 'Nodes', ui.nodes], ['locks', 'Keys', keys.map(k => ui.keys[k])]]) {
    const on = all.filter(x => x).length;
    byId(id).querySelector('summary').textContent = name + (on < all.length ? ': ' + on + ' of ' + all.length + ' shown' : '');
  }
}

function choices(id, all, chosen) {
  const box = byId(id).querySelector('.list'), row = element('div', undefined, 'row');
  box.replaceChildren(row);
  for (const [text, on] of [['all', true], ['none', false]]) {
    const b = element('button', text);
    b.onclick = () => { all.forEach(([, k]) => { chosen[k] = on; }); controls(); relayout(); };
    row.append(b);
  }
  all.forEach(([text, k]) => box.append(check(text, chosen[k], on => { chosen[k] = on; })));
  byId(id).hidden = all.length === 0;
}

function legend() {
  const box = byId('legend').querySelector('.list');
  box.replaceChildren();
  const add = (pic, text) => { const d = element('div'); d.append(pic, element('span', text)); box.append(d); };
  const bar = (fill, stroke, pattern) => picture(44, 16, g => {
    if (fill) { g.fillStyle = fill; g.fillRect(4, 2, 36, 12); }
    if (pattern) { g.fillStyle = pattern; g.fillRect(4, 2, 36, 12); }
    g.strokeStyle = stroke; g.lineWidth = 1.5; g.strokeRect(4, 2, 36, 12);
  });
  const mark = (kind, color) => picture(44, 16, g => glyph(g, kind, 22, 8, colors[color]));
  FAMILIES.filter(f => messages.some(m => m.family === f)).forEach(f => add(sample(f), 'message about ' + f));
  add(sample('locks', false, true), 'lost on the way');
  add(sample('locks', true), 'a duplicate');
  add(bar(colors.hold, colors.holdline), 'the node holds a lock');
  if (holds.some(h => h.data.mode)) add(bar(colors.bg, colors.holdline), 'it holds a part of one');
  add(bar(colors.bad, colors.bad), 'part of the violation');
  add(bar(colors.badbg, colors.badbg), 'two holders of one key');
  add(bar(colors.amber, colors.fault, patterns.pause), 'paused');
  add(bar(colors.bg, colors.crash, patterns.crash), 'crashed');
  add(picture(44, 16, g => { g.fillStyle = colors.bad; for (let x = 4; x < 40; x += 9) g.fillRect(x, 6, 6, 4); }), 'cut: what it sends there is lost');
  add(picture(44, 16, g => { g.fillStyle = colors.fault; g.fillRect(4, 6, 36, 4); }), 'another fault that lasts');
  add(mark('view', 'views'), 'learns a view');
  add(mark('fault', 'fault'), 'fault');
  add(mark('call', 'fg'), 'the program calls');
  add(mark('event', 'fg'), 'told to the program');
}

// #t=1.5 is a time to open at, #linear a way; both: #linear&t=1.5
const hash = new URLSearchParams(location.hash.slice(1));
function start() {
  readColors();
  controls();
  legend();
  setMode(hash.has('linear') ? 'linear' : 'events');
  if (hash.has('t')) scroller.scrollTop = L.y(parseFloat(hash.get('t')) * SEC) - H * 0.4;
  else nextAlarm();
  tell();
  scroller.focus({preventScroll: true});
}
start();
window.addEventListener('resize', () => relayout());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { readColors(); controls(); legend(); paint(); });
