/** Model architectures by their numbers: what timing and prediction need, without any weights. */
import { sparseConfig, type SparseConfig } from "@infllm/block-selection";
import { BadUsageError } from "@infllm/command";
import type { ModelDescription } from "@infllm/model";

export interface ModelShape {
  readonly name: string;
  readonly layers: number;
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabulary: number;
  readonly tiedEmbeddings: boolean;
  readonly sparse: SparseConfig;
}

/** From the models' published config.json files. */
const shapes: readonly ModelShape[] = [
  {
    name: "embedded",
    layers: 8, hidden: 256, intermediate: 768, heads: 16, kvHeads: 1, headDim: 64, vocabulary: 4096, tiedEmbeddings: true,
    sparse: sparseConfig({ windowSize: 512, topk: 16, denseLen: 4096 }),
  },
  {
    name: "minicpm4-0.5b",
    layers: 24, hidden: 1024, intermediate: 4096, heads: 16, kvHeads: 2, headDim: 64, vocabulary: 73_448, tiedEmbeddings: true,
    sparse: sparseConfig(),
  },
  {
    name: "minicpm4-8b",
    layers: 32, hidden: 4096, intermediate: 16_384, heads: 32, kvHeads: 2, headDim: 128, vocabulary: 73_448, tiedEmbeddings: false,
    sparse: sparseConfig(),
  },
  {
    name: "llama3-8b",
    layers: 32, hidden: 4096, intermediate: 14_336, heads: 32, kvHeads: 8, headDim: 128, vocabulary: 128_256, tiedEmbeddings: false,
    sparse: sparseConfig(),
  },
];

export const shapeNames: readonly string[] = shapes.map(({ name }) => name);

/** @throws BadUsageError naming the known shapes */
export function shapeNamed(name: string): ModelShape {
  const found = shapes.find((shape) => shape.name === name);
  if (found === undefined) throw new BadUsageError(`There is no shape "${name}". Known are ${shapeNames.join(", ")}.`);
  return found;
}

/** The shape of a model at hand; MiniCPM4's sparse numbers where it has none. */
export function shapeOf(description: ModelDescription): ModelShape {
  const { name, layers, hidden, intermediate, heads, kvHeads, headDim, vocabulary, tiedEmbeddings, sparse } = description;
  return { name, layers, hidden, intermediate, heads, kvHeads, headDim, vocabulary, tiedEmbeddings, sparse: sparse ?? sparseConfig() };
}

/** Matrix parameters that every token passes through, the output matrix included, the embedding table not. */
export function matrixParameters({ layers, hidden, intermediate, heads, kvHeads, headDim, vocabulary }: ModelShape): number {
  const attention = hidden * headDim * (2 * heads + 2 * kvHeads);
  return layers * (attention + 3 * hidden * intermediate) + vocabulary * hidden;
}
