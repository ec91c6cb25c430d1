/* The page: choose a photo and a task, wait, compare.

   document.body.dataset.state is one of
     start    no photo yet              ready    the photo is loaded
     loading  a file is being sent      sampling a job waits or runs         */

import { Brush } from './brush.js';
import { buildGallery, buildTabs, listenForFiles, markTab } from './choices.js';
import { showResults } from './compare.js';
import { follow, showSending, showStopping } from './progress.js';
import { abandon, get, post, Refused, send } from './server.js';
import { NAMES, Sides } from './sides.js';
import { layOut } from './stage.js';
import { withTexts } from './tasks.js';

const byId = (id) => document.getElementById(id);
const all = (query) => [...document.querySelectorAll(query)];

let about; // tasks, limits, gallery
let task; // as the server describes it, with its texts
let photo = null; // {id, name, width, height, ...}, as it was chosen
let worse = null; // the same photo as a bad JPEG, with its quality
let worsenings = 0; // requested so far
let mask = null; // the ID of the mask, unless it changed since it was sent
let job = null;
let cancelled = false; // perhaps before the job has an ID
let layout;

const brush = new Brush(byId('mask'), byId('brush'), () => {
  mask = null;
  byId('about-mask').textContent = '';
  update();
});
const fields = Object.fromEntries(NAMES.map((side) => [side, byId(side)]));
const sides = new Sides(byId('frame'), fields, arrange);

/* Runs an action, and shows its error; the page keeps working. */
async function attempt(action) {
  byId('trouble').textContent = '';
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof Refused)) console.error(error);
    byId('trouble').textContent = error.message;
    return null;
  }
}

function enter(state) {
  document.body.dataset.state = state;
  update();
}

function report(text) {
  byId('status').textContent = text;
}

const isBusy = () =>
  ['loading', 'sampling'].includes(document.body.dataset.state);

const current = () => (task.tool === 'quality' && worse ? worse : photo);

/* Updates all controls that depend on the state, the task and the photo. */
function update() {
  const busy = isBusy();
  const sampling = document.body.dataset.state === 'sampling';
  for (const set of all('fieldset[data-tool]')) {
    set.hidden = set.dataset.tool !== task.tool;
  }
  for (const set of all('fieldset')) set.disabled = sampling;
  byId('hint').textContent = task.hint;
  byId('experimental').hidden = !task.experimental;
  byId('go').textContent = task.tab;
  byId('go').disabled = !photo || busy;
  byId('go').hidden = sampling;
  byId('progress').hidden = !sampling;
  byId('undo').disabled = byId('clear').disabled = brush.isEmpty;
  byId('open-mask').disabled = !photo || busy;
  byId('erased').hidden = !photo?.erased;
  byId('quality').disabled = !byId('worsen').checked;
  byId('drop').hidden = Boolean(photo);
  byId('frame').hidden = byId('caption').hidden = !photo;
  byId('frame').inert = busy;
  byId('another').disabled = busy;
  for (const button of all('#gallery button')) button.disabled = busy;
  document.body.dataset.task = task.name;
}

/* Lays out the photo as large as fits. */
function arrange(dragging = false) {
  if (!photo) return;
  const uncropping = task.tool === 'sides';
  const now = current();
  const added = uncropping ? sides.values : { left: 0, right: 0, top: 0, bottom: 0 };
  layout = layOut(now, added, uncropping ? 0.12 : 0, dragging ? layout : null);
  byId('added').hidden = !uncropping;
  byId('mask').hidden = task.tool !== 'brush';
  if (task.tool !== 'brush') byId('brush').hidden = true;
  sides.show(uncropping);
  sides.place(layout.scale);
  const wide = now.width + added.left + added.right;
  const high = now.height + added.top + added.bottom;
  byId('about-photo').textContent = `${now.name}, ${wide} × ${high}`;
  byId('fine').textContent = task.tool === 'quality' ? now.fine : '';
}

/* Shows the photo, or the bad JPEG of it. */
async function show() {
  await worsen();
  const now = current();
  const image = byId('photo');
  const address = `photo/${now.id}/view`;
  if (image.getAttribute('src') !== address) image.src = address;
  image.alt = `Your photo: ${now.name}`;
  await image.decode().catch(() => {});
  arrange();
}

function choose(name) {
  task = withTexts(about.tasks.find((each) => each.name === name));
  markTab(name);
  report('');
  update();
  arrange();
  if (photo) attempt(show);
}

/* Photos. */

async function take(request, isFromGallery = false) {
  if (isBusy()) return;
  enter('loading');
  report('Reading the photo.');
  const taken = await attempt(request);
  report('');
  if (taken) {
    [photo, worse, mask] = [taken, null, null];
    byId('worsen').checked = isFromGallery;
    byId('about-mask').textContent = '';
    byId('inverted').checked = false;
    brush.start(photo);
    sides.start(photo);
    report(photo.notes.join(' '));
    byId('frame').hidden = false; // or nothing in it can be laid out
    await attempt(show);
  }
  enter(photo ? 'ready' : 'start');
}

function takeFile(file) {
  if (!file) return;
  take(async () => {
    check(file);
    return send(`photo?name=${encodeURIComponent(file.name)}`, file);
  });
}

function check(file) {
  if (file.size > about.bytes) {
    const megabytes = (file.size / 2 ** 20).toFixed(1);
    throw new Refused(
      `${file.name} has ${megabytes} MB; at most ` +
        `${Math.round(about.bytes / 2 ** 20)} MB are accepted: ` +
        'make it smaller first.',
    );
  }
}

/* Responses may arrive out of order: only that to the last request counts. */
async function worsen() {
  const request = ++worsenings;
  const quality = byId('quality').valueAsNumber;
  if (task.tool !== 'quality' || !byId('worsen').checked) {
    worse = null;
  } else if (worse?.quality !== quality || worse?.of !== photo.id) {
    const of = photo.id;
    const jpeg = await post(`photo/${of}/jpeg`, { quality });
    if (request === worsenings) worse = { ...jpeg, quality, of };
  }
}

/* Masks. */

async function takeMask(file) {
  if (isBusy()) return; // the mask must belong to the current photo
  enter('loading');
  const invert = byId('inverted').checked ? 1 : 0;
  const name = encodeURIComponent(file?.name ?? '');
  await attempt(async () => {
    if (file) check(file);
    const taken = await send(
      `photo/${photo.id}/mask?invert=${invert}&name=${name}`,
      file,
    );
    const picture = new Image();
    picture.src = `mask/${taken.id}/view`;
    await picture.decode();
    brush.open(picture);
    mask = taken.id;
    byId('about-mask').textContent = taken.description;
  });
  enter('ready');
}

async function sendMask() {
  if (mask) return mask;
  if (brush.isEmpty) {
    throw new Refused('First paint over what should be replaced.');
  }
  const file = await brush.file();
  mask = (await send(`photo/${photo.id}/mask?name=mask.png`, file)).id;
  return mask;
}

/* Sampling. */

async function begin() {
  if (document.body.dataset.state !== 'ready') return;
  if (!byId('locked').checked) {
    byId('seed').value = crypto.getRandomValues(new Uint32Array(1))[0] % 1e6;
  }
  const samples = Number(document.querySelector('[name=samples]:checked').value);
  const seed = byId('seed').valueAsNumber;
  cancelled = false;
  enter('sampling');
  report('Sampling.');
  showSending();
  byId('stop').focus();
  await attempt(async () => {
    await show(); // the bad JPEG may not have arrived yet
    const from = current();
    const hole = task.tool === 'brush' ? await sendMask() : '';
    const { id } = await post('job', {
      task: task.name,
      photo: from.id,
      mask: hole,
      sides: sides.values,
      seed: Number.isInteger(seed) ? seed : -1,
      samples,
      sampler: byId('sampler').value,
      steps: byId('steps').valueAsNumber || 0,
    });
    job = id;
    if (cancelled) await stop();
    const status = await follow(job);
    report('');
    if (status.state === 'failed') throw new Refused(status.error);
    if (status.state === 'stopped') report(status.error || 'Cancelled.');
    if (status.state === 'done') {
      await present(from, hole, seed, status.results);
    }
  });
  job = null;
  const waited = [byId('stop'), document.body].includes(document.activeElement);
  enter('ready');
  if (waited) byId('go').focus({ preventScroll: true });
}

async function present(from, hole, seed, count) {
  const links = [['the photo', `photo/${from.id}/file`]];
  if (hole) links.push(['the mask', `mask/${hole}/file`]);
  const { tab, before, after } = task;
  const title = `${tab}: ${from.name}, seed ${seed}`;
  const group = await showResults(job, count, { title, before, after }, links);
  report(count > 1 ? `${count} samples are below.` : 'The result is below.');
  group.scrollIntoView({ block: 'nearest' });
}

async function stop() {
  cancelled = true;
  showStopping();
  const heard = !job || (await attempt(() => post(`job/${job}/stop`)));
  if (!heard) byId('stop').disabled = false; // to try again
}

/* Events. */

function listen() {
  const on = (id, name, action) => byId(id).addEventListener(name, action);
  on('choose', 'click', () => byId('file').click());
  on('another', 'click', () => byId('file').click());
  on('file', 'change', () => {
    takeFile(byId('file').files[0]);
    byId('file').value = ''; // the same file may be chosen again
  });
  on('open-mask', 'click', () => byId('mask-file').click());
  on('mask-file', 'change', () => {
    takeMask(byId('mask-file').files[0]);
    byId('mask-file').value = '';
  });
  on('erased', 'click', () => takeMask());
  on('undo', 'click', () => brush.undo());
  on('clear', 'click', () => brush.clear());
  on('brush-size', 'input', () => {
    const percent = byId('brush-size').valueAsNumber;
    brush.share = percent / 100;
    all('output')[0].value = `${percent}%`;
  });
  for (const tool of all('[name=tool]')) {
    tool.addEventListener('change', () => {
      brush.erasing = tool.value === 'eraser';
    });
  }
  on('quality', 'input', () => {
    all('output')[1].value = byId('quality').value;
  });
  for (const id of ['quality', 'worsen']) {
    on(id, 'change', () => {
      update();
      if (photo) attempt(show);
    });
  }
  on('panel', 'submit', (event) => {
    event.preventDefault();
    begin();
  });
  on('stop', 'click', stop);
  addEventListener('resize', () => arrange());
  addEventListener('pagehide', () => job && abandon(job));
  addEventListener('keydown', shortcut);
  listenForFiles(takeFile);
}

function shortcut(event) {
  const typing = event.target.matches('[type=number], select');
  if (task.tool !== 'brush' || typing || !photo) return;
  if (document.body.dataset.state !== 'ready') return;
  if ((event.ctrlKey || event.metaKey) && event.key === 'z') {
    event.preventDefault();
    brush.undo();
  }
  const size = { '[': -1, ']': 1 }[event.key];
  if (size) {
    byId('brush-size').valueAsNumber += size;
    byId('brush-size').dispatchEvent(new Event('input'));
    if (!byId('brush').hidden) brush.show();
  }
}

/* Start. */

about = await attempt(() => get('about'));
if (about) {
  buildTabs(about.tasks, choose, isBusy);
  buildGallery(about.gallery, (id) => take(() => post(`gallery/${id}`), true));
  listen();
  choose(about.tasks[0].name);
}
