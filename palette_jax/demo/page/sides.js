/* Handles on the sides of the photo, which are dragged outwards to add pixels.
   The number fields hold the values; the keyboard works in both places.      */

export const NAMES = ['left', 'right', 'top', 'bottom'];
const ACROSS = { left: true, right: true };
const BACKWARDS = { left: true, top: true };

export class Sides {
  /* frame: the parent of the handles; inputs: side -> number field;
     changed(dragging): called after each change. */
  constructor(frame, inputs, changed) {
    Object.assign(this, { frame, inputs, changed, scale: 1 });
    this.handles = {};
    for (const side of NAMES) {
      this.handles[side] = this.#handle(side);
      inputs[side].addEventListener('input', () => changed(false));
      inputs[side].addEventListener('change', () =>
        this.#set(side, inputs[side].valueAsNumber || 0, false),
      );
    }
  }

  /* Starts with another photo: adds half of its width on the right. */
  start(photo) {
    this.photo = photo;
    for (const side of NAMES) {
      this.inputs[side].max = this.#most(side);
      this.inputs[side].value = side === 'right' ? photo.width >> 1 : 0;
    }
  }

  get values() {
    const value = (side) => {
      const pixels = Math.round(this.inputs[side].valueAsNumber) || 0;
      return Math.min(Math.max(pixels, 0), this.#most(side));
    };
    return Object.fromEntries(NAMES.map((side) => [side, value(side)]));
  }

  /* Puts the handles on the borders of the enlarged photo. */
  place(scale) {
    this.scale = scale;
    const { offsetLeft, offsetTop, offsetWidth, offsetHeight } =
      this.frame.querySelector('#added');
    const middle = {
      x: offsetLeft + offsetWidth / 2,
      y: offsetTop + offsetHeight / 2,
    };
    const places = {
      left: [offsetLeft, middle.y],
      right: [offsetLeft + offsetWidth, middle.y],
      top: [middle.x, offsetTop],
      bottom: [middle.x, offsetTop + offsetHeight],
    };
    for (const [side, pixels] of Object.entries(this.values)) {
      const handle = this.handles[side];
      [handle.style.left, handle.style.top] = places[side].map((x) => `${x}px`);
      handle.setAttribute('aria-valuenow', pixels);
      handle.setAttribute('aria-valuetext', `${pixels} pixels`);
      handle.setAttribute('aria-valuemax', this.#most(side));
    }
  }

  show(shown) {
    for (const handle of Object.values(this.handles)) handle.hidden = !shown;
  }

  #most(side) {
    if (!this.photo) return 0;
    return ACROSS[side] ? this.photo.width : this.photo.height;
  }

  #set(side, pixels, dragging) {
    const most = this.#most(side);
    this.inputs[side].value = Math.min(Math.max(Math.round(pixels), 0), most);
    this.changed(dragging);
  }

  #handle(side) {
    const handle = document.createElement('div');
    handle.className = `handle ${side}`;
    handle.tabIndex = 0;
    handle.hidden = true;
    handle.setAttribute('role', 'slider');
    handle.setAttribute('aria-label', `Add on the ${side}`);
    handle.setAttribute('aria-valuemin', 0);
    const isAcross = ACROSS[side];
    handle.setAttribute(
      'aria-orientation',
      isAcross ? 'horizontal' : 'vertical',
    );
    this.frame.append(handle);
    const sign = BACKWARDS[side] ? -1 : 1;

    handle.addEventListener('pointerdown', (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      event.preventDefault();
      handle.focus({ preventScroll: true });
      handle.setPointerCapture(event.pointerId);
      const place = () => (isAcross ? event.clientX : event.clientY);
      this.drag = { side, from: place(), value: this.values[side] };
    });
    handle.addEventListener('pointermove', (event) => {
      if (this.drag?.side !== side) return;
      const place = isAcross ? event.clientX : event.clientY;
      const moved = (sign * (place - this.drag.from)) / this.scale;
      this.#set(side, this.drag.value + moved, true);
    });
    for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      handle.addEventListener(name, () => {
        if (this.drag?.side !== side) return;
        this.drag = null;
        this.changed(false);
      });
    }
    handle.addEventListener('keydown', (event) => {
      const outwards = {
        left: { ArrowLeft: 1, ArrowRight: -1 },
        right: { ArrowRight: 1, ArrowLeft: -1 },
        top: { ArrowUp: 1, ArrowDown: -1 },
        bottom: { ArrowDown: 1, ArrowUp: -1 },
      }[side][event.key];
      if (!outwards) return;
      event.preventDefault();
      const step = event.shiftKey ? 1 : 16;
      this.#set(side, this.values[side] + outwards * step, false);
    });
    return handle;
  }
}
