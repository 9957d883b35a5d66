import { ModelyardError } from './errors.js';
import type { Box } from './predictor.js';

/** What an endpoint answers: `Prediction` of `docs/openapi.json`, with the version that answered. */
export interface RemotePrediction {
  readonly label: string;
  readonly probability: number;
  /** Each label's probability; of a detector each label's best score. */
  readonly probabilities: Readonly<Record<string, number>>;
  /** A detector's boxes, best first; a classifier's answer has none. */
  readonly boxes?: readonly Box[] | null;
  readonly model: string;
  readonly version: number;
  /** The bundle's digest. */
  readonly bundle: string;
}

/** How to reach an endpoint. */
export interface ClientOptions {
  /**
   * The endpoint's API key. Never in a page, where anybody reads it: give the page the address of a proxy of yours that
   * adds the key.
   */
  readonly key?: string;
  /** How long an answer may take, in milliseconds; left out: a minute, for a cold start. */
  readonly timeout?: number;
}

const MINUTE = 60_000;

/** An endpoint of `modelyard serve` or of a deployment, over HTTP, from bytes of an image file to the same answer. */
export class Client {
  readonly #url: string;
  readonly #key: string | undefined;
  readonly #timeout: number;

  constructor(url: string | URL, { key, timeout = MINUTE }: ClientOptions = {}) {
    this.#url = `${String(url).replace(/\/+$/, '')}/predict`;
    this.#key = key;
    this.#timeout = timeout;
  }

  /**
   * A whole JPEG, PNG, WebP or BMP file's bytes → what the endpoint's model answers.
   *
   * Rejects with ModelyardError: `input` where the endpoint refuses what it was given, the key included, and
   * `unavailable` where it does not answer, or is too busy.
   */
  async predict(bytes: Uint8Array): Promise<RemotePrediction> {
    const response = await fetch(this.#url, {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', ...(this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` }) },
      body: bytes as Uint8Array<ArrayBuffer>,
      signal: AbortSignal.timeout(this.#timeout),
    }).catch((error: unknown) => {
      throw new ModelyardError('unavailable', this.#url, 'does not answer', 'check the network and the address, and try again', error);
    });
    const text = await response.text();
    if (!response.ok) throw refusal(this.#url, response.status, text);
    return answerOf(this.#url, text);
  }
}

const [TIMED_OUT, TOO_MANY, INTERNAL] = [408, 429, 500];

function refusal(url: string, status: number, text: string): ModelyardError {
  const busy = [TIMED_OUT, TOO_MANY].includes(status) || status >= INTERNAL;
  const remedy = busy ? 'try again later' : 'give what the message asks for';
  return new ModelyardError(busy ? 'unavailable' : 'input', url, `answers ${status}: ${problemIn(text)}`, remedy);
}

/** `Problem` of `docs/openapi.json`; a proxy's own page is cut short. */
function problemIn(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: unknown };
    if (typeof error === 'string') return error;
  } catch {
    // Not ours: shown as it is.
  }
  return text.slice(0, 100) || 'nothing';
}

function answerOf(url: string, text: string): RemotePrediction {
  try {
    const answer = JSON.parse(text) as RemotePrediction;
    if (typeof answer.label === 'string' && typeof answer.bundle === 'string') return answer;
  } catch {
    // Said below, as for JSON of another kind.
  }
  throw new ModelyardError('unavailable', url, 'does not answer as a Modelyard endpoint does', 'check the address');
}
