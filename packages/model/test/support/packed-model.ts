import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytesSource, openSafetensors, writeSafetensors } from "@infllm/tensor";
import type { HostTensor } from "@infllm/tensor";
import type { JsonObject } from "../../src/config/options.ts";
import type { ModelFiles } from "../../src/formats/model-files.ts";
import { quantizeModel } from "../../src/index.ts";
import { memoryFiles } from "./memory-files.ts";
import { hfFiles, randomModel } from "./random-model.ts";
import type { RandomModel } from "./random-model.ts";

/** Dimensions that 4-bit groups of 128 divide. */
export const packable = { hidden_size: 128, intermediate_size: 256, head_dim: 32 };

export interface PackedModel {
  readonly original: RandomModel;
  readonly config: JsonObject;
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** Every file but the weights and the config. */
  readonly others: Readonly<Record<string, Uint8Array>>;
}

/** A small random model as `quantizeModel` writes it. */
export async function packedModel(type = "llama", changes: Record<string, unknown> = {}): Promise<PackedModel> {
  const folder = await mkdtemp(join(tmpdir(), "infllm-packed-"));
  try {
    const original = randomModel(type, { ...packable, ...changes });
    await quantizeModel(hfFiles(original, { dtype: "f16" }), { out: folder });
    const others: Record<string, Uint8Array> = {};
    for (const file of await readdir(folder)) others[file] = new Uint8Array(await readFile(join(folder, file)));
    const file = await openSafetensors(bytesSource(others["model.safetensors"] ?? new Uint8Array(), "model.safetensors"));
    const tensors = new Map<string, HostTensor>();
    for (const name of file.tensors.keys()) tensors.set(name, await file.tensor(name));
    const config = JSON.parse(new TextDecoder().decode(others["config.json"])) as JsonObject;
    delete others["model.safetensors"];
    delete others["config.json"];
    return { original, config, tensors, others };
  } finally {
    await rm(folder, { recursive: true });
  }
}

export interface PackedChanges {
  /** Into `quantization_config`; the whole of it is left out when null. */
  readonly quantisation?: Record<string, unknown> | null;
  /** Tensors to replace, or to leave out when undefined. */
  readonly tensors?: Readonly<Record<string, HostTensor | undefined>>;
  readonly files?: Readonly<Record<string, object>>;
  /** Bytes cut off the end of the weights. */
  readonly cut?: number;
}

export function packedFiles({ config, tensors, others }: PackedModel, changes: PackedChanges = {}): ModelFiles {
  const stored = new Map(tensors);
  for (const [name, tensor] of Object.entries(changes.tensors ?? {})) {
    if (tensor === undefined) stored.delete(name);
    else stored.set(name, tensor);
  }
  const bytes = writeSafetensors(stored);
  const own = config["quantization_config"] as Record<string, unknown>;
  const quantisation = changes.quantisation === null ? undefined : { ...own, ...changes.quantisation };
  return memoryFiles({
    ...others,
    "config.json": { ...config, quantization_config: quantisation },
    "model.safetensors": bytes.subarray(0, bytes.length - (changes.cut ?? 0)),
    ...changes.files,
  });
}
