/* The texts and the tool of each task. */

const TEXTS = {
  colorization: {
    tab: 'Colorize',
    hint: 'The colours are invented; the brightness stays as it is.',
    before: 'the photo in grey',
    after: 'the photo in colour',
  },
  inpainting: {
    tab: 'Inpaint',
    hint: 'Paint over what should be replaced. Every other pixel stays exactly as it is.',
    before: 'the photo',
    after: 'the photo with the painted part replaced',
  },
  uncropping: {
    tab: 'Uncrop',
    hint: 'Drag a side outwards. The photo itself stays exactly as it is.',
    before: 'the photo alone',
    after: 'the photo, continued',
  },
  jpeg: {
    tab: 'Restore JPEG',
    hint: 'Removes the blocks and smears of a strongly compressed JPEG.',
    before: 'the JPEG',
    after: 'the photo, restored',
  },
};

const TOOLS = { uncropping: 'sides', jpeg: 'quality' };

/* Returns a task of the server with {tab, hint, before, after, tool}. One that
   has no texts here is shown with those of its own file.                    */
export function withTexts(task) {
  const { name, label, description, has_mask } = task;
  return {
    ...task,
    tab: label,
    hint: description,
    before: 'the photo',
    after: 'the result',
    tool: TOOLS[name] ?? (has_mask ? 'brush' : ''),
    ...TEXTS[name],
  };
}
