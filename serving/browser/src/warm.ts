/** The first call of a graph model compiles kernels and uploads weights: make it before anybody waits for an answer. */

export interface Tensorlike {
  data(): Promise<unknown>;
  dispose(): void;
}

export interface Predicts<T extends Tensorlike> {
  predict(input: T): unknown;
}

/** Predict once on an empty image; resolves when the answer has been computed. */
export async function warm<T extends Tensorlike>(model: Predicts<T>, emptyImage: T): Promise<void> {
  const output = model.predict(emptyImage) as T;
  await output.data();
  output.dispose();
  emptyImage.dispose();
}
