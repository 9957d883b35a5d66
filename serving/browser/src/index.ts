export { decode, suppress, toImage } from './detections.js';
export type { Detection, Head, Placement, Rule } from './detections.js';
export { letterbox, place } from './letterbox.js';
export { warm } from './warm.js';
