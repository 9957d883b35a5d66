import { answerOf, featuresOf } from './answer.js';
import type { Bundle, Task } from './bundle.js';
import type { Engine } from './engines/engine.js';
import { ModelyardError } from './errors.js';
import type { Opened, Opener } from './opener.js';
import type { Answer, Figures, Row } from './parity.js';
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
  /** Whether this engine gives the features of an image, from which a page can be taught. */
  readonly canTeach: boolean;
  /** The engines that were tried first, each with the reason why it was not taken, or why it was left. */
  readonly refused: readonly string[];
}

/** One detected object: left, top, right and bottom in the image's pixels. */
export interface Box {
  readonly label: string;
  readonly score: number;
  readonly box: readonly [number, number, number, number];
}

/** What every answer says of the image that it is about. */
export interface Answered {
  readonly width: number;
  readonly height: number;
  /** From pixels to answer. */
  readonly milliseconds: number;
}

/** A classifier's answer. */
export interface Classification extends Answered {
  readonly label: string;
  /** Each label's probability, in the order of the labels. */
  readonly probabilities: Readonly<Record<string, number>>;
}

/** A detector's answer, the best first. */
export interface Detections extends Answered {
  readonly detections: readonly Box[];
}

/** What the last layer is given for an image. */
export interface Features extends Omit<Answered, 'milliseconds'> {
  readonly features: Float32Array;
}

/** `'label' in prediction` tells a classifier's answer from a detector's. */
export type Prediction = Classification | Detections;

/** A bundle's model on one engine, and on the next one where that fails. Made by `load`. */
export class Predictor {
  readonly #bundle: Bundle;
  readonly #opener: Opener;
  readonly #onEngine: ((info: Info) => void) | undefined;
  #opened: Opened;
  #isOpen = true;
  #last: Promise<unknown> = Promise.resolve();

  /** Use `load`, which checks. */
  constructor(bundle: Bundle, opener: Opener, opened: Opened, onEngine?: (info: Info) => void) {
    this.#bundle = bundle;
    this.#opener = opener;
    this.#opened = opened;
    this.#onEngine = onEngine;
  }

  /** What is loaded, and on what it runs now. */
  get info(): Info {
    const { model, version, digest, task, labels, preprocess } = this.#bundle;
    const { engine, variant, figures } = this.#opened;
    const about = { model, version, digest, task, labels, size: preprocess.size };
    return { ...about, engine: engine.name, variant, parity: figures, canTeach: !!engine.features, refused: [...this.#opener.refused] };
  }

  /**
   * One image's answer. Calls wait for each other; a camera's loop drops the frames that come meanwhile.
   *
   * Where the engine fails, as after the loss of a GPU, the next one is opened, checked and asked. Rejects with
   * ModelyardError: `input` for what is no image or after `dispose`, `refused` where no engine is left.
   */
  predict(image: Image): Promise<Prediction> {
    return this.#inTurn(async () => {
      const began = performance.now();
      const answer = await this.#ask((engine, variant) => answerOf(engine, variant, this.#bundle, image));
      const { width, height } = image;
      return predictionOf(answer, this.#bundle, { width, height, milliseconds: performance.now() - began });
    });
  }

  /**
   * What the network's last layer is given for an image: float32, as many numbers as that layer has inputs.
   *
   * Rejects with ModelyardError: as `predict`, and `input` where the engine does not show them: TensorFlow.js does, for a
   * classifier whose last layer is dense.
   */
  features(image: Image): Promise<Features> {
    const { width, height } = image;
    return this.#inTurn(async () => ({ features: await this.#ask((engine, variant) => featuresOf(engine, variant, this.#bundle, image)), width, height }));
  }

  /** Free the engine's memory, after the answers that are awaited. May be called twice. */
  async dispose(): Promise<void> {
    await this.#last;
    if (this.#isOpen) this.#opened.engine.dispose();
    this.#isOpen = false;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const answer = this.#last.then(() => {
      if (!this.#isOpen) throw new ModelyardError('input', 'predictor', 'was disposed of', 'load the bundle again');
      return work();
    });
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  async #ask<T>(work: (engine: Engine, variant: string) => Promise<T>): Promise<T> {
    for (;;) {
      const { engine, variant } = this.#opened;
      try {
        return await work(engine, variant);
      } catch (error) {
        if (error instanceof ModelyardError) throw error;
        this.#opener.giveUp(engine.name, error instanceof Error ? error.message : String(error));
        engine.dispose();
        this.#isOpen = false;
        this.#opened = await this.#opener.next();
        this.#isOpen = true;
        this.#onEngine?.(this.info);
      }
    }
  }
}

function predictionOf(answer: Answer, { labels, task }: Bundle, about: Answered): Prediction {
  if (task === 'detect') return { detections: (answer as readonly Row[]).map((row) => boxOf(row, labels)), ...about };
  return { ...classification(answer as readonly number[], labels), ...about };
}

function boxOf([left, top, right, bottom, score, kind]: Row, labels: readonly string[]): Box {
  return { label: labels[kind] ?? String(kind), score, box: [left, top, right, bottom] };
}

function classification(row: readonly number[], labels: readonly string[]): { label: string; probabilities: Record<string, number> } {
  const best = row.reduce((top, value, index) => (value > (row[top] ?? 0) ? index : top), 0);
  return { label: labels[best] ?? '', probabilities: Object.fromEntries(row.map((value, index) => [labels[index] ?? '', value])) };
}
