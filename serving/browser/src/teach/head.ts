/** A new last layer for a network, trained in the page on the features that the network gives for its images. */

import type { Tensor2D, Variable } from '@tensorflow/tfjs-core';

import { unwrap } from '../engines/tfjs.js';
import { ModelyardError } from '../errors.js';
import { type Head, headScores } from './scores.js';
import { heldOutTakes } from './takes.js';

/** One image that was recorded: its features, its class, and the take that it came from. */
export interface Sample {
  readonly features: Float32Array;
  readonly label: string;
  /** Frames of one take look alike: a take is held out whole, or not at all. */
  readonly take: string;
}

/** After each epoch. */
export interface Tick {
  readonly epoch: number;
  readonly epochs: number;
  /** Cross-entropy over the samples that are trained on. */
  readonly loss: number;
}

export interface TeachOptions {
  readonly epochs?: number;
  readonly learningRate?: number;
  /** Weight decay of the layer's kernel. */
  readonly decay?: number;
  readonly seed?: number;
  readonly onTick?: (tick: Tick) => void;
}

/** What was learned, and how well. */
export interface Taught {
  readonly head: Head;
  readonly losses: readonly number[];
  /** The share of right answers on takes that were not trained on; undefined where every class has one take. */
  readonly accuracy: number | undefined;
  readonly heldOut: readonly string[];
  readonly heldOutSamples: number;
  readonly seconds: number;
}

const BATCH = 64;

type Tf = typeof import('@tensorflow/tfjs-core');

/**
 * Train a head with TensorFlow.js, on the backend that is in use or the first one that starts.
 *
 * Takes are held out first, a quarter of each class's and at least one where there are two, and the accuracy is measured on
 * them; the head that comes back is trained on the others only, so the accuracy is its own. The same samples and seed give
 * the same batches.
 * Rejects with ModelyardError `input` for fewer than two classes, or features of different lengths.
 */
export async function teach(samples: readonly Sample[], options: TeachOptions = {}): Promise<Taught> {
  const began = performance.now();
  const labels = checked(samples);
  const heldOut = heldOutTakes(samples);
  const [training, testing] = [samples.filter(({ take }) => !heldOut.has(take)), samples.filter(({ take }) => heldOut.has(take))];
  const scale = scaleOf(training);
  const { kernel, bias, losses } = await fit(training, labels, scale, options);
  const head = folded({ labels, kernel, bias }, scale);
  const right = testing.filter(({ features, label }) => best(headScores(head, features)) === labels.indexOf(label)).length;
  return {
    head,
    losses,
    accuracy: testing.length ? right / testing.length : undefined,
    heldOut: [...heldOut],
    heldOutSamples: testing.length,
    seconds: (performance.now() - began) / 1000,
  };
}

function best(scores: readonly number[]): number {
  return scores.indexOf(Math.max(...scores));
}

function checked(samples: readonly Sample[]): string[] {
  const labels = [...new Set(samples.map(({ label }) => label))];
  if (labels.length < 2) throw new ModelyardError('input', 'what was recorded', `shows ${labels.length} class`, 'record takes of two classes or more');
  if (new Set(samples.map(({ features }) => features.length)).size > 1) {
    throw new ModelyardError('input', 'what was recorded', 'has features of different lengths', 'record it again with one model');
  }
  return labels;
}

interface Scale {
  readonly mean: Float32Array;
  readonly deviation: Float32Array;
}

/** Each feature's mean and deviation: features of very different sizes would be learned at very different rates. */
function scaleOf(samples: readonly Sample[]): Scale {
  const width = samples[0]?.features.length ?? 0;
  const mean = new Float64Array(width);
  const square = new Float64Array(width);
  for (const { features } of samples) {
    for (let at = 0; at < width; at += 1) {
      const value = features[at] as number;
      mean[at] = (mean[at] as number) + value / samples.length;
      square[at] = (square[at] as number) + value ** 2 / samples.length;
    }
  }
  // A feature that never changes says nothing: a deviation of 1 leaves it at 0 instead of dividing by nothing.
  const deviation = square.map((value, at) => Math.sqrt(Math.max(value - (mean[at] as number) ** 2, 0)) || 1);
  return { mean: Float32Array.from(mean), deviation: Float32Array.from(deviation) };
}

async function fit(samples: readonly Sample[], labels: readonly string[], scale: Scale, options: TeachOptions): Promise<{ kernel: Float32Array; bias: Float32Array; losses: number[] }> {
  const { epochs = 40, learningRate = 0.01, decay = 1e-4, seed = 0, onTick } = options;
  const tf = await started();
  const width = scale.mean.length;
  const [inputs, targets] = tensors(tf, samples, labels, scale);
  const zeros = (shape: number[]): Variable => tf.tidy(() => tf.variable(tf.zeros(shape)));
  const [kernel, bias] = [zeros([width, labels.length]), zeros([labels.length])];
  const optimizer = tf.train.adam(learningRate);
  const random = generator(seed);
  const losses: number[] = [];
  try {
    for (let epoch = 1; epoch <= epochs; epoch += 1) {
      let sum = 0;
      for (const batch of batches(samples.length, random)) {
        const loss = tf.tidy(() => {
          const index = tf.tensor1d(batch, 'int32');
          const [x, y] = [tf.gather(inputs, index), tf.gather(targets, index)];
          const logits = tf.add(tf.matMul(x as Tensor2D, kernel as Tensor2D), bias);
          // By hand: TensorFlow.js registers its gradients as a side effect of a module that bundlers and Node see differently.
          const error = tf.div(tf.sub(tf.softmax(logits), y), batch.length);
          optimizer.applyGradients([
            { name: kernel.name, tensor: tf.add(tf.matMul(x, error as Tensor2D, true), tf.mul(2 * decay, kernel)) },
            { name: bias.name, tensor: tf.sum(error, 0) },
          ]);
          return tf.neg(tf.mean(tf.sum(tf.mul(y, tf.logSoftmax(logits)), 1)));
        });
        sum += ((await loss.data())[0] ?? NaN) * batch.length;
        loss.dispose();
      }
      losses.push(sum / samples.length);
      onTick?.({ epoch, epochs, loss: sum / samples.length });
    }
    return { kernel: Float32Array.from(await kernel.data()), bias: Float32Array.from(await bias.data()), losses };
  } finally {
    optimizer.dispose();
    tf.dispose([inputs, targets, kernel, bias]);
  }
}

/** TensorFlow.js on a backend: that of the engine, or the CPU's, which every page has. */
async function started(): Promise<Tf> {
  const tf: Tf = unwrap(await import('@tensorflow/tfjs-core'));
  await import('@tensorflow/tfjs-backend-cpu');
  if (!tf.getBackend()) await tf.setBackend('cpu');
  return tf;
}

function tensors(tf: Tf, samples: readonly Sample[], labels: readonly string[], { mean, deviation }: Scale): [Tensor2D, Tensor2D] {
  const width = mean.length;
  const inputs = new Float32Array(samples.length * width);
  const targets = new Float32Array(samples.length * labels.length);
  samples.forEach(({ features, label }, row) => {
    features.forEach((value, at) => (inputs[row * width + at] = (value - (mean[at] as number)) / (deviation[at] as number)));
    targets[row * labels.length + labels.indexOf(label)] = 1;
  });
  return [tf.tensor2d(inputs, [samples.length, width]), tf.tensor2d(targets, [samples.length, labels.length])];
}

/** The same layer for features as they are: `(x - mean) / deviation · K + b` is `x · K' + b'`. */
function folded({ labels, kernel, bias }: Head, { mean, deviation }: Scale): Head {
  const shifted = Float64Array.from(bias);
  const scaled = kernel.map((weight, at) => weight / (deviation[Math.trunc(at / labels.length)] as number));
  scaled.forEach((weight, at) => {
    const column = at % labels.length;
    shifted[column] = (shifted[column] as number) - weight * (mean[Math.trunc(at / labels.length)] as number);
  });
  return { labels, kernel: scaled, bias: Float32Array.from(shifted) };
}

function* batches(count: number, random: () => number): Generator<number[]> {
  const order = Array.from({ length: count }, (_, at) => at);
  for (let at = count - 1; at > 0; at -= 1) {
    const other = Math.trunc(random() * (at + 1));
    [order[at], order[other]] = [order[other] as number, order[at] as number];
  }
  for (let at = 0; at < count; at += BATCH) yield order.slice(at, at + BATCH);
}

/** Numbers in 0..1 that are the same for a seed everywhere, by a linear congruence: good enough to mix samples. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
