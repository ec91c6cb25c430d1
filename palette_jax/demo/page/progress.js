/* The progress of a job: asks the server until the job has ended. */

import { get, Unreachable } from './server.js';

const POLL = 400; // ms
const MOST_FAILURES = 20;

const byId = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/* Follows a job, even if the connection breaks for a while; resolves to its
   last status. */
export async function follow(job) {
  for (let failures = 0; ; await sleep(POLL)) {
    try {
      const status = await get(`job/${job}`);
      if (failures) byId('trouble').textContent = '';
      failures = 0;
      if (!['waiting', 'running'].includes(status.state)) return status;
      show(status);
    } catch (error) {
      const isFinal = !(error instanceof Unreachable);
      if (isFinal || ++failures > MOST_FAILURES) throw error;
      byId('trouble').textContent = error.message;
      await sleep(1000);
    }
  }
}

/* Until the server has accepted the request. */
export function showSending() {
  byId('bar').removeAttribute('value');
  byId('far').textContent = 'Sending the request.';
  byId('stop').disabled = false;
}

/* After Cancel, until the job has ended. */
export function showStopping() {
  byId('far').textContent = 'Stopping after this step.';
  byId('stop').disabled = true;
}

function show(status) {
  const bar = byId('bar');
  if (status.total) [bar.max, bar.value] = [status.total, status.done];
  else bar.removeAttribute('value');
  if (!byId('stop').disabled) byId('far').textContent = describe(status);
}

function describe({ state, ahead, done, total, left }) {
  if (state === 'waiting') {
    return ahead ? `Waiting: ${ahead} before you.` : 'Waiting.';
  }
  if (!total) return 'Preparing; the first time takes longer.';
  const steps = `${done} of ${total} steps`;
  return left === null ? steps : `${steps}, ${duration(left)} left`;
}

function duration(seconds) {
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `about ${minutes} min`;
  return `about ${Math.round(minutes / 60)} h`;
}
