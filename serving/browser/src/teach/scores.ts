/** A dense layer behind the features: `softmax((features - mean) / deviation · kernel + bias)`, folded into kernel and bias. */
export interface Head {
  readonly labels: readonly string[];
  /** `[features, labels]`, row by row. */
  readonly kernel: Float32Array;
  readonly bias: Float32Array;
}

/** A head's probabilities, in the order of its labels. */
export function headScores({ labels, kernel, bias }: Head, features: Float32Array): number[] {
  const logits = Array.from(bias);
  features.forEach((value, row) => labels.forEach((_, column) => (logits[column] = (logits[column] as number) + value * (kernel[row * labels.length + column] as number))));
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}
