/**
 * A Modelyard bundle in a browser or in Node, with the answers of the trained model.
 *
 * @packageDocumentation
 */

export type { Bundle, Decoding, Task } from './bundle.js';
export { Client } from './client.js';
export type { ClientOptions, RemotePrediction } from './client.js';
export { decode, suppress, toImage } from './detections.js';
export type { Detection, Head, Placement, Rule } from './detections.js';
export type { Assets, Engine, EngineKind, Opening, Output } from './engines/engine.js';
export { ENGINES } from './engines/kinds.js';
export { TRANSFORMERS } from './engines/transformers.js';
export { ModelyardError } from './errors.js';
export type { ErrorKind } from './errors.js';
export { fromUrl } from './files.js';
export type { BundleFiles, CheckedFiles } from './files.js';
export { letterbox, placementOf } from './letterbox.js';
export { load } from './load.js';
export type { Options } from './load.js';
export type { Check, Progress } from './opener.js';
export { imageOf } from './pixels.js';
export type { Source } from './pixels.js';
export { compare, flaws, LIMITS, limitsOf } from './parity.js';
export type { Answer, Figures, Limits, Row } from './parity.js';
export { Predictor } from './predictor.js';
export type { Answered, Box, Classification, Detections, Features, Info, Prediction } from './predictor.js';
export type { Image, Preprocess } from './preprocess.js';
export { fit, resize } from './resize.js';
export { warm } from './warm.js';
export { cached } from './cache.js';
export { smokeCheck } from './smoke.js';
export { teach } from './teach/head.js';
export { headScores } from './teach/scores.js';
export type { Head as TaughtHead } from './teach/scores.js';
export type { Sample, Taught, TeachOptions, Tick } from './teach/head.js';
export type { Memory } from './worker/messages.js';
export { loadInWorker, WorkerPredictor } from './worker/remote.js';
export type { RemoteOptions } from './worker/remote.js';
export { serve } from './worker/serve.js';
export type { ServeOptions } from './worker/serve.js';
