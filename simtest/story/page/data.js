'use strict';
// The story, and what of it is shown. Everything that can be pointed at is an
// item: {type, data, t, t1, lane, ...}, t and t1 in ns.

const story = JSON.parse(document.getElementById('story').textContent);
const END = story.end, MS = 1e6, SEC = 1e9;
const FAMILIES = ['views', 'membership', 'group', 'locks', 'other'];
const list = name => story[name] || [];
const LANES = story.lanes || [];
const laneName = i => i < 0 ? 'world' : LANES[i].name;

// Many messages that are still under way would cover all else at the end: they are
// stubs without a name then.
const arrives = m => (m.arrived || 0) >= m.sent && (m.arrived > 0 || END === 0);
const stubs = list('messages').filter(m => !m.lost && !arrives(m)).length > 12;
const STUB = 0.4 * MS;

const messages = list('messages').map(m => {
  const kind = story.kinds[m.kind], arrived = m.arrived || 0;
  const item = {type: 'message', data: m, t: m.sent, lane: m.from, to: m.to, family: kind.family, routine: !!kind.routine};
  if (m.lost) item.t1 = arrived > m.sent ? arrived : Math.min(m.sent + STUB, Math.max(END, m.sent));
  else if (arrives(m)) item.t1 = arrived;
  else { item.t1 = stubs ? Math.min(m.sent + STUB, Math.max(END, m.sent)) : END; item.underway = true; }
  return item;
});
const holds = list('holds').map(h => ({type: 'hold', data: h, t: h.from, t1: h.to || END, lane: h.lane, bad: !!h.bad}));
const marks = list('marks').map(m => ({type: 'mark', data: m, t: m.at, t1: m.at, lane: m.lane}));
const overlaps = list('overlaps').map(o => {
  const a = holds[o.a], b = holds[o.b];
  a.bad = b.bad = true;
  return {type: 'overlap', data: o, t: o.from, t1: o.to, lane: a.lane, a, b};
});
const spans = joinSpans(list('spans'));
const items = [].concat(messages, holds, marks, overlaps, spans);
items.forEach((item, i) => { item.id = i; });

const keys = [...new Set([].concat(list('holds'), list('messages')).map(x => x.key).filter(k => k))].sort();
const failures = marks.filter(m => m.data.kind === 'failure');
const routineCount = messages.filter(m => m.routine).length;

// Spans of one lane that are alike but for the other node are one: "cut → n3 n4".
function joinSpans(all) {
  const byKey = new Map();
  for (const s of all) {
    const key = JSON.stringify([s.lane, s.kind, s.from, s.to || END, s.text || '', s.other < 0 ? -1 : 0]);
    const known = byKey.get(key);
    if (known) known.others.push(s.other);
    else byKey.set(key, {type: 'span', data: s, t: s.from, t1: s.to || END, lane: s.lane, others: s.other < 0 ? [] : [s.other]});
  }
  return [...byKey.values()];
}

// Of many nodes only those are shown at first that have to do with the failure,
// or are busy around it.
function involved(most) {
  if (LANES.length <= most) return LANES.map(() => true);
  const alarm = failures[0] || overlaps[0] || {t: END};
  const score = LANES.map((_, i) => ({i, n: 0}));
  for (const m of messages) if (Math.abs(m.t - alarm.t) < 2 * SEC) { score[m.lane].n++; score[m.to].n++; }
  for (const h of holds) if (h.bad) score[h.lane].n += 1e9;
  for (const m of failures) if (m.lane >= 0) score[m.lane].n += 1e9;
  const chosen = new Set(score.sort((a, b) => b.n - a.n || a.i - b.i).slice(0, most).map(s => s.i));
  return LANES.map((_, i) => chosen.has(i));
}

// What the reader has chosen.
const ui = {
  mode: 'events', spacing: 1, scale: 0,
  families: {}, routine: routineCount <= 60,
  nodes: involved(9), keys: Object.create(null),
  hover: null, selected: null, find: '', mouse: null,
};
FAMILIES.forEach(f => { ui.families[f] = true; });
keys.forEach(k => { ui.keys[k] = true; });

const nodeShown = i => i < 0 || ui.nodes[i];
const keyShown = k => !k || ui.keys[k] !== false;

function shown(item) {
  const d = item.data;
  switch (item.type) {
    case 'message': return ui.families[item.family] && (ui.routine || !item.routine) && ui.nodes[item.lane] && ui.nodes[item.to] && keyShown(d.key);
    case 'hold': return ui.nodes[item.lane] && keyShown(d.key);
    case 'overlap': return ui.nodes[item.a.lane] && ui.nodes[item.b.lane] && keyShown(item.a.data.key);
    case 'span': return nodeShown(item.lane) && (!item.others.length || item.others.some(nodeShown));
    default: return nodeShown(item.lane) || d.kind === 'failure';
  }
}

// Times as text.
const seconds = t => (t / SEC).toFixed(6);
function duration(d) {
  const cut = (x, unit) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x.toFixed(2)).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '') + '\u00a0' + unit;
  return d < 1e3 ? d + '\u00a0ns' : d < MS ? cut(d / 1e3, 'µs') : d < SEC ? cut(d / MS, 'ms') : cut(d / SEC, 's');
}

// Items as text. name is a line, about are rows for the panel.
const ENDS = {unlock: 'unlocked', lost: 'lost', crash: 'crashed', deadline: 'deadline'};
const SPAN_ENDS = {absent: 'starts', crashed: 'starts again', paused: 'runs again', cut: 'cut ends', clogged: 'clog ends', held: 'let go'};
const withToken = h => h.key + (h.mode ? ' ' + h.mode : '') + (h.token ? ' #' + h.token : '');

function spanName(s) {
  const others = s.others.map(laneName).join(' ');
  const kind = s.data.kind;
  const to = kind === 'lie' ? ' about ' : ' → ';
  return kind + (others ? to + others : '');
}

function name(item) {
  const d = item.data;
  switch (item.type) {
    case 'message': return d.kind + ' ' + laneName(d.from) + '→' + laneName(d.to) + (d.key ? ' ' + d.key : '') + (d.lost ? ' × ' + (d.why || 'lost') : '');
    case 'hold': return laneName(d.lane) + ' holds ' + withToken(d);
    case 'overlap': return '2 holders of ' + item.a.data.key;
    case 'span': return laneName(item.lane) + ' ' + spanName(item);
    default: return (d.lane < 0 ? '' : laneName(d.lane) + ' ') + d.text;
  }
}

function about(item) {
  const d = item.data;
  const at = t => seconds(t) + ' s';
  switch (item.type) {
    case 'message': return [
      ['from', laneName(d.from)], ['to', laneName(d.to)], ['sent', at(d.sent)],
      d.lost ? ['lost', d.why || 'yes'] : item.underway ? ['arrived', 'not yet, at the end'] : ['arrived', at(item.t1) + ', after ' + duration(item.t1 - d.sent)],
      ['family', item.family + (item.routine ? ', routine' : '')]].concat(d.key ? [['key', d.key]] : [], d.copy ? [['copy', 'a duplicate']] : []);
    case 'hold': return [
      ['node', laneName(d.lane)], ['key', d.key], ['token', d.token || '–'], ['from', at(item.t)],
      ['to', at(item.t1) + (d.end ? '' : ', the end')], ['for', duration(item.t1 - item.t)], ['ended by', ENDS[d.end] || d.end || 'nothing']].concat(item.bad ? [['!', 'part of the violation', 'bad']] : []);
    case 'overlap': return [item.a, item.b].map(h => [laneName(h.lane), withToken(h.data)]).concat([['from', at(item.t)], ['to', at(item.t1)], ['for', duration(item.t1 - item.t)]]);
    case 'span': return [['node', laneName(d.lane)]].concat(item.others.length ? [['other', item.others.map(laneName).join(', ')]] : [], [['from', at(item.t)], ['to', at(item.t1) + (item.t1 >= END ? ', the end' : '')], ['for', duration(item.t1 - item.t)]]);
    default: return [['what', d.kind], ['node', laneName(d.lane)], ['at', at(d.at)]];
  }
}

function matches(item, text) {
  if (!item.haystack) {
    const d = item.data;
    item.haystack = (name(item) + ' ' + (d.detail || '') + ' ' + (d.text || '') + ' ' + (d.token || '') + ' ' + (d.why || '')).toLowerCase();
  }
  return item.haystack.includes(text);
}
