/**
 * From a detector's raw output to boxes: what a runtime without the operations for it leaves to its client.
 *
 * The network was cut before its boxes are decoded. Its output has, for each cell of each stride, the logits of four
 * distances (from the cell's centre to the box's left, top, right and bottom, each a distribution over `bins` whole
 * numbers, counted in strides) and of the classes.
 */

export interface Rule {
  /** Boxes of a lower score are no detections. */
  readonly score: number;
  /** Boxes of one class that overlap more lose to the better one: intersection over union. */
  readonly iou: number;
  /** How many detections an image has at most. */
  readonly most: number;
}

export interface Head {
  /** The side of the network's square input, in pixels. */
  readonly size: number;
  readonly strides: readonly number[];
  readonly classes: number;
  readonly rule: Rule;
}

export interface Detection {
  /** Left, top, right and bottom, in pixels. */
  readonly box: readonly [number, number, number, number];
  readonly score: number;
  readonly class: number;
}

/** How an image was put into the network's square input. */
export interface Placement {
  readonly width: number;
  readonly height: number;
  readonly ratio: number;
  readonly left: number;
  readonly top: number;
}

interface Cell {
  readonly x: number;
  readonly y: number;
  readonly stride: number;
}

function cellsOf(head: Head): Cell[] {
  const cells: Cell[] = [];
  for (const stride of head.strides) {
    const side = Math.ceil(head.size / stride);
    for (let y = 0; y < side; y += 1) for (let x = 0; x < side; x += 1) cells.push({ x: x + 0.5, y: y + 0.5, stride });
  }
  return cells;
}

/** The mean of a distribution over 0, 1, 2, … that is given by logits; a single number is the distance itself. */
function expectation(logits: readonly number[]): number {
  if (logits.length === 1) return logits[0] ?? Number.NaN;
  const highest = Math.max(...logits);
  let sum = 0;
  let mean = 0;
  logits.forEach((logit, value) => {
    const weight = Math.exp(logit - highest);
    sum += weight;
    mean += weight * value;
  });
  return mean / sum;
}

/**
 * One image's raw output → detections, best first, in pixels of the network's input.
 *
 * `raw` holds `channels * cells` numbers; `cellsLast` says whether a channel's cells lie together (ONNX) or a cell's
 * channels do (what the TensorFlow converters make of it). Throws where the output has another size than the head says.
 */
export function decode(raw: ArrayLike<number>, head: Head, cellsLast: boolean): Detection[] {
  const cells = cellsOf(head);
  const channels = raw.length / cells.length;
  const bins = (channels - head.classes) / 4;
  if (!Number.isInteger(bins) || bins < 1) {
    throw new RangeError(`raw output of ${raw.length} numbers does not fit ${cells.length} cells and ${head.classes} classes`);
  }
  const at = (channel: number, cell: number): number =>
    raw[cellsLast ? channel * cells.length + cell : cell * channels + channel] ?? Number.NaN;
  const boxes: Detection[] = [];
  cells.forEach((cell, index) => {
    let best = 0;
    for (let kind = 1; kind < head.classes; kind += 1) if (at(4 * bins + kind, index) > at(4 * bins + best, index)) best = kind;
    const score = 1 / (1 + Math.exp(-at(4 * bins + best, index)));
    if (!(score > head.rule.score)) return;
    const [left = 0, top = 0, right = 0, bottom = 0] = [0, 1, 2, 3].map((side) =>
      expectation(Array.from({ length: bins }, (_, bin) => at(side * bins + bin, index))),
    );
    const { x, y, stride } = cell;
    boxes.push({ box: [(x - left) * stride, (y - top) * stride, (x + right) * stride, (y + bottom) * stride], score, class: best });
  });
  return suppress(boxes, head.rule);
}

function area(box: Detection['box']): number {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

/** Intersection over union. */
export function overlap(box: Detection['box'], other: Detection['box']): number {
  const width = Math.min(box[2], other[2]) - Math.max(box[0], other[0]);
  const height = Math.min(box[3], other[3]) - Math.max(box[1], other[1]);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / (area(box) + area(other) - both);
}

/** Non-maximum suppression, class by class: the best boxes, best first. */
export function suppress(boxes: readonly Detection[], rule: Rule): Detection[] {
  const kept: Detection[] = [];
  for (const box of [...boxes].sort((a, b) => b.score - a.score)) {
    if (kept.length === rule.most) break;
    if (kept.every((other) => other.class !== box.class || overlap(box.box, other.box) <= rule.iou)) kept.push(box);
  }
  return kept;
}

/** A detection in the pixels of the image that was placed. */
export function toImage(detection: Detection, placement: Placement): Detection {
  const { ratio, left, top, width, height } = placement;
  const along = (value: number, margin: number, most: number): number => Math.min(Math.max((value - margin) / ratio, 0), most);
  const [x1, y1, x2, y2] = detection.box;
  return { ...detection, box: [along(x1, left, width), along(y1, top, height), along(x2, left, width), along(y2, top, height)] };
}
