import type { Bundle } from './bundle.js';
import { decode, type Detection, toImage } from './detections.js';
import type { Engine, Output } from './engines/engine.js';
import { ModelyardError } from './errors.js';
import { type Answer, type Row } from './parity.js';
import { fitted, type Image, isFittedBefore, rgbOf, tensorOf } from './preprocess.js';
import type { Placement } from './detections.js';

/** What an engine is given, and where the image lies in it (undefined where the boxes are in the image's own pixels). */
interface Given {
  readonly input: Float32Array | Uint8Array;
  readonly shape: readonly number[];
  readonly placement: Placement | undefined;
}

/**
 * One image through one engine: probabilities in the order of the labels, or detections in the image's pixels.
 *
 * Throws ModelyardError: `input` for what is no image, `integrity` for an output that does not fit the bundle.
 */
export async function answerOf(engine: Engine, variant: string, bundle: Bundle, image: Image): Promise<Answer> {
  const { input, shape, placement } = given(engine, variant, bundle, image);
  const [output] = await engine.run(input, shape);
  if (!output) throw unfit(variant, 'it has no output');
  if (engine.gives === 'probabilities') return probabilities(output, variant, bundle);
  const boxes = engine.gives === 'raw' ? decoded(output, variant, bundle) : rows(output, variant, bundle);
  const placed = placement ? boxes.map((box) => toImage(box, placement)) : boxes;
  return placed.map(({ box, score, class: kind }): Row => [...box, score, kind]);
}

/** One image → what the network's last layer is given for it. Throws ModelyardError `input` where the engine does not show it. */
export async function featuresOf(engine: Engine, variant: string, bundle: Bundle, image: Image): Promise<Float32Array> {
  if (!engine.features) {
    const what = 'does not show the features of an image';
    throw new ModelyardError('input', `${engine.name} (${variant})`, what, 'use a TensorFlow.js engine and a classifier that ends in a dense layer');
  }
  const { input, shape } = given(engine, variant, bundle, image);
  return (await engine.features(input, shape)).data;
}

function given(engine: Engine, variant: string, bundle: Bundle, image: Image): Given {
  const { preprocess } = bundle;
  const { size } = preprocess;
  const { width, height } = image;
  const rgb = rgbOf(image);
  if (engine.takes === 'image' && !isFittedBefore(preprocess)) return { input: rgb, shape: [1, height, width, 3], placement: undefined };
  const { pixels, placement } = fitted(rgb, width, height, preprocess);
  if (engine.takes === 'image') return { input: pixels, shape: [1, size, size, 3], placement };
  const layout = /^(tfjs|litert)-/.test(variant) ? 'NHWC' : preprocess.layout;
  const shape = layout === 'NCHW' ? [1, 3, size, size] : [1, size, size, 3];
  return { input: tensorOf(pixels, size, layout), shape, placement };
}

function unfit(variant: string, why: string): ModelyardError {
  return new ModelyardError('integrity', `variant '${variant}'`, `does not fit its bundle: ${why}`, 'export the version again');
}

function probabilities({ data }: Output, variant: string, { labels }: Bundle): number[] {
  if (data.length !== labels.length) throw unfit(variant, `${data.length} numbers for ${labels.length} labels`);
  return Array.from(data);
}

/** A graph with suppression: rows of six numbers, filled up with zeros. */
function rows({ data, shape }: Output, variant: string, { labels }: Bundle): Detection[] {
  const width = 6;
  if (shape.at(-1) !== width) throw unfit(variant, `rows of ${String(shape.at(-1))} numbers and not of ${width}`);
  const boxes: Detection[] = [];
  for (let at = 0; at < data.length; at += width) {
    const [left, top, right, bottom, score, kind] = data.subarray(at, at + width) as unknown as [number, number, number, number, number, number];
    if (!(score > 0)) continue;
    if (labels[kind] === undefined) throw unfit(variant, `class ${kind} of ${labels.length}`);
    boxes.push({ box: [left, top, right, bottom], score, class: kind });
  }
  return boxes;
}

function decoded({ data, shape }: Output, variant: string, { preprocess, labels, decoding }: Bundle): Detection[] {
  if (!decoding) throw unfit(variant, 'there is no detector.json to decode its boxes by');
  const { size } = preprocess;
  const cells = decoding.strides.reduce((sum, stride) => sum + Math.ceil(size / stride) ** 2, 0);
  try {
    return decode(data, { size, classes: labels.length, ...decoding }, shape.at(-1) === cells);
  } catch (error) {
    throw unfit(variant, error instanceof Error ? error.message : String(error));
  }
}
