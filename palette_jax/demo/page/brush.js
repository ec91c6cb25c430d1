/* The mask: strokes on a canvas over the photo, by mouse, pen, finger or keys.

   Strokes are kept as points, so that undo can draw the others again. A mask
   from a file is the first stroke.                                          */

const LARGEST = 2048; // pixels a side; phones refuse larger canvases
const COLOUR = '#ff00ff';

export class Brush {
  /* `ring` shows the place and the size of the brush on `canvas`; changed() is
     called after each stroke. */
  constructor(canvas, ring, changed) {
    Object.assign(this, { canvas, ring, changed, erasing: false, share: 0.08 });
    this.context = canvas.getContext('2d');
    this.start({ width: 1, height: 1 });
    canvas.addEventListener('pointerdown', (event) => this.#down(event));
    canvas.addEventListener('pointermove', (event) => this.#move(event));
    for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      canvas.addEventListener(name, () => this.#lift());
    }
    canvas.addEventListener('pointerleave', () => (ring.hidden = true));
    canvas.addEventListener('blur', () => {
      ring.hidden = true;
      this.#lift();
    });
    canvas.addEventListener('keydown', (event) => this.#key(event));
  }

  /* Starts an empty mask for a photo. */
  start(photo) {
    const scale = Math.min(1, LARGEST / Math.max(photo.width, photo.height));
    this.canvas.width = Math.max(1, Math.round(photo.width * scale));
    this.canvas.height = Math.max(1, Math.round(photo.height * scale));
    this.at = { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    this.strokes = [];
    this.stroke = null;
    this.lowered = false;
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  /* Replaces all strokes by an image that is white in the hole. */
  open(picture) {
    this.#lift();
    const { width, height } = this.canvas;
    const sheet = new OffscreenCanvas(width, height);
    const context = sheet.getContext('2d');
    context.drawImage(picture, 0, 0, width, height);
    const image = context.getImageData(0, 0, width, height);
    for (let i = 0; i < image.data.length; i += 4) {
      const white = image.data[i] >= 128;
      image.data.set([255, 0, 255, white ? 255 : 0], i);
    }
    context.putImageData(image, 0, 0);
    this.strokes = [{ sheet }];
    this.#redraw();
  }

  undo() {
    this.#lift();
    this.strokes.pop();
    this.#redraw();
    this.changed();
  }

  clear() {
    this.#lift();
    this.strokes = [];
    this.#redraw();
    this.changed();
  }

  /* Returns the mask as a PNG file, white on black. */
  async file() {
    const { width, height } = this.canvas;
    const sheet = new OffscreenCanvas(width, height);
    const context = sheet.getContext('2d');
    context.drawImage(this.canvas, 0, 0);
    context.globalCompositeOperation = 'source-in';
    context.fillStyle = 'white';
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = 'destination-over';
    context.fillStyle = 'black';
    context.fillRect(0, 0, width, height);
    return sheet.convertToBlob({ type: 'image/png' });
  }

  /* Shows the ring at the brush, in its size. */
  show() {
    const box = this.canvas.getBoundingClientRect();
    const scale = box.width / this.canvas.width;
    const size = this.#width() * scale;
    const style = this.ring.style;
    style.width = style.height = `${size}px`;
    style.left = `${this.canvas.offsetLeft + this.at.x * scale - size / 2}px`;
    style.top = `${this.canvas.offsetTop + this.at.y * scale - size / 2}px`;
    this.ring.hidden = false;
  }

  #width() {
    return this.share * Math.max(this.canvas.width, this.canvas.height);
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) / box.width) * this.canvas.width,
      y: ((event.clientY - box.top) / box.height) * this.canvas.height,
    };
  }

  #down(event) {
    if (!event.isPrimary || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#begin(this.#place(event));
  }

  #move(event) {
    if (!event.isPrimary) return;
    this.at = this.#place(event);
    this.show();
    if (!this.stroke) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) {
      this.#line(this.#place(each));
    }
  }

  #lift() {
    this.lowered = false;
    if (!this.stroke) return;
    this.stroke = null;
    this.changed();
  }

  #begin(place) {
    this.at = place;
    this.stroke = {
      points: [place],
      width: this.#width(),
      erasing: this.erasing,
    };
    this.strokes.push(this.stroke);
    this.#draw(this.stroke);
  }

  #line(place) {
    this.at = place;
    const { points } = this.stroke;
    points.push(place);
    this.#draw({ ...this.stroke, points: points.slice(-2) });
  }

  #draw({ sheet, points, width, erasing }) {
    const context = this.context;
    if (sheet) {
      context.drawImage(sheet, 0, 0);
      return;
    }
    context.globalCompositeOperation = erasing
      ? 'destination-out'
      : 'source-over';
    context.fillStyle = context.strokeStyle = COLOUR;
    context.lineWidth = width;
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    context.arc(points[0].x, points[0].y, width / 2, 0, 2 * Math.PI);
    context.fill();
    context.beginPath();
    points.forEach(({ x, y }) => context.lineTo(x, y));
    context.stroke();
    context.globalCompositeOperation = 'source-over';
  }

  #redraw() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.strokes.forEach((stroke) => this.#draw(stroke));
  }

  /* Arrow keys move the brush; the space bar lowers and lifts it. */
  #key(event) {
    const way = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    }[event.key];
    if (way && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      const step = this.#width() * (event.shiftKey ? 1 : 0.25);
      const within = (value, most) => Math.min(Math.max(value, 0), most);
      const place = {
        x: within(this.at.x + step * way[0], this.canvas.width),
        y: within(this.at.y + step * way[1], this.canvas.height),
      };
      if (this.lowered && this.stroke) this.#line(place);
      this.at = place;
      this.show();
    } else if (event.key === ' ' && !event.repeat) {
      event.preventDefault();
      this.lowered = !this.lowered;
      if (this.lowered) this.#begin(this.at);
      else this.#lift();
      this.show();
    }
  }
}
