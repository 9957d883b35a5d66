import { answerOf } from './answer.js';
import type { Bundle } from './bundle.js';
import type { Assets, Engine } from './engines/engine.js';
import { type Candidate, pathOf } from './engines/kinds.js';
import { ModelyardError, shorten } from './errors.js';
import { type Answer, compare, type Figures, flaws, type Limits, limitsOf } from './parity.js';
import type { Image } from './preprocess.js';

/** Images with the trained model's answers, by which an engine is checked before it is taken. */
export interface Check {
  readonly images: readonly Image[];
  /** For each image the trained model's probabilities, or its boxes. */
  readonly answers: readonly Answer[];
  /** Left out: those of the variant, which are those of Python's parity gate. */
  readonly limits?: Limits;
}

/** What is being done, for a progress line. */
export interface Progress {
  readonly step: 'reading' | 'starting' | 'checking';
  /** A bundle's name, or an engine with its variant. */
  readonly name: string;
}

/** What an opener needs of the caller's options. */
export interface Opened {
  readonly engine: Engine;
  readonly variant: string;
  /** Undefined where nothing was checked. */
  readonly figures: Figures | undefined;
}

export interface OpenerOptions {
  readonly check?: Check;
  readonly assets?: Assets;
  readonly onProgress?: (progress: Progress) => void;
}

/** Opens a bundle's engines, one after the other: the first that runs it and answers as the trained model, then the next. */
export class Opener {
  /** The engines that were not taken, or that failed later, each with its reason. */
  readonly refused: string[] = [];
  readonly #bundle: Bundle;
  readonly #options: OpenerOptions;
  #queue: Candidate[];

  constructor(bundle: Bundle, queue: readonly Candidate[], options: OpenerOptions) {
    this.#bundle = bundle;
    this.#queue = [...queue];
    this.#options = options;
  }

  /** The next engine. Rejects with ModelyardError `refused`, with each engine's reason, where none is left. */
  async next(): Promise<Opened> {
    for (let candidate = this.#queue.shift(); candidate; candidate = this.#queue.shift()) {
      const outcome = await this.#attempt(candidate);
      if (typeof outcome === 'string') {
        this.refused.push(outcome);
        continue;
      }
      this.#bundle.files.release();
      return outcome;
    }
    const { model, version } = this.#bundle;
    throw new ModelyardError('refused', `${model}/${version}`, `no engine is left: ${this.refused.join('; ')}`, 'export the version again, or allow other engines');
  }

  /** Leave an engine out from now on, with all its variants. */
  giveUp(engine: string, why: string): void {
    this.refused.push(`${engine} failed (${shorten(why, 160)})`);
    this.#queue = this.#queue.filter(({ kind }) => kind.name !== engine);
  }

  async #attempt({ kind, variant }: Candidate): Promise<Opened | string> {
    const [name, bundle, { check, assets = {}, onProgress }] = [`${kind.name} (${variant})`, this.#bundle, this.#options];
    if (bundle.task === 'detect' && /^(tfjs|litert)-/.test(variant) && !bundle.decoding) {
      return `${name} has no detector.json to decode its boxes by`;
    }
    let engine: Engine | undefined;
    try {
      onProgress?.({ step: 'starting', name });
      engine = await kind.open({ files: bundle.files, path: pathOf(variant), task: bundle.task, assets });
      checkTask(engine, variant, bundle);
      await answerOf(engine, variant, bundle, emptyImage(bundle.preprocess.size)); // the first call compiles kernels
      if (!check) return { engine, variant, figures: undefined };
      onProgress?.({ step: 'checking', name });
      const { figures, words } = await measure(engine, variant, bundle, check);
      if (!words.length) return { engine, variant, figures };
      engine.dispose();
      return `${name}: ${words.join(', ')}`;
    } catch (error) {
      engine?.dispose();
      if (error instanceof ModelyardError) throw error;
      return `${name} cannot run it (${shorten(error instanceof Error ? error.message : error, 160)})`;
    }
  }
}

function emptyImage(size: number): Image {
  return { data: new Uint8Array(3 * size ** 2), width: size, height: size };
}

function checkTask(engine: Engine, variant: string, bundle: Bundle): void {
  const detects = engine.gives !== 'probabilities';
  if (detects === (bundle.task === 'detect')) return;
  const what = `is a ${detects ? 'detector' : 'classifier'}, and preprocess.json is a ${detects ? 'classifier' : 'detector'}'s`;
  throw new ModelyardError('integrity', `variant '${variant}'`, what, 'export the version again');
}

async function measure(engine: Engine, variant: string, bundle: Bundle, check: Check): Promise<{ figures: Figures; words: string[] }> {
  const answers: Answer[] = [];
  for (const image of check.images) answers.push(await answerOf(engine, variant, bundle, image));
  const detects = bundle.task === 'detect';
  const least = detects ? (bundle.decoding?.rule.score ?? 0.25) : undefined;
  const figures = compare(check.answers, answers, least);
  return { figures, words: flaws(figures, check.limits ?? limitsOf(variant), detects) };
}
