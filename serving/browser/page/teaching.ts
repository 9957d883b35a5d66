import { ModelyardError } from '../src/errors.js';
import type { Info } from '../src/predictor.js';
import type { Taught } from '../src/teach/head.js';
import type { Head } from '../src/teach/scores.js';
import type { WorkerPredictor } from '../src/worker/remote.js';
import type { Camera } from './camera.js';
import { handover } from './handover.js';
import { alertOf, quiet } from './notice.js';
import { type About, byId, element } from './page.js';
import { type Kept, SampleStore } from './store.js';

const QUALITY = 0.92;
// A class becomes a folder when it is imported.
const NO_NAME = /[\\/\p{Cc}]/u;
const LONGEST = 200;
const MOST = 5000;

/** A class in the list. It stays while frames are counted: a button that is put there anew loses clicks, and the keyboard's focus. */
interface Row {
  readonly item: HTMLElement;
  readonly counts: HTMLElement;
  readonly record: HTMLButtonElement;
  readonly remove: HTMLButtonElement;
}

/** The panel in which a person records takes, trains a head, tries it and takes it away as a file. */
export class Teaching {
  readonly #about: About;
  readonly #camera: Camera;
  readonly #store: SampleStore;
  readonly #names: string[] = [];
  readonly #rows = new Map<string, Row>();
  #samples: Kept[] = [];
  #predictor: WorkerPredictor | undefined;
  #taught: Taught | undefined;
  #recording = '';
  #takes = 0;
  #canTeach = false;

  /** `onNeed`: the panel was opened, and the engine cannot be taught with. */
  constructor(about: About, camera: Camera, onNeed: () => void) {
    this.#about = about;
    this.#camera = camera;
    this.#store = new SampleStore(about.bundle);
    byId<HTMLFormElement>('new-class').onsubmit = (event) => {
      event.preventDefault();
      this.#name(byId<HTMLInputElement>('class-name').value);
    };
    byId<HTMLDetailsElement>('teach').ontoggle = () => {
      if (byId<HTMLDetailsElement>('teach').open && this.#predictor && !this.#canTeach) onNeed();
    };
    byId('train').onclick = () => void this.#train();
    byId('save').onclick = () => void this.#export();
    byId('forget').onclick = () => void this.#forget();
  }

  /** Whether answers come from what was taught. */
  get isUsed(): boolean {
    return byId<HTMLInputElement>('use-taught').checked && this.#taught !== undefined;
  }

  get head(): Head | undefined {
    return this.#taught?.head;
  }

  get labels(): readonly string[] {
    return this.head?.labels ?? [];
  }

  /** Record with this predictor from now on. An engine that does not show features cannot be taught with. */
  use(predictor: WorkerPredictor, { canTeach, engine }: Info): void {
    this.#predictor = predictor;
    this.#canTeach = canTeach;
    if (!canTeach) byId('taught').textContent = `${engine} does not show what the last layer is given: teaching needs a TensorFlow.js engine.`;
    else if (!this.#taught) byId('taught').textContent = '';
    if (!this.#names.length) void this.#restore();
    this.#draw();
  }

  async #restore(): Promise<void> {
    this.#samples = await this.#store.all().catch(() => []);
    for (const { label } of this.#samples) if (!this.#names.includes(label)) this.#names.push(label);
    this.#takes = new Set(this.#samples.map(({ take }) => take)).size;
    this.#draw();
  }

  #name(text: string): void {
    const name = text.trim();
    quiet();
    if (NO_NAME.test(name) || name === '.' || name === '..' || new TextEncoder().encode(name).length > LONGEST) {
      alertOf(new ModelyardError('input', 'The class', 'has a name that no folder can have', 'leave out / and \\, and keep it short'));
      return;
    }
    if (name && !this.#names.includes(name)) this.#names.push(name);
    byId<HTMLInputElement>('class-name').value = '';
    this.#draw();
  }

  #draw(): void {
    for (const [name, { item }] of this.#rows) {
      if (this.#names.includes(name)) continue;
      item.remove();
      this.#rows.delete(name);
    }
    for (const name of this.#names) this.#update(name);
    const classes = new Set(this.#samples.map(({ label }) => label)).size;
    byId<HTMLButtonElement>('train').disabled = !this.#canTeach || classes < 2 || !!this.#recording;
    byId<HTMLButtonElement>('forget').disabled = !this.#samples.length && !this.#names.length;
    byId<HTMLButtonElement>('save').disabled = !this.#taught;
    byId<HTMLInputElement>('use-taught').disabled = !this.#taught;
  }

  #update(name: string): void {
    const { counts, record, remove } = this.#rows.get(name) ?? this.#row(name);
    const mine = this.#samples.filter(({ label }) => label === name);
    const takes = new Set(mine.map(({ take }) => take)).size;
    const isOn = this.#recording === name;
    counts.textContent = `${mine.length} images, ${takes} ${takes === 1 ? 'take' : 'takes'}`;
    record.textContent = isOn ? 'Stop recording' : 'Record a take';
    record.disabled = !this.#canTeach || (!!this.#recording && !isOn);
    record.setAttribute('aria-pressed', String(isOn));
    remove.disabled = !!this.#recording;
  }

  #row(name: string): Row {
    const [item, counts] = [element('li'), element('span', '', 'quiet')];
    const [record, remove] = [element('button') as HTMLButtonElement, element('button', 'Delete') as HTMLButtonElement];
    record.type = remove.type = 'button';
    record.onclick = () => void (this.#recording === name ? this.#stop() : this.#record(name));
    remove.setAttribute('aria-label', `Delete ${name}`);
    remove.onclick = () => void this.#remove(name);
    item.append(element('strong', name), counts, record, remove);
    byId('classes').append(item);
    const row = { item, counts, record, remove };
    this.#rows.set(name, row);
    return row;
  }

  async #record(name: string): Promise<void> {
    if (!this.#camera.isOn) byId('camera').click();
    this.#recording = name;
    this.#untaught(); // what is exported has to be what was trained on
    this.#takes += 1;
    const take = `${name} ${this.#takes}`;
    this.#draw();
    const video = byId<HTMLVideoElement>('video');
    try {
      while (this.#recording === name && this.#samples.length < MOST) {
        await new Promise((next) => video.requestVideoFrameCallback(next));
        if (this.#recording === name) await this.#add(await pictureOf(video), name, take);
      }
    } catch (error) {
      alertOf(error);
    }
    this.#stop();
  }

  /** What the last layer is given is computed from the file that is kept, so that both are of the same pixels. */
  async #add(image: Blob, label: string, take: string): Promise<void> {
    if (!this.#predictor) return;
    const { features } = await this.#predictor.features(image);
    const sample = { image, features, label, take };
    this.#samples.push(sample);
    await this.#store.add(sample).catch((error: unknown) => alertOf(error));
    this.#draw();
  }

  #stop(): void {
    this.#recording = '';
    this.#draw();
  }

  async #train(): Promise<void> {
    const bar = byId<HTMLProgressElement>('training');
    byId<HTMLButtonElement>('train').disabled = true;
    bar.hidden = false;
    quiet();
    try {
      const samples = this.#samples.map(({ features, label, take }) => ({ features, label, take }));
      this.#taught = await this.#predictor?.teach(samples, {
        onTick: ({ epoch, epochs, loss }) => {
          bar.value = epoch / epochs;
          byId('taught').textContent = `Epoch ${epoch} of ${epochs}, loss ${loss.toFixed(3)}`;
        },
      });
      if (this.#taught) byId('taught').textContent = summary(this.#taught, samples.length);
      byId<HTMLInputElement>('use-taught').checked = this.#taught !== undefined;
    } catch (error) {
      alertOf(error);
    }
    bar.hidden = true;
    this.#draw();
  }

  async #export(): Promise<void> {
    if (!this.#taught) return;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await handover(this.#about, this.#samples, this.#taught));
    link.download = `${this.#about.model}-taught.zip`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    const how = byId('handover');
    how.textContent = `Hand it back: modelyard import ${link.download} --name NAME, then modelyard register ${link.download} --name NAME. It meets the same checks and gates.`;
    how.hidden = false;
  }

  async #remove(name: string): Promise<void> {
    this.#names.splice(this.#names.indexOf(name), 1);
    this.#samples = this.#samples.filter(({ label }) => label !== name);
    this.#untaught();
    await this.#store.remove(name).catch((error: unknown) => alertOf(error));
  }

  async #forget(): Promise<void> {
    if (!confirm('Delete every image that was recorded here?')) return;
    this.#names.length = 0;
    this.#samples = [];
    this.#untaught();
    await this.#store.clear().catch((error: unknown) => alertOf(error));
  }

  #untaught(): void {
    this.#taught = undefined;
    byId<HTMLInputElement>('use-taught').checked = false;
    byId('taught').textContent = '';
    this.#draw();
  }
}

function summary({ accuracy, heldOut, heldOutSamples, seconds, losses }: Taught, samples: number): string {
  const trained = `Trained on ${samples - heldOutSamples} images in ${seconds.toFixed(1)} s, loss ${(losses.at(-1) ?? NaN).toFixed(3)}.`;
  if (accuracy === undefined) return `${trained} No accuracy: record more takes of each class, three at least.`;
  return `${trained} Accuracy on ${heldOut.length} takes that it did not see (${heldOutSamples} images): ${(accuracy * 100).toFixed(1)} %.`;
}

async function pictureOf(video: HTMLVideoElement): Promise<Blob> {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext('2d')?.drawImage(video, 0, 0);
  return canvas.convertToBlob({ type: 'image/jpeg', quality: QUALITY });
}
