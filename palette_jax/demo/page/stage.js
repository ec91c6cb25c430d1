/* The place of the photo on the page: as large as fits, with added sides. */

const byId = (id) => document.getElementById(id);
const LARGEST = 3; // times its own size, or tiny photos would be mere blocks

/* Lays out the frame.

   photo   {width, height}
   sides   {left, right, top, bottom}, pixels to add
   room    free space around the photo for dragging, as a share of its sides
   before  the layout at the start of a drag: only the added sides change
           during one

   Returns {scale, left, top}: CSS pixels per pixel of the photo, and its place
   in the frame.                                                             */
export function layOut(photo, sides, room, before) {
  const wide = photo.width + sides.left + sides.right;
  const high = photo.height + sides.top + sides.bottom;
  let at = before;
  if (!at) {
    const free = [room * photo.width, room * photo.height];
    const [all, tall] = [wide + 2 * free[0], high + 2 * free[1]];
    const most = Math.max(240, Math.min(0.68 * innerHeight, 760));
    const across = byId('stage').clientWidth / all;
    const scale = Math.min(across, most / tall, LARGEST);
    at = {
      scale,
      left: (free[0] + sides.left) * scale,
      top: (free[1] + sides.top) * scale,
    };
    place(byId('frame'), null, null, all * scale, tall * scale);
    const size = [photo.width * scale, photo.height * scale];
    for (const id of ['photo', 'mask']) place(byId(id), at.left, at.top, ...size);
  }
  place(
    byId('added'),
    at.left - sides.left * at.scale,
    at.top - sides.top * at.scale,
    wide * at.scale,
    high * at.scale,
  );
  return at;
}

function place(element, left, top, width, height) {
  const style = element.style;
  if (left !== null) [style.left, style.top] = [`${left}px`, `${top}px`];
  [style.width, style.height] = [`${width}px`, `${height}px`];
}
