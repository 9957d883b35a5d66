/** What a TensorFlow.js graph says about itself: where its last dense layer takes its features from. */

interface Node {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
}

/** The fields of a `model.json` that are read here. */
export interface GraphFile {
  readonly modelTopology: { readonly node?: readonly Node[] };
  readonly signature?: { readonly outputs?: Readonly<Record<string, { readonly name: string }>> };
}

const DENSE = new Set(['MatMul', '_FusedMatMul']);
/** What may stand between the last dense layer and the probabilities: nothing that mixes features anew. */
const AFTER = new Set(['Softmax', 'Identity', 'BiasAdd', 'Add', 'AddV2', 'Reshape', 'Squeeze', 'Cast']);

/** The node whose output the last dense layer is given; undefined where the graph does not end in one. */
export function featureNode({ modelTopology, signature }: GraphFile): string | undefined {
  const nodes = new Map((modelTopology.node ?? []).map((node) => [node.name, node]));
  const outputs = Object.values(signature?.outputs ?? {}).map(({ name }) => nameOf(name));
  let node = outputs.length === 1 ? nodes.get(outputs[0] as string) : undefined;
  const seen = new Set<Node>();
  while (node && !seen.has(node)) {
    seen.add(node);
    const inputs: string[] = (node.input ?? []).filter((name) => !name.startsWith('^')).map(nameOf);
    if (DENSE.has(node.op)) return inputs[0];
    if (!AFTER.has(node.op)) return undefined;
    const computed = inputs.filter((name) => nodes.get(name)?.op !== 'Const');
    node = computed.length === 1 ? nodes.get(computed[0] as string) : undefined;
  }
  return undefined;
}

/** `dense/MatMul:0` names the first output of the node `dense/MatMul`. */
function nameOf(tensor: string): string {
  return tensor.split(':')[0] as string;
}
