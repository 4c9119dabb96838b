/** Compute pipelines by kernel variant and constants, made when first used. */
import type { Context } from "./context.ts";
import { computeStage } from "./gpu-constants.ts";
import { moduleOf } from "./variants.ts";
import type { Variant } from "./variants.ts";

export type Constants = Readonly<Record<string, number>>;

interface CompiledModule {
  readonly module: GPUShaderModule;
  readonly layout: GPUBindGroupLayout;
  readonly pipelineLayout: GPUPipelineLayout;
  /** Numbers of the storage bindings, in order. */
  readonly storage: readonly number[];
  readonly id: number;
}

export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly storage: readonly number[];
  /** Names the layout in keys of bind groups. */
  readonly layoutId: number;
  readonly label: string;
}

export class Pipelines {
  readonly #modules = new Map<string, CompiledModule>();
  readonly #pipelines = new Map<string, Pipeline>();

  constructor(private readonly context: Context) {}

  get(variant: Variant, constants: Constants): Pipeline {
    const name = variantName(variant);
    const key = `${name} ${Object.entries(constants).join(" ")}`;
    const known = this.#pipelines.get(key);
    if (known !== undefined) return known;
    const { module, layout, pipelineLayout, storage, id } = this.#module(name, variant);
    const pipeline = this.context.device.createComputePipeline({
      label: key,
      layout: pipelineLayout,
      compute: { module, constants: { ...constants } },
    });
    const made = { pipeline, layout, storage, layoutId: id, label: name };
    this.#pipelines.set(key, made);
    return made;
  }

  close(): void {
    this.#pipelines.clear();
    this.#modules.clear();
  }

  #module(name: string, variant: Variant): CompiledModule {
    const known = this.#modules.get(name);
    if (known !== undefined) return known;
    const { device } = this.context;
    const { code, bindings } = moduleOf(variant);
    const layout = device.createBindGroupLayout({
      label: name,
      entries: bindings.map(({ index, kind }) => ({
        binding: index,
        visibility: computeStage,
        buffer: { type: kind, hasDynamicOffset: kind === "uniform" },
      })),
    });
    const made = {
      module: device.createShaderModule({ label: name, code }),
      layout,
      pipelineLayout: device.createPipelineLayout({ label: name, bindGroupLayouts: [layout] }),
      storage: bindings.filter(({ kind }) => kind !== "uniform").map(({ index }) => index),
      id: this.#modules.size,
    };
    this.#modules.set(name, made);
    return made;
  }
}

export function variantName({ kernel, element, result = element, cache, weight }: Variant): string {
  return [kernel, element, result === element ? "" : `to ${result}`, cache ? `cache ${cache}` : "", weight ? `weight ${weight}` : ""]
    .filter((part) => part !== "")
    .join(" ");
}
