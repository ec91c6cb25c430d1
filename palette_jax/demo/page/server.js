/* Requests to the server. */

export class Refused extends Error {}
export class Unreachable extends Refused {}

/* Returns the JSON of a response; throws Refused with a sentence. */
async function ask(path, request = {}) {
  let response;
  try {
    response = await fetch(path, { cache: 'no-store', ...request });
  } catch {
    throw new Unreachable(
      'The server cannot be reached. Is `palette demo` running?',
    );
  }
  const content = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Refused(content.error ?? 'The server failed; try again.');
  }
  return content;
}

export const get = (path) => ask(path);

export const post = (path, fields = {}) =>
  ask(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(fields),
  });

export const send = (path, file) =>
  ask(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/octet-stream' },
    body: file,
  });

/* Does not wait: the page may be closed before the answer comes. */
export function abandon(job) {
  fetch(`job/${job}/stop`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: '{}',
    keepalive: true,
  }).catch(() => {});
}
