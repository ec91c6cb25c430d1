/* The choices: tasks, photos of the gallery, files from the device. */

import { withTexts } from './tasks.js';

const byId = (id) => document.getElementById(id);

/* Adds a tab for each task, which calls choose(name) unless isBusy(). */
export function buildTabs(tasks, choose, isBusy) {
  const tabs = tasks.map((task, i) => {
    const { name, experimental } = task;
    const tab = document.createElement('button');
    Object.assign(tab, { type: 'button', id: `tab-${name}` });
    tab.textContent = withTexts(task).tab;
    tab.dataset.task = name;
    tab.setAttribute('role', 'tab');
    tab.setAttribute('aria-controls', 'work');
    if (experimental) {
      const mark = document.createElement('small');
      mark.textContent = ' experimental';
      tab.append(mark);
    }
    tab.addEventListener('click', () => isBusy() || choose(name));
    tab.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step || isBusy()) return;
      const next = tabs[(i + step + tabs.length) % tabs.length];
      next.focus();
      choose(next.dataset.task);
    });
    return tab;
  });
  byId('tabs').append(...tabs);
}

/* Marks the tab of a task as selected. */
export function markTab(task) {
  for (const tab of byId('tabs').children) {
    const chosen = tab.dataset.task === task;
    tab.setAttribute('aria-selected', chosen);
    tab.tabIndex = chosen ? 0 : -1;
    if (chosen) byId('work').setAttribute('aria-labelledby', tab.id);
  }
}

/* Adds a button for each photo of the gallery, which calls take(id). */
export function buildGallery(gallery, take) {
  for (const { id, title, author, licence } of gallery) {
    const item = document.createElement('li');
    const button = document.createElement('button');
    const image = document.createElement('img');
    const caption = `${title}, by ${author} (${licence})`;
    Object.assign(image, { src: `gallery/${id}`, loading: 'lazy', alt: caption });
    Object.assign(button, { type: 'button', title: caption });
    button.append(image);
    button.addEventListener('click', () => take(id));
    item.append(button);
    byId('gallery').querySelector('ul').append(item);
  }
  byId('gallery').hidden = false;
}

/* Calls take(file) for a file that is dropped or pasted anywhere. */
export function listenForFiles(take) {
  const over = (is) => byId('easel').classList.toggle('over', is);
  addEventListener('dragover', (event) => {
    event.preventDefault(); // or the browser would open the file itself
    over(true);
  });
  addEventListener('dragleave', (event) => event.relatedTarget || over(false));
  addEventListener('drop', (event) => {
    event.preventDefault();
    over(false);
    take(event.dataTransfer.files[0]);
  });
  addEventListener('paste', (event) => {
    if (event.clipboardData.files.length) take(event.clipboardData.files[0]);
  });
}
