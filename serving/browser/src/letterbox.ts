/** An image in the middle of a grey square, as Ultralytics' detectors are given it. */

import type { Placement } from './detections.js';
import { roundHalfEven } from './resize.js';

const GREY = 114;

interface Tap {
  readonly low: number;
  readonly high: number;
  readonly part: number;
}

/** For each output position, the two input positions around it and how far it is from the first. */
function taps(inputSize: number, outputSize: number): Tap[] {
  return Array.from({ length: outputSize }, (_, at) => {
    const centre = Math.min(Math.max(((at + 0.5) * inputSize) / outputSize - 0.5, 0), inputSize - 1);
    const low = Math.floor(centre);
    return { low, high: Math.min(low + 1, inputSize - 1), part: centre - low };
  });
}

/** How an image of a size is placed in a square. */
export function placementOf(width: number, height: number, size: number): Placement & { innerWidth: number; innerHeight: number } {
  const ratio = Math.min(size / height, size / width);
  const innerWidth = Math.max(roundHalfEven(width * ratio), 1);
  const innerHeight = Math.max(roundHalfEven(height * ratio), 1);
  const margin = (inner: number): number => roundHalfEven((size - inner) / 2 - 0.1);
  return { width, height, ratio, left: margin(innerWidth), top: margin(innerHeight), innerWidth, innerHeight };
}

/** uint8 RGB of any size → uint8 RGB `size` x `size`, and where the image lies in it. Bilinear, not antialiased. */
export function letterbox(
  rgb: Uint8Array,
  width: number,
  height: number,
  size: number,
): { pixels: Uint8Array; placement: Placement } {
  const placement = placementOf(width, height, size);
  const pixels = new Uint8Array(size * size * 3).fill(GREY);
  const across = taps(width, placement.innerWidth);
  taps(height, placement.innerHeight).forEach((down, y) => {
    across.forEach((over, x) => {
      const target = ((placement.top + y) * size + placement.left + x) * 3;
      for (let band = 0; band < 3; band += 1) {
        const at = (row: number, column: number): number => rgb[(row * width + column) * 3 + band] ?? 0;
        const upper = at(down.low, over.low) * (1 - over.part) + at(down.low, over.high) * over.part;
        const lower = at(down.high, over.low) * (1 - over.part) + at(down.high, over.high) * over.part;
        pixels[target + band] = Math.round(upper * (1 - down.part) + lower * down.part);
      }
    });
  });
  return { pixels, placement };
}
