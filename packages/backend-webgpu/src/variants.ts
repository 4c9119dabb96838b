/** How kernels vary: what a GPU's features choose, and which shader modules that makes. */
import type { FloatDType, WeightDType } from "@infllm/tensor";
import { kernels, pieces } from "./generated/kernels.ts";
import type { Binding, Source } from "./kernel-types.ts";

export type KernelName = keyof typeof kernels;
export type ElementType = "f32" | "f16";

/** The pieces that a kernel takes of the families it names, and the types of its header. */
export interface Variant {
  readonly kernel: KernelName;
  readonly element: ElementType;
  /** Type of results where an op allows f32 beside the activation type. */
  readonly result?: ElementType;
  readonly cache?: FloatDType;
  readonly weight?: WeightDType;
}

/** What a GPU has that kernels use. One row of `choices` applies for each. */
export interface Features {
  readonly f16: boolean;
  /** Bytes that a workgroup's invocations share. */
  readonly workgroupBytes: number;
  readonly invocations: number;
}

/** WebGPU's defaults, which every adapter has. */
const DEFAULT_WORKGROUP_BYTES = 16384;

/**
 * Shapes of workgroups by what the GPU has, best first. `attendRows`: queries (tokens × heads) of a tile of 64 keys, with
 * four invocations each; `valueKeys`: values staged at a time, times head_dim / 64.
 */
const choices = [
  { needs: { workgroupBytes: 32768, invocations: 256 }, attendRows: 64, valueBytes: 8192 },
  { needs: { workgroupBytes: DEFAULT_WORKGROUP_BYTES, invocations: 128 }, attendRows: 32, valueBytes: 4096 },
] as const;

export interface Tiles {
  /** Most rows of an attention tile. */
  readonly attendRows: number;
  /** Bytes of workgroup memory for staged values. */
  readonly valueBytes: number;
}

export function tilesFor({ workgroupBytes, invocations }: Features): Tiles {
  const fits = choices.find(({ needs }) => needs.workgroupBytes <= workgroupBytes && needs.invocations <= invocations);
  return fits ?? choices[choices.length - 1] ?? { attendRows: 32, valueBytes: 4096 };
}

/** The complete WGSL of a variant, and its bindings in order. */
export function moduleOf(variant: Variant): { readonly code: string; readonly bindings: readonly Binding[] } {
  const kernel: Source = kernels[variant.kernel];
  const chosen = kernel.families.map((family) => {
    const member = family === "cache" ? variant.cache : family === "weight" ? variant.weight : undefined;
    if (member === undefined) throw new RangeError(`Kernel ${variant.kernel} needs a variant of ${family}.`);
    return `${family}-${member}`;
  });
  const parts = withUses([...chosen, ...kernel.uses]);
  const all = [...parts, kernel];
  const bindings = all.flatMap((each) => each.bindings).sort((a, b) => a.index - b.index);
  return { code: [header(variant), ...all.map((each) => each.code)].join("\n"), bindings };
}

/** The pieces of these names, each once, and those that they use. */
function withUses(names: readonly string[]): Source[] {
  const found = new Map<string, Source>();
  const add = (name: string): void => {
    if (found.has(name)) return;
    const piece = pieces[name];
    if (piece === undefined) throw new RangeError(`There is no piece ${name} in kernels/common/.`);
    found.set(name, piece);
    piece.uses.forEach(add);
  };
  names.forEach(add);
  return [...found.values()];
}

/** Enables and aliases: the only text that is made here. */
function header({ element, result = element }: Variant): string {
  const enable = element === "f16" || result === "f16" ? "enable f16;\n" : "";
  return `${enable}alias Element = ${element};\nalias Element4 = vec4<${element}>;\nalias Result = ${result};\n`;
}

/** Every shader module that this package can make. */
export function allVariants(weights: readonly WeightDType[], caches: readonly FloatDType[]): Variant[] {
  return (Object.keys(kernels) as KernelName[]).flatMap((kernel) => {
    const { families, code }: Source = kernels[kernel];
    const types = (["f32", "f16"] as const).flatMap((element): Variant[] => [
      { kernel, element },
      ...(element === "f16" && /\bResult\b/.test(code) ? [{ kernel, element, result: "f32" } as const] : []),
    ]);
    return types
      .flatMap((variant) => (families.includes("weight") ? weights.map((weight) => ({ ...variant, weight })) : [variant]))
      .flatMap((variant) => (families.includes("cache") ? caches.map((cache) => ({ ...variant, cache })) : [variant]));
  });
}
