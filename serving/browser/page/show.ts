import type { Box, Prediction } from '../src/predictor.js';
import { byId, element } from './page.js';

const MOST = 8;
/** Okabe and Ito's colours without black and yellow: colour-blind people tell them apart, on light and dark pictures. */
const COLOURS = ['#e69f00', '#56b4e9', '#009e73', '#cc79a7', '#d55e00', '#0072b2'];
const SPEAK_MS = 2000;

let spoken = '';
let spokenAt = 0;

/** An answer about a picture: bars, or boxes over the picture. */
export function show(prediction: Prediction, labels: readonly string[]): void {
  const { width, height } = prediction;
  if ('detections' in prediction) {
    draw(prediction.detections, labels, width, height);
    const best = prediction.detections.slice(0, MOST);
    put(best.map(({ label, score }) => [label, score]), best.length ? count(prediction.detections) : 'Nothing seen');
    return;
  }
  draw([], labels, width, height);
  const ranked = Object.entries(prediction.probabilities).sort(([, first], [, second]) => second - first);
  put(ranked.slice(0, MOST), prediction.label);
}

/** Take the last answer away. */
export function clear(): void {
  byId('label').textContent = 'No image yet';
  byId('scores').replaceChildren();
  const overlay = byId<HTMLCanvasElement>('overlay');
  overlay.width = overlay.height = 1;
}

function count(detections: readonly Box[]): string {
  const counts = new Map<string, number>();
  for (const { label } of detections) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].map(([label, number]) => (number > 1 ? `${number} × ${label}` : label)).join(', ');
}

function put(rows: readonly (readonly [string, number])[], title: string): void {
  byId('label').textContent = title;
  byId('scores').replaceChildren(...rows.map(([label, score]) => row(label, score)));
  if (title !== spoken && performance.now() - spokenAt > SPEAK_MS) {
    [spoken, spokenAt] = [title, performance.now()]; // a camera would talk without end
    byId('spoken').textContent = title;
  }
}

function row(label: string, score: number): HTMLElement {
  const percent = `${(score * 100).toFixed(1)} %`;
  const [item, track, fill] = [element('li'), element('span', '', 'track'), document.createElement('i')];
  fill.style.width = `${Math.min(score, 1) * 100}%`;
  track.append(fill);
  item.append(element('span', label), track, element('span', percent, 'number'));
  return item;
}

function draw(detections: readonly Box[], labels: readonly string[], width: number, height: number): void {
  const overlay = byId<HTMLCanvasElement>('overlay');
  overlay.width = width;
  overlay.height = height;
  const context = overlay.getContext('2d');
  if (!context) return;
  const line = Math.max(2, Math.round(Math.min(width, height) / 160));
  context.font = `${line * 7}px system-ui, sans-serif`;
  context.lineWidth = line;
  for (const { label, score, box } of detections) {
    const [left, top, right, bottom] = box;
    const colour = COLOURS[Math.max(labels.indexOf(label), 0) % COLOURS.length] as string;
    const text = `${label} ${score.toFixed(2)}`;
    context.strokeStyle = context.fillStyle = colour;
    context.strokeRect(left, top, right - left, bottom - top);
    context.fillRect(left, Math.max(top - line * 9, 0), context.measureText(text).width + line * 3, line * 9);
    context.fillStyle = '#000';
    context.fillText(text, left + line, Math.max(top - line * 9, 0) + line * 7);
  }
}
