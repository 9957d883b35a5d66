import { answerOf } from './answer.js';
import { type Bundle, openBundle, type Task } from './bundle.js';
import type { Assets, Engine, EngineKind } from './engines/engine.js';
import { type Candidate, candidates, ENGINES, pathOf } from './engines/kinds.js';
import { ModelyardError, shorten } from './errors.js';
import { type BundleFiles, fromUrl } from './files.js';
import { type Answer, compare, type Figures, flaws, type Limits, limitsOf } from './parity.js';
import { Predictor } from './predictor.js';
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

/** How to load a bundle. Everything may be left out. */
export interface Options {
  /** Which engines, in this order; left out: by capability. */
  readonly engines?: readonly string[];
  /** Which of the bundle's variants, in this order; left out: the best first. */
  readonly variants?: readonly string[];
  /** The bundle's digest that is expected. */
  readonly digest?: string;
  /** The task that the page is made for. */
  readonly task?: Task;
  readonly check?: Check;
  readonly assets?: Assets;
  /** Engines of the caller; one with a known name replaces ours. */
  readonly kinds?: readonly EngineKind[];
  readonly onProgress?: (progress: Progress) => void;
}

/**
 * Load a bundle on the first engine that runs it and, with `check`, answers as the trained model does.
 *
 * Every file is compared with the index by SHA-256 before it is used. Rejects with ModelyardError: `integrity` for other
 * bytes than were sealed, `not-found` and `unavailable` for what does not come, `newer` for an unknown format, `input`
 * for options that do not fit the bundle, and `refused`, with each engine's reason and figures, where none is left.
 */
export async function load(source: string | URL | BundleFiles, options: Options = {}): Promise<Predictor> {
  const files = typeof source === 'string' || source instanceof URL ? fromUrl(source) : source;
  options.onProgress?.({ step: 'reading', name: files.name });
  const bundle = await openBundle(files, options.digest);
  if (options.task && options.task !== bundle.task) {
    const what = `was trained to ${bundle.task} and not to ${options.task}`;
    throw new ModelyardError('input', `${bundle.model}/${bundle.version}`, what, `give the bundle of a model that ${options.task === 'detect' ? 'detects' : 'classifies'}`);
  }
  const refused: string[] = [];
  for (const candidate of candidates(known(options.kinds ?? []), wishOf(options), (path) => bundle.files.has(path))) {
    const outcome = await attempt(candidate, bundle, options);
    if ('why' in outcome) {
      refused.push(outcome.why);
      continue;
    }
    bundle.files.release();
    return predictorOf(bundle, candidate, outcome, refused);
  }
  throw new ModelyardError('refused', `${bundle.model}/${bundle.version}`, `no engine is left: ${refused.join('; ')}`, 'export the version again, or allow other engines');
}

function wishOf({ engines = [], variants = [] }: Options): { engines: readonly string[]; variants: readonly string[] } {
  return { engines, variants };
}

/** Our engines, with the caller's in place of those of the same name and the others after them. */
function known(kinds: readonly EngineKind[]): EngineKind[] {
  const own = new Map(kinds.map((kind) => [kind.name, kind]));
  const ours = ENGINES.map((kind) => own.get(kind.name) ?? kind);
  return [...ours, ...kinds.filter((kind) => !ENGINES.some(({ name }) => name === kind.name))];
}

interface Taken {
  readonly engine: Engine;
  readonly figures: Figures | undefined;
}

function predictorOf(bundle: Bundle, { kind, variant }: Candidate, { engine, figures }: Taken, refused: readonly string[]): Predictor {
  const { model, version, digest, task, labels } = bundle;
  const about = { model, version, digest, task, labels, size: bundle.preprocess.size };
  return new Predictor(bundle, engine, { ...about, engine: kind.name, variant, parity: figures, refused });
}

/** Start an engine and check it; or say why it is not taken. What is wrong with the bundle itself is thrown. */
async function attempt({ kind, variant }: Candidate, bundle: Bundle, options: Options): Promise<Taken | { why: string }> {
  const name = `${kind.name} (${variant})`;
  if (bundle.task === 'detect' && variant.startsWith('tfjs') && !bundle.decoding) {
    return { why: `${name} has no detector.json to decode its boxes by` };
  }
  let engine: Engine | undefined;
  try {
    options.onProgress?.({ step: 'starting', name });
    const { files, task } = bundle;
    engine = await kind.open({ files, path: pathOf(variant), task, assets: options.assets ?? {} });
    checkTask(engine, variant, bundle);
    const empty = { data: new Uint8Array(3 * bundle.preprocess.size ** 2), width: bundle.preprocess.size, height: bundle.preprocess.size };
    await answerOf(engine, variant, bundle, empty); // the first call compiles kernels
    if (!options.check) return { engine, figures: undefined };
    options.onProgress?.({ step: 'checking', name });
    const { figures, words } = await measure(engine, variant, bundle, options.check);
    if (!words.length) return { engine, figures };
    engine.dispose();
    return { why: `${name}: ${words.join(', ')}` };
  } catch (error) {
    engine?.dispose();
    if (error instanceof ModelyardError) throw error;
    return { why: `${name} cannot run it (${shorten(error instanceof Error ? error.message : error, 160)})` };
  }
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
