/* Results: each under a slider that compares it with the photo before. */

const byId = (id) => document.getElementById(id);

/* Shows the results of a job; resolves to their element once it is visible.

   job      its ID
   count    the number of results
   words    {title, before, after}: texts, partly for screen readers
   links    [text, address] of the files from which the results were made    */
export async function showResults(job, count, words, links) {
  const group = document.createElement('article');
  const title = document.createElement('h2');
  title.textContent = words.title;
  const cards = document.createElement('div');
  cards.className = 'cards';
  cards.dataset.count = count;
  for (let i = 0; i < count; i++) cards.append(card(job, i, count, words));
  group.append(title, cards, again(links));
  byId('results').prepend(group);
  await Promise.all(
    [...group.querySelectorAll('img')].map((image) =>
      image.decode().catch(() => {}),
    ),
  );
  return group;
}

function card(job, i, count, words) {
  const node = byId('card').content.cloneNode(true);
  const find = (name) => node.querySelector(name);
  const which = count > 1 ? `Sample ${i + 1} of ${count}` : 'Result';
  find('.before').src = `job/${job}/before`;
  find('.before').alt = words.before;
  find('.after').src = `job/${job}/${i}/view`;
  find('.after').alt = `${words.after}, ${which.toLowerCase()}`;
  find('.which').textContent = which;
  find('.save').href = `job/${job}/${i}/file`;
  find('.save').setAttribute('aria-label', `Download PNG, ${which}`);
  const compare = find('.compare');
  const range = find('input');
  range.setAttribute(
    'aria-label',
    `${which}: how much of ${words.before} is shown, from the left`,
  );
  const show = () => {
    compare.style.setProperty('--at', `${range.value}%`);
    range.setAttribute('aria-valuetext', `${range.value}%`);
  };
  range.addEventListener('input', show);
  show();
  const after = find('.after');
  after.addEventListener('load', () => {
    const { naturalWidth: width, naturalHeight: height } = after;
    compare.style.setProperty('--ratio', width / height);
    compare.style.setProperty('--natural', `${width}px`);
  });
  return node;
}

function again(links) {
  const line = document.createElement('p');
  line.className = 'soft';
  line.append('The PNG holds its recipe: ');
  const command = document.createElement('code');
  command.textContent = 'palette replay';
  line.append(command, ' makes it again');
  links.forEach(([text, address], i) => {
    const link = document.createElement('a');
    link.href = address;
    link.download = '';
    link.textContent = text;
    line.append(i ? ' and ' : ' from ', link);
  });
  line.append('.');
  return line;
}
