'use strict';

/* One trial after another: fetch both images, tell the server that they are
   about to be on the screen, show them, hide them, send the answer. The server
   knows which trial is due; this page stores nothing.

   document.body.dataset.state is one of
     start   nothing is known yet      intro   instructions
     wait    images are being fetched  shown   they are on the screen
     hidden  their time is over        sent    the answer is being sent
     done    thanks                                                          */

const PAUSE = 500; // ms between an answer and the next pair
const byId = (id) => document.getElementById(id);
const sides = ['left', 'right'];
const images = sides.map((side) => byId(side).querySelector('img'));

// Identifies this page load: a pair that another one has shown stays hidden.
const page = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
  byte.toString(16).padStart(2, '0'),
).join('');

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));

function enter(state) {
  document.body.dataset.state = state;
}

function open(name) {
  for (const section of document.querySelectorAll('section')) {
    section.hidden = section.id !== name;
  }
}

/* Repeats a request until it neither fails in the server nor on the way. A
   repetition does no harm: the server refuses it. */
async function ask(path, body) {
  const request =
    body === undefined
      ? { cache: 'no-store' }
      : {
          method: 'POST',
          headers: { 'Content-Type': 'application/json' },
          body: JSON.stringify(body),
        };
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const response = await fetch(path, request);
      if (response.status < 500) {
        const content = path.startsWith('image/')
          ? response.ok && (await response.blob())
          : await response.json();
        byId('trouble').hidden = true;
        return { ok: response.ok, content };
      }
    } catch {
      // There is no connection, or it broke: tried again below.
    }
    byId('trouble').hidden = false;
    await sleep(wait);
  }
}

function visible() {
  return new Promise((resolve) => {
    const look = () => {
      if (document.visibilityState !== 'visible') return;
      document.removeEventListener('visibilitychange', look);
      resolve();
    };
    document.addEventListener('visibilitychange', look);
    look();
  });
}

/* Puts both images in place, decoded and not yet visible; false if refused. */
async function load(due) {
  const answers = await Promise.all(sides.map((side) => ask(due[side])));
  if (!answers.every((answer) => answer.ok)) return false;
  await Promise.all(
    images.map((image, i) => {
      image.src = URL.createObjectURL(answers[i].content);
      return image.decode();
    }),
  );
  const { naturalWidth: width, naturalHeight: height } = images[0];
  const style = byId('trial').style;
  style.setProperty('--natural', `${Math.max(width, 256)}px`);
  style.setProperty('--ratio', width / height);
  return true;
}

function unload() {
  for (const image of images) {
    URL.revokeObjectURL(image.src);
    image.removeAttribute('src');
  }
}

/* Waits for the rater's choice, by key, click or touch. */
function choice() {
  return new Promise((resolve) => {
    const listening = new AbortController();
    const choose = (side, event) => {
      event.preventDefault();
      listening.abort();
      byId(side).classList.add('chosen');
      resolve(side);
    };
    for (const side of sides) {
      byId(side).addEventListener('click', (event) => choose(side, event), {
        signal: listening.signal,
      });
    }
    document.addEventListener(
      'keydown',
      (event) => {
        const side = { ArrowLeft: 'left', ArrowRight: 'right' }[event.key];
        const other =
          event.repeat || event.altKey || event.ctrlKey || event.metaKey;
        if (side && !other) choose(side, event);
      },
      { signal: listening.signal },
    );
  });
}

/* Hides the pair when its time is over, even where timers sleep. */
function hideAfter(began, seconds) {
  const done = new AbortController();
  const look = () => {
    const left = began + 1000 * seconds - performance.now();
    if (done.signal.aborted) return;
    if (left > 0) {
      setTimeout(look, left);
    } else {
      over();
      done.abort();
    }
  };
  document.addEventListener('visibilitychange', look, { signal: done.signal });
  look();
  return done;
}

function over() {
  enter('hidden');
  unload();
  byId('status').textContent = 'Time is over: which one was taken by a camera?';
}

/* Shows a pair unless it was shown before; returns the time, or null. */
async function show(due) {
  if (due.shown) return null;
  const [loaded] = await Promise.all([load(due), sleep(PAUSE)]);
  if (!loaded) return null;
  await visible();
  const { ok } = await ask('shown', { trial: due.trial, page });
  if (!ok) return null;
  await frame(); // never comes while the page is in the background
  enter('shown');
  return performance.now();
}

async function trial(due) {
  for (const side of sides) byId(side).classList.remove('chosen');
  enter('wait');
  open('trial');
  byId('status').textContent = '';
  byId('count').textContent = `${due.number} of ${due.of}`;
  byId('bar').value = (due.number - 1) / due.of;

  const began = await show(due);
  if (began === null && !due.shown) {
    return (await ask('trial')).content; // another window was faster
  }
  if (began === null) over();
  const hiding = began === null ? null : hideAfter(began, due.seconds);
  const side = await choice();
  const milliseconds =
    began === null ? null : Math.round(performance.now() - began);
  hiding?.abort();
  enter('sent');
  unload();
  const { ok, content } = await ask('answer', {
    trial: due.trial,
    left: side === 'left',
    milliseconds,
  });
  // If refused, the answer was stored before and only the response was lost, or
  // another window has moved on.
  return ok ? content : (await ask('trial')).content;
}

async function run(due) {
  while (due.state === 'trial') due = await trial(due);
  if (due.state === 'new') return intro(due);
  enter('done');
  open('thanks');
}

function intro(due) {
  const resumed = due.state === 'trial';
  const fill = (name, text) => {
    document.querySelector(`#intro .${name}`).textContent = text;
  };
  const minutes = Math.max(1, Math.round((due.of * (due.seconds + 2)) / 60));
  fill('of', due.of);
  fill('seconds', due.seconds);
  fill('minutes', minutes === 1 ? '1 minute' : `${minutes} minutes`);
  byId('go').textContent = resumed
    ? `Continue with pair ${due.number} of ${due.of}`
    : 'Start';
  byId('go').disabled = false;
  enter('intro');
  open('intro');
  byId('go').focus({ preventScroll: true });
}

async function begin() {
  byId('go').disabled = true; // a second click would add a second rater
  await ask('begin', {});
  const { content } = await ask('trial');
  byId('cookies').hidden = content.state !== 'new';
  await run(content);
}

async function next() {
  byId('next').disabled = true;
  const { content } = await ask('begin', {});
  byId('next').disabled = false;
  intro({ ...content, state: 'new' });
}

byId('go').addEventListener('click', begin);
byId('next').addEventListener('click', next);

ask('trial').then(({ content }) =>
  content.state === 'done' ? run(content) : intro(content),
);
