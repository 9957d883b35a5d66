import { openBundle, type Task } from './bundle.js';
import { cached } from './cache.js';
import type { Assets, EngineKind } from './engines/engine.js';
import { candidates, ENGINES } from './engines/kinds.js';
import { ModelyardError } from './errors.js';
import { type BundleFiles, fromUrl } from './files.js';
import { type Check, Opener, type Progress } from './opener.js';
import { type Info, Predictor } from './predictor.js';

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
  /** Keep the bundle's files in the browser's Cache Storage, so that it loads without a network the next time. */
  readonly cache?: boolean;
  readonly assets?: Assets;
  /** Engines of the caller; one with a known name replaces ours. */
  readonly kinds?: readonly EngineKind[];
  readonly onProgress?: (progress: Progress) => void;
  /** An engine failed while it ran, as after the loss of a GPU, and the next one has taken its place. */
  readonly onEngine?: (info: Info) => void;
}

/**
 * Load a bundle on the first engine that runs it and, with `check`, answers as the trained model does.
 *
 * Every file is compared with the index by SHA-256 before it is used. Rejects with ModelyardError: `integrity` for other
 * bytes than were sealed, `not-found` and `unavailable` for what does not come, `newer` for an unknown format, `input`
 * for options that do not fit the bundle, and `refused`, with each engine's reason and figures, where none is left.
 */
export async function load(source: string | URL | BundleFiles, options: Options = {}): Promise<Predictor> {
  const given = typeof source === 'string' || source instanceof URL ? fromUrl(source) : source;
  const files = options.cache ? cached(given) : given;
  options.onProgress?.({ step: 'reading', name: files.name });
  const bundle = await openBundle(files, options.digest);
  if (options.task && options.task !== bundle.task) {
    const what = `was trained to ${bundle.task} and not to ${options.task}`;
    throw new ModelyardError('input', `${bundle.model}/${bundle.version}`, what, `give the bundle of a model that ${options.task === 'detect' ? 'detects' : 'classifies'}`);
  }
  const queue = candidates(known(options.kinds ?? []), wishOf(options), (path) => bundle.files.has(path));
  const opener = new Opener(bundle, queue, options);
  return new Predictor(bundle, opener, await opener.next(), options.onEngine);
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
