/** What a page and its worker say to each other. Every call has a number, and gets one reply. */

import { type ErrorKind, ModelyardError } from '../errors.js';
import type { Options } from '../load.js';
import type { Progress } from '../opener.js';
import type { Info } from '../predictor.js';
import type { Source } from '../pixels.js';
import type { Sample, TeachOptions, Taught, Tick } from '../teach/head.js';

/** Options of `load` that can be sent to a worker: functions cannot. */
export type WorkerOptions = Omit<Options, 'kinds' | 'onProgress' | 'onEngine'>;

/** The calls, each with what it is given and what comes back. */
export interface Calls {
  load: { given: { source: string; options: WorkerOptions; check: string | undefined }; gives: Info };
  predict: { given: { source: Source }; gives: import('../predictor.js').Prediction };
  features: { given: { source: Source }; gives: import('../predictor.js').Features };
  teach: { given: { samples: readonly Sample[]; options: TeachOptions }; gives: Taught };
  memory: { given: object; gives: Memory };
  engines: { given: object; gives: readonly string[] };
  dispose: { given: object; gives: undefined };
}

/** What the engine holds. `tensors` is undefined where TensorFlow.js is not in use. */
export interface Memory {
  readonly tensors: number | undefined;
  readonly answers: number;
}

export type Call = { [Name in keyof Calls]: { readonly id: number; readonly call: Name; readonly given: Calls[Name]['given'] } }[keyof Calls];

/** An error as it can be sent; classes do not survive it. */
export interface SentError {
  readonly kind: ErrorKind;
  readonly subject: string;
  readonly expectation: string;
  readonly remedy: string;
}

export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: SentError }
  | { readonly progress: Progress }
  | { readonly engine: Info }
  | { readonly id: number; readonly tick: Tick };

/** Any error as one that can be sent. */
export function sent(error: unknown): SentError {
  if (error instanceof ModelyardError) {
    const { kind, subject, expectation, remedy } = error;
    return { kind, subject, expectation, remedy };
  }
  const why = error instanceof Error ? error.message : String(error);
  return { kind: 'unavailable', subject: 'worker', expectation: `failed (${why.slice(0, 200)})`, remedy: 'load the page again' };
}

/** A sent error as one that can be thrown. */
export function received({ kind, subject, expectation, remedy }: SentError): ModelyardError {
  return new ModelyardError(kind, subject, expectation, remedy);
}
