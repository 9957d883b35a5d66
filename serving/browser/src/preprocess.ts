import type { Placement } from './detections.js';
import { ModelyardError } from './errors.js';
import { letterbox } from './letterbox.js';
import { fit } from './resize.js';

/** A decoded image: rows from the top, RGB or RGBA (alpha is ignored), 8 bits a channel. */
export interface Image {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** How images become the network's input: a bundle's `preprocess.json`, field by field as Python reads it. */
export interface Preprocess {
  readonly size: number;
  readonly layout: 'NCHW' | 'NHWC';
  readonly resize: string;
  readonly crop: string;
  readonly scale: '1/255';
  /** `reduced`: JPEGs were decoded at a smaller scale in training. Who gives pixels decodes; the resize evens it out. */
  readonly decode: 'full' | 'reduced';
  readonly resized: number | null;
}

/** What the network sees of an image, and where it lies in it (undefined for a classifier). */
export interface Fitted {
  /** uint8 RGB `size` x `size`. */
  readonly pixels: Uint8Array;
  readonly placement: Placement | undefined;
}

const DEFAULTS = {
  layout: 'NCHW',
  resize: 'shortest side, bilinear, antialiased',
  crop: 'centre',
  scale: '1/255',
  decode: 'full',
  resized: null,
} as const;

const ALLOWED: Readonly<Record<string, readonly unknown[]>> = {
  layout: ['NCHW', 'NHWC'],
  resize: [
    'shortest side, bilinear, antialiased',
    'shortest side, bicubic, antialiased',
    'both sides, bilinear, antialiased',
    'both sides, bicubic, antialiased',
    'longest side, bilinear',
  ],
  crop: ['centre', 'centre, rounded down', 'none, padded with grey 114'],
  scale: ['1/255'],
  decode: ['full', 'reduced'],
};

const MAX_PIXELS = 64_000_000;
const MAX_ASPECT = 100;

/** Throws ModelyardError `newer` for an unknown field or value: a newer version's preprocessing must not be guessed. */
export function parsePreprocess(fields: unknown): Preprocess {
  if (typeof fields !== 'object' || fields === null) throw unsupported('what preprocess.json holds');
  const given: Record<string, unknown> = { ...DEFAULTS, ...fields };
  const { size, resized } = given;
  for (const name of Object.keys(given)) {
    if (name === 'size' || name === 'resized') continue;
    if (!ALLOWED[name]?.includes(given[name])) throw unsupported(`${name} '${String(given[name])}'`);
  }
  if (!Number.isInteger(size) || (size as number) <= 0) throw unsupported(`size ${String(size)}`);
  if (resized !== null && !(Number.isInteger(resized) && (resized as number) >= (size as number))) {
    throw unsupported(`resized ${String(resized)} for a crop of ${String(size)}`);
  }
  return given as unknown as Preprocess;
}

function unsupported(what: string): ModelyardError {
  return new ModelyardError('newer', 'preprocessing', `${what} is not supported here`, 'use a newer modelyard-browser, or export the version again');
}

/** Whether classifiers only need `size`: what the image graph is given then is left as it is. */
export function isFittedBefore(preprocess: Preprocess): boolean {
  return preprocess.resized === null && !preprocess.resize.startsWith('longest');
}

/** Throws ModelyardError `input` for an image that is too large, or too long, to be answered. The limits are the server's. */
export function checkSize(width: number, height: number): void {
  if (!(width > 0 && height > 0)) throw new ModelyardError('input', 'image', 'has no pixels', 'wait for the first frame, or give another image');
  if (width * height > MAX_PIXELS) {
    const what = `has ${(width * height / 1e6).toFixed(0)} megapixels, more than ${MAX_PIXELS / 1e6}`;
    throw new ModelyardError('input', 'image', what, 'give a smaller picture');
  }
  if (Math.max(width, height) > MAX_ASPECT * Math.min(width, height)) {
    throw new ModelyardError('input', 'image', `is more than ${MAX_ASPECT} times longer than it is wide`, 'crop it');
  }
}

/** uint8 RGB of an image; its own buffer where that is RGB already. Throws ModelyardError `input`. */
export function rgbOf(image: Image): Uint8Array {
  const { data, width, height } = image;
  const pixels = width * height;
  if (![width, height].every((side) => Number.isInteger(side) && side > 0) || ![3 * pixels, 4 * pixels].includes(data.length)) {
    const what = `${data.length} bytes are no RGB or RGBA picture of ${width} x ${height}`;
    throw new ModelyardError('input', 'image', what, 'give 3 or 4 bytes for each pixel');
  }
  checkSize(width, height);
  if (data.length === 3 * pixels) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const rgb = new Uint8Array(3 * pixels);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    rgb[to] = data[from] as number;
    rgb[to + 1] = data[from + 1] as number;
    rgb[to + 2] = data[from + 2] as number;
  }
  return rgb;
}

/** An image as the network sees it: resized and cropped, or in the middle of grey. */
export function fitted(rgb: Uint8Array, width: number, height: number, preprocess: Preprocess): Fitted {
  if (preprocess.resize.startsWith('longest')) return letterbox(rgb, width, height, preprocess.size);
  return { pixels: fit(rgb, width, height, preprocess.size, preprocess), placement: undefined };
}

/** uint8 RGB `[size, size, 3]` → float32 in 0..1, rounded as Python rounds it. */
export function tensorOf(pixels: Uint8Array, size: number, layout: 'NCHW' | 'NHWC'): Float32Array {
  const levels = Float32Array.from({ length: 256 }, (_, level) => level / 255);
  const tensor = new Float32Array(pixels.length);
  const area = size * size;
  for (let at = 0; at < pixels.length; at += 1) {
    const target = layout === 'NCHW' ? (at % 3) * area + Math.trunc(at / 3) : at;
    tensor[target] = levels[pixels[at] as number] as number;
  }
  return tensor;
}
