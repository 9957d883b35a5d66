import { ModelyardError } from '../src/errors.js';
import type { Info, Prediction } from '../src/predictor.js';
import { headScores } from '../src/teach/scores.js';
import { loadInWorker, type WorkerPredictor } from '../src/worker/remote.js';
import { ASSETS } from './assets.js';
import { Camera } from './camera.js';
import { FrameLoop } from './loop.js';
import { alertOf, progress, quiet } from './notice.js';
import { prepareOffline } from './offline.js';
import { type About, byId, element } from './page.js';
import { clear, show } from './show.js';
import { Sources } from './sources.js';
import { Teaching } from './teaching.js';

const camera = new Camera();
/** The engines that show what the last layer is given, the ones with the most even speed first. */
const TEACHABLE = 'tfjs-webgpu,tfjs-wasm,tfjs-webgl';

let about: About;
let predictor: WorkerPredictor | undefined;
let teaching: Teaching | undefined;

/** The worker, the camera and the engine live as long as the page. */
addEventListener('pagehide', () => {
  camera.stop();
  predictor?.terminate();
});
addEventListener('pageshow', ({ persisted }) => persisted && location.reload());

async function answer(source: Blob | ImageBitmap): Promise<number> {
  const model = predictor;
  // While another engine starts, frames are dropped: the camera stays on.
  if (!model) throw new ModelyardError('unavailable', 'The model', 'is not loaded', 'wait, or load the page again');
  try {
    const prediction = teaching?.isUsed ? await taught(source, teaching, model) : await model.predict(source);
    const labels = teaching?.isUsed ? teaching.labels : about.labels;
    show(prediction, labels);
    return prediction.milliseconds;
  } catch (error) {
    if (model === predictor) alertOf(error); // what was ended for another engine is no failure
    throw error;
  }
}

async function taught(source: Blob | ImageBitmap, { head }: Teaching, model: WorkerPredictor): Promise<Prediction> {
  const began = performance.now();
  if (!head) throw new ModelyardError('input', 'What was taught', 'is not there', 'train it first');
  const { features, width, height } = await model.features(source);
  const scores = headScores(head, features);
  const probabilities = Object.fromEntries(head.labels.map((label, index) => [label, scores[index] ?? 0]));
  const label = head.labels[scores.indexOf(Math.max(...scores))] ?? '';
  return { label, probabilities, width, height, milliseconds: performance.now() - began };
}

async function open(engine: string): Promise<void> {
  progress('Loading the model…');
  predictor?.terminate();
  predictor = undefined;
  for (const id of ['camera', 'file', 'engine']) byId<HTMLButtonElement>(id).disabled = true;
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  try {
    predictor = await loadInWorker(worker, 'model/', {
      ...(engine ? { engines: engine.split(',') } : {}),
      ...(about.check ? { checkFrom: 'check/' } : {}),
      digest: about.bundle,
      cache: true,
      assets: ASSETS,
      onProgress: ({ step, name }) => progress(step === 'reading' ? 'Reading the model…' : `${step === 'starting' ? 'Starting' : 'Checking'} ${name}…`),
      onEngine: (info) => {
        ready(info);
        alertOf(`${info.refused.at(-1)}. ${info.engine} goes on.`);
      },
    });
    quiet();
    ready(predictor.info);
    await list(predictor);
    if (engine) byId<HTMLSelectElement>('engine').value = predictor.info.engine;
  } catch (error) {
    worker.terminate();
    progress('No model is loaded.');
    const way = engine ? { text: 'Choose automatically', run: () => choose('') } : { text: 'Try again', run: () => location.reload() };
    alertOf(error, way);
  } finally {
    byId<HTMLSelectElement>('engine').disabled = false;
  }
}

async function list(model: WorkerPredictor): Promise<void> {
  const select = byId<HTMLSelectElement>('engine');
  if (select.options.length > 1) return;
  for (const name of await model.engines()) {
    const option = element('option', name) as HTMLOptionElement;
    option.value = name;
    select.append(option);
  }
}

function choose(engine: string): void {
  byId<HTMLSelectElement>('engine').value = engine;
  void open(engine);
}

function ready(info: Info): void {
  const { engine, variant, parity } = info;
  const checked = parity ? `checked on ${parity.images} images: agreement ${parity.agreement.toFixed(3)}` : 'not checked here';
  progress(`${engine} (${variant}), ${checked}`);
  for (const id of ['camera', 'file']) byId<HTMLButtonElement>(id).disabled = false;
  byId('teach').hidden = about.task !== 'classify';
  teaching?.use(predictor as WorkerPredictor, info);
  describe(info);
}

function describe({ engine, variant, parity, refused, size }: Info): void {
  const rows: [string, string][] = [
    ['Model', about.model],
    ['Version', String(about.version)],
    ['Stage', about.stage || 'none: asked for by its version'],
    ['Bundle', about.bundle],
    ['Classes', about.labels.join(', ')],
    ['Input', `${size} × ${size} pixels`],
    ['Engine', `${engine} (${variant})`],
    ['Parity', parity ? `agreement ${parity.agreement.toFixed(3)}, largest difference ${parity.largest.toExponential(1)}` : 'not checked'],
    ['Engines not used', refused.join('; ') || 'none'],
  ];
  byId('about').replaceChildren(
    ...rows.map(([name, value]) => {
      const row = element('div');
      row.append(element('dt', name), element('dd', value));
      return row;
    }),
  );
}

// For the browser's console, and for tests: what the page itself uses.
Object.assign(globalThis, { modelyard: { get predictor() { return predictor; }, get teaching() { return teaching; }, assets: ASSETS } });

const loop = new FrameLoop(answer);
const sources = new Sources(camera, loop, answer);

async function start(): Promise<void> {
  theme();
  about = await described();
  const name = `${about.model}/${about.version}`;
  byId('title').textContent = about.stage ? `${name} (${about.stage})` : name;
  document.title = name;
  byId<HTMLSelectElement>('engine').onchange = ({ target }) => {
    clear();
    void open((target as HTMLSelectElement).value);
  };
  teaching = new Teaching(about, camera, () => void open(TEACHABLE));
  await prepareOffline();
  sources.listen();
  await open('');
  const card = await fetch('model/card.md').catch(() => undefined);
  byId('card').textContent = card?.ok ? await card.text() : '';
}

async function described(): Promise<About> {
  const response = await fetch('model/about.json').catch(() => undefined);
  if (!response?.ok) throw new ModelyardError('unavailable', 'model/about.json', 'does not come', 'check the network, and load the page again');
  return (await response.json().catch((error: unknown) => {
    throw new ModelyardError('integrity', 'model/about.json', 'is not JSON', 'publish the page again', error);
  })) as About;
}

function theme(): void {
  const button = byId<HTMLButtonElement>('theme');
  const dark = (): boolean => (document.documentElement.dataset['theme'] ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')) === 'dark';
  const apply = (name: string | null): void => {
    if (name) document.documentElement.dataset['theme'] = name;
    button.setAttribute('aria-pressed', String(dark()));
  };
  apply(localStorage.getItem('theme'));
  button.onclick = () => {
    const name = dark() ? 'light' : 'dark';
    localStorage.setItem('theme', name);
    apply(name);
  };
}

start().catch((error: unknown) => {
  progress('No model is loaded.');
  alertOf(error, { text: 'Try again', run: () => location.reload() });
});
