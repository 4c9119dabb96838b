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
  /** Products of 16 by 16 f16 matrices into f32 by subgroups of 32 invocations. */
  readonly subgroupMatrix: boolean;
  /** Does the CPU stand in for a GPU? */
  readonly software: boolean;
  /** Bytes that a workgroup's invocations share. */
  readonly workgroupBytes: number;
  readonly invocations: number;
}

/** Shapes of workgroups. */
export interface Tiles {
  /** Most rows (tokens × heads) of an attention tile. */
  readonly attendRows: number;
  /** Bytes of workgroup memory for staged values. */
  readonly valueBytes: number;
  /** Fours of columns that tiles of 128 rows by 128 outputs stage at a time; 0: there are only tiles of 64 by 64. */
  readonly linearSlice: 0 | 4 | 8;
  /** Columns that subgroup matrices stage at a time; 0: they do not fit. */
  readonly matrixDepth: 0 | 32 | 64;
}

const LEAST: Tiles = { attendRows: 32, valueBytes: 4096, linearSlice: 0, matrixDepth: 0 };

/** By what a workgroup may have, best first. WebGPU's defaults are 16384 bytes and 256 invocations. */
const choices: readonly { readonly workgroupBytes: number; readonly invocations: number; readonly tiles: Tiles }[] = [
  { workgroupBytes: 49152, invocations: 256, tiles: { attendRows: 64, valueBytes: 16384, linearSlice: 8, matrixDepth: 64 } },
  { workgroupBytes: 32768, invocations: 256, tiles: { attendRows: 64, valueBytes: 8192, linearSlice: 4, matrixDepth: 32 } },
  { workgroupBytes: 16384, invocations: 128, tiles: LEAST },
];

export function tilesFor(features: Features): Tiles {
  const fits = choices.find((row) => row.workgroupBytes <= features.workgroupBytes && row.invocations <= features.invocations);
  return fits?.tiles ?? LEAST;
}

/** What a GPU may have beyond WGSL's core, by the name in a kernel's `// needs:`: the directives that it takes. */
const extensions: Readonly<Record<string, string>> = {
  "subgroup-matrix": "enable subgroups;\nenable chromium_experimental_subgroup_matrix;\ndiagnostic(off, chromium.subgroup_matrix_uniformity);\n",
};

/** The complete WGSL of a variant, and its bindings in order. */
export function moduleOf(variant: Variant): { readonly code: string; readonly bindings: readonly Binding[] } {
  const kernel: Source = kernels[variant.kernel];
  const chosen = kernel.families.map((family) => {
    const member = family === "cache" ? variant.cache : variant.weight;
    if (member === undefined) throw new RangeError(`Kernel ${variant.kernel} needs a variant of ${family}.`);
    const name = `${family}-${member}`;
    return pieces[name] === undefined ? `${family}-any` : name;
  });
  const parts = withUses([...chosen, ...kernel.uses]);
  const all = [...parts, kernel];
  const bindings = all.flatMap((each) => each.bindings).sort((a, b) => a.index - b.index);
  return { code: [header(variant, kernel.needs), ...all.map((each) => each.code)].join("\n"), bindings };
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
function header({ element, result = element }: Variant, needs: readonly string[]): string {
  const extended = needs.map((name) => extensions[name] ?? "").join("");
  const enable = element === "f16" || result === "f16" ? "enable f16;\n" : "";
  return `${enable}${extended}alias Element = ${element};\nalias Element4 = vec4<${element}>;\nalias Result = ${result};\n`;
}

/** Every shader module that this package can make. */
export function allVariants(weights: readonly WeightDType[], caches: readonly FloatDType[]): Variant[] {
  return (Object.keys(kernels) as KernelName[]).flatMap((kernel) => {
    const { families, needs, code }: Source = kernels[kernel];
    const elements = needs.includes("subgroup-matrix") ? (["f16"] as const) : (["f32", "f16"] as const);
    const types = elements.flatMap((element): Variant[] => [
      { kernel, element },
      ...(element === "f16" && /\bResult\b|linear-/.test(code) ? [{ kernel, element, result: "f32" } as const] : []),
    ]);
    return types
      .flatMap((variant) => (families.includes("weight") ? weights.map((weight) => ({ ...variant, weight })) : [variant]))
      .flatMap((variant) => (families.includes("cache") ? caches.map((cache) => ({ ...variant, cache })) : [variant]));
  });
}
