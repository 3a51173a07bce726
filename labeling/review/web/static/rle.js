// Masks as COCO's compressed run lengths: read, written, measured and traced without a picture in between.
//
// A mask is read column by column (down, then right); runs alternate between zeros and ones, zeros first. A character
// holds five bits of a number, low ones first, and whether more follow; from the fourth number on, it is the difference
// to the run two before.

const FIRST_CODE = 48;

/** The run lengths of {size, counts}; an Error names counts that are broken. */
export function runsOf({ size, counts }) {
  const runs = [];
  let [value, shift, total] = [0, 0, 0];
  for (let i = 0; i < counts.length; i += 1) {
    const code = counts.charCodeAt(i) - FIRST_CODE;
    if (code < 0 || code > 63) throw new Error(`RLE counts hold ${JSON.stringify(counts[i])}; expected '0' to 'o'`);
    value |= (code & 0x1f) << shift;
    shift += 5;
    if (code & 0x20) continue;
    if (code & 0x10 && shift < 32) value |= -1 << shift;
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
    total += value;
    [value, shift] = [0, 0];
  }
  if (shift || total !== size[0] * size[1]) throw new Error(`RLE runs add up to ${total}; expected ${size[0] * size[1]}`);
  return runs;
}

/** Run lengths as {size, counts}. */
export function fromRuns(runs, size) {
  const text = [];
  for (let i = 0; i < runs.length; i += 1) {
    let rest = i > 2 ? runs[i] - runs[i - 2] : runs[i];
    for (let more = true; more;) {
      let code = rest & 0x1f;
      rest >>= 5;
      more = code & 0x10 ? rest !== -1 : rest !== 0;
      if (more) code |= 0x20;
      text.push(String.fromCharCode(code + FIRST_CODE));
    }
  }
  return { size, counts: text.join("") };
}

/** The mask of that size without any pixel: "absent here". */
export function emptyMask(height, width) {
  return fromRuns([height * width], [height, width]);
}

/** The mask as bytes, row by row: 1 on, 0 off. */
export function decode(rle) {
  const [height, width] = rle.size;
  const pixels = new Uint8Array(height * width);
  eachSpan(rle, (x, top, bottom) => {
    for (let y = top; y < bottom; y += 1) pixels[y * width + x] = 1;
  });
  return pixels;
}

/** How many pixels are on. */
export function area(rle) {
  return runsOf(rle).reduce((sum, run, i) => (i % 2 ? sum + run : sum), 0);
}

/** The box around the mask as [x0, y0, x1, y1], or null for an empty one. */
export function boxOf(rle) {
  let [x0, y0, x1, y1] = [Infinity, Infinity, -1, -1];
  eachSpan(rle, (x, top, bottom) => {
    [x0, x1] = [Math.min(x0, x), Math.max(x1, x + 1)];
    [y0, y1] = [Math.min(y0, top), Math.max(y1, bottom)];
  });
  return x1 < 0 ? null : [x0, y0, x1, y1];
}

/** Calls visit(x, top, bottom) for each piece of a column that is on, left to right, top to bottom. */
export function eachSpan(rle, visit) {
  const height = rle.size[0];
  let at = 0;
  runsOf(rle).forEach((run, i) => {
    const end = at + run;
    while (i % 2 && at < end) {
      const x = Math.floor(at / height);
      const bottom = Math.min(end - x * height, height);
      visit(x, at - x * height, bottom);
      at = x * height + bottom;
    }
    at = end;
  });
}

/** The mask's outlines as closed polygons of pixel corners [x, y, x, y, ...]; holes turn the other way. */
export function outlines(rle) {
  const edges = new Edges(rle.size[0] + 1);
  let [before, column, current] = [[], [], -1];
  const flush = (x) => {
    if (current >= 0) edges.between(before, column, current);
    if (current >= 0 && x !== current + 1) edges.between(column, [], current + 1);
    before = x === current + 1 ? column : [];
    [column, current] = [[], x];
  };
  eachSpan(rle, (x, top, bottom) => {
    if (x !== current) flush(x);
    // Two runs that meet in one column (a run of zeros of length 0) are one piece.
    if (column.length && column[column.length - 1] === top) column[column.length - 1] = bottom;
    else column.push(top, bottom);
  });
  if (current >= 0) flush(-2);
  return edges.polygons();
}

/** Directed borders of pixels with the mask on their right hand as seen on the screen, linked from corner to corner. */
class Edges {
  #next = new Map();
  #second = new Map();

  constructor(stride) {
    this.stride = stride;
  }

  /** Borders between two neighbouring columns at `x`, and the horizontal ones of the right column. */
  between(left, right, x) {
    for (let i = 0; i < right.length; i += 2) {
      this.#add(x, right[i], x + 1, right[i]);
      this.#add(x + 1, right[i + 1], x, right[i + 1]);
    }
    const cuts = [...new Set([...left, ...right])].sort((a, b) => a - b);
    for (let i = 1; i < cuts.length; i += 1) {
      const [inLeft, inRight] = [covers(left, cuts[i - 1]), covers(right, cuts[i - 1])];
      if (inRight && !inLeft) this.#add(x, cuts[i], x, cuts[i - 1]);
      else if (inLeft && !inRight) this.#add(x, cuts[i - 1], x, cuts[i]);
    }
  }

  #add(x0, y0, x1, y1) {
    const [from, to] = [x0 * this.stride + y0, x1 * this.stride + y1];
    // Where two corners of the mask touch, a point has two ways on.
    (this.#next.has(from) ? this.#second : this.#next).set(from, to);
  }

  polygons() {
    const found = [];
    for (const start of this.#next.keys()) {
      while (this.#next.has(start)) found.push(this.#walk(start));
    }
    return found;
  }

  #walk(start) {
    const corners = [];
    let [at, slope] = [start, null];
    do {
      const to = this.#take(at);
      const turned = this.#slope(at, to);
      if (turned !== slope) corners.push(Math.floor(at / this.stride), at % this.stride);
      [at, slope] = [to, turned];
    } while (at !== start);
    return corners;
  }

  #slope(from, to) {
    const along = Math.floor(to / this.stride) - Math.floor(from / this.stride);
    return along === 0 ? (to > from ? "down" : "up") : along > 0 ? "right" : "left";
  }

  #take(at) {
    const to = this.#next.get(at);
    const spare = this.#second.get(at);
    this.#next.delete(at);
    this.#second.delete(at);
    if (spare !== undefined) this.#next.set(at, spare);
    return to;
  }
}

function covers(spans, y) {
  for (let i = 0; i < spans.length; i += 2) if (spans[i] <= y && y < spans[i + 1]) return true;
  return false;
}
