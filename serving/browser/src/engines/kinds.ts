import { ModelyardError } from '../errors.js';
import type { EngineKind } from './engine.js';
import { litertWasm, litertWebgpu } from './litert.js';
import { onnxWasm, onnxWebgpu } from './onnx.js';
import { tfjsWasm, tfjsWebgl, tfjsWebgpu } from './tfjs.js';

/** The engines that are tried unasked, the fastest first. */
export const ENGINES: readonly EngineKind[] = [onnxWebgpu, litertWebgpu, tfjsWebgpu, onnxWasm, litertWasm, tfjsWebgl, tfjsWasm];

/** An engine, and one of the bundle's variants that it can run. */
export interface Candidate {
  readonly kind: EngineKind;
  readonly variant: string;
}

/** A variant's file or folder in a bundle, as `serving/bundle/variants.py` has it. */
export function pathOf(variant: string): string {
  const [family = '', form] = variant.split('-', 2);
  if (family === 'tfjs') return `tfjs/${form ?? ''}`;
  if (family === 'litert') return `litert/${form ?? ''}.tflite`;
  return form === undefined ? 'model.onnx' : `model.${form}.onnx`;
}

/** Whether a bundle has a variant: `has` says so of a file. */
function isThere(variant: string, has: (path: string) => boolean): boolean {
  const path = pathOf(variant);
  return has(variant.startsWith('tfjs') ? `${path}/model.json` : path);
}

/** The wish of a caller: which engines and variants, in which order. Empty: all that are available. */
export interface Wish {
  readonly engines: readonly string[];
  readonly variants: readonly string[];
}

/**
 * What to try, in order: engines as wished or by capability, and of each engine the bundle's variants.
 *
 * Throws ModelyardError: `input` for an unknown engine, `not-found` where the bundle has nothing that they run,
 * `unavailable` where there is nothing to run it on.
 */
export function candidates(kinds: readonly EngineKind[], wish: Wish, has: (path: string) => boolean): Candidate[] {
  const names = kinds.map((kind) => kind.name);
  const unknown = wish.engines.filter((name) => !names.includes(name));
  if (unknown.length) throw new ModelyardError('input', `engine '${unknown[0]}'`, 'is not known', `choose of ${names.join(', ')}`);
  const wished = wish.engines.length ? wish.engines.flatMap((name) => kinds.filter((kind) => kind.name === name)) : kinds;
  const variantsOf = (kind: EngineKind): string[] => {
    const order = wish.variants.length ? wish.variants.filter((variant) => kind.variants.includes(variant)) : kind.variants;
    return order.filter((variant) => isThere(variant, has));
  };
  const fitting = wished.flatMap((kind) => variantsOf(kind).map((variant) => ({ kind, variant })));
  if (!fitting.length) {
    const what = `has no variant that ${wished.map((kind) => kind.name).join(', ')} can run`;
    throw new ModelyardError('not-found', 'bundle', what, 'add it to `export:` in the job, or allow other engines');
  }
  const available = fitting.filter(({ kind }) => kind.isAvailable());
  if (!available.length) {
    const tried = [...new Set(fitting.map(({ kind }) => kind.name))].join(', ');
    throw new ModelyardError('unavailable', tried, 'is not available here', 'allow other engines, or use a newer browser');
  }
  return available;
}
