/** From what a browser has (files, cameras, bitmaps) to an image's pixels, upright and without color conversion. */

import { ModelyardError } from './errors.js';
import { checkSize, type Image } from './preprocess.js';
import { sizeIn } from './sizes.js';

/** What a page can be given. A Blob is an image file. */
export type Source = Image | Blob | ImageBitmap | VideoFrame | OffscreenCanvas | HTMLCanvasElement | HTMLVideoElement;

const DECODING: ImageBitmapOptions = { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' };
/** Enough for the header of every format, JPEGs with a large preview included. */
const HEADER = 1 << 18;

/**
 * The pixels of a source. A bitmap or a video's frame is not closed.
 *
 * Rejects with ModelyardError `input` for what is no image that this browser can decode, and for one of more than 64
 * megapixels, which is known from its header before anything is decoded.
 */
export async function imageOf(source: Source, name = 'image'): Promise<Image> {
  if (source instanceof Blob) return ofFile(source, name);
  if ('data' in source) return source;
  const [width, height] = sidesOf(source);
  checkSize(width, height);
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new ModelyardError('unavailable', '2D canvas', 'cannot be made', 'close other pages, and try again');
  context.drawImage(source, 0, 0);
  return { data: context.getImageData(0, 0, width, height).data, width, height };
}

async function ofFile(file: Blob, name: string): Promise<Image> {
  const size = sizeIn(new Uint8Array(await file.slice(0, HEADER).arrayBuffer()));
  if (size) checkSize(size.width, size.height);
  const bitmap = await createImageBitmap(file, DECODING).catch((error: unknown) => {
    throw new ModelyardError('input', name, 'is not an image that this browser can read', 'give a JPEG, PNG or WebP file', error);
  });
  try {
    return await imageOf(bitmap);
  } finally {
    bitmap.close();
  }
}

function sidesOf(source: Exclude<Source, Image | Blob>): [number, number] {
  if ('displayWidth' in source) return [source.displayWidth, source.displayHeight];
  if ('videoWidth' in source) return [source.videoWidth, source.videoHeight];
  return [source.width, source.height];
}
