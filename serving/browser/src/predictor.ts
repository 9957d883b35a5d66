import { answerOf } from './answer.js';
import type { Bundle, Task } from './bundle.js';
import type { Engine } from './engines/engine.js';
import { ModelyardError } from './errors.js';
import type { Figures, Row } from './parity.js';
import type { Image } from './preprocess.js';

/** What is loaded, and on what it runs. */
export interface Info {
  readonly model: string;
  readonly version: number;
  /** The bundle's digest. */
  readonly digest: string;
  readonly task: Task;
  readonly labels: readonly string[];
  /** The side of the network's square input, in pixels. */
  readonly size: number;
  readonly engine: string;
  readonly variant: string;
  /** How far this engine was from the trained model; undefined where nothing was checked. */
  readonly parity: Figures | undefined;
  /** The engines that were tried first, each with the reason why it was not taken. */
  readonly refused: readonly string[];
}

/** One detected object: left, top, right and bottom in the image's pixels. */
export interface Box {
  readonly label: string;
  readonly score: number;
  readonly box: readonly [number, number, number, number];
}

/** A classifier's answer. */
export interface Classification {
  readonly label: string;
  /** Each label's probability, in the order of the labels. */
  readonly probabilities: Readonly<Record<string, number>>;
  /** From pixels to answer. */
  readonly milliseconds: number;
}

/** A detector's answer, the best first. */
export interface Detections {
  readonly detections: readonly Box[];
  /** From pixels to answer. */
  readonly milliseconds: number;
}

/** `'label' in prediction` tells a classifier's answer from a detector's. */
export type Prediction = Classification | Detections;

/** A bundle's model on one engine. Made by `load`. */
export class Predictor {
  readonly info: Info;
  readonly #bundle: Bundle;
  #engine: Engine | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** Use `load`, which checks. */
  constructor(bundle: Bundle, engine: Engine, info: Info) {
    this.#bundle = bundle;
    this.#engine = engine;
    this.info = info;
  }

  /**
   * One image's answer. Calls wait for each other; a camera's loop drops the frames that come meanwhile.
   *
   * Rejects with ModelyardError: `input` for what is no image or after `dispose`, `unavailable` where the engine fails,
   * as after the loss of a GPU: load the bundle again, on another engine.
   */
  predict(image: Image): Promise<Prediction> {
    const answer = this.#last.then(() => this.#predict(image));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #predict(image: Image): Promise<Prediction> {
    const engine = this.#engine;
    if (!engine) throw new ModelyardError('input', 'predictor', 'was disposed of', 'load the bundle again');
    const began = performance.now();
    const answer = await answerOf(engine, this.info.variant, this.#bundle, image).catch((error: unknown) => {
      throw error instanceof ModelyardError ? error : failed(engine.name, error);
    });
    const { labels, task } = this.info;
    const milliseconds = performance.now() - began;
    if (task === 'detect') return { detections: (answer as readonly Row[]).map((row) => boxOf(row, labels)), milliseconds };
    return { ...classification(answer as readonly number[], labels), milliseconds };
  }

  /** Free the engine's memory, after the answers that are awaited. May be called twice. */
  async dispose(): Promise<void> {
    await this.#last;
    this.#engine?.dispose();
    this.#engine = undefined;
  }
}

function failed(engine: string, error: unknown): ModelyardError {
  const why = error instanceof Error ? error.message : String(error);
  return new ModelyardError('unavailable', engine, `failed (${why.slice(0, 200)})`, 'load the bundle again, on another engine', error);
}

function boxOf([left, top, right, bottom, score, kind]: Row, labels: readonly string[]): Box {
  return { label: labels[kind] ?? String(kind), score, box: [left, top, right, bottom] };
}

function classification(row: readonly number[], labels: readonly string[]): { label: string; probabilities: Record<string, number> } {
  const best = row.reduce((top, value, index) => (value > (row[top] ?? 0) ? index : top), 0);
  return { label: labels[best] ?? '', probabilities: Object.fromEntries(row.map((value, index) => [labels[index] ?? '', value])) };
}
