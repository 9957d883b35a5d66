import { ModelyardError } from '../src/errors.js';
import type { Camera } from './camera.js';
import type { FrameLoop } from './loop.js';
import { alertOf, quiet } from './notice.js';
import { byId, element } from './page.js';

type Answer = (source: Blob) => Promise<number>;

/** Where pictures come from: the camera, a file that is chosen, dropped or pasted. One at a time. */
export class Sources {
  readonly #camera: Camera;
  readonly #loop: FrameLoop;
  readonly #answer: Answer;
  readonly #video = byId<HTMLVideoElement>('video');
  readonly #image = byId<HTMLImageElement>('image');
  #address = '';

  constructor(camera: Camera, loop: FrameLoop, answer: Answer) {
    this.#camera = camera;
    this.#loop = loop;
    this.#answer = answer;
  }

  /** Listen to the page. */
  listen(): void {
    byId('camera').onclick = () => void (this.#camera.isOn ? this.#stop() : this.#film());
    byId<HTMLSelectElement>('device').onchange = () => void this.#film();
    byId<HTMLInputElement>('file').onchange = ({ target }) => {
      const input = target as HTMLInputElement;
      const file = input.files?.[0];
      input.value = ''; // so that the same file can be chosen again
      if (file) void this.open(file);
    };
    const drop = byId('drop');
    for (const kind of ['dragover', 'dragleave', 'drop'] as const) {
      drop.addEventListener(kind, (event) => {
        event.preventDefault();
        drop.classList.toggle('over', kind === 'dragover');
        const file = kind === 'drop' ? event.dataTransfer?.files[0] : undefined;
        if (file) void this.open(file);
      });
    }
    document.addEventListener('paste', ({ clipboardData }) => {
      const file = clipboardData?.files[0];
      if (file) void this.open(file);
    });
  }

  /** Answer a file: an image once, a video as it plays. */
  async open(file: File): Promise<void> {
    this.#stop();
    quiet();
    try {
      await (file.type.startsWith('video/') ? this.#play(file) : this.#look(file));
    } catch (error) {
      this.#stop();
      if (error instanceof ModelyardError) alertOf(error);
    }
  }

  async #look(file: File): Promise<void> {
    // Answered before it is shown: what is too large is refused by its header and never decoded.
    await this.#answer(file);
    this.#image.src = this.#own(file);
    await this.#image.decode();
    this.#image.hidden = false;
    byId('drop').classList.add('live');
  }

  async #play(file: File): Promise<void> {
    this.#video.src = this.#own(file);
    this.#video.loop = true;
    try {
      await this.#video.play();
    } catch {
      throw new ModelyardError('input', file.name, 'is not a video that this browser can play', 'give an MP4 or WebM file');
    }
    this.#show();
  }

  async #film(): Promise<void> {
    this.#stop();
    quiet();
    try {
      await this.#camera.start(byId<HTMLSelectElement>('device').value, (error) => {
        this.#stop();
        alertOf(error, { text: 'Start it again', run: () => void this.#film() });
      });
    } catch (error) {
      alertOf(error);
      return;
    }
    byId('camera').textContent = 'Stop camera';
    this.#show();
    await this.#list();
  }

  #show(): void {
    this.#video.hidden = false;
    byId('drop').classList.add('live');
    this.#loop.start();
  }

  #stop(): void {
    this.#loop.stop();
    this.#camera.stop();
    this.#video.pause();
    this.#video.removeAttribute('src');
    this.#video.hidden = this.#image.hidden = true;
    byId('camera').textContent = 'Start camera';
    byId('drop').classList.remove('live');
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = '';
  }

  #own(file: File): string {
    this.#address = URL.createObjectURL(file);
    return this.#address;
  }

  async #list(): Promise<void> {
    const [select, devices] = [byId<HTMLSelectElement>('device'), await this.#camera.devices()];
    const [label] = select.labels;
    select.hidden = devices.length < 2;
    if (label) label.hidden = select.hidden;
    if (select.options.length === devices.length) return;
    select.replaceChildren(
      ...devices.map(({ deviceId, label: name }, index) => {
        const option = element('option', name || `Camera ${index + 1}`) as HTMLOptionElement;
        option.value = deviceId;
        return option;
      }),
    );
  }
}
