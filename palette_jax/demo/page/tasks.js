/* What can be done to a photo, in words. */

export const TASKS = {
  colorization: {
    tab: 'Colorize',
    hint: 'Colours are made up; brightness stays as it is.',
    before: 'the photo in grey',
    after: 'the photo in colour',
  },
  inpainting: {
    tab: 'Inpaint',
    hint: 'Paint over what shall be made anew. All else stays, bit for bit.',
    before: 'the photo',
    after: 'the photo with the painted part made anew',
  },
  uncropping: {
    tab: 'Uncrop',
    hint: 'Drag a side outwards. What is there stays, bit for bit.',
    before: 'the photo alone',
    after: 'the photo, continued',
  },
  jpeg: {
    tab: 'Restore JPEG',
    hint: 'Blocks and smears of a strongly compressed JPEG are removed.',
    before: 'the JPEG',
    after: 'the photo, restored',
  },
};
