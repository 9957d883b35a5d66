import { byId } from './page.js';

const SECONDS = 2;

/** Calls `answer` with the frames of the video element, one at a time: those that come meanwhile are dropped. */
export class FrameLoop {
  readonly #answer: (frame: ImageBitmap) => Promise<number>;
  readonly #video = byId<HTMLVideoElement>('video');
  readonly #ends: number[] = [];
  #run = 0;
  #busy = false;
  #dropped = 0;

  /** `answer` gives the milliseconds from pixels to answer. */
  constructor(answer: (frame: ImageBitmap) => Promise<number>) {
    this.#answer = answer;
  }

  /** Begin, for the video that plays now. */
  start(): void {
    this.#run += 1;
    this.#dropped = 0;
    this.#ends.length = 0;
    byId('figures').hidden = false;
    this.#next(this.#run);
  }

  /** No frame is answered any more. */
  stop(): void {
    this.#run += 1;
    byId('figures').hidden = true;
  }

  #next(run: number): void {
    this.#video.requestVideoFrameCallback(() => {
      if (run !== this.#run) return;
      this.#next(run);
      void this.#take(run);
    });
  }

  async #take(run: number): Promise<void> {
    if (this.#busy) {
      this.#dropped += 1;
      return;
    }
    this.#busy = true;
    try {
      const milliseconds = await this.#answer(await createImageBitmap(this.#video));
      if (run === this.#run) this.#count(milliseconds);
    } catch {
      // `answer` shows its own errors; a frame that cannot be taken is a video that ended
    } finally {
      this.#busy = false;
    }
  }

  #count(milliseconds: number): void {
    const now = performance.now();
    this.#ends.push(now);
    while ((this.#ends[0] ?? now) < now - SECONDS * 1000) this.#ends.shift();
    const span = now - (this.#ends[0] ?? now);
    if (span > 0) byId('rate').textContent = `${(((this.#ends.length - 1) * 1000) / span).toFixed(0)} / s`;
    byId('latency').textContent = `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
    byId('dropped').textContent = String(this.#dropped);
  }
}
