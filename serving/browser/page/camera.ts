import { ModelyardError } from '../src/errors.js';
import { byId } from './page.js';

/** What getUserMedia rejects with, in words and with a way on. */
const FAILURES: Readonly<Record<string, readonly [string, string]>> = {
  NotAllowedError: ['was refused', "allow it in the browser's address bar, and start it again"],
  NotFoundError: ['was not found', 'connect a camera, or choose a file'],
  OverconstrainedError: ['is not there any more', 'choose another camera, or a file'],
  NotReadableError: ['is used by another program, or does not answer', 'close the other program, and start it again'],
  AbortError: ['could not be started', 'connect it again, and start it again'],
};

/** A camera in the page's video element. */
export class Camera {
  #stream: MediaStream | undefined;

  /** Whether it runs. */
  get isOn(): boolean {
    return this.#stream !== undefined;
  }

  /** Start it. `onEnd`: it was unplugged, or its permission taken back. Rejects with ModelyardError `unavailable`. */
  async start(device: string, onEnd: (error: ModelyardError) => void): Promise<void> {
    if (!navigator.mediaDevices?.getUserMedia) throw failure('cannot be used in this page', 'open it over https or at localhost, or choose a file');
    const video = device ? { deviceId: { exact: device } } : { facingMode: 'environment' };
    const stream = await navigator.mediaDevices.getUserMedia({ video }).catch((error: unknown) => {
      const name = error instanceof DOMException ? error.name : '';
      throw failure(...(FAILURES[name] ?? [`does not start (${String(error)})`, 'choose a file']));
    });
    this.stop();
    this.#stream = stream;
    for (const track of stream.getTracks()) {
      track.onended = () => {
        this.stop();
        onEnd(failure('stopped: it was unplugged, or its permission was taken back', 'connect it, and start it again'));
      };
    }
    const element = byId<HTMLVideoElement>('video');
    element.srcObject = stream;
    await element.play();
  }

  /** Stop it; its light goes out. */
  stop(): void {
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#stream = undefined;
    byId<HTMLVideoElement>('video').srcObject = null;
  }

  /** The cameras that are there. Browsers name them once one was allowed. */
  async devices(): Promise<MediaDeviceInfo[]> {
    return (await navigator.mediaDevices.enumerateDevices()).filter(({ kind, deviceId }) => kind === 'videoinput' && deviceId);
  }
}

function failure(what: string, remedy: string): ModelyardError {
  return new ModelyardError('unavailable', 'The camera', what, remedy);
}
