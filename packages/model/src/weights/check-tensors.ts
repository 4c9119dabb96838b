import { FormatError, formatShape } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";
import type { WeightSource } from "../formats/weight-source.ts";
import { names, tensorList } from "./tensor-list.ts";

/** Tensors that some checkpoints carry although they follow from the config. */
const derived = /(^|\.)rotary_emb\.inv_freq$/;

/**
 * Holds the tensors of a source against its config before anything is read.
 * @throws FormatError naming tensors that are missing, unexpected, or of another shape (both shapes shown)
 */
export function checkTensors(source: WeightSource, config: ModelConfig): void {
  // A layer has nine tensors or more; a list of what a wrong number asks for could fill the memory.
  if (config.layers > source.names.length) {
    throw new FormatError(
      `The weights contradict the config: it says ${config.layers} layers, but there are ${source.names.length} tensors in all. ` +
        "Use the config and the weights of the same model.",
    );
  }
  const expected = tensorList(config);
  const given = new Set(source.names);
  const missing = [...expected.keys()].filter((name) => !given.has(name));
  const unexpected = [...given].filter((name) => !expected.has(name) && !isHarmless(name, config));
  const wrong: string[] = [];
  for (const [name, shape] of expected) {
    if (!given.has(name)) continue;
    const found = source.info(name).shape;
    if (found.length === shape.length && found.every((axis, i) => axis === shape[i])) continue;
    wrong.push(`${name} is ${formatShape(found)}, the config says ${formatShape(shape)}`);
  }
  const problems = [
    ...(wrong.length > 0 ? [`other shapes: ${some(wrong)}`] : []),
    ...(missing.length > 0 ? [`missing: ${some(missing)}`] : []),
    ...(unexpected.length > 0 ? [`unexpected: ${some(unexpected)}`] : []),
  ];
  if (problems.length === 0) return;
  throw new FormatError(
    `The weights contradict the config (${config.architecture}, ${config.layers} layers); ${problems.join("; ")}. ` +
      "Use the config and the weights of the same model.",
  );
}

/** With tied embeddings a checkpoint may still store the output matrix; the loader compares it with the table. */
function isHarmless(name: string, config: ModelConfig): boolean {
  return derived.test(name) || (config.tiedEmbeddings && name === names.output);
}

function some(list: readonly string[]): string {
  const shown = list.slice(0, 6).join(", ");
  return list.length > 6 ? `${shown}, … (${list.length} in all)` : shown;
}
