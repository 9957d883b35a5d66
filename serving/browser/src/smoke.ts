import { ModelyardError } from './errors.js';
import type { BundleFiles } from './files.js';
import type { Check } from './opener.js';
import type { Answer, Row } from './parity.js';
import type { Image } from './preprocess.js';

interface Expected {
  readonly images: readonly { readonly file: string; readonly probabilities: readonly number[]; readonly boxes?: readonly Row[] }[];
  /** The score from which on a detector answers; 0 for a classifier. */
  readonly least?: number;
}

/**
 * A check for `load` from a bundle's `.smoke` folder: held-out images with the trained model's answers in `expected.json`.
 *
 * `decode` makes an image file's bytes pixels: `imageOf` in a browser. Rejects with ModelyardError `integrity` for what is no
 * such folder, and for a detector's that was exported before its boxes were kept.
 */
export async function smokeCheck(files: BundleFiles, decode: (file: Blob, name: string) => Promise<Image>): Promise<Check> {
  const { images, least = 0 } = parse(await files.read('expected.json'), files.name);
  const answers = images.map(({ probabilities, boxes }): Answer => (least > 0 ? (boxes ?? fail(files.name, 'has no boxes')) : probabilities));
  const pixels: Image[] = [];
  for (const { file } of images) pixels.push(await decode(new Blob([(await files.read(file)) as Uint8Array<ArrayBuffer>]), file));
  return { images: pixels, answers };
}

function parse(data: Uint8Array, name: string): Expected {
  try {
    const expected = JSON.parse(new TextDecoder().decode(data)) as Expected;
    if (Array.isArray(expected.images) && expected.images.length > 0) return expected;
  } catch {
    // as for a document of another form
  }
  return fail(name, 'is of a form that is not known here');
}

function fail(name: string, what: string): never {
  throw new ModelyardError('integrity', `expected.json in ${name}`, what, 'export the version again');
}
