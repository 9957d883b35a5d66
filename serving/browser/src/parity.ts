/**
 * Parity: how far an engine's answers are from the trained model's. The figures and limits of Python's gate
 * (`serving/export/parity.py`, `detections.py`), without mAP, which needs more images than a page loads.
 */

import { overlap } from './detections.js';
import { ModelyardError } from './errors.js';

/** A detection: left, top, right and bottom in the image's pixels, score, class. */
export type Row = readonly [number, number, number, number, number, number];

/** The answers for one image: probabilities in the order of the labels, or detections, best first. */
export type Answer = readonly number[] | readonly Row[];

/** How far an engine may be from the trained model. */
export interface Limits {
  /** The least share of images, or of boxes, on which both say the same. */
  readonly agreement: number;
  /** The most that a probability may differ, or the scores of boxes in the mean. */
  readonly difference: number;
}

/** How far an engine's answers are from the trained model's. */
export interface Figures {
  readonly images: number;
  /** The share of images with the same best class, or of boxes that the other side has, too. */
  readonly agreement: number;
  /** Largest and mean absolute difference of probabilities, or of the scores of boxes. */
  readonly largest: number;
  readonly mean: number;
  /** The agreement after pairing each image with a wrong one: a measurement that cannot fail measures nothing. */
  readonly control: number;
}

const EXACT: Limits = { agreement: 0.99, difference: 1e-3 };
const HALF: Limits = { agreement: 0.99, difference: 2e-2 };

/** Each variant's limits, as in `serving/bundle/variants.py`. */
export const LIMITS: Readonly<Record<string, Limits>> = {
  onnx: { agreement: 0.99, difference: 1e-2 },
  'onnx-tensor': EXACT,
  'onnx-float16': HALF,
  'onnx-int8': { agreement: 0.97, difference: 0.3 },
  'tfjs-float32': EXACT,
  'tfjs-float16': HALF,
  'tfjs-uint8': { agreement: 0.99, difference: 0.1 },
  'litert-float32': EXACT,
  'litert-float16': HALF,
  'litert-int8': { agreement: 0.97, difference: 0.3 },
};

/** The limits of a variant; those of half precision for one that is not in the table, as in Python. */
export function limitsOf(variant: string): Limits {
  return LIMITS[variant] ?? HALF;
}

const CONTROL = 0.9;
const SAME_BOX = 0.9;
const JUST = 0.05;
const FLAT = 1e-3;

/**
 * Figures over the same images in the same order. `least`: from which score on a detector answers.
 *
 * Throws ModelyardError `input` where the trained model says the same of every image, or nothing: no measurement could
 * tell a good engine from a broken one.
 */
export function compare(trained: readonly Answer[], answers: readonly Answer[], least?: number): Figures {
  if (!trained.length || trained.length !== answers.length) {
    throw new ModelyardError('input', 'check', `has ${trained.length} answers for ${answers.length} images`, 'give one for each');
  }
  return least === undefined
    ? compareClasses(trained as readonly (readonly number[])[], answers as readonly (readonly number[])[])
    : compareBoxes(trained as readonly (readonly Row[])[], answers as readonly (readonly Row[])[], least);
}

/** Why an engine is refused, with its figures; empty where it may answer. `detects`: the mean difference counts. */
export function flaws(figures: Figures, limits: Limits, detects: boolean): string[] {
  const difference = detects ? figures.mean : figures.largest;
  const words: string[] = [];
  if (figures.agreement < limits.agreement) words.push(`agreement ${figures.agreement.toFixed(3)} is below ${limits.agreement}`);
  if (!(difference <= limits.difference)) {
    words.push(`${detects ? 'mean' : 'largest'} difference ${difference.toPrecision(3)} is above ${limits.difference}`);
  }
  if (figures.control > CONTROL) {
    words.push(`a wrong image agrees as well (${figures.control.toFixed(3)}), so nothing was measured`);
  }
  return words;
}

function best(row: readonly number[]): number {
  return row.reduce((top, value, index) => (value > (row[top] ?? Number.NaN) ? index : top), 0);
}

type Probabilities = readonly (readonly number[])[];

function compareClasses(trained: Probabilities, answers: Probabilities): Figures {
  const wrong = wrongImages(trained).map((image) => answers[image] ?? []);
  const gaps = trained.flatMap((row, image) => row.map((value, index) => distance(value, answers[image]?.[index])));
  return {
    images: trained.length,
    agreement: agreement(trained, answers),
    largest: gaps.reduce((most, gap) => Math.max(most, gap), 0),
    mean: mean(gaps),
    control: agreement(trained, wrong),
  };
}

/** What is not finite differs by 1, as far as probabilities can. */
function distance(first: number, second: number | undefined): number {
  const gap = Math.abs(first - (second ?? Number.NaN));
  return Number.isFinite(gap) ? gap : 1;
}

function mean(values: readonly number[]): number {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : 0;
}

function agreement(trained: Probabilities, answers: Probabilities): number {
  const same = trained.filter((row, image) => {
    const other = answers[image] ?? [];
    return [...row, ...other].every(Number.isFinite) && row.length === other.length && best(row) === best(other);
  });
  return same.length / trained.length;
}

/** For each image, the next one of which the trained model says another class. */
function wrongImages(trained: Probabilities): number[] {
  const guesses = trained.map(best);
  if (new Set(guesses).size === 1) {
    throw new ModelyardError('input', 'check', 'the trained model says the same of every image', 'give images of several classes');
  }
  return guesses.map((guess, image) => {
    const later = guesses.map((_, step) => (image + step) % guesses.length);
    return later.find((other) => guesses[other] !== guess) as number;
  });
}

type Boxes = readonly (readonly Row[])[];

function compareBoxes(trained: Boxes, answers: Boxes, least: number): Figures {
  const [mine, theirs] = [trained.map(withArea), answers.map(withArea)];
  if (!mine.some((rows) => rows.length)) {
    throw new ModelyardError('input', 'check', 'the trained model finds nothing in any image', 'give images of what it finds');
  }
  const { share, gaps } = paired(mine, theirs, least);
  const shifted = theirs.map((_, image) => theirs[(image + theirs.length - 1) % theirs.length] ?? []);
  return {
    images: trained.length,
    agreement: share,
    largest: gaps.reduce((most, gap) => Math.max(most, gap), 0),
    mean: mean(gaps),
    control: paired(mine, shifted, least).share,
  };
}

/** Without padding, and without boxes that have no area: cut at the image's edge, they overlap nothing. */
function withArea(rows: readonly Row[]): Row[] {
  return rows.filter(([left, top, right, bottom, score]) => !(score <= 0) && !(Math.min(right - left, bottom - top) <= FLAT));
}

/** The share of boxes on either side that have a partner on the other, and how far scores are apart. */
function paired(trained: Boxes, answers: Boxes, least: number): { share: number; gaps: number[] } {
  const gaps: number[] = [];
  let [partners, boxes] = [0, 0];
  trained.forEach((mine, image) => {
    const { pairs, lonely } = pair(mine, answers[image] ?? []);
    partners += 2 * pairs.length;
    boxes += 2 * pairs.length + lonely.filter((score) => !(score - least < JUST)).length;
    gaps.push(...pairs, ...lonely.map((score) => (Number.isFinite(score) ? score - least : 1)));
  });
  return { share: partners / Math.max(boxes, 1), gaps };
}

/** How far the scores of paired boxes are apart, and the scores of boxes without a partner. */
function pair(mine: readonly Row[], theirs: readonly Row[]): { pairs: number[]; lonely: number[] } {
  const free = new Set(theirs.keys());
  const pairs: number[] = [];
  const lonely: number[] = [];
  for (const row of mine) {
    const overlaps = [...free].map((index) => ({ index, share: sameness(row, theirs[index] as Row) }));
    const partner = overlaps.reduce((top, other) => (other.share > top.share ? other : top), { index: -1, share: -1 });
    if (partner.share >= SAME_BOX) {
      free.delete(partner.index);
      pairs.push(Math.abs(row[4] - (theirs[partner.index] as Row)[4]));
    } else lonely.push(row[4]);
  }
  return { pairs, lonely: [...lonely, ...[...free].map((index) => (theirs[index] as Row)[4])] };
}

function sameness(row: Row, other: Row): number {
  if (row[5] !== other[5] || !Number.isFinite(other[4])) return -1;
  return overlap([row[0], row[1], row[2], row[3]], [other[0], other[1], other[2], other[3]]);
}
