/* How far a job is, asked of the server until it has ended. */

import { get, Unreachable } from './server.js';

const POLL = 400; // ms
const MOST_FAILURES = 20;

const byId = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Follows a job, also through a line that breaks for a while; resolves to what
   the server says of it last. */
export async function follow(job) {
  for (let failures = 0; ; await sleep(POLL)) {
    try {
      const seen = await get(`job/${job}`);
      if (failures) byId('trouble').textContent = '';
      failures = 0;
      if (!['waiting', 'running'].includes(seen.state)) return seen;
      show(seen);
    } catch (error) {
      const forGood = !(error instanceof Unreachable);
      if (forGood || ++failures > MOST_FAILURES) throw error;
      byId('trouble').textContent = error.message;
      await sleep(1000);
    }
  }
}

/* Before the server knows of it. */
export function showAsking() {
  byId('bar').removeAttribute('value');
  byId('far').textContent = 'Asking.';
  byId('stop').disabled = false;
}

/* From the moment in which somebody cancels. */
export function showStopping() {
  byId('far').textContent = 'Stopping after this step.';
  byId('stop').disabled = true;
}

function show(seen) {
  const bar = byId('bar');
  if (seen.total) [bar.max, bar.value] = [seen.total, seen.done];
  else bar.removeAttribute('value');
  if (!byId('stop').disabled) byId('far').textContent = inWords(seen);
}

function inWords(seen) {
  if (seen.state === 'waiting') {
    return seen.ahead ? `Waiting: ${seen.ahead} before you.` : 'Waiting.';
  }
  if (!seen.total) return 'Getting ready; the first time takes longer.';
  const steps = `${seen.done} of ${seen.total} steps`;
  return seen.left === null ? steps : `${steps}, ${duration(seen.left)} left`;
}

function duration(seconds) {
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `about ${minutes} min`;
  return `about ${Math.round(minutes / 60)} h`;
}
